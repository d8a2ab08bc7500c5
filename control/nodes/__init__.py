"""RosRuntime: a flow on ROS 2, a process per node. The only folder that imports rclpy."""

from typing import Literal

__all__ = ["Clock"]

Clock = Literal["lockstep", "realtime"]
"""What drives a flow: the plant waits for the command of each tick, or it does not."""
