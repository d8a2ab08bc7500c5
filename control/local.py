"""LocalRuntime: a flow and its plant in one process, in lock step, at declared rates and latencies.

Training data, evaluation and the parity tests use it. `nodes.lockstep` gives the same order of events over
ROS 2, so a seed leads to the same trajectory here and there, bit for bit.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from reflexarc.control.flow import PLANT, Flow
from reflexarc.control.inbox import make_inbox
from reflexarc.control.module import Module
from reflexarc.control.plant import Plant
from reflexarc.control.ports import refusal
from reflexarc.control.run_result import Episode, RunResult
from reflexarc.control.trace import StepRecord, newest_stamps, output_stamp
from reflexarc.control.values import Value

__all__ = ["LocalRuntime"]


class LocalRuntime:
    """Runs the modules of a flow against a plant.

    Args:
        flow: The flow.
        modules: Its modules, made.
        plant: What closes the loop.
    """

    def __init__(self, flow: Flow, modules: Mapping[str, Module], plant: Plant) -> None:
        self._flow = flow
        self._modules = dict(modules)
        self._plant = plant
        self._tick = 0
        self._inboxes = {name: make_inbox(flow, spec) for name, spec in flow.modules.items()}
        self._refused: Counter[str] = Counter()
        self._in_flight: dict[tuple[str, str], deque[tuple[int, Value]]] = defaultdict(deque)
        self._records: dict[str, list[StepRecord]] = {name: [] for name in flow.modules}

    def run(self, seeds: Sequence[int], on_episode: Callable[[Episode], None] | None = None) -> RunResult:
        """Run one episode per seed.

        Args:
            seeds: Each decides its whole episode.
            on_episode: Called after each episode.

        Returns:
            Scores, trajectory digest, counts and step records.
        """
        episodes = []
        for seed in seeds:
            episodes.append(self.run_episode(seed))
            if on_episode is not None:
                on_episode(episodes[-1])
        rejections = {
            name: {**self._inboxes[name].rejections, **module.rejections}
            for name, module in self._modules.items()
        }
        if self._refused:
            rejections["twin"] = dict(self._refused)
        return RunResult(
            episodes=tuple(episodes),
            trajectory_sha256=self._plant.trajectory_digest(),
            missed_deadlines=0,
            records=self._records,
            rejections=rejections,
        )

    @property
    def now_ns(self) -> int:
        """The flow's time."""
        return self._tick * self._flow.tick_ns

    def rejections(self) -> Counter[str]:
        """Everything that was refused so far, as `node: reason`."""
        counts = Counter({f"twin: {reason}": n for reason, n in self._refused.items()})
        for name, module in self._modules.items():
            for reasons in (self._inboxes[name].rejections, module.rejections):
                counts.update({f"{name}: {reason}": n for reason, n in reasons.items()})
        return counts

    def run_episode(self, seed: int, on_tick: Callable[[int], None] | None = None) -> Episode:
        """Reset everything, then tick until the plant says that the episode is over.

        Args:
            seed: Decides the episode.
            on_tick: Called after each tick with its time, ns.
        """
        now_ns = self._tick * self._flow.tick_ns
        self._in_flight.clear()
        for name, module in self._modules.items():
            self._inboxes[name].reset(now_ns)
            module.reset()
        self._plant.reset(seed, now_ns)
        first_tick = self._tick
        while not self._plant.is_over:
            self.tick()
            if on_tick is not None:
                on_tick(self.now_ns)
        return Episode(seed=seed, ticks=self._tick - first_tick, score=dict(self._plant.score()))

    def tick(self) -> None:
        """One tick: what is due is delivered, the plant senses, the modules work, the plant advances."""
        now_ns = self._tick * self._flow.tick_ns
        for port, source in self._flow.plant.inputs.items():
            for value in self._due(PLANT, port):
                reason = refusal(self._flow.port(source), value)
                if reason is None:
                    self._plant.accept(port, value)
                else:
                    self._refused[f"{port}: {reason}"] += 1
        for port, value in self._plant.sense():
            self._send(PLANT, port, value, latency_ticks=0)
        for name in self._flow.order:
            self._work(name, now_ns)
        self._plant.advance()
        self._tick += 1

    def _work(self, name: str, now_ns: int) -> None:
        inbox, module = self._inboxes[name], self._modules[name]
        for port in self._flow.modules[name].inputs:
            for value in self._due(name, port):
                inbox.deliver(port, value, now_ns)
        while inbox.is_ready(now_ns, is_final=True):  # what belongs to this tick has come
            received_ns = time.monotonic_ns()
            inputs = inbox.take(now_ns, is_final=True)
            outputs = module.step(inputs, now_ns)
            self._records[name].append(
                StepRecord(
                    now_ns=now_ns,
                    output_stamp_ns=output_stamp(outputs, now_ns),
                    input_stamps_ns=newest_stamps(inputs),
                    received_ns=received_ns,
                    published_ns=time.monotonic_ns(),
                )
            )
            for port, value in outputs.items():
                self._send(name, port, value, self._flow.latency_ticks(name))

    def _send(self, node: str, port: str, value: Value, latency_ticks: int) -> None:
        for consumer, consumer_port in self._flow.consumers(node, port):
            self._in_flight[consumer, consumer_port].append((self._tick + latency_ticks, value))

    def _due(self, consumer: str, port: str) -> list[Value]:
        queue = self._in_flight[consumer, port]
        due = []
        while queue and queue[0][0] <= self._tick:
            due.append(queue.popleft()[1])
        return due
