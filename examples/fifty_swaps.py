"""Fifty swaps of trained modules while a flow runs in real time, and what the robot noticed of them.

    python examples/fifty_swaps.py [--swaps 50] [--json FILE]

It runs `reflexarc sim --flow arm_catch --clock realtime` from a copy of the shipped artifacts, in which each module
has a twin: the same network under another digest. It swaps perception, estimation and policy in turn, each to
its twin and back, and last a policy whose network gives NaN after some steps, which has to be rolled back.
After each swap it looks for as long again at the same flow without one, so that both share the machine's
mood: in real time a busy machine misses some commands anyway, and what counts is the ratio.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from reflexarc.control.artifacts.artifact import Artifact, write_artifact
from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.commands.run import require_writable
from reflexarc.control.errors import ArtifactError, ReflexarcError
from reflexarc.control.files import write_whole
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.environment import joined
from reflexarc.control.nodes.running import RunningFlow, running_flows
from reflexarc.control.ports import Port

FLOW = "arm_catch"
MODULES = ("policy", "estimation", "perception")
EPISODES = 5000
"""More than there is time for: at the end the flow is interrupted."""
UP_WITHIN_S = 60.0
SAME_EPISODE_S = 0.05
"""Between two episodes the guard is silent for 60 ms or more and then begins from rest; within one it
speaks every 10 to 20 ms."""


def sibling(store: Path, artifact: Artifact) -> Artifact:
    """The same network under another digest: only the seed in its manifest differs."""
    files = {name: (artifact.folder / name).read_bytes() for name in artifact.manifest.files}
    return write_artifact(store, artifact.manifest.model_copy(update={"seed": 1000}), files)


def failing_policy(store: Path, artifact: Artifact) -> Artifact:
    """A policy that is good for more than a warm-up, and gives NaN within the watch.

    NaN takes the place of the action whenever a random number, the same ones in every session, is above a
    limit; of some seeds the first whose first NaN comes between steps 130 and 300 is taken.
    """
    import onnx  # noqa: PLC0415 the other swaps do without
    from onnx import TensorProto, helper  # noqa: PLC0415

    for seed in range(100):
        model = onnx.load_model_from_string(artifact.model)
        graph = model.graph
        action = graph.output[0].name
        for node in graph.node:
            node.output[:] = ["sound" if name == action else name for name in node.output]
        constants = (("limit", 1 - 1 / 200), ("nan", float("nan")))
        graph.initializer.extend(helper.make_tensor(n, TensorProto.FLOAT, [1], [v]) for n, v in constants)
        graph.node.extend(
            [
                helper.make_node("RandomUniform", [], ["draw"], shape=[1], seed=float(seed)),
                helper.make_node("Greater", ["draw", "limit"], ["is_bad"]),
                helper.make_node("Where", ["is_bad", "nan", "sound"], [action]),
            ]
        )
        data = model.SerializeToString()
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        observation = np.zeros((1, session.get_inputs()[0].shape[1]), dtype=np.float32)
        good = 0
        while good < 300 and np.isfinite(session.run(None, {"observation": observation})[0]).all():
            good += 1
        if 130 <= good < 300:
            files = {name: (artifact.folder / name).read_bytes() for name in artifact.manifest.files}
            manifest = artifact.manifest.model_copy(update={"seed": 2000 + seed})
            return write_artifact(store, manifest, {**files, "model.onnx": data})
    raise RuntimeError("no seed gives NaN at the right time")


@contextmanager
def flow_running(store: Path) -> Iterator[RunningFlow]:
    """The flow in a process of its own, ended in the end."""
    command = [sys.executable, "-m", "reflexarc.control.cli", "sim", "--flow", FLOW, "--clock", "realtime"]
    with (store / "sim.log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--episodes", str(EPISODES), "--store", str(store)], stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + UP_WITHIN_S
            while not (found := [flow for flow in running_flows() if flow.pid == process.pid]):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the flow did not come up: {(store / 'sim.log').read_text()}")
                time.sleep(0.1)
            yield found[0]
        finally:
            process.terminate()
            process.wait(timeout=30)


@dataclass
class Count:
    """What has been counted up to a moment."""

    missed: int
    ticks: int
    unsafe: int


@dataclass
class Window:
    """What the twin has counted over all windows of one kind."""

    missed: int = 0
    ticks: int = 0
    unsafe: int = 0

    def add(self, first: Count, last: Count) -> None:
        """Another window."""
        self.missed += last.missed - first.missed
        self.ticks += last.ticks - first.ticks
        self.unsafe += last.unsafe - first.unsafe

    @property
    def share(self) -> float:
        """Missed commands per tick."""
        return self.missed / max(self.ticks, 1)


@dataclass
class Witness:
    """Listens to the twin and the guard."""

    largest_step: float = 0.0
    commands: int = 0
    tick_s: float = 0.0
    twin: dict[str, str] = field(default_factory=dict)
    reports: int = 0
    _last: tuple[int, np.ndarray] | None = None

    def take_command(self, message: Any, info: Any) -> None:
        """Compare a command of the guard with the one before it."""
        sent_ns, command = int(info["source_timestamp"]), np.array(message.data)
        if self._last is not None and sent_ns - self._last[0] < SAME_EPISODE_S * 1e9:
            self.largest_step = max(self.largest_step, float(np.abs(command - self._last[1]).max()))
        self._last = sent_ns, command
        self.commands += 1

    def take_clock(self, message: Any) -> None:
        """Flow time."""
        self.tick_s = message.clock.sec + message.clock.nanosec * 1e-9

    def take_health(self, message: Any) -> None:
        """What the twin has counted."""
        for status in message.status:
            if status.name == "twin":
                self.twin = {pair.key: pair.value for pair in status.values}
                self.reports += 1

    def missed(self) -> int:
        """Ticks without a fresh command so far."""
        return int(self.twin.get("no fresh command", "0"))


@contextmanager
def listening(witness: Witness, node: Any, ports: Mapping[str, Port]) -> Iterator[None]:
    """While open, a thread hears for the witness; the events executor cannot say when a message was sent."""
    import rclpy  # noqa: PLC0415
    from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415
    from rclpy.executors import SingleThreadedExecutor  # noqa: PLC0415
    from rclpy.qos import qos_profile_sensor_data  # noqa: PLC0415
    from rosgraph_msgs.msg import Clock  # noqa: PLC0415
    from std_msgs.msg import Float64MultiArray  # noqa: PLC0415

    ear = rclpy.create_node("witness", context=node.context, enable_rosout=False)
    ear.create_subscription(Float64MultiArray, ports["command"].topic, witness.take_command, 100)
    ear.create_subscription(Clock, "/clock", witness.take_clock, qos_profile_sensor_data)
    ear.create_subscription(DiagnosticArray, "/diagnostics", witness.take_health, 50)
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(ear)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown()
        thread.join()
        ear.destroy_node()


class Tally:
    """Counts between the twin's health reports, which come once per second."""

    def __init__(self, witness: Witness, spin: Any, running: RunningFlow, tick_s: float) -> None:
        self._witness, self._spin, self._running, self._tick_s = witness, spin, running, tick_s

    def now(self) -> Count:
        """The counts at the next report."""
        seen = self._witness.reports
        while self._witness.reports == seen:
            self._spin()
        episodes = self._running.directory / "episodes.jsonl"
        lines = episodes.read_text().splitlines(keepends=True) if episodes.exists() else []
        scores = [json.loads(line)["score"] for line in lines if line.endswith("\n")]
        return Count(
            missed=self._witness.missed(),
            ticks=round(self._witness.tick_s / self._tick_s),
            unsafe=int(sum(score["unsafe_commands"] for score in scores)),
        )


def measure(swaps: int, store: Path) -> dict[str, Any]:
    """Run everything; the figures."""
    flow = load_flow(FLOW)
    shutil.copytree(SHIPPED_STORE, store, dirs_exist_ok=True)
    shipped = resolve_artifacts(flow, store)
    pairs = {name: cycle((sibling(store, shipped[name]), shipped[name])) for name in MODULES}
    plan = [(name, next(pairs[name])) for name in islice(cycle(MODULES), swaps)]
    plan.append(("policy", failing_policy(store, shipped["policy"])))
    during, between = Window(), Window()
    done, failed = 0, []
    witness = Witness()
    with flow_running(store) as running, joined(running.environment, running.directory):
        from reflexarc.control.nodes.swap_client import SwapClient, guest  # noqa: PLC0415 it reads the environment

        with guest("swap") as (node, executor), listening(witness, node, flow.modules["guard"].outputs):

            def spin() -> None:
                if not running.is_alive():
                    raise SystemExit(f"the flow ended: {(store / 'sim.log').read_text()}")
                executor.spin_once(timeout_sec=0.05)

            client = SwapClient(node, executor)
            tick_s = flow.tick_ns * 1e-9
            tally = Tally(witness, spin, running, tick_s)
            for number, (module, artifact) in enumerate(plan, start=1):
                begin = tally.now()
                try:
                    client.swap(module, artifact.digest)
                    done += 1
                    said = "done"
                except ReflexarcError as error:
                    failed.append(str(error))
                    said = str(error)
                    if not isinstance(error, ArtifactError):
                        raise
                middle = tally.now()
                while witness.tick_s / tick_s < 2 * middle.ticks - begin.ticks:
                    spin()
                end = tally.now()
                for window, first, last in ((during, begin, middle), (between, middle, end)):
                    window.add(first, last)
                print(f"{number} of {len(plan)}: {module} to {artifact.digest[:12]}: {said}", flush=True)
    limits = flow.modules["guard"].parameters
    limit = limits["acceleration_limit"][0] / limits["rate_hz"]
    return {
        "machine": {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
        "swaps_asked": len(plan),
        "swaps_done": done,
        "not_done": failed,
        "flow_seconds": {
            name: round(w.ticks * flow.tick_ns * 1e-9, 1)
            for name, w in (("during", during), ("between", between))
        },
        "missed_share": {"during": round(during.share, 4), "between": round(between.share, 4)},
        "missed_ratio": round(during.share / between.share, 2) if between.missed else None,
        "unsafe_commands": {"during": during.unsafe, "between": between.unsafe},
        "commands_seen": witness.commands,
        "largest_step_of_limit": round(witness.largest_step / limit, 4),
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    with tempfile.TemporaryDirectory(prefix="fifty-swaps-") as folder:
        figures = measure(arguments.swaps, Path(folder))
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json is not None:
        write_whole(arguments.json, text + "\n")


if __name__ == "__main__":
    main()
