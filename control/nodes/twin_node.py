"""TwinNode: the plant in simulation, on the topics of the robot's drivers.

It has two clocks. In lock step it waits for the command of each tick; in real time it does not, and a command
that is not there in time is missed, as on a robot. Stamps and `/clock` are flow time: one count of ticks
over all episodes. Between two episodes the modules forget: in real time by their `~/reset`, in lock step by
the twin's marker. The run directory gets a line per episode, and a result when all are over; with
`exit_when_over` the process then ends, and with it a launch that needs it.
`python -m reflexarc.control.nodes.twin_node --ros-args -p flow:=arm_catch -p seeds:="[1, 2, 3]"`
"""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import partial
from importlib import import_module
from typing import Any

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_srvs.srv import Trigger

from reflexarc.control.errors import FlowError, RuntimeUnavailableError
from reflexarc.control.flow import PLANT, Flow
from reflexarc.control.nodes.flow_node import FlowNode
from reflexarc.control.nodes.messages import time_message
from reflexarc.control.nodes.process import host
from reflexarc.control.nodes.records import write_json
from reflexarc.control.plant import Plant
from reflexarc.control.ports import refusal
from reflexarc.control.values import Value
from reflexarc.envs.twin import make_plant as make_twin

__all__ = ["EPISODES_FILE", "RESULT_FILE", "TwinNode", "main"]

EPISODES_FILE = "episodes.jsonl"
"""One line per finished episode: seed, ticks, score."""

RESULT_FILE = "result.json"
"""Written when all episodes are over."""

_IDLE_S = 0.1
_SOON_S = 0.005
_CONNECTED_WITHIN_S = 10.0
_ASK_AGAIN_S = 0.5
_ASKS = 20
"""A module's reset takes microseconds; the rest is for a loaded machine, and for one that is started again."""

_DRAIN_NS = 30_000_000
"""After the last tick of an episode, wait for what is under way: the whole chain takes some 10 ms."""

_SLIP_NS = 1_000_000
"""The twin makes up for so little, the jitter of a timer. Behind by more, its clock goes slower instead, as
Gazebo's does: ticks that follow each other at once would leave the modules no time to answer."""


def make_plant(flow: Flow) -> Plant:
    """The plant of a flow: the twin of a task, or what `package.module:factory` makes of the flow.

    Raises:
        FlowError: There is none of this name.
    """
    package, _, factory = flow.plant.env.partition(":")
    if not factory:
        return make_twin(flow.plant.env, flow.plant.outputs, flow.plant.parameters)
    try:
        made: Plant = getattr(import_module(package), factory)(flow)
    except (ImportError, AttributeError) as error:
        raise FlowError(f"plant env '{flow.plant.env}' cannot be imported ({error}).") from error
    return made


class _Phase(Enum):
    RESETTING = "the modules forget the last episode"
    RUNNING = "ticks"
    DRAINING = "the modules finish the last tick"
    OVER = "all episodes are over"


class TwinNode(FlowNode):
    """Runs one episode per seed."""

    def __init__(self) -> None:
        super().__init__("twin")
        self.declare_parameter("seeds", [0])
        self.declare_parameter("exit_when_over", False)
        # As Gazebo publishes it, and as rclpy reads it.
        clock_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        self._clock_sender = self.create_publisher(Clock, "/clock", clock_qos)
        self._phase = _Phase.OVER
        self._due_ns = 0
        self._tick = 0
        self._missed_deadlines = 0
        self._overruns = 0

    # --- FlowNode

    def load(self) -> str:
        """Make the plant, and find the modules' resets."""
        self._plant: Plant = make_plant(self.flow)
        if self._plant.tick_ns != self.flow.tick_ns:
            raise FlowError(
                f"plant: {self.flow.plant.env} has ticks of {self._plant.tick_ns} ns, the flow of "
                f"{self.flow.tick_ns} ns. Set plant.rate_hz to {1e9 / self._plant.tick_ns:g}."
            )
        self._period_ns = round(self.flow.tick_ns / self.parameters.real_time_factor)
        self._seeds = list(self.get_parameter("seeds").get_parameter_value().integer_array_value)
        self._reset_clients: dict[str, Any] = {
            name: self.create_client(Trigger, f"{name}/reset") for name in self.flow.modules
        }
        self._rejections: Counter[str] = Counter()
        return PLANT

    def start(self) -> None:
        """Begin with the first episode."""
        self._tick = self._episode = self._missed_deadlines = self._overruns = 0
        self._clock_at: dict[int, int] = {}
        self._commands: dict[str, list[Value]] = {}
        if self.is_lockstep:
            self._begin_episode()
        else:
            self._await_resets()
            self._request_resets()

    def unload(self) -> None:
        """Drop the plant."""
        for client in self._reset_clients.values():
            self.destroy_client(client)
        del self._plant

    def receive(self, port: str, value: Value) -> None:
        """Keep a command until the next tick."""
        self._commands.setdefault(port, []).append(value)

    def tick(self) -> None:
        """Do every tick whose commands are there."""
        while self._phase is _Phase.RUNNING and (tick := self.gate.open()) is not None:
            self._do_tick(tick.values, begins_episode=tick.begins_episode)
            if self._plant.is_over:
                self._finish_episode()

    def refuse(self, port: str, reason: str) -> None:
        """Count a command that does not fit."""
        self._rejections[f"{port}: {reason}"] += 1

    def faults(self) -> Counter[str]:
        """Commands that were refused or missed."""
        refused = self.refused + self._rejections
        if self.is_lockstep:
            refused += Counter(
                {f"{p}: not from its producer": n for p, n in self.gate.strangers.items() if n}
            )
        refused += Counter({"no fresh command": self._missed_deadlines, "tick too long": self._overruns})
        return self.health.faults(refused, 0)

    # --- the loop

    def work(self) -> float:
        """Do what is due by the clock."""
        if not self.is_active:
            self.come_up()
        if not self.is_active or self._phase is _Phase.OVER:
            return _IDLE_S
        if self._phase is _Phase.RESETTING:
            return self._begin_when_reset()
        if self._phase is _Phase.RUNNING and self.is_lockstep:
            self.tick()
            return _IDLE_S
        now_ns = time.monotonic_ns()
        if now_ns < self._due_ns:
            return (self._due_ns - now_ns) * 1e-9
        if self._phase is _Phase.DRAINING:
            self._finish_drained()
            return 0.0
        if now_ns - self._due_ns >= self._period_ns:
            self._overruns += 1
        if now_ns - self._due_ns >= _SLIP_NS:
            self._due_ns = now_ns
        self._due_ns += self._period_ns
        commands, self._commands = self._commands, {}
        self._do_tick(commands)
        if self._plant.is_over:
            self._finish_episode()
        return 0.0

    def _do_tick(self, commands: Mapping[str, Sequence[Value]], *, begins_episode: bool = False) -> None:
        begin_ns = time.monotonic_ns()
        now_ns = self._tick * self.flow.tick_ns
        self._accept(commands)
        self._clock_sender.publish(Clock(clock=time_message(now_ns)))
        prepared = [(port, self.prepare(port, value)) for port, value in self._plant.sense()]
        if self.is_lockstep:
            self.finish_tick(self._tick, begins_episode=begins_episode)
        else:
            self._clock_at[now_ns] = time.monotonic_ns()
        # Images last: they take ten times as long to send, and what is short need not wait for them.
        for port, message in sorted(prepared, key=lambda item: isinstance(item[1], Image)):
            if message is not None:
                self.send(port, message)
        self._plant.advance()
        self._tick += 1
        self.health.stepped(time.monotonic_ns() - begin_ns)

    def _accept(self, commands: Mapping[str, Sequence[Value]]) -> None:
        accepted = 0
        for port, source in self._inputs.items():
            for value in commands.get(port, ()):
                reason = refusal(self.flow.port(source), value)
                if reason is None:
                    self._plant.accept(port, value)
                    accepted += 1
                else:
                    self.refuse(port, reason)
        # At the first tick of an episode nobody has seen anything to answer to.
        if not accepted and not self.is_lockstep and self._tick > self._first_tick:
            self._missed_deadlines += 1

    # --- episodes

    def _await_resets(self) -> None:
        until = time.monotonic() + _CONNECTED_WITHIN_S
        while absent := [n for n, client in self._reset_clients.items() if not client.service_is_ready()]:
            if time.monotonic() > until:
                raise RuntimeUnavailableError(
                    f"twin: no answer from {', '.join(absent)}. Is that node running?"
                )
            time.sleep(0.01)

    def _request_resets(self) -> None:
        self._phase = _Phase.RESETTING
        self._settled_ns: int | None = None
        self._not_reset = set(self._reset_clients)
        self._asked: list[tuple[str, Any]] = []
        self._ask_again_at = time.monotonic()
        self._asks_left = _ASKS

    def _ask_for_resets(self) -> None:
        """Ask those who have not answered; also the answer to an earlier ask counts, if it comes yet."""
        for name in sorted(self._not_reset):
            future = self._reset_clients[name].call_async(Trigger.Request())
            future.add_done_callback(partial(self._take_reset, self._episode, name))
            self._asked.append((name, future))
        self._ask_again_at = time.monotonic() + _ASK_AGAIN_S
        self._asks_left -= 1

    def _take_reset(self, episode: int, name: str, future: Any) -> None:
        if episode == self._episode and future.result().success:
            self._not_reset.discard(name)

    def _begin_when_reset(self) -> float:
        if self._not_reset and time.monotonic() < self._ask_again_at:
            return _SOON_S
        # Counted in asks, not in seconds: where the whole machine stood still, nobody has been given his time.
        if self._not_reset and self._asks_left:
            self._ask_for_resets()
            return _SOON_S
        # What the last episode still had under way comes in now, and is dropped where the next one begins.
        if self._settled_ns is None:
            self._settled_ns = time.monotonic_ns() + _DRAIN_NS
        if time.monotonic_ns() < self._settled_ns:
            return _SOON_S
        for name, future in self._asked:
            self._reset_clients[name].remove_pending_request(future)
        # A robot waits for nobody either: what a module that hangs does to a flow is then seen, and counted.
        self._rejections.update(f"{name}: did not reset" for name in self._not_reset)
        self._begin_episode()
        return 0.0

    def _begin_episode(self) -> None:
        self.health.pause()
        self._commands = {}
        self._first_tick = self._tick
        self._plant.reset(self._seeds[self._episode], self._tick * self.flow.tick_ns)
        if self.is_lockstep:
            self.gate.begin_episode(self._tick)
        self._due_ns = time.monotonic_ns()
        self._phase = _Phase.RUNNING

    def _finish_episode(self) -> None:
        line = {
            "seed": self._seeds[self._episode],
            "ticks": self._tick - self._first_tick,
            "score": dict(self._plant.score()),
        }
        if self.parameters.run_directory is not None:
            with (self.parameters.run_directory / EPISODES_FILE).open("a") as file:
                file.write(json.dumps(line) + "\n")
        score = ", ".join(f"{name} {value:.4g}" for name, value in line["score"].items())
        self.get_logger().info(f"episode {self._episode + 1} of {len(self._seeds)}: {score}")
        self.health.pause()
        self._episode += 1
        if self.is_lockstep and self._episode < len(self._seeds):
            self._begin_episode()
        else:
            self._due_ns = time.monotonic_ns() + _DRAIN_NS
            self._phase = _Phase.DRAINING

    def _finish_drained(self) -> None:
        if self._episode < len(self._seeds):
            self._request_resets()
            return
        if self.is_lockstep and not self.gate.has_all_done(self._tick - 1):
            self._due_ns += _DRAIN_NS
            return
        self._phase = _Phase.OVER
        result = {
            "trajectory_sha256": self._plant.trajectory_digest(),
            "missed_deadlines": self._missed_deadlines,
            "faults": dict(self.faults()),
            "clock_at": sorted(self._clock_at.items()),
        }
        if self.parameters.run_directory is not None:
            write_json(self.parameters.run_directory / RESULT_FILE, result)
        self.get_logger().info(f"{len(self._seeds)} episodes are over")
        self.is_done = self.get_parameter("exit_when_over").get_parameter_value().bool_value


def main() -> None:
    """Run the twin until it is told to end."""
    host(TwinNode)


if __name__ == "__main__":
    main()
