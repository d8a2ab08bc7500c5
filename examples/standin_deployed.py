"""A flow deployed to the stand-in, processes as a user starts them, and the person who throws the balls.

`VARIANTS` are other robots: each changes the stand-in, and the robot file alone.
"""

import copy
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rcl_interfaces.srv import SetParameters
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from reflexarc.control.commands.secure import secured
from reflexarc.control.flow_file import load_flow
from reflexarc.control.frames import matrix_from_quaternion, quaternion_from_matrix
from reflexarc.control.nodes.access import DRIVERS, OPERATOR
from reflexarc.control.nodes.environment import domain_id, isolated
from reflexarc.control.nodes.module_client import guest
from reflexarc.control.robot_file import ROBOTS, on_robot

__all__ = ["ROBOT", "VARIANTS", "Deployed", "deployed", "write_robot_file"]

ROBOT = "ur5e_realsense"
"""The robot file that ships, and that the others are made from."""

_ORDER = (
    "elbow_joint",
    "wrist_2_joint",
    "shoulder_pan_joint",
    "wrist_3_joint",
    "shoulder_lift_joint",
    "wrist_1_joint",
)
_UP_WITHIN_S = 120.0
_ANSWER_WITHIN_S = 20.0
_THROWN_WITHIN_S = 60.0
"""A throw takes 1 s; the rest is for a loaded machine."""


def _reordered(robot: dict[str, Any], standin: dict[str, Any]) -> None:
    robot["joints"], robot["joint_prefix"] = list(_ORDER), "left_"
    standin |= {
        "command_order": list(_ORDER),
        "joint_state_order": list(reversed(_ORDER)),
        "joint_prefix": "left_",
    }


def _metres(robot: dict[str, Any], standin: dict[str, Any]) -> None:
    robot["outputs"]["depth"]["encoding"] = standin["depth_encoding"] = "32FC1"


def _frame(robot: dict[str, Any], standin: dict[str, Any]) -> None:
    """The camera has another name, and was calibrated in the room, in which the arm stands askew."""
    (camera,) = robot["frames"]
    for name in ("color", "depth", "camera_info"):
        robot["outputs"][name]["frame"] = "head_color_optical_frame"
    standin["camera_frame"] = "head_color_optical_frame"
    arm = {
        "parent": "room",
        "child": "base_link",
        "position": [1.0, -2.0, 0.8],
        "orientation_xyzw": [0.0, 0.0, 0.70710678, 0.70710678],
    }
    room_from_base = matrix_from_quaternion(np.array(arm["orientation_xyzw"]))
    base_from_camera = matrix_from_quaternion(np.array(camera["orientation_xyzw"]))
    head = {
        "parent": "room",
        "child": "head_color_optical_frame",
        "position": (np.array(arm["position"]) + room_from_base @ np.array(camera["position"])).tolist(),
        "orientation_xyzw": quaternion_from_matrix(room_from_base @ base_from_camera).tolist(),
    }
    robot["frames"] = [arm, head]


def _namespaced(robot: dict[str, Any], standin: dict[str, Any]) -> None:
    robot["namespace"] = standin["namespace"] = "/left"


_Change = Callable[[dict[str, Any], dict[str, Any]], None]

VARIANTS: Mapping[str, tuple[_Change, ...]] = {
    "plain": (),
    "reordered": (_reordered,),
    "metres": (_metres,),
    "frame": (_frame,),
    "namespaced": (_namespaced,),
    "all": (_reordered, _metres, _frame, _namespaced),
}
"""What is different about each robot. The plain one gives depth in millimetres; the flow itself speaks of metres."""


def write_robot_file(
    variant: str, folder: Path, robot_file: Path | None = None, real_time_factor: float = 1.0
) -> tuple[Path, dict[str, Any]]:
    """Make the robot file of a variant out of the one that ships; where it is, and what the stand-in is told.

    Args:
        variant: One of `VARIANTS`.
        folder: Where it goes.
        robot_file: Another file to make it from.
        real_time_factor: Below 1 the robot is a simulated one, whose time passes slower.
    """
    robot = yaml.safe_load((robot_file or ROBOTS / f"{ROBOT}.yaml").read_text())
    standin: dict[str, Any] = {}
    changed = copy.deepcopy(robot)
    if real_time_factor < 1.0:
        changed["use_sim_time"], standin["real_time_factor"] = True, real_time_factor
    for change in VARIANTS[variant]:
        change(changed, standin)
    path = folder / f"{variant}.yaml"
    path.write_text(yaml.safe_dump(changed, sort_keys=False))
    return path, standin


@contextmanager
def _process(
    command: Sequence[str], log: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Deployed:
    """What the person beside the robot does: reset the modules, throw, make a driver fail, watch the commands.

    Args:
        node: A node in the robot's namespace.
        executor: What spins it.
        modules: Names of the flow's modules.
        folder: Where the stand-in writes its episodes.
        check: Called while something is waited for; may raise.
    """

    def __init__(
        self, node: Node, executor: Executor, modules: Sequence[str], folder: Path, check: Callable[[], None]
    ) -> None:
        self._executor = executor
        self._check = check
        self._episodes_file = folder / "episodes.jsonl"
        self._resets = {name: node.create_client(Trigger, f"{name}/reset") for name in modules}
        self._thrower = node.create_client(Trigger, "robot_standin/throw")
        self._setter = node.create_client(SetParameters, "robot_standin/set_parameters")
        self.commands: list[tuple[float, float]] = []
        """Monotonic time, and the largest speed of a joint, rad/s, of every command since `forget`."""
        node.create_subscription(
            Float64MultiArray, "forward_velocity_controller/commands", self._take_command, 10
        )

    def reset(self) -> None:
        """Have all modules forget the throw before."""
        for name, client in self._resets.items():
            answer = self._ask(client, Trigger.Request(), f"{name}/reset")
            if not answer.success:
                raise SystemExit(f"{name}/reset: {answer.message}")

    def throw(self) -> None:
        """Throw the next ball; it is in the air when this returns."""
        if not self._ask(self._thrower, Trigger.Request(), "throw").success:
            raise SystemExit("the stand-in has nothing to throw, or throws already")

    def set_fault(self, fault: str, driver: str = "both") -> None:
        """Have a driver of the stand-in fail from now on."""
        wanted = [Parameter("faulty_driver", value=driver), Parameter("fault", value=fault)]
        request = SetParameters.Request(parameters=[parameter.to_parameter_msg() for parameter in wanted])
        for result in self._ask(self._setter, request, "set_parameters").results:
            if not result.successful:
                raise SystemExit(f"fault {fault}: {result.reason}")

    def episodes(self) -> list[dict[str, Any]]:
        """The throws that are over."""
        if not self._episodes_file.exists():
            return []
        lines = self._episodes_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def catch(self) -> dict[str, Any]:
        """Reset, throw, and wait until the throw is over; what came of it."""
        before = len(self.episodes())
        self.reset()
        self.throw()
        self.forget()
        self.spin_until(lambda: len(self.episodes()) > before, _THROWN_WITHIN_S, "the throw does not end")
        return self.episodes()[before]

    def forget(self) -> None:
        """Begin to watch the commands anew."""
        self.commands.clear()

    def spin_for(self, seconds: float) -> None:
        """Let time pass."""
        end = time.monotonic() + seconds
        self.spin_until(lambda: time.monotonic() >= end, 2 * seconds + 10.0, "time does not pass")

    def spin_until(self, is_so: Callable[[], bool], within_s: float, complaint: str) -> None:
        """Take in what comes until something is so."""
        until = time.monotonic() + within_s
        while not is_so():
            self._check()
            if time.monotonic() > until:
                raise SystemExit(f"{complaint} in {within_s:.0f} s")
            self._executor.spin_once(timeout_sec=0.005)

    def _ask(self, client: Any, request: Any, what: str) -> Any:
        self.spin_until(client.service_is_ready, _ANSWER_WITHIN_S, f"{what} is not there")
        future = client.call_async(request)
        self.spin_until(future.done, _ANSWER_WITHIN_S, f"{what} does not answer")
        return future.result()

    def _take_command(self, message: Float64MultiArray) -> None:
        self.commands.append((time.monotonic(), float(np.abs(message.data).max(initial=0.0))))


@contextmanager
def standin_running(
    folder: Path, environment: Mapping[str, str], seeds: Sequence[int], told: Mapping[str, Any]
) -> Iterator["subprocess.Popen[bytes]"]:
    """The stand-in alone, in a process of its own."""
    told = {**told, "seeds": list(seeds), "episodes_file": str(folder / "episodes.jsonl")}
    arguments = ["-r", f"__ns:={told.pop('namespace')}"] if "namespace" in told else []
    for name, value in told.items():
        arguments += ["-p", f"{name}:={value if isinstance(value, str) else json.dumps(value)}"]
    command = [sys.executable, str(Path(__file__).with_name("robot_standin.py")), "--ros-args", *arguments]
    with _process(command, folder / "standin.log", environment) as process:
        yield process


@contextmanager
def deployed(
    flow: str,
    robot_file: Path,
    told: Mapping[str, Any],
    seeds: Sequence[int],
    folder: Path,
    keystore: Path | None = None,
) -> Iterator[Deployed]:
    """The stand-in and `reflexarc deploy`, activated, until the end of the context.

    Args:
        flow: Name or path of the flow.
        robot_file: The robot, as the flow is told.
        told: What the stand-in is told.
        seeds: One per throw.
        folder: For logs and episodes; empty.
        keystore: Closes flow and drivers to strangers; None leaves them open.
    """
    loaded = on_robot(load_flow(flow), str(robot_file))
    closed = None if keystore is None else secured(keystore, loaded)
    domain = domain_id() if closed is None else closed.keystore.domain
    # Both as a user starts them: a driver with its own transports, and a deployment that finds it on this host.
    environment = {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "TMPDIR": str(folder),  # so that nobody else's deployment is in the way, nor this one in theirs
    }
    log = folder / "deploy.log"
    cli = (sys.executable, "-m", "reflexarc.control.cli")
    command = [*cli, "deploy", "--flow", flow, "--robot", str(robot_file)]
    command += () if keystore is None else ("--secure", str(keystore))
    of_drivers = {**environment, **({} if closed is None else closed.environment(DRIVERS))}
    with (
        standin_running(
            folder, {name: value for name, value in of_drivers.items() if value is not None}, seeds, told
        ) as driver,
        _process(command, log, environment) as launcher,
        isolated(domain, folder, closed=None if closed is None else closed.environment(OPERATOR)),
        guest("person", namespace=told.get("namespace", "")) as (node, executor),
    ):

        def check() -> None:
            for process, its_log in ((driver, folder / "standin.log"), (launcher, log)):
                if process.poll() is not None:
                    raise SystemExit(f"it ended: {its_log.read_text()}")

        person = Deployed(node, executor, tuple(loaded.modules), folder, check)
        person.spin_until(
            lambda: any(folder.glob("reflexarc-*/run.json")),
            _UP_WITHIN_S,
            "the flow does not come up",
        )
        subprocess.run([*cli, "activate"], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield person
