"""kill -9 of each process of a flow that runs in real time, the twin aside, and what the robot noticed of it.

    python examples/kill_each.py [--flow arm_catch_3x3] [--rounds 1] [--real-time-factor 1] [--json FILE]

Each process is killed in the middle of a throw. Looked at are the commands that the actuators get: the longest time
without one, and, where nobody takes over, how long it takes until the arm is told to slow down and until it stands; and
when the process says something again. All times are flow time, which does not pass between two episodes.
"""

import argparse
import json
import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from flow_running import flow_running

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.environment import joined
from reflexarc.control.nodes.running import RunningFlow

UP_WITHIN_S = 90.0
LOOK_S = 2.5
"""Flow time that is looked at before and after a kill."""
GONE_S = 0.15
"""What a process has sent before it was killed has arrived by then."""
STANDS_RAD_S = 0.02


class Witness:
    """Listens to the clock, to the commands, and to what every module says.

    Args:
        node: A node in the flow's domain.
        flow: The flow.
    """

    def __init__(self, node: Any, flow: Flow) -> None:
        from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415 it reads the environment
        from rclpy.qos import qos_profile_sensor_data  # noqa: PLC0415
        from rosgraph_msgs.msg import Clock  # noqa: PLC0415

        from reflexarc.control.nodes.messages import message_class  # noqa: PLC0415

        self.now_s = 0.0
        self.missed = 0
        self.commands: list[tuple[float, float]] = []
        """Flow time, and the largest joint speed, rad/s."""
        self.spoke: dict[str, list[float]] = {}
        (self.commander,) = {source.node for source in flow.plant.inputs.values()}
        for name, spec in flow.modules.items():
            self.spoke[name] = []
            port = next(iter(spec.outputs.values()))
            node.create_subscription(
                message_class(port.type), port.topic, self._listener(name), qos_profile_sensor_data
            )
        node.create_subscription(Clock, "/clock", self._take_clock, qos_profile_sensor_data)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take_health, 50)

    def forget(self) -> None:
        """Begin anew."""
        self.commands.clear()
        for times in self.spoke.values():
            times.clear()

    def _listener(self, name: str) -> Any:
        def take(message: Any) -> None:
            self.spoke[name].append(self.now_s)
            if name == self.commander:
                self.commands.append((self.now_s, float(np.abs(message.data).max())))

        return take

    def _take_clock(self, message: Any) -> None:
        self.now_s = message.clock.sec + 1e-9 * message.clock.nanosec

    def _take_health(self, message: Any) -> None:
        for status in message.status:
            if status.name == "twin":
                figures = {pair.key: pair.value for pair in status.values}
                self.missed = int(figures.get("no fresh command", "0"))


def measure(flow_name: str, rounds: int, store: Path, real_time_factor: float) -> dict[str, Any]:
    """Kill one process after the other; the figures."""
    flow = load_flow(flow_name)
    kills = []
    factor = ("--real-time-factor", str(real_time_factor))
    with (
        tempfile.TemporaryDirectory(prefix="kill-each-") as folder,
        flow_running(flow_name, store, Path(folder) / "sim.log", UP_WITHIN_S, factor) as running,
        joined(running.environment, running.directory),
    ):
        from reflexarc.control.nodes.module_client import guest  # noqa: PLC0415 it reads the environment

        with guest("witness") as (node, executor):
            witness = Witness(node, flow)

            def spin_until(moment_s: float) -> None:
                while witness.now_s < moment_s:
                    if not running.is_alive():
                        raise SystemExit(f"the flow ended: {(Path(folder) / 'sim.log').read_text()}")
                    executor.spin_once(timeout_sec=0.02)

            spin_until(1.0)
            for _ in range(rounds):
                for name in flow.modules:
                    kills.append(one(name, running, witness, spin_until))
                    print(line(kills[-1]), flush=True)
    return {
        "flow": flow.name,
        "real_time_factor": real_time_factor,
        "machine": {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
        "kills": kills,
    }


def one(name: str, running: RunningFlow, witness: Witness, spin_until: Any) -> dict[str, Any]:
    """Kill one process while the arm moves."""
    begin_s, missed = witness.now_s, witness.missed
    spin_until(begin_s + LOOK_S)
    usual = witness.missed - missed
    witness.forget()
    spin_until(witness.now_s + 0.1)
    while not witness.commands or witness.commands[-1][1] < 1.0:
        witness.forget()
        spin_until(witness.now_s + 0.02)
    missed = witness.missed
    killed_s = witness.now_s
    os.kill(running.pid_of(name), signal.SIGKILL)
    spin_until(killed_s + LOOK_S)
    times = np.array([moment for moment, _ in witness.commands])
    speeds = np.array([speed for _, speed in witness.commands])
    after = times > killed_s
    soon = after & (times < killed_s + 1.0)
    slower = after.copy()
    slower[1:] &= speeds[1:] < speeds[:-1]
    stands = after & (speeds < STANDS_RAD_S)
    back = [moment for moment in witness.spoke[name] if moment > killed_s + GONE_S]
    last = [moment for moment in witness.spoke[name] if moment <= killed_s + GONE_S]
    silence = min(back) - max(last) if back and last else None
    return {
        "module": name,
        "longest_without_command_s": float(np.diff(times[soon], prepend=killed_s).max())
        if soon.any()
        else None,
        "until_slower_s": float(times[slower][0] - killed_s) if slower.any() else None,
        "until_it_stands_s": float(times[stands][0] - killed_s) if stands.any() else None,
        "silent_s": silence,
        "missed": witness.missed - missed,
        "missed_before": usual,
    }


def line(kill: dict[str, Any]) -> str:
    """One kill in words."""

    def ms(value: float | None) -> str:
        return "never" if value is None else f"{1000 * value:.0f} ms"

    return (
        f"{kill['module']}: longest without a command {ms(kill['longest_without_command_s'])}, slower after "
        f"{ms(kill['until_slower_s'])}, stands after {ms(kill['until_it_stands_s'])}, silent for "
        f"{ms(kill['silent_s'])}; missed {kill['missed']} in {LOOK_S:g} s ({kill['missed_before']} before)"
    )


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", default="arm_catch_3x3")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--real-time-factor", type=float, default=1.0)
    parser.add_argument("--store", type=Path, default=SHIPPED_STORE)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    figures = measure(arguments.flow, arguments.rounds, arguments.store, arguments.real_time_factor)
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
