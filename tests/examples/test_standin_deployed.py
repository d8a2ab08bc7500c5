import numpy as np
import pytest

from reflexarc.control.flow_file import load_flow
from reflexarc.control.robot_adapter import DriverEdges
from reflexarc.control.robot_file import on_robot
from reflexarc.control.values import Float64Array

pytestmark = pytest.mark.ros

JOINTS = [
    "shoulder_pan_joint",
    "shoulder_lift_joint",
    "elbow_joint",
    "wrist_1_joint",
    "wrist_2_joint",
    "wrist_3_joint",
]


@pytest.fixture
def standin(import_example):
    return import_example("standin_deployed")


@pytest.mark.parametrize("variant", ["plain", "reordered", "metres", "frame", "namespaced", "all"])
def test_the_robot_file_of_a_variant_says_what_the_stand_in_does(standin, tmp_path, variant):
    path, told = standin.write_robot_file(variant, tmp_path)
    flow = load_flow("arm_catch")
    deployed = on_robot(flow, str(path))
    robot = deployed.robot
    assert list(robot.joints) == told.get("command_order", JOINTS)
    assert sorted(robot.joints) == sorted(JOINTS)
    assert robot.joint_prefix == told.get("joint_prefix", "")
    assert robot.sensor("depth").encoding == told.get("depth_encoding", "16UC1")
    assert robot.sensor("color").frame == told.get("camera_frame", "camera_color_optical_frame")
    assert robot.namespace == told.get("namespace", "")
    # The camera stands where it stands, whatever frame it was calibrated in.
    here, there = (f.modules["perception"].parameters["camera_pose"] for f in (flow, deployed))
    assert np.allclose(here["position"], there["position"])
    assert abs(np.dot(here["orientation_xyzw"], there["orientation_xyzw"])) == pytest.approx(1.0)
    # And the joints of a command arrive where the stand-in looks for them.
    sent = DriverEdges(deployed, "guard").to_robot("command", Float64Array(data=np.arange(6.0))).data
    assert [JOINTS[int(index)] for index in sent] == told.get("command_order", JOINTS)


def test_every_variant_is_named(standin):
    assert set(standin.VARIANTS) == {"plain", "reordered", "metres", "frame", "namespaced", "all"}
    assert all(
        change in standin.VARIANTS["all"] for changes in standin.VARIANTS.values() for change in changes
    )
