"""Key material: who a process is, what it may say and hear, and how its transport is closed. No ROS here."""
