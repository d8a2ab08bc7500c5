"""A flow on three hosts, which are network namespaces: one is unplugged, one has a slow cable, and they come back."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `ros_parts`
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from flow_on_hosts import flow_on_hosts
from hosts import hosts, why_not
from ros_parts import spot_flow
from ros_support import HERE

from reflexarc.control.deployment import Deployment

pytestmark = [pytest.mark.ros, pytest.mark.skipif(why_not() is not None, reason=why_not() or "")]

ADDRESSES = {"arm": "10.77.0.1", "head": "10.77.0.2", "brain": "10.77.0.3"}
PROCESSES = {
    "twin": {"host": "arm", "modules": ["twin"]},
    "reflex": {"host": "arm", "modules": ["guard"]},
    "eyes": {"host": "head", "modules": ["spotter", "smoother"]},
    "mind": {"host": "brain", "modules": ["pilot"]},
}


@pytest.fixture(scope="module")
def lab():
    """Three hosts, and the flow on them, in one long episode."""
    flow = spot_flow()
    placed = {"hosts": {n: {"address": a} for n, a in ADDRESSES.items()}, "processes": PROCESSES}
    flow = flow.model_copy(
        update={
            "deployment": Deployment.model_validate(placed),
            "plant": flow.plant.model_copy(update={"parameters": {"ticks": 1_000_000}}),
        }
    )
    environment = {"PYTHONPATH": str(HERE), "ROS_DOMAIN_ID": "7"}
    with hosts(ADDRESSES) as made, flow_on_hosts(made, flow, 1, environment) as running:
        running.wait_for("the robot moves", lambda: running.seen.moves(0.0))
        yield made, running


def stands_still(running, since: float) -> bool:
    """Whether nothing but standing still was commanded for a second."""
    begin = running.seen.still_at(since)
    return begin is not None and running.seen.commands[-1][0] - begin[0] > 1.0


@pytest.mark.parametrize("host", ["brain", "head"])
def test_a_robot_holds_still_without_a_host_and_goes_on_when_it_is_back(lab, host):
    made, running = lab
    unplugged = time.monotonic()
    made.unplug(host)
    running.wait_for("the robot stands still", lambda: stands_still(running, unplugged))
    plugged = time.monotonic()
    made.plug(host)
    running.wait_for("the robot moves again", lambda: running.seen.moves(plugged))


def test_a_robot_holds_still_behind_a_slow_cable_and_goes_on_when_it_is_fast(lab):
    made, running = lab
    slowed = time.monotonic()
    try:
        made.slow("head", kbit_per_s=400)
    except RuntimeError as error:
        pytest.skip(f"needs a kernel with sch_tbf ({error})")
    running.wait_for("the robot stands still", lambda: stands_still(running, slowed))
    made.fast("head")
    fast = time.monotonic()
    running.wait_for("the robot moves again", lambda: running.seen.moves(fast))
