"""A deployment in processes of its own, beside drivers of this process."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from drivers import Drivers
from guarded_flow import ACCELERATION, RATE_HZ, SPEED

from reflexarc.control.commands.activate import run_activate
from reflexarc.control.nodes.messages import from_message
from reflexarc.control.nodes.running import find_running

pytestmark = pytest.mark.ros

DEPLOY = """
from guarded_flow import guarded_flow
from reflexarc.control.nodes.deployment import deploy
deploy(guarded_flow(namespace="/cell"))
"""


@pytest.fixture
def deployment(ros_domain, tmp_path, monkeypatch):
    """A deployment that is ended in any case, and is the only one that is found."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    here = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", DEPLOY],
        env={**os.environ, "PYTHONPATH": here, "TMPDIR": str(folder)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_robot_moves_only_while_its_guard_is_active_and_comes_to_rest(deployment, nodes, capfd):
    nodes.start([])
    drivers = Drivers(nodes, namespace="/cell")

    def is_up():
        assert deployment.poll() is None, deployment.stderr.read()
        return bool(list(Path(tempfile.gettempdir()).glob("reflexarc-*/run.json")))

    nodes.spin_until(is_up, within_s=60)
    assert drivers.commands == [], "nothing moves before somebody says so"
    run_activate("guarded", is_to_move=True)
    assert capfd.readouterr().out == "slider: guard is active, its commands go out\n"
    nodes.spin_until(lambda: drivers.speed == SPEED)
    health = []
    drivers.node.create_subscription(DiagnosticArray, "diagnostics", health.append, 10)

    def figures_of(name):
        entries = (entry for message in health for entry in from_message(message).entries)
        return [dict(entry.figures) for entry in entries if entry.name == name]

    def is_inactive_again():
        return any(figures["commands"] == "not activated" for figures in figures_of("guard"))

    os.kill(find_running(None).pid_of("guard"), signal.SIGKILL)
    nodes.spin_until(is_inactive_again, within_s=30)
    here = len(drivers.commands)
    sent = drivers.sent
    nodes.spin_until(lambda: drivers.sent > sent + 50)
    assert len(drivers.commands) == here, "a guard that was started again waits for a new activation"

    run_activate(None, is_to_move=True)
    nodes.spin_until(lambda: drivers.speed == SPEED)
    nodes.spin_until(lambda: [figures["forgot"] for figures in figures_of("pusher")][-1:] == ["3"])
    run_activate(None, is_to_move=False)
    assert capfd.readouterr().out.splitlines()[-1] == "slider: guard is inactive"
    nodes.spin_until(lambda: drivers.speed == 0.0)
    run_activate(None, is_to_move=True)
    nodes.spin_until(lambda: drivers.speed == SPEED)
    here = len(drivers.commands) - 1
    deployment.send_signal(signal.SIGINT)
    nodes.spin_until(lambda: drivers.speed == 0.0)
    nodes.spin_until(lambda: deployment.poll() is not None)
    assert np.abs(np.diff(drivers.commands[here:], axis=0)).max() <= ACCELERATION / RATE_HZ + 1e-9
    assert "KeyboardInterrupt" in deployment.stderr.read()
