"""ModuleNode: one lifecycle node that hosts any module.

It carries messages to the module and back and knows nothing of what the module does. In real time an arriving
message makes the module step, or a timer where its deadline has passed; in lock step the gate does. The
module stands in a `Succession`, so that setting the parameter `artifact` can put another in its place.
`python -m reflexarc.control.nodes.module_node --ros-args -r __node:=guard -p flow:=arm_catch`, or with several
in one process `python -m reflexarc.control.nodes.module_node policy estimation --ros-args -p flow:=arm_catch`
"""

import sys
import time
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from rclpy.clock import Clock as RosClock
from rclpy.clock_type import ClockType
from rclpy.utilities import remove_ros_args
from std_srvs.srv import Trigger

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.errors import FlowError, did_you_mean
from reflexarc.control.fallback import base_port
from reflexarc.control.inbox import make_inbox
from reflexarc.control.module import Inputs, Outputs
from reflexarc.control.modules import make_module
from reflexarc.control.modules.guard import Guard
from reflexarc.control.modules.stop import NOT_ACTIVATED
from reflexarc.control.nodes.artifact_swap import ArtifactSwap
from reflexarc.control.nodes.flow_node import FlowNode
from reflexarc.control.nodes.injected_fault import InjectedFault
from reflexarc.control.nodes.process import host
from reflexarc.control.nodes.records import StepLog
from reflexarc.control.nodes.safety_stop import SafetyStop
from reflexarc.control.nodes.scheduling import goes_first, is_short
from reflexarc.control.nodes.static_frames import publish_frames
from reflexarc.control.nodes.steps import StepTeller
from reflexarc.control.succession import Succession
from reflexarc.control.trace import StepRecord, newest_stamps, output_stamp
from reflexarc.control.values import Value
from reflexarc.control.watch import InputWatch

__all__ = ["ModuleNode", "main"]

_RAMP_WITHIN_S = 0.4
"""A launcher gives a guard half a second to halt; from its speed limit an arm needs less than 0.2 s."""

_IDLE_S = 0.1
"""`spin_once` returns at the latest after this, so that a signal is seen."""


class ModuleNode(FlowNode):
    """Hosts the module of the flow that has the node's name."""

    def __init__(self, name: str = "module") -> None:
        super().__init__(name)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self._swap = ArtifactSwap(self, self.publish_health)
        self._injected = InjectedFault(self)
        self._stop: SafetyStop | None = None
        self._frames: Any = None

    def work(self) -> float:
        """Look after a swap; callbacks do all else."""
        if self.is_active:
            self._look_after_swap()
        else:
            self.come_up()
        return _IDLE_S

    def load(self) -> str:
        """Make the module with its verified artifact, and its inbox."""
        name = self.get_name()
        if name not in self.flow.modules:
            raise FlowError(
                f"{name}: flow {self.flow.name} has no such module. {did_you_mean(name, self.flow.modules)}"
            )
        spec = self.flow.modules[name]
        self.is_urgent = not self.is_lockstep and is_short(self.flow, name)
        alone = self.flow.model_copy(update={"modules": {name: spec}})
        artifacts = resolve_artifacts(alone, self.parameters.store or SHIPPED_STORE)
        module = make_module(spec, artifacts.get(name))
        self._succession = Succession(module, spec.outputs, self.flow.tick_ns)
        self._swap.configure(self.flow, self.parameters, self._succession, artifacts.get(name))
        if isinstance(module, Guard) and self._stop is None:
            self._stop = SafetyStop(self, self.flow.robot, self.publish_health)
        if self.flow.robot is not None and name == self.flow.commanders[0] and self._frames is None:
            self._frames = publish_frames(self, self.flow.robot)
        self._inbox = make_inbox(self.flow, spec)
        self._log = StepLog(tuple(spec.inputs))
        self._steps = StepTeller(self, spec)
        self._departures: Counter[str] = Counter()
        self._told_findings: Mapping[str, str] = {}
        self._watch_inputs(artifacts.get(name))
        self._patience_timer = None
        if spec.patience_s is not None and not self.is_lockstep:
            # Not by the twin's clock, which goes in ticks: who waits less than one would wait for all of it.
            self._patience_timer = self.create_timer(
                spec.patience_s / self.parameters.real_time_factor,
                self._on_patience_ended,
                clock=RosClock(clock_type=ClockType.STEADY_TIME),
            )
            self._patience_timer.cancel()
        self._deadline_timer = None
        if spec.deadline_s is not None and not self.is_lockstep:
            # Flow time passes in ticks, so that is how often a deadline can pass.
            self._deadline_timer = self.create_timer(self.flow.tick_ns * 1e-9, self._on_deadline)
        return name

    def start(self) -> None:
        """Start from nothing known."""
        self._reset(self._now_ns())
        self._swap.activate()
        self._injected.activate(is_guard=hasattr(self._succession.serving, "halt"))

    def halt(self) -> None:
        """Send a guard's last command, stand still, and write the records."""
        self._swap.deactivate()
        self._injected.deactivate()
        module = self._succession.serving
        if isinstance(module, Guard) and not self.is_lockstep:
            self._ramp_down(module)
        if hasattr(module, "halt"):
            now_ns = self._now_ns()
            self._steps.tell_published(now_ns, self._publish(module.halt(now_ns)))
            if self.is_lockstep:
                self.finish_tick(self.gate.tick)
        self._steps.flush()
        directory = self.parameters.run_directory
        if directory is not None:
            self._log.write(directory / f"{self.get_name()}.npz", self.faults())

    def unload(self) -> None:
        """Drop the module and what waits for it."""
        for timer in (self._deadline_timer, self._patience_timer):
            if timer is not None:
                self.destroy_timer(timer)
        self._steps.close()
        del self._succession, self._inbox, self._log, self._steps, self._watches

    def receive(self, port: str, value: Value) -> None:
        """Take a value in, and step if it was the last one missing."""
        now_ns = self._now_ns()
        if self._deliver_checked(port, value, now_ns):
            self._step(now_ns)

    def tick(self) -> None:
        """Do every tick whose values are complete."""
        while (tick := self.gate.open()) is not None:
            now_ns = tick.number * self.flow.tick_ns
            if tick.begins_episode:
                self._reset(now_ns)
            for port, values in tick.values.items():
                for value in values:
                    self._deliver_checked(port, value, now_ns)
            self._step(now_ns, is_final=True)
            self.finish_tick(tick.number)

    def refuse(self, port: str, reason: str) -> None:
        """Count a message that could not be read."""
        self._inbox.refuse(port, reason)

    def faults(self) -> Counter[str]:
        """What the codec, the inbox, the gate and the module itself refused, and what came late."""
        refused = self.refused + self._inbox.rejections + self._succession.rejections + self._departures
        if self.is_lockstep:
            refused += Counter(
                {f"{p}: not from its producer": n for p, n in self.gate.strangers.items() if n}
            )
        return self.health.faults(refused, self._inbox.late_steps)

    def publish_health(self) -> None:
        """Report, and with it the steps that wait, so that none waits long where the flow pauses."""
        self._steps.flush()
        super().publish_health()

    def figures(self) -> Mapping[str, str]:
        """Which artifact runs, how a swap stands, what an input reads, who goes first, whether commands go out."""
        sources = {f"{name}_source": source for name, source in self._inbox.sources.items()}
        scheduling = {"goes_first": "yes" if goes_first() else "no"} if self.is_urgent else {}
        return {**self._swap.figures(), **sources, **scheduling, **self._command_figure()}

    def findings(self) -> Mapping[str, str]:
        """What the module has found out about others."""
        return self._succession.serving.findings

    def _deliver_checked(self, port: str, value: Value, now_ns: int) -> bool:
        """Deliver a value, and look whether the input still is as the module was trained under."""
        if not self._inbox.deliver(port, value, now_ns):
            return False
        if port in self._watches:
            self._watches[port].take(value)
            now = set(self._watches[port].departures())
            for quantity in now - self._departed[port]:
                self._departures[f"{port}: {quantity} is not as in training"] += 1
            if now != self._departed[port]:
                self._inbox.trust(port, is_trusted=not now)
            self._departed[port] = now
        return True

    def _tell_findings(self) -> None:
        """Report at once what the module has found out about others, and when it is over."""
        findings = self._succession.serving.findings
        if findings != self._told_findings:
            self._told_findings = dict(findings)
            self.publish_health()

    def _look_after_swap(self) -> None:
        self._swap.poll()
        if self._swap.artifact is not self._watched_for:
            self._watch_inputs(self._swap.artifact)

    def _watch_inputs(self, artifact: Artifact | None) -> None:
        """Compare the inputs from now on with what an artifact was trained under."""
        self._watched_for = artifact
        assumes = artifact.manifest.assumes if artifact is not None else {}
        connected = [port for port in self.flow.modules[self.get_name()].inputs if base_port(port) in assumes]
        self._watches = {port: InputWatch(assumes[base_port(port)]) for port in connected}
        self._departed: dict[str, set[str]] = {port: set() for port in connected}

    def _step(self, now_ns: int, *, is_final: bool = False) -> None:
        """Step on all that can be stepped on.

        Args:
            now_ns: The flow's time.
            is_final: Whether a set that has begun is not waited for any longer: the oldest one in real time, all
                in lock step.
        """
        while self._inbox.is_ready(now_ns, is_final=is_final):
            inputs = self._inbox.take(now_ns, is_final=is_final)
            is_final &= self.is_lockstep
            self._hold_if_asked()
            outputs = self._injected.apply(self._succession.step(inputs, now_ns), now_ns)
            messages = self._publish(outputs)
            published_ns = time.monotonic_ns()
            is_altered = self._injected.is_active(now_ns)
            self._steps.tell(inputs, now_ns, messages, self._swap.serving, is_altered=is_altered)
            if self.parameters.run_directory is not None:  # else nobody would read it, and it grows
                self._log.append(
                    StepRecord(
                        now_ns=now_ns,
                        output_stamp_ns=output_stamp(outputs, now_ns),
                        input_stamps_ns=newest_stamps(inputs),
                        received_ns=self.received_ns,
                        published_ns=published_ns,
                    )
                )
            self.health.stepped(published_ns - self.received_ns)
            self._succession.settle()
            self._look_after_swap()
            self._tell_findings()
        if self._patience_timer is not None:
            if not self._inbox.is_waiting:
                self._patience_timer.cancel()
            elif self._patience_timer.is_canceled():
                self._patience_timer.reset()

    def _command_figure(self) -> dict[str, str]:
        if self._stop is None:
            return {}
        if not self.is_active:
            return {"commands": NOT_ACTIVATED}
        reason = self._stop.reason
        return {"commands": "go out" if reason is None else f"hold still: {reason}"}

    def _hold_if_asked(self) -> None:
        guard = self._succession.serving
        if self._stop is not None and isinstance(guard, Guard):
            reason = self._stop.reason  # once: it goes by the time
            guard.hold(reason)
            if reason is not None:
                self._steps.lose_track()

    def _ramp_down(self, guard: Guard) -> None:
        """Bring the robot to rest within its acceleration limit, before the commands end."""
        guard.hold("deactivated")
        until = time.monotonic() + _RAMP_WITHIN_S
        nothing: Inputs = {base_port(port): () for port in self.flow.inputs(self.get_name())}
        while not guard.is_still and time.monotonic() < until:
            now_ns = self._now_ns()
            self._steps.tell_published(now_ns, self._publish(guard.step(nothing, now_ns)))
            time.sleep(guard.period_s)

    def _publish(self, outputs: Outputs) -> dict[str, Any]:
        sent = {port: self.publish(port, value) for port, value in outputs.items()}
        return {port: message for port, message in sent.items() if message is not None}

    def _now_ns(self) -> int:
        if self.is_lockstep:
            return self.gate.tick * self.flow.tick_ns
        return int(self.get_clock().now().nanoseconds)

    def _on_deadline(self) -> None:
        if self.is_active:
            self.received_ns = time.monotonic_ns()
            self._step(self._now_ns())

    def _on_patience_ended(self) -> None:
        assert self._patience_timer is not None
        self._patience_timer.cancel()
        if self.is_active:
            self.received_ns = time.monotonic_ns()
            self._step(self._now_ns(), is_final=True)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self.is_active and not self.is_lockstep
        module = self._succession.serving if response.success else None
        if isinstance(module, Guard) and self.flow.robot is not None:
            self._inbox.reset(self._now_ns())
            module.forget()  # a twin's joints stand still when an episode begins, a robot's perhaps do not
            self.health.pause()
        elif response.success:
            self._reset(self._now_ns())
        elif self.is_lockstep:
            response.message = "in lock step the plant says with its marker where an episode begins"
        else:
            response.message = f"{self.get_name()} is not active"
        return response

    def _reset(self, now_ns: int) -> None:
        self._inbox.reset(now_ns)
        self._succession.reset()
        self._steps.forgot()
        self.health.pause()


def main() -> None:
    """Run the nodes of the modules that are named, or one, until told to end."""
    names = remove_ros_args(sys.argv)[1:]
    host(*(partial(ModuleNode, name) for name in names or ["module"]))


if __name__ == "__main__":
    main()
