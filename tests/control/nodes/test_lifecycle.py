import time
from pathlib import Path

import pytest
from small_flow import arguments, small_flow

from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.nodes.children import Children
from reflexarc.control.nodes.environment import isolated
from reflexarc.control.nodes.lifecycle import LifecycleClient

pytestmark = pytest.mark.ros


@pytest.fixture
def brake(ros_domain, tmp_path, monkeypatch):
    """A client, and the process of one module in real time, which needs no one to start."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    reports = []
    with isolated(ros_domain, tmp_path):
        children = Children(tmp_path)
        client = LifecycleClient(["brake"], ros_domain, reports.append)
        line = arguments(small_flow(), "realtime", tmp_path)
        children.start("brake", "reflexarc.control.nodes.module_node", ["--ros-args", *line])
        until = time.monotonic() + 30
        while not client.is_up("brake"):
            assert time.monotonic() < until
            children.check()
            client.spin(0.05)
        yield client, children, reports
        children.terminate(["brake"])
        children.wait(time.monotonic() + 5)
        children.kill()
        client.close()


def test_it_leads_a_node_through_its_life_and_hears_of_its_health(brake):
    client, children, reports = brake
    for transition in ("configure", "activate"):
        assert client.change("brake", transition, 20.0, children.check) is True
    assert client.state("brake", 20.0) == "active"
    until = time.monotonic() + 10
    while not reports and time.monotonic() < until:
        client.spin(0.1)
    assert reports[0].name == "brake"
    for transition in ("deactivate", "cleanup"):
        assert client.change("brake", transition, 20.0, children.check) is True
    # Kilted says no, Jazzy nothing at all, and neither ends the node.
    assert not client.change("brake", "activate", 0.5, children.check)
    assert client.change("brake", "configure", 20.0, children.check) is True


def test_it_does_not_wait_for_who_has_died(brake):
    client, children, _ = brake
    children.kill()
    with pytest.raises(RuntimeUnavailableError, match=r"brake ended \(killed by SIGKILL\)"):
        client.change("brake", "configure", 20.0, children.check)


def test_no_answer_is_none(brake):
    client, _, _ = brake
    assert client.change("brake", "configure", 0.0, lambda: None) is None
    assert client.state("brake", 0.0) is None
