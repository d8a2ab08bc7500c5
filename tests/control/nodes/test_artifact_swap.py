import pytest
from tuned_flow import TunedRun, tuned_artifact

from reflexarc.control import succession

pytestmark = pytest.mark.ros


@pytest.fixture
def short_swaps(monkeypatch):
    monkeypatch.setattr(succession, "WARM_STEPS", 5)
    monkeypatch.setattr(succession, "WATCH_NS", 200_000_000)


def test_the_parameter_says_what_runs_and_swaps_it_when_set(nodes, tmp_path, short_swaps):
    run = TunedRun(nodes, tmp_path)
    assert run.runs() == run.first
    run.activate()
    second = tuned_artifact(run.store, gain=2.0)
    assert run.ask(second[:8]) == ""
    assert run.ask(second).endswith(f"a swap to {second[:12]} is under way. Wait until it is over.")
    run.pace_until(lambda: run.node.figures()["swap"] == "done")
    run.pace()
    assert run.runs() == second
    assert run.commands == sorted(run.commands), "first the old one's, then the new one's"
    assert set(run.commands) == {1.0, 2.0}
    assert run.node.figures().items() >= {"artifact": second, "swap": "done", "swaps": "1"}.items()
    assert run.node.faults() == {}
    assert run.ask(second[:8]) == "", "it runs already"
    run.pace()
    assert (run.runs(), run.node.figures()["swaps"]) == (second, "1")


@pytest.mark.parametrize(("fails_at", "stands"), [(3, "refused"), (8, "rolled back")])
def test_a_newcomer_that_fails_is_gone_and_the_parameter_says_so(
    nodes, tmp_path, short_swaps, fails_at, stands
):
    run = TunedRun(nodes, tmp_path)
    run.activate()
    assert run.ask(tuned_artifact(run.store, gain=2.0, fails_at=fails_at)) == ""
    run.pace_until(lambda: run.node.figures()["swap"].startswith(stands))
    assert run.node.figures()["swap"] == f"{stands}: command: data not finite"
    assert run.node.faults() == {f"swap {stands}: command: data not finite": 1}
    assert run.runs() == run.first
    count = len(run.commands)
    run.pace_until(lambda: len(run.commands) > count + 3)
    assert run.commands[-1] == 1.0


def test_what_cannot_be_made_into_a_module_is_refused(nodes, tmp_path):
    run = TunedRun(nodes, tmp_path)
    run.activate()
    assert run.ask(tuned_artifact(run.store, weight=2.0)) == ""
    run.pace_until(lambda: run.node.figures()["swap"] == "refused: KeyError: 'gain'")
    assert run.runs() == run.first


def test_a_node_that_is_deactivated_drops_the_swap(nodes, tmp_path):
    run = TunedRun(nodes, tmp_path)
    second = tuned_artifact(run.store, gain=2.0)
    assert run.ask(second) == "brake: it is not active. Activate it first."
    run.activate()
    for _ in range(2):
        assert run.ask(second) == ""
        run.node.trigger_deactivate()
        reason = "refused: the node was deactivated before the swap was over"
        assert run.node.figures()["swap"] == reason
        assert run.runs() == run.first
        run.node.trigger_activate()


def test_what_is_wrong_is_said_at_once(nodes, tmp_path):
    run = TunedRun(nodes, tmp_path)
    run.activate()
    assert run.ask("0" * 64).startswith("brake: no artifact brake-000000000000 in ")
    assert run.ask("") == "brake: '' is not a digest. Give at least 8 of its 64 hex digits."
    assert run.runs() == run.first


def test_lock_step_stays_the_same_bit_for_bit(nodes, tmp_path):
    run = TunedRun(nodes, tmp_path, clock="lockstep")
    run.node._swap.activate()  # in lock step a node would wait for its neighbours
    assert run.ask(tuned_artifact(run.store, gain=2.0)).startswith("brake: in lock step a run is the same")
