import json

import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from small_flow import TICKS, Slider, arguments, small_flow

from reflexarc.control.errors import FlowError
from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module
from reflexarc.control.nodes import twin_node
from reflexarc.control.nodes.module_node import ModuleNode
from reflexarc.control.nodes.twin_node import EPISODES_FILE, RESULT_FILE, TwinNode, make_plant
from reflexarc.envs.twin import Twin

pytestmark = pytest.mark.ros

SUCCESS = TransitionCallbackReturn.SUCCESS


@pytest.fixture
def finished(nodes, tmp_path):
    """Run plant and module as two nodes in this process; the result and the episodes."""

    def run(clock, seeds, **more):
        nodes.start(arguments(small_flow(), clock, tmp_path, seeds=seeds, **more))
        module, twin = nodes.add(ModuleNode()), nodes.add(TwinNode())
        for node in (module, twin):
            assert node.trigger_configure() == SUCCESS
        for node in (module, twin):
            assert node.trigger_activate() == SUCCESS
        path = tmp_path / RESULT_FILE

        def is_over():
            nodes.executor.spin_once(timeout_sec=min(twin.work(), 0.01))
            return path.exists()

        nodes.spin_until(is_over)
        for node in (twin, module):
            assert node.trigger_deactivate() == SUCCESS
        lines = (tmp_path / EPISODES_FILE).read_text().splitlines()
        return json.loads(path.read_text()), [json.loads(line) for line in lines], twin

    return run


def test_lock_step_is_the_local_run(finished):
    result, episodes, _ = finished("lockstep", [7, 8, 9])
    flow = small_flow()
    modules = {name: make_module(spec, None) for name, spec in flow.modules.items()}
    local = LocalRuntime(flow, modules, Slider(flow)).run([7, 8, 9])
    assert result["trajectory_sha256"] == local.trajectory_sha256
    assert [(e["seed"], e["ticks"], e["score"]) for e in episodes] == [
        (e.seed, e.ticks, e.score) for e in local.episodes
    ]
    assert (result["missed_deadlines"], result["faults"], result["clock_at"]) == (0, {}, [])


def test_real_time_keeps_its_pace_and_counts_what_it_missed(finished):
    result, episodes, twin = finished("realtime", [7, 8])
    assert [e["seed"] for e in episodes] == [7, 8]
    times = dict(map(tuple, result["clock_at"]))
    assert sorted(times) == [tick * twin.flow.tick_ns for tick in range(2 * TICKS)]
    spent = times[(TICKS - 1) * twin.flow.tick_ns] - times[0]
    # Unpaced it takes a few ms; the first tick may be late on a busy machine, and is not waited for.
    assert spent >= TICKS // 2 * twin.flow.tick_ns
    assert result["missed_deadlines"] == result["faults"].get("no fresh command", 0)


def test_an_answer_counts_that_comes_after_the_module_was_asked_again(finished, monkeypatch):
    monkeypatch.setattr(twin_node, "_ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(twin_node, "_ASKS", 1_000_000)
    result, episodes, _ = finished("realtime", [7, 8])
    assert [e["seed"] for e in episodes] == [7, 8]
    assert "brake: did not reset" not in result["faults"]


def test_the_twin_goes_on_without_a_module_that_does_not_reset(finished, monkeypatch):
    monkeypatch.setattr(twin_node, "_ASKS", 2)
    monkeypatch.setattr(ModuleNode, "_on_reset", lambda node, request, response: response)
    result, episodes, _ = finished("realtime", [7, 8])
    assert [e["seed"] for e in episodes] == [7, 8]
    assert result["faults"]["brake: did not reset"] == 2


@pytest.mark.parametrize("exits", [True, False])
def test_its_process_may_end_when_all_episodes_are_over(finished, exits, capfd):
    _, episodes, twin = finished("lockstep", [7, 8], exit_when_over=str(exits).lower())
    assert twin.is_done is exits
    said = capfd.readouterr().err
    assert f"episode 2 of 2: distance {episodes[1]['score']['distance']:.4g}" in said
    assert "2 episodes are over" in said


def test_a_plant_is_a_task_or_a_factory():
    assert isinstance(make_plant(small_flow()), Slider)
    flow = small_flow()
    twin = make_plant(
        flow.model_copy(update={"plant": flow.plant.model_copy(update={"env": "reflexarc/ArmTrack-v0"})})
    )
    assert isinstance(twin, Twin)
    with pytest.raises(FlowError, match=r"plant env 'no_such:Thing' cannot be imported"):
        make_plant(flow.model_copy(update={"plant": flow.plant.model_copy(update={"env": "no_such:Thing"})}))


def test_ticks_of_flow_and_plant_have_to_agree(nodes, tmp_path, capfd):
    nodes.start(arguments(small_flow(rate_hz=50), "lockstep", tmp_path))
    assert nodes.add(TwinNode()).trigger_configure() == TransitionCallbackReturn.FAILURE
    assert (
        "has ticks of 10000000 ns, the flow of 20000000 ns. Set plant.rate_hz to 100."
        in capfd.readouterr().err
    )
