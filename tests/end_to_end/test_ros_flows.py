"""The flows that ship, with their trained modules: over ROS 2 in lock step as in one process, bit for bit."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `ros_support`
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

import ros_support  # noqa: F401 imports what of ROS 2 warns on import

from reflexarc.control.artifacts.store import SHIPPED_STORE, read_lock, resolve_artifacts
from reflexarc.control.flow_file import known_flows, load_flow
from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module
from reflexarc.control.nodes.bringup import run_ros
from reflexarc.control.nodes.twin_node import make_plant

pytestmark = [pytest.mark.ros, pytest.mark.lockstep]

SEEDS = {"arm_catch_3x3": (11,)}
"""Of the others two, so that one episode follows another."""


@pytest.mark.parametrize(
    "name",
    [
        # An episode of arm_track lasts ten times as long as a throw.
        pytest.param(name, marks=pytest.mark.slow if name == "arm_track" else ())
        for name in known_flows()
    ],
)
def test_a_shipped_flow_is_the_same_in_both_runtimes(name, ros_domain):
    flow, seeds = load_flow(name), SEEDS.get(name, (11, 12))
    missing = {s.artifact for s in flow.modules.values() if s.artifact} - set(read_lock(SHIPPED_STORE, name))
    if missing:
        pytest.skip(f"{', '.join(sorted(missing))} not trained yet: run `reflexarc train --flow {name}`")
    artifacts = resolve_artifacts(flow)
    modules = {module: make_module(spec, artifacts.get(module)) for module, spec in flow.modules.items()}
    local = LocalRuntime(flow, modules, make_plant(flow)).run(seeds)
    ros = run_ros(flow, seeds)
    assert ros.trajectory_sha256 == local.trajectory_sha256
    assert ros.episodes == local.episodes
    assert ros.rejections == local.rejections
    stamps = {
        runtime: {
            m: [(r.now_ns, r.output_stamp_ns) for r in records] for m, records in result.records.items()
        }
        for runtime, result in (("local", local), ("ros", ros))
    }
    assert stamps["ros"] == stamps["local"]
