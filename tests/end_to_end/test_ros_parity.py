"""What runs in one process runs over ROS 2: the same commands and states, bit for bit."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # where the processes of nodes find the parts as well
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from ros_parts import TICKS, SpotPlant, deployed, spot_flow
from ros_support import HERE

from reflexarc.control.errors import FlowError, RuntimeUnavailableError
from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module
from reflexarc.control.nodes.bringup import run_ros
from reflexarc.control.nodes.description import TWIN

pytestmark = pytest.mark.ros

SEEDS = (3, 1, 4, 1)


@pytest.fixture(autouse=True)
def _parts_in_reach(monkeypatch, ros_domain):
    monkeypatch.setenv("PYTHONPATH", str(HERE))


def run_local(flow, seeds):
    modules = {name: make_module(spec, None) for name, spec in flow.modules.items()}
    return LocalRuntime(flow, modules, SpotPlant(flow)).run(seeds)


def steps(records):
    """All of a step but when it was by the wall clock."""
    return [(r.now_ns, r.output_stamp_ns, dict(r.input_stamps_ns)) for r in records]


@pytest.mark.lockstep
def test_lock_step_over_ros_is_the_local_run_bit_for_bit():
    flow = spot_flow()
    local = run_local(flow, SEEDS)
    statuses = []
    ros = run_ros(flow, SEEDS, "lockstep", statuses.append)
    assert ros.trajectory_sha256 == local.trajectory_sha256
    assert ros.episodes == local.episodes
    assert ros.missed_deadlines == 0
    for name in flow.modules:
        assert steps(ros.records[name]) == steps(local.records[name]), name
    assert ros.rejections == local.rejections
    assert ros.clock_at is None
    assert statuses[-1].episodes == ros.episodes
    assert {name for status in statuses for name in status.nodes} <= {*flow.modules, TWIN}


@pytest.mark.lockstep
def test_modules_that_share_a_process_do_the_same_bit_for_bit():
    flow = deployed(spot_flow(), {"mind": ["smoother", "pilot"], "body": ["spotter", "guard"]})
    assert run_ros(flow, SEEDS).trajectory_sha256 == run_local(flow, SEEDS).trajectory_sha256


def test_real_time_follows_the_wall_clock_and_reaches_the_same_goal():
    flow = spot_flow()
    ros = run_ros(flow, (3, 1), "realtime")
    assert [(episode.seed, episode.ticks) for episode in ros.episodes] == [(3, TICKS), (1, TICKS)]
    # Without a command at all the joints would end half a radian off.
    assert all(episode.score["error_rad"] < 0.2 for episode in ros.episodes)
    assert sorted(ros.clock_at) == [tick * flow.tick_ns for tick in range(2 * TICKS)]
    times = [ros.clock_at[now] for now in sorted(ros.clock_at)]
    assert times == sorted(times)
    # Unpaced it takes a few ms; the first tick may be late on a busy machine, and is not waited for.
    assert times[TICKS - 1] - times[0] >= TICKS // 2 * flow.tick_ns


def test_at_half_the_real_time_factor_it_takes_twice_as_long():
    flow = spot_flow()
    ros = run_ros(flow, (3,), "realtime", real_time_factor=0.5)
    times = [ros.clock_at[now] for now in sorted(ros.clock_at)]
    assert times[TICKS - 1] - times[0] >= 2 * (TICKS // 2) * flow.tick_ns


@pytest.mark.lockstep
def test_a_node_that_cannot_configure_says_why():
    flow = spot_flow(pilot={"kind": "ros_parts:NoSuchPilot"})
    with pytest.raises(RuntimeUnavailableError) as refused:
        run_ros(flow, SEEDS)
    assert str(refused.value).startswith(
        "pilot cannot configure: kind 'ros_parts:NoSuchPilot' cannot be imported"
    )
    assert "\n" not in str(refused.value)


@pytest.mark.lockstep
def test_a_missing_artifact_is_said_by_the_node_that_needs_it(tmp_path):
    flow = spot_flow(smoother={"artifact": "smoother"})
    with pytest.raises(RuntimeUnavailableError, match=r"^smoother cannot configure: smoother: no artifact"):
        run_ros(flow, SEEDS, store=tmp_path)


@pytest.mark.lockstep
def test_no_module_takes_the_name_of_the_twin():
    flow = spot_flow()
    modules = {TWIN: flow.modules["guard"], **flow.modules}
    with pytest.raises(FlowError, match="no module can be called 'twin'"):
        run_ros(flow.model_copy(update={"modules": modules}), SEEDS)
