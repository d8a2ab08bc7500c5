"""Fifty swaps of trained modules while a flow runs in real time, and what the robot noticed of them.

    python examples/fifty_swaps.py [--swaps 50] [--real-time-factor 1] [--json FILE]

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
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from flow_running import flow_running

from reflexarc.control.artifacts.artifact import Artifact, write_artifact
from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.commands.run import require_writable
from reflexarc.control.errors import ArtifactError, ReflexarcError
from reflexarc.control.files import write_whole
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.environment import joined
from reflexarc.control.nodes.running import RunningFlow

FLOW = "arm_catch"
MODULES = ("policy", "estimation", "perception")
UP_WITHIN_S = 60.0


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


@contextmanager
def witnessing() -> Iterator[Any]:
    """A node that is spun in a thread: the events executor fails on callbacks that ask for a message's count."""
    from rclpy.executors import SingleThreadedExecutor  # noqa: PLC0415 it reads the environment

    from reflexarc.control.nodes.module_client import guest  # noqa: PLC0415

    with guest("witness", make=lambda context: SingleThreadedExecutor(context=context)) as (node, executor):
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        try:
            yield node
        finally:
            executor.shutdown()
            thread.join()


class Witness:
    """Listens to the twin and the guard.

    Args:
        node: A node in the flow's domain.
        commanded: Topic of what the guard really commands.
    """

    def __init__(self, node: Any, commanded: str) -> None:
        from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415 it reads the environment
        from rclpy.qos import qos_profile_sensor_data  # noqa: PLC0415
        from rosgraph_msgs.msg import Clock  # noqa: PLC0415
        from trajectory_msgs.msg import JointTrajectory  # noqa: PLC0415

        self.commands: list[tuple[int, int, np.ndarray]] = []
        """Stamp, the guard's own count, and the velocities."""
        self.now_ns = 0
        self.missed = 0
        self.reports = 0
        node.create_subscription(JointTrajectory, commanded, self._take_command, 100)
        node.create_subscription(Clock, "/clock", self._take_clock, qos_profile_sensor_data)
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take_health, 50)

    def steps(self, begins_ns: Sequence[int], tick_ns: int) -> tuple[np.ndarray, np.ndarray]:
        """Largest change of a joint between each command and the next of the same episode, rad/s, and its stamp, ns.

        Which is the next is told by the guard's count: a command keeps no queue, so on a busy machine some never
        reach the witness.

        Args:
            begins_ns: Flow time at which each episode began. Before each the guard forgets, and begins from rest.
            tick_ns: Length of a tick.
        """
        stamps = np.array([stamp_ns for stamp_ns, _, _ in self.commands])
        counts = np.array([count for _, count, _ in self.commands])
        commands = np.array([command for _, _, command in self.commands])
        episode = np.searchsorted(np.array(begins_ns), stamps, side="right")
        passed = np.diff(stamps)
        is_next = (np.diff(episode) == 0) & (np.diff(counts) == 1) & (passed >= 0) & (passed <= tick_ns)
        return np.abs(np.diff(commands, axis=0)).max(axis=1)[is_next], stamps[1:][is_next]

    def _take_command(self, message: Any, info: Any) -> None:
        stamp = message.header.stamp
        velocities = np.array(message.points[0].velocities)
        count = info["publication_sequence_number"]
        self.commands.append((stamp.sec * 1_000_000_000 + stamp.nanosec, count, velocities))

    def _take_clock(self, message: Any) -> None:
        self.now_ns = message.clock.sec * 1_000_000_000 + message.clock.nanosec

    def _take_health(self, message: Any) -> None:
        for status in message.status:
            if status.name == "twin":
                figures = {pair.key: pair.value for pair in status.values}
                self.missed = int(figures.get("no fresh command", "0"))
                self.reports += 1


class Tally:
    """Counts between the twin's health reports, which come once per second."""

    def __init__(
        self, witness: Witness, spin: Callable[[], None], running: RunningFlow, tick_ns: int
    ) -> None:
        self._witness, self._spin, self._running, self._tick_ns = witness, spin, running, tick_ns

    def now(self) -> Count:
        """The counts at the next report."""
        seen = self._witness.reports
        while self._witness.reports == seen:
            self._spin()
        unsafe = sum(episode["score"]["unsafe_commands"] for episode in self.episodes())
        return Count(self._witness.missed, self._witness.now_ns // self._tick_ns, int(unsafe))

    def episodes(self) -> list[dict[str, Any]]:
        """Those that are over."""
        path = self._running.directory / "episodes.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]


def measure(swaps: int, store: Path, real_time_factor: float) -> dict[str, Any]:
    """Run everything; the figures."""
    flow = load_flow(FLOW)
    shutil.copytree(SHIPPED_STORE, store, dirs_exist_ok=True)
    shipped = resolve_artifacts(flow, store)
    pairs = {name: cycle((sibling(store, shipped[name]), shipped[name])) for name in MODULES}
    plan = [(name, next(pairs[name])) for name in islice(cycle(MODULES), swaps)]
    plan.append(("policy", failing_policy(store, shipped["policy"])))
    during, between = Window(), Window()
    done, failed = 0, []
    log_path = store / "sim.log"
    with (
        flow_running(
            FLOW, store, log_path, UP_WITHIN_S, ["--real-time-factor", str(real_time_factor)]
        ) as running,
        joined(running.environment, running.directory),
    ):
        from reflexarc.control.nodes.module_client import ModuleClient, guest  # noqa: PLC0415 it reads the environment

        with guest("swap") as (node, executor), witnessing() as second:
            witness = Witness(second, flow.modules["guard"].outputs["commanded"].topic)

            def spin() -> None:
                if not running.is_alive():
                    raise SystemExit(f"the flow ended: {log_path.read_text()}")
                executor.spin_once(timeout_sec=0.05)

            client = ModuleClient(node, executor)
            tally = Tally(witness, spin, running, flow.tick_ns)
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
                while witness.now_ns < (2 * middle.ticks - begin.ticks) * flow.tick_ns:
                    spin()
                end = tally.now()
                for window, first, last in ((during, begin, middle), (between, middle, end)):
                    window.add(first, last)
                print(f"{number} of {len(plan)}: {module} to {artifact.digest[:12]}: {said}", flush=True)
            begins_ns = np.cumsum([0, *(episode["ticks"] for episode in tally.episodes())]) * flow.tick_ns
    limits = flow.modules["guard"].parameters
    limit = limits["acceleration_limit"][0] / limits["rate_hz"]
    steps, stamps = witness.steps(begins_ns, flow.tick_ns)
    is_beyond = steps > limit * (1 + 1e-9)
    from_begins_ns = stamps[is_beyond, None] - begins_ns
    nearest = np.abs(from_begins_ns).argmin(axis=1)
    return {
        "machine": {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
        "real_time_factor": real_time_factor,
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
        "episodes": len(begins_ns) - 1,
        "steps_seen": len(steps),
        "largest_step_of_limit": round(float(steps.max()) / limit, 4),
        "steps_beyond_limit": int(is_beyond.sum()),
        "from_the_nearest_beginning_of_an_episode_s": [
            round(float(row[index]) * 1e-9, 3) for row, index in zip(from_begins_ns, nearest, strict=True)
        ],
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--real-time-factor", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    with tempfile.TemporaryDirectory(prefix="fifty-swaps-") as folder:
        figures = measure(arguments.swaps, Path(folder), arguments.real_time_factor)
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json is not None:
        write_whole(arguments.json, text + "\n")


if __name__ == "__main__":
    main()
