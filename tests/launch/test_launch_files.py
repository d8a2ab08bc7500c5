"""The launch files, as `ros2 launch` runs them; without `launch` and `launch_ros` what can be read in them."""

import ast
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from reflexarc.control import cli
from reflexarc.control.commands.activate import run_activate
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.environment import isolated
from reflexarc.control.nodes.running import running_flows

ROOT = Path(__file__).parents[2]
LAUNCH_FILES = ("sim.launch.py", "robot.launch.py")
HERE = Path(__file__).parent
PARTS = (str(HERE), str(ROOT / "tests" / "control" / "nodes"))
"""Where the nodes find `mover` and `small_flow`."""

needs_launch = pytest.mark.skipif(
    find_spec("launch_ros") is None, reason="needs launch and launch_ros: source a ROS 2 installation"
)

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import AnyLaunchDescriptionSource
path, *arguments = sys.argv[1:]
included = IncludeLaunchDescription(
    AnyLaunchDescriptionSource(path), launch_arguments=[a.split(":=", 1) for a in arguments]
)
service = LaunchService(argv=arguments, noninteractive=True)
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""
"""What `ros2 launch` does (ros2launch/api/api.py)."""


def declared(launch_file: str) -> dict[str, str | None]:
    """Default per argument, None where it has to be given."""
    found = {}
    for node in ast.walk(ast.parse((ROOT / "launch" / launch_file).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DeclareLaunchArgument":
            given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in node.keywords}
            assert given["description"]
            found[ast.literal_eval(node.args[0])] = given.get("default_value")
    return found


@pytest.mark.parametrize(
    ("launch_file", "verb", "theirs", "ours"),
    [
        ("sim.launch.py", cli.sim, {"json", "secure", "usecases", "usecases_mb"}, {"respawn"}),
        ("robot.launch.py", cli.deploy, {"check", "host", "secure"}, {"respawn"}),
    ],
)
def test_arguments_are_the_options_of_the_command_line(launch_file, verb, theirs, ours):
    of_ros = {"namespace", "params_file", "remappings", "log_level"}
    arguments = declared(launch_file)
    options = inspect.signature(verb).parameters
    assert set(arguments) - of_ros - ours == set(options) - theirs
    for name in set(arguments) & set(options):
        default = options[name].default
        text = "" if default is None else str(default).lower()
        assert arguments[name] == (None if default is inspect.Parameter.empty else text), name


@pytest.mark.parametrize("launch_file", LAUNCH_FILES)
def test_launch_files_have_no_logic(launch_file):
    tree = ast.parse((ROOT / "launch" / launch_file).read_text())
    logic = (ast.If, ast.For, ast.While, ast.Try, ast.Lambda, ast.IfExp, ast.comprehension)
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, logic)] == []
    assert [n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)] == [
        "generate_launch_description"
    ]


@pytest.fixture
def installed(prefix, ros_domain, tmp_path, monkeypatch):
    """ROS 2 finds the package in `prefix`, and its nodes find this interpreter and their parts."""
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(prefix))
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    paths = (*PARTS, *filter(None, [os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with isolated(ros_domain, tmp_path):
        yield prefix


@pytest.mark.ros
@pytest.mark.parametrize("executable", ["module_node", "twin_node"])
def test_an_installed_executable_is_the_node(installed, executable):
    process = subprocess.Popen(
        [installed / "lib" / "reflexarc" / executable, "--ros-args", "-r", "__node:=it"]
    )
    try:
        until = time.monotonic() + 30
        while Path(f"/proc/{process.pid}/comm").read_text().strip() != "it":
            assert process.poll() is None
            assert time.monotonic() < until, "the node never took its name"
            time.sleep(0.02)
        process.terminate()
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()


# --- with the launch and launch_ros of ROS 2


class Launched:
    """A launch file that runs in a process of its own."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, pattern: str, count: int = 1) -> list[str]:
        """Wait until it has said so, so often."""
        until = time.monotonic() + 60
        while len(found := re.findall(pattern, self.log)) < count:
            assert time.monotonic() < until, f"no {pattern} in\n{self.log}"
            assert self.process.poll() is None, f"it ended without {pattern}:\n{self.log}"
            time.sleep(0.05)
        return found

    def pids(self, node: str) -> list[int]:
        return [
            int(pid) for pid in re.findall(rf"\[{node}-\d\]: process started with pid \[(\d+)\]", self.log)
        ]

    def end(self) -> int:
        return self.process.wait(timeout=60)


@pytest.fixture
def launched(installed, tmp_path):
    """Start a launch file; all its processes end with the test."""

    @contextmanager
    def start(launch_file: str, *arguments: str):
        path = installed / "share" / "reflexarc" / "launch" / launch_file
        log = tmp_path / "launch.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, str(path), f"flow:={HERE / 'mover.yaml'}", *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(tmp_path)},  # launch_ros leaves its files with parameters
                start_new_session=True,
            )
        found = Launched(process, log)
        try:
            yield found
        finally:
            nodes = [pid for name in ("guard", "mover", "twin") for pid in found.pids(name)]
            process.kill()
            process.wait()
            for pid in nodes:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue

    return start


@needs_launch
@pytest.mark.ros
def test_sim_ends_with_its_episodes(launched, tmp_path):
    parameters = {"/**/twin": {"ros__parameters": {"run_directory": str(tmp_path)}}}
    (tmp_path / "parameters.yaml").write_text(yaml.safe_dump(parameters))
    options = (
        f"params_file:={tmp_path / 'parameters.yaml'}",
        "remappings:=joint_states:=elsewhere/joint_states",
    )
    with launched("sim.launch.py", "episodes:=3", "namespace:=second", *options) as launch:
        assert launch.end() == 0
        assert re.findall(r"\[second\.twin\]: episode (\d) of 3: distance", launch.log) == ["1", "2", "3"]
    assert json.loads((tmp_path / "result.json").read_text())["missed_deadlines"] == 0
    assert [line for line in launch.log.splitlines() if "ERROR" in line] == []


def wait_for_state(launch: Launched, node: str, wanted: str) -> None:
    """Ask a node again and again; each time by a client that has not known one of its name that is dead."""
    from reflexarc.control.nodes.lifecycle import LifecycleClient

    until = time.monotonic() + 60
    state = None
    while state != wanted:
        assert time.monotonic() < until, f"{node} is {state}, not {wanted}:\n{launch.log}"
        client = LifecycleClient([node])
        try:
            client.spin(0.5)
            state = client.state(node, 1.0)
        finally:
            client.close()


@needs_launch
@pytest.mark.ros
def test_a_killed_module_is_started_again_and_comes_up_by_itself(launched):
    with launched("sim.launch.py", "episodes:=10000", "clock:=realtime", "respawn:=true") as launch:
        launch.wait_for("episode 2 of 10000")
        os.kill(launch.pids("mover")[0], signal.SIGKILL)
        launch.wait_for(r"\[mover-2\]: process started", count=2)
        wait_for_state(launch, "mover", "active")
        launch.process.send_signal(signal.SIGINT)
        assert launch.end() == 0


@needs_launch
@pytest.mark.ros
def test_the_launch_ends_without_a_node_that_it_needs(launched):
    with launched("sim.launch.py", "episodes:=1000") as launch:
        launch.wait_for("episode 2 of 1000")
        os.kill(launch.pids("mover")[0], signal.SIGKILL)
        assert launch.end() == 0
        assert "process[mover-2] was required" in launch.log


@needs_launch
@pytest.mark.ros
def test_a_node_that_cannot_come_up_ends_the_launch(launched):
    with launched("sim.launch.py", "clock:=realtime", "real_time_factor:=2.0") as launch:
        assert launch.end() == 0
        assert "parameter real_time_factor is 2, expected more than 0, up to 1" in launch.log
        assert "cannot configure; its log says why" in launch.log
        assert "episode" not in launch.log


@needs_launch
@pytest.mark.ros
def test_a_robot_waits_for_an_activation_also_after_a_crash(launched):
    robot = f"robot:={HERE / 'slider.yaml'}"
    with launched("robot.launch.py", robot, "activate:=true", "respawn:=true") as launch:
        launch.wait_for("the flow is up")
        wait_for_state(launch, "guard", "active")
        os.kill(launch.pids("guard")[0], signal.SIGKILL)
        launch.wait_for(r"\[guard-1\]: process started", count=2)
        wait_for_state(launch, "guard", "inactive")
        launch.process.send_signal(signal.SIGINT)
        assert launch.end() == 0


@needs_launch
@pytest.mark.ros
def test_another_terminal_finds_the_flow_while_the_launch_lives(launched, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with launched("robot.launch.py", f"robot:={HERE / 'slider.yaml'}", "namespace:=left") as launch:
        launch.wait_for("guard is configured, to be activated")
        with pytest.raises(ReflexarcError, match=r"no driver at .*Nothing was activated"):
            run_activate(None, is_to_move=True)
        launch.process.send_signal(signal.SIGINT)
        assert launch.end() == 0
    assert running_flows() == []
    assert list(tmp_path.glob("reflexarc-*")) == []
