import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from reflexarc.control.nodes.message_definitions import definition_of, message_class_of, type_hash_of

pytestmark = pytest.mark.ros

TYPES = [
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/JointState",
    "nav_msgs/msg/Odometry",
    "trajectory_msgs/msg/JointTrajectory",
    "diagnostic_msgs/msg/DiagnosticArray",
    "std_msgs/msg/Int64MultiArray",
    "rcl_interfaces/msg/ParameterEvent",
]


@pytest.mark.parametrize("name", TYPES)
def test_a_definition_is_whole_and_its_hash_is_that_of_rosbags(name):
    parsed = get_types_from_msg(definition_of(name), name)
    store = get_typestore(Stores.EMPTY)
    store.register(parsed)
    assert store.hash_rihs01(name) == type_hash_of(name)
    assert message_class_of(name).__name__ == name.rpartition("/")[2]


@pytest.mark.parametrize("name", ["nobodys_msgs/msg/Thing", "std_msgs/msg/Thing", "nonsense"])
def test_what_is_not_installed_has_none(name):
    assert (definition_of(name).strip(), type_hash_of(name), message_class_of(name)) == ("", "", None)
