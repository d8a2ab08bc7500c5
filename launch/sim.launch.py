"""A flow and its MuJoCo twin: `ros2 launch reflexarc sim.launch.py flow:=arm_catch episodes:=20`."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import EnvironmentVariable

from reflexarc.control.nodes.launch_actions import simulation

ARGUMENTS = [
    DeclareLaunchArgument(
        "flow", default_value="arm_catch", description="Name of a flow that ships, or path of a flow file."
    ),
    DeclareLaunchArgument(
        "episodes", default_value="20", description="How many episodes; then the launch ends."
    ),
    DeclareLaunchArgument(
        "clock",
        default_value="lockstep",
        choices=["lockstep", "realtime"],
        description="lockstep: the twin waits for each command; realtime: it does not.",
    ),
    DeclareLaunchArgument(
        "real_time_factor",
        default_value="1.0",
        description="How fast the twin's clock goes in real time: less where a flow needs more cores than there are.",
    ),
    DeclareLaunchArgument(
        "seed", default_value="0", description="Decides all episodes; none of them was trained on."
    ),
    DeclareLaunchArgument(
        "store", default_value="", description="Folder of artifacts; without it, those that ship."
    ),
    DeclareLaunchArgument("namespace", default_value="", description="Of all nodes and their topics."),
    DeclareLaunchArgument(
        "params_file",
        default_value="",
        description="More parameters, keyed by /**/node: in a namespace; they count more than the arguments here.",
    ),
    DeclareLaunchArgument(
        "remappings", default_value="", description="Rules from:=to for all nodes, with a space between two."
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=["true", "false"],
        description="In real time, start modules again that have ended.",
    ),
    DeclareLaunchArgument("log_level", default_value="info", description="Of all nodes."),
]

DISCOVERY = "ROS_AUTOMATIC_DISCOVERY_RANGE"


def generate_launch_description() -> LaunchDescription:
    """Everything stays on this host, unless the environment says otherwise."""
    on_this_host = SetEnvironmentVariable(
        DISCOVERY, EnvironmentVariable(DISCOVERY, default_value="LOCALHOST")
    )
    return LaunchDescription([*ARGUMENTS, on_this_host, OpaqueFunction(function=simulation)])
