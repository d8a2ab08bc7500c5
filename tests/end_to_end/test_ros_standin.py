"""The stand-in for a robot as its drivers show it to a stranger: a plain subscriber with none of our message code."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `ros_support`
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from ros_support import stranger

STANDIN = Path(__file__).parents[2] / "examples" / "robot_standin.py"
LEFT = {
    "joint_prefix": "left_",
    "joint_state_order": [
        "wrist_3_joint",
        "wrist_2_joint",
        "wrist_1_joint",
        "elbow_joint",
        "shoulder_lift_joint",
        "shoulder_pan_joint",
    ],
    "command_order": [
        "elbow_joint",
        "shoulder_pan_joint",
        "shoulder_lift_joint",
        "wrist_3_joint",
        "wrist_2_joint",
        "wrist_1_joint",
    ],
    "depth_encoding": "32FC1",
    "camera_frame": "head_color_optical_frame",
}

pytestmark = pytest.mark.ros


@contextmanager
def standin(log, namespace="", **parameters):
    """A stand-in in a process of its own."""
    arguments = [f"-r __ns:={namespace}"] if namespace else []
    arguments += [
        f"-p {name}:={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in parameters.items()
    ]
    split = [word for argument in arguments for word in argument.split(" ", 1)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, str(STANDIN), "--ros-args", *split], stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Listener:
    """Keeps all that comes below a namespace."""

    def __init__(self, node, namespace=""):
        from rclpy.qos import qos_profile_sensor_data
        from sensor_msgs.msg import CameraInfo, Image, JointState
        from std_msgs.msg import Float64MultiArray
        from std_srvs.srv import Trigger

        self.topics = {
            "joints": (JointState, f"{namespace}/joint_states"),
            "color": (Image, f"{namespace}/camera/camera/color/image_raw"),
            "depth": (Image, f"{namespace}/camera/camera/aligned_depth_to_color/image_raw"),
            "info": (CameraInfo, f"{namespace}/camera/camera/color/camera_info"),
        }
        self.came = {name: [] for name in self.topics}
        for name, (kind, topic) in self.topics.items():
            node.create_subscription(kind, topic, self.came[name].append, qos_profile_sensor_data)
        self.commander = node.create_publisher(
            Float64MultiArray, f"{namespace}/forward_velocity_controller/commands", 1
        )
        self.thrower = node.create_client(Trigger, f"{namespace}/robot_standin/throw")

    def stamps(self, name):
        return np.array(
            [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in self.came[name]], dtype=np.int64
        )


def spin(executor, until, within_s=60.0):
    """Take in what comes until something is true."""
    end = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < end, "what was waited for did not happen"
        executor.spin_once(timeout_sec=0.02)


@pytest.mark.timeout(120)
def test_a_stranger_sees_the_topics_of_an_arm_and_a_camera(ros_domain, tmp_path):
    episodes = tmp_path / "episodes.jsonl"
    with (
        stranger(tmp_path) as (node, executor),
        standin(tmp_path / "right.log", seeds=[1_000_000_000], episodes_file=str(episodes)),
        standin(tmp_path / "left.log", namespace="/left", seeds=[1_000_000_000], **LEFT),
    ):
        right, left = Listener(node), Listener(node, "/left")
        spin(executor, lambda: all(len(came) >= 10 for r in (right, left) for came in r.came.values()))
        looks_like_the_drivers(node, right)
        is_another_robot(left)
        moves_when_told(executor, left)
        spin(executor, right.thrower.service_is_ready)
        answer = right.thrower.call_async(right.thrower.srv_type.Request())
        spin(executor, answer.done)
        assert answer.result().success
        assert json.loads(answer.result().message) is None
        stops_publishing(node, executor, left)
        spin(executor, lambda: episodes.exists() and episodes.read_text().endswith("\n"))
        score = json.loads(episodes.read_text())["score"]
        assert set(score) == {"catch_rate", "miss_distance_m", "unsafe_commands"}
        assert score["unsafe_commands"] == 0
    assert "of its time simulated" in (tmp_path / "right.log").read_text()


def looks_like_the_drivers(node, right):
    from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

    for name, (kind, topic) in right.topics.items():
        (offered,) = node.get_publishers_info_by_topic(topic)
        assert offered.topic_type == f"sensor_msgs/msg/{kind.__name__}"
        assert offered.qos_profile.reliability is ReliabilityPolicy.RELIABLE
        # A writer with the system's default is transient local on Fast DDS.
        is_default = name == "info"
        durability = DurabilityPolicy.VOLATILE if is_default else DurabilityPolicy.TRANSIENT_LOCAL
        assert offered.qos_profile.durability is durability
    (taken,) = node.get_subscriptions_info_by_topic("/forward_velocity_controller/commands")
    assert taken.topic_type == "std_msgs/msg/Float64MultiArray"

    joints, color, depth, info = (right.came[name][-1] for name in ("joints", "color", "depth", "info"))
    assert list(joints.name) == [
        "elbow_joint",
        "shoulder_lift_joint",
        "shoulder_pan_joint",
        "wrist_1_joint",
        "wrist_2_joint",
        "wrist_3_joint",
    ]
    assert len(joints.position) == len(joints.velocity) == len(joints.effort) == 6
    assert joints.position[0] == pytest.approx(1.84, abs=0.1), "the elbow of an arm that is ready"
    assert (color.encoding, depth.encoding) == ("rgb8", "16UC1")
    assert (color.height, color.width, info.height, info.width) == (128, 80, 128, 80)
    assert {m.header.frame_id for m in (color, depth, info)} == {"camera_color_optical_frame"}
    millimetres = np.frombuffer(depth.data, "<u2")
    assert 300 < np.median(millimetres[millimetres > 0]) < 8000

    assert np.median(np.diff(right.stamps("joints"))) == 2_000_000
    assert np.median(np.diff(right.stamps("color"))) == 20_000_000
    assert len(np.intersect1d(right.stamps("color"), right.stamps("depth"))) >= 5
    assert len(np.intersect1d(right.stamps("color"), right.stamps("info"))) >= 5
    assert abs(right.stamps("joints")[-1] - time.time_ns()) < 5e9, "stamps of the system's clock"


def is_another_robot(left):
    joints, depth = left.came["joints"][-1], left.came["depth"][-1]
    assert list(joints.name) == [f"left_{name}" for name in LEFT["joint_state_order"]]
    assert joints.position[3] == pytest.approx(1.84, abs=0.1)
    assert (depth.encoding, depth.header.frame_id) == ("32FC1", "head_color_optical_frame")
    metres = np.frombuffer(depth.data, "<f4")
    assert 0.3 < np.median(metres[metres > 0]) < 8.0


def moves_when_told(executor, left):
    """The first of the commands is for the elbow, which comes fourth in the joint states."""
    from std_msgs.msg import Float64MultiArray

    answer = left.thrower.call_async(left.thrower.srv_type.Request())
    spin(executor, answer.done)
    assert answer.result().success

    def is_moving():
        left.commander.publish(Float64MultiArray(data=[0.2, 0.0, 0.0, 0.0, 0.0, 0.0]))
        velocity = np.array(left.came["joints"][-1].velocity)
        return velocity[3] > 0.1 and np.abs(np.delete(velocity, 3)).max() < 0.08

    spin(executor, is_moving, within_s=5.0)


def stops_publishing(node, executor, left):
    from rcl_interfaces.srv import SetParameters
    from rclpy.parameter import Parameter

    client = node.create_client(SetParameters, "/left/robot_standin/set_parameters")
    spin(executor, client.service_is_ready)

    def become(**parameters):
        wanted = [Parameter(name, value=value).to_parameter_msg() for name, value in parameters.items()]
        answer = client.call_async(SetParameters.Request(parameters=wanted))
        spin(executor, answer.done)
        return [result.successful for result in answer.result().results]

    assert become(fault="stopp") == [False]
    assert become(faulty_driver="arm", fault="stop") == [True, True]
    spin_for(executor, 0.3)
    joints, frames = len(left.came["joints"]), len(left.came["color"])
    spin(executor, lambda: len(left.came["color"]) > frames + 3)
    assert len(left.came["joints"]) == joints
    assert become(fault="jump_back") == [True]
    spin(executor, lambda: len(left.came["joints"]) > joints + 10)
    assert left.stamps("joints")[-1] < time.time_ns() - 4e9


def spin_for(executor, seconds):
    end = time.monotonic() + seconds
    spin(executor, lambda: time.monotonic() > end)
