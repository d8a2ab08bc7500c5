"""A flow beside a robot's own drivers: `ros2 launch reflexarc robot.launch.py robot:=ur5e_realsense`.

All modules come up, and what commands the robot stays inactive, so that it does not move, until someone says
`ros2 lifecycle set /guard activate`, or from the start where `activate:=true` is given.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable

from reflexarc.control.nodes.launch_actions import deployment

ARGUMENTS = [
    DeclareLaunchArgument("robot", description="Name of a robot that ships, or path of a robot file."),
    DeclareLaunchArgument(
        "flow", default_value="arm_catch", description="Name of a flow that ships, or path of a flow file."
    ),
    DeclareLaunchArgument(
        "store", default_value="", description="Folder of artifacts; without it, those that ship."
    ),
    DeclareLaunchArgument(
        "namespace", default_value="", description="Of all nodes; without it, that of the robot file."
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="More parameters, keyed by /**/node: in a namespace; they count more than the arguments here.",
    ),
    DeclareLaunchArgument(
        "remappings",
        default_value="",
        description="Rules from:=to for all nodes, with a space between two.",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="Start modules again that have ended; what commands the robot then waits for its activation.",
    ),
    DeclareLaunchArgument(
        "activate",
        default_value="false",
        choices=["true", "false"],
        description="Let the robot move as soon as all is up.",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="Of all nodes."),
]

DISCOVERY = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def generate_launch_description() -> LaunchDescription:
    """Everything stays on this host, unless the environment says otherwise."""
    on_this_host = SetEnvironmentVariable(
        DISCOVERY, EnvironmentVariable(DISCOVERY, default_value="LOCALHOST")
    )
    return LaunchDescription([*ARGUMENTS, on_this_host, OpaqueFunction(function=deployment)])
