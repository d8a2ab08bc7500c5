"""Strangers on the flow's topics: what they send is refused and counted with a reason, and moves nothing.

The stranger is a plain ROS 2 process as a user starts one: the same domain, everything else by default.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # where the processes of nodes find the parts as well
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from ros_parts import SpotPlant, spot_flow
from ros_support import HERE, launcher

from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module

pytestmark = pytest.mark.ros

EPISODES = {"realtime": 10, "lockstep": 25}
"""Some six seconds each; the stranger needs three."""

STRANGER = """
import sys, time
from array import array
import numpy as np, rclpy
from rclpy.duration import Duration
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Float64MultiArray, Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

def image(encoding, height, width, array_):
    data = array("B"); data.frombytes(np.ascontiguousarray(array_).tobytes())
    return Image(header=Header(frame_id="camera"), encoding=encoding, height=height, width=width,
                 step=len(data) // height, data=data)

rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
node = rclpy.create_node("stranger")
nan = np.full((80, 128), np.nan, np.float32)
six = ["a"] * 6
messages = [
    ("camera/depth", image("32FC1", 80, 128, nan)),
    ("camera/image_raw", image("rgb8", 64, 64, np.zeros((64, 64, 3), np.uint8))),
    ("camera/image_raw", image("bgr8", 80, 128, np.zeros((80, 128, 3), np.uint8))),
    ("camera/image_raw", Image(encoding="rgb8", height=80, width=128, step=384)),
    ("pilot/command", JointTrajectory(joint_names=["pan"], points=[JointTrajectoryPoint(velocities=[9.0])])),
    ("pilot/command", JointTrajectory(joint_names=six, points=[JointTrajectoryPoint(velocities=[9.0] * 5)])),
    ("joint_states", JointState(header=Header(frame_id="base_link"), name=["pan"], position=[np.nan])),
    ("forward_velocity_controller/commands", Float64MultiArray(data=[9.0, 9.0])),
    ("forward_velocity_controller/commands", Float64MultiArray(data=[np.nan] * 6)),
]
# A module is expected to offer what it promises: who does not is not even heard.
soon = Duration(nanoseconds=20_000_000)
promising = QoSProfile(depth=10, deadline=soon, liveliness_lease_duration=soon)
node.create_publisher(JointTrajectory, "pilot/command", 10)
publishers = {topic: node.create_publisher(type(message), topic, promising) for topic, message in messages}
until = time.monotonic() + 60
while any(p.get_subscription_count() < 1 for p in publishers.values()):
    assert time.monotonic() < until, "nobody listens"
    time.sleep(0.02)
for _ in range(30):
    for topic, message in messages:
        publishers[topic].publish(message)
    time.sleep(0.1)
node.destroy_node()
rclpy.shutdown()
"""

REASONS = {
    "spotter": [
        "depth: no finite pixel",
        "color: shape (64, 64, 3), expected (80, 128, 3)",
        "color: encoding 'bgr8'. Known: 16UC1, 32FC1, rgb8.",
        "color: 0 bytes for 80 rows of 384, 128 pixels of rgb8",
    ],
    "guard": [
        "command: a publisher whose quality of service does not fit",
        "command: velocity of shape (1,), expected (6,)",
        "command: a point with 5 velocities for 6 joints",
        "joint_states: position of shape (1,), expected (6,)",
    ],
    "twin": [
        "command: data of shape (2,), expected (6,)",
        "command: data not finite",
    ],
}


@pytest.fixture
def stranger(ros_domain):
    """A stranger who talks for three seconds as soon as everyone listens."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("FAST", "ROS_AUTO"))}
    process = subprocess.Popen([sys.executable, "-c", STRANGER], env=environment)
    yield process
    process.kill()
    process.wait()


def run_beside(stranger, clock):
    """Trajectory digest, unsafe commands, and counts per node and reason of a disturbed run."""
    with launcher(clock, EPISODES[clock]) as process:
        output, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
        assert stranger.poll() == 0, "the run was over before the stranger had said everything"
    word, digest, unsafe, rejections = output.splitlines()[-1].split(maxsplit=3)
    assert word == "result"
    return digest, float(unsafe), json.loads(rejections)


def test_in_real_time_every_bad_message_is_counted_with_its_reason(stranger):
    _, unsafe, rejections = run_beside(stranger, "realtime")
    for name, reasons in REASONS.items():
        for reason in reasons:
            assert any(counted.startswith(reason) for counted in rejections[name]), (name, reason, rejections)
    assert unsafe == 0


@pytest.mark.lockstep
def test_in_lock_step_a_stranger_changes_no_bit(stranger, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    flow = spot_flow()
    modules = {name: make_module(spec, None) for name, spec in flow.modules.items()}
    local = LocalRuntime(flow, modules, SpotPlant(flow)).run(range(EPISODES["lockstep"]))
    digest, unsafe, rejections = run_beside(stranger, "lockstep")
    assert digest == local.trajectory_sha256
    assert unsafe == 0
    for name, port in (("spotter", "depth"), ("guard", "joint_states"), ("twin", "command")):
        assert rejections[name][f"{port}: not from its producer"] >= 1
