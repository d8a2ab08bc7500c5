"""The robot: joint order and limits, each with its source. The model itself is `models/ur5e.xml`."""

import numpy as np

__all__ = [
    "ACCELERATION_LIMIT",
    "JOINT_NAMES",
    "JOINT_TORQUE_LIMIT",
    "NET_RADIUS",
    "READY_POSITION",
    "TOOL_OFFSET_M",
    "VELOCITY_LIMIT",
]

JOINT_NAMES = (
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
)
"""The order of `ur_description` and of the UR driver's controllers."""

VELOCITY_LIMIT = np.pi
"""rad/s, each joint. Source: UR5e technical specifications, maximum joint speed 180 deg/s."""

ACCELERATION_LIMIT = 20.0
"""rad/s^2, each joint.

The shoulder has to lift itself with the arm at full stretch, the worst case: its 150 N m less the weight's
moment, over the inertia, give 23 rad/s^2 upward (a test computes it from the model); a seventh is kept
as margin for the other joints' reaction.
"""

JOINT_TORQUE_LIMIT = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)
"""N m. Source: UR article 'Max. joint torques', e-Series, UR5e (joint sizes 3, 3, 3, 1, 1, 1)."""

READY_POSITION = np.array([-0.414, -1.871, 1.839, -0.347, 1.183, 0.0])
"""rad. Net at (0.5, 0, 0.55) m, facing forward and 20 degrees up, elbow up, the Jacobian well conditioned."""

TOOL_OFFSET_M = 0.08
"""Distance of the net's ring from the flange, along the flange's z axis."""

NET_RADIUS = 0.04
"""m. 'An 8 cm ring' is read as its diameter, the stricter reading: the ball's center passes within 4 cm."""
