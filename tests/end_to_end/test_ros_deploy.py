"""A flow deployed to a robot: the stand-in's drivers and `reflexarc deploy`, processes as a user starts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `ros_support`
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

import ros_support  # noqa: F401 imports what of ROS 2 warns on import

from reflexarc.control.commands.secure import run_secure

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = range(1_000_000_000, 1_000_000_020)
THROWS = 12
"""Most are caught; on a machine that is much too slow, few."""

SECURED = """
import json, sys
from pathlib import Path
from standin_deployed import deployed
robot_file, told, folder, keys = sys.argv[1:]
seeds = range(1_000_000_000, 1_000_000_010)
with deployed("arm_catch", Path(robot_file), json.loads(told), seeds, Path(folder), Path(keys)) as person:
    print(any(person.catch()["score"]["catch_rate"] for _ in seeds))
"""
"""In a process of its own, since Fast DDS reads its profile once."""

pytestmark = [pytest.mark.ros, pytest.mark.timeout(240)]


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import standin_deployed

    yield standin_deployed
    for path in EXAMPLES.glob("*.py"):
        sys.modules.pop(path.stem, None)


def check(robot_file, environment, *options):
    """What `reflexarc deploy --check` says."""
    command = [sys.executable, "-m", "reflexarc.control.cli", "deploy", "--check", "--robot", str(robot_file)]
    command += options
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_check_says_whether_the_robot_is_the_one_of_the_file(ros_domain, example, tmp_path):
    right, told = example.write_robot_file("all", tmp_path)
    wrong, _ = example.write_robot_file("plain", tmp_path)
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with example.standin_running(tmp_path, environment, SEEDS, told):
        done = check(right, environment)
        assert done.returncode == 0, done.stdout + done.stderr
        for topic in (
            "/left/joint_states",
            "/left/camera/camera/color/image_raw",
            "/left/forward_velocity_controller",
        ):
            assert topic in done.stdout + done.stderr
        done = check(wrong, environment)
        assert done.returncode == 1, "it has no topics without the namespace"


def test_another_robot_catches_and_stands_still_when_its_drivers_stop(ros_domain, example, tmp_path):
    # A simulated one at half speed, which a machine that has other work to do can hold.
    robot_file, told = example.write_robot_file("all", tmp_path, real_time_factor=0.5)
    with example.deployed("arm_catch", robot_file, told, SEEDS, tmp_path) as person:
        caught = 0
        for _ in range(THROWS):
            caught = caught or person.catch()["score"]["catch_rate"]
            if caught:
                break
        assert caught, "of so many one is caught"

        before = len(person.episodes())
        person.reset()
        person.throw()
        person.forget()
        person.spin_until(
            lambda: is_moving(person) or len(person.episodes()) > before, 30.0, "it does not move"
        )
        person.set_fault("stop")
        person.spin_until(lambda: person.commands[-1][1] == 0.0, 10.0, "it is not told to stand")
        person.spin_for(0.2)
        assert person.commands[-1][1] == 0.0
        person.set_fault("none")
        person.spin_until(lambda: len(person.episodes()) > before, 60.0, "the throw does not end")
        person.reset()
        person.forget()
        person.throw()
        person.spin_until(lambda: is_moving(person), 30.0, "it does not move any more")
        person.spin_until(lambda: len(person.episodes()) > before + 1, 60.0, "the throw does not end")
        lines = person.episodes()
    assert sum(line["score"]["unsafe_commands"] + line["unsafe_while_held"] for line in lines) == 0


def is_moving(person):
    return bool(person.commands) and person.commands[-1][1] > 0.3


def test_a_secured_flow_catches_with_drivers_that_have_keys(ros_domain, example, tmp_path):
    robot_file, told = example.write_robot_file("all", tmp_path, real_time_factor=0.5)
    keys = tmp_path / "keys"
    run_secure("arm_catch", keys, robot=str(robot_file))
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with example.standin_running(tmp_path, environment, SEEDS, told):
        done = check(robot_file, environment, "--secure", str(keys))
        assert done.returncode == 1, "drivers without keys are not heard"
        assert "nobody publishes /left/joint_states" in done.stdout
    arguments = [str(robot_file), json.dumps(told), str(tmp_path), str(keys)]
    done = subprocess.run(
        [sys.executable, "-c", SECURED, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONPATH": str(EXAMPLES)},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "True", "of so many one is caught"
