import pytest
from tuned_flow import TunedRun, tuned_artifact

from reflexarc.control import succession
from reflexarc.control.errors import ArtifactError, RuntimeUnavailableError
from reflexarc.control.nodes import module_client
from reflexarc.control.nodes.module_client import ModuleClient, guest

pytestmark = pytest.mark.ros


@pytest.fixture
def run(nodes, tmp_path, monkeypatch):
    monkeypatch.setattr(succession, "WARM_STEPS", 3)
    monkeypatch.setattr(succession, "WATCH_NS", 100_000_000)
    run = TunedRun(nodes, tmp_path)
    run.activate()
    run.client = ModuleClient(run.neighbour, nodes.executor, run.pace)
    return run


def test_it_tells_each_phase_and_returns_when_it_is_over(run):
    phases = []
    second = tuned_artifact(run.store, gain=2.0)
    run.client.swap("brake", second, phases.append)
    assert phases == ["loading", "warming", "watching", "done"]
    assert run.client.figures("brake")["artifact"] == second
    run.client.swap("brake", second[:8], phases.append)
    assert phases[4:] == ["already runs"]
    run.client.swap("brake", run.first, phases.append)
    assert phases[5:] == phases[:4]


def test_a_reason_comes_back_in_one_line(run):
    with pytest.raises(ArtifactError, match=r"^brake: no artifact brake-000000000000 in "):
        run.client.swap("brake", "0" * 64)
    for fails_at, stands in ((2, "refused"), (5, "rolled back")):
        bad = tuned_artifact(run.store, gain=2.0, fails_at=fails_at)
        with pytest.raises(ArtifactError) as raised:
            run.client.swap("brake", bad)
        assert str(raised.value) == f"brake: swap to {bad[:12]} {stands}: command: data not finite"


def test_a_node_that_is_not_there_is_said(run, monkeypatch):
    monkeypatch.setattr(module_client, "_ANSWER_WITHIN_S", 0.2)
    with pytest.raises(RuntimeUnavailableError, match="break sends no health report after"):
        run.client.swap("break", "0" * 64)


def test_a_guest_leaves_nothing(nodes):
    with guest("visitor") as (node, _):
        assert node.context.ok()
    assert not node.context.ok()
