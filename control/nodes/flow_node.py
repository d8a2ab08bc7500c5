"""FlowNode: what every node of a flow has: its ports as topics, the markers of lock step, its health.

`ModuleNode` and `TwinNode` say what to do with a value that came and when to publish one.
"""

import time
import traceback
from array import array
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock as RosClock
from rclpy.clock_type import ClockType
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import qos_policy_name_from_kind
from std_msgs.msg import Int64MultiArray

from reflexarc.control.errors import ReflexarcError, RuntimeUnavailableError, ValueRefusedError
from reflexarc.control.flow import PLANT, Flow, Source
from reflexarc.control.nodes.health import PERIOD_S, Health
from reflexarc.control.nodes.lockstep import Marker, fingerprint, make_gate, marker_topic
from reflexarc.control.nodes.messages import from_message, message_class, to_message
from reflexarc.control.nodes.parameters import NodeParameters
from reflexarc.control.nodes.qos import adapted_qos, marker_qos, offered_qos, requested_qos
from reflexarc.control.ports import Port, silence_s
from reflexarc.control.robot_adapter import DriverEdges, port_topic
from reflexarc.control.values import Value

__all__ = ["FlowNode"]

_DISCOVERY_S = 10.0
"""Discovery takes 40 to 90 ms mostly and about 2 s in one of four; the rest is for a loaded machine."""

_TELL_AGAIN_S = 10.0


class FlowNode(LifecycleNode):
    """A lifecycle node with the ports of one node of a flow.

    Configure loads and checks and makes the topics; activate waits until the neighbours are connected and
    starts; deactivate stops and holds still; cleanup frees. What goes wrong in a transition is logged as one
    line, since rclpy itself drops the exception.
    """

    def __init__(self, default_name: str) -> None:
        super().__init__(default_name)
        NodeParameters.declare(self)
        self.is_active = False
        self.is_done = False
        self.is_urgent = False
        self._comes_up_alone = False
        self.refused: Counter[str] = Counter()
        """Values of this node's own that no message can say, by reason."""

    # --- what a kind of node adds

    def load(self) -> str:
        """Make what runs here; return the node's name in its flow."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to work."""

    def halt(self) -> None:
        """Leave the robot still and the records written."""

    def unload(self) -> None:
        """Free what `load` made."""

    def receive(self, port: str, value: Value) -> None:
        """A value came; in lock step it is instead put before the gate, and `tick` is called."""
        raise NotImplementedError

    def tick(self) -> None:
        """Something came in lock step: do every tick that is complete."""
        raise NotImplementedError

    def refuse(self, port: str, reason: str) -> None:
        """Count a message that could not be read."""
        raise NotImplementedError

    def faults(self) -> Counter[str]:
        """All faults since configure, by reason."""
        raise NotImplementedError

    def figures(self) -> Mapping[str, str]:
        """More to say in the health report."""
        return {}

    def findings(self) -> Mapping[str, str]:
        """What is wrong with others, as this node sees it."""
        return {}

    # --- for a kind of node

    @property
    def is_lockstep(self) -> bool:
        """Whether the plant waits for the command of each tick."""
        return self.parameters.clock == "lockstep"

    def publish(self, port: str, value: Value) -> Any:
        """Publish a value, and in lock step announce it with the next marker; what was published, or None."""
        message = self.prepare(port, value)
        if message is not None:
            self.send(port, message)
        return message

    def prepare(self, port: str, value: Value) -> Any:
        """The message that carries a value, announced with the next marker; None if none can."""
        try:
            message = to_message(self._drivers.to_robot(port, value))
            if self.is_lockstep:
                self._announced[port].append(fingerprint(from_message(message)))
        except ValueRefusedError as error:
            self.refused[f"{port}: {error}"] += 1
            return None
        return message

    def send(self, port: str, message: Any) -> None:
        """Publish what `prepare` made."""
        self._senders[port].publish(message)

    def finish_tick(self, tick: int, *, begins_episode: bool = False) -> None:
        """Tell the consumers all that this node publishes in a tick; the values may follow."""
        marker = Marker(tick, tuple(tuple(marks) for marks in self._announced.values()), begins_episode)
        self._marker_sender.publish(Int64MultiArray(data=array("q", marker.encode())))
        for marks in self._announced.values():
            marks.clear()

    def publish_health(self) -> None:
        """Report now what is otherwise reported once per second."""
        stamp_ns = self.get_clock().now().nanoseconds
        report = self.health.report(
            stamp_ns, self.faults(), self.figures(), self.findings(), self._absent_drivers()
        )
        self._diagnostics.publish(to_message(report))

    # --- transitions

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and check everything, and make the topics."""
        return self._transition(self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Wait for the neighbours, then start."""
        return self._transition(self._activate, state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and hold still."""
        return self._transition(self._deactivate, state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything."""
        return self._transition(self._cleanup)

    def begin(self) -> None:
        """Configure, where nobody else does; `come_up` then does the rest.

        Raises:
            RuntimeUnavailableError: It cannot.
        """
        self._comes_up_alone = bool(self.get_parameter("autostart").value)
        if self._comes_up_alone:
            self._require_success(self.trigger_configure())

    def come_up(self) -> None:
        """Activate as soon as the neighbours are there, where nobody else does.

        It does not wait for them here: they may be in this process, or on a host that is still off.

        Raises:
            RuntimeUnavailableError: It cannot.
        """
        if not self._comes_up_alone or self.is_active or self.commands_robot:
            return
        if missing := self._missing_neighbours():
            self.get_logger().info(f"waits for {', '.join(missing)}", throttle_duration_sec=_TELL_AGAIN_S)
            return
        self._require_success(self.trigger_activate())

    @property
    def commands_robot(self) -> bool:
        """Whether a robot moves by what this node says: somebody has to activate it, each time that it is started."""
        return self.flow.robot is not None and self._role in self.flow.commanders

    def end(self) -> None:
        """Stop and hold still before the process ends, if that was not done yet."""
        if self.is_active:
            self.trigger_deactivate()

    def _require_success(self, done: TransitionCallbackReturn) -> None:
        if done is not TransitionCallbackReturn.SUCCESS:
            raise RuntimeUnavailableError(f"{self.get_name()}: did not come up; its log says why.")

    def _transition(
        self, action: Callable[..., None], *arguments: LifecycleState
    ) -> TransitionCallbackReturn:
        try:
            action(*arguments)
        except ReflexarcError as error:
            self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self.parameters = NodeParameters.read(self)
        self.flow: Flow = self.parameters.load_flow()
        self._role = self.load()
        self._inputs = self.flow.inputs(self._role)
        outputs = self.flow.outputs(self._role)
        self.health = Health(self.get_name(), self._inputs)
        self._drivers = DriverEdges(self.flow, self._role)
        self._senders = {name: self._open_output(name, port) for name, port in outputs.items()}
        self._receivers = {name: self._open_input(name, source) for name, source in self._inputs.items()}
        self._markers: dict[str, Any] = {}
        if self.is_lockstep:
            self.gate = make_gate(self.flow, self._role)
            self._announced: dict[str, list[int]] = {port: [] for port in outputs}
            self._marker_sender = self.create_publisher(
                Int64MultiArray, marker_topic(self._role), marker_qos()
            )
            self._markers = {producer: self._open_marker(producer) for producer in self.gate.producers}
        self._diagnostics = self.create_publisher(DiagnosticArray, "diagnostics", 10)
        wall = RosClock(clock_type=ClockType.STEADY_TIME)
        self._health_timer = self.create_timer(PERIOD_S, self._on_health_due, clock=wall)

    def _activate(self, state: LifecycleState) -> None:
        self._await_neighbours()
        super().on_activate(state)  # opens the publishers
        try:
            self.start()
        except Exception:
            super().on_deactivate(state)
            raise
        self.is_active = True
        self._comes_up_alone = False  # from now on somebody else may stop and start it
        if self.commands_robot:  # who stands beside it is told at once
            self.publish_health()

    def _deactivate(self, state: LifecycleState) -> None:
        self.is_active = False
        try:
            self.halt()
        finally:
            super().on_deactivate(state)
        if self.commands_robot:
            self.publish_health()

    def _cleanup(self) -> None:
        self.destroy_timer(self._health_timer)
        for publisher in self._senders.values():
            self.destroy_lifecycle_publisher(publisher)
        for subscription in (*self._receivers.values(), *self._markers.values()):
            self.destroy_subscription(subscription)
        if self.is_lockstep:
            self.destroy_publisher(self._marker_sender)
        self.destroy_publisher(self._diagnostics)
        self.unload()

    # --- topics

    def _open_output(self, name: str, port: Port) -> Any:
        driver = self._drivers.outputs.get(name)
        offered = offered_qos(port, self.parameters.clock, self.parameters.real_time_factor)
        qos = adapted_qos(offered, driver)
        return self.create_lifecycle_publisher(message_class(port.type), port_topic(port, driver), qos)

    def _open_input(self, name: str, source: Source) -> Any:
        port = self.flow.port(source)
        edge = self.health.edges[name]

        def deliver(message: Any) -> None:
            self._deliver(name, message)

        def refuse_publisher(info: Any) -> None:
            policy = qos_policy_name_from_kind(info.last_policy_kind)
            self.refuse(name, f"a publisher whose quality of service does not fit ({policy})")

        events = SubscriptionEventCallbacks(incompatible_qos=refuse_publisher)
        if not self.is_lockstep:
            events.deadline = lambda info: edge.missed(info.total_count_change)
            events.liveliness = lambda info: edge.lost(max(0, -info.alive_count_change))
        driver = self._drivers.inputs.get(name)
        requested = requested_qos(
            port,
            self.parameters.clock,
            self.parameters.real_time_factor,
            is_from_driver=source.node == PLANT,
        )
        return self.create_subscription(
            message_class(port.type),
            port_topic(port, driver),
            deliver,
            adapted_qos(requested, driver),
            event_callbacks=events,
        )

    def _open_marker(self, producer: str) -> Any:
        def announce(message: Int64MultiArray) -> None:
            self.received_ns = time.monotonic_ns()
            try:
                self.gate.announce(producer, message.data)
            except ValueRefusedError as error:
                self.refuse(marker_topic(producer), str(error))
                return
            if self.is_active:
                self.tick()

        return self.create_subscription(Int64MultiArray, marker_topic(producer), announce, marker_qos())

    def _deliver(self, port: str, message: Any) -> None:
        if not self.is_active:
            return
        self.received_ns = time.monotonic_ns()
        try:
            value = self._drivers.to_flow(port, from_message(message), self.get_clock().now().nanoseconds)
        except ValueRefusedError as error:
            self.refuse(port, str(error))
            return
        if value is None:
            return
        self.health.edges[port].arrived()
        if self.is_lockstep:
            self.gate.arrive(port, value)
            self.tick()
        else:
            self.receive(port, value)

    def _await_neighbours(self) -> None:
        """Wait until those who speak with this node are connected, so that no first value is lost.

        Raises:
            RuntimeUnavailableError: One does not come.
        """
        until = time.monotonic() + _DISCOVERY_S
        while missing := self._missing_neighbours():
            if time.monotonic() > until:
                raise RuntimeUnavailableError(
                    f"{self._role}: {', '.join(missing)} not connected after {_DISCOVERY_S:.0f} s. "
                    "Is that node configured, in the same ROS_DOMAIN_ID?"
                )
            time.sleep(0.01)

    def _missing_neighbours(self) -> list[str]:
        missing = []
        for port, publisher in self._senders.items():
            consumers = {name for name, _ in self.flow.consumers(self._role, port) if self._is_awaited(name)}
            if publisher.get_subscription_count() < len(consumers):
                missing.append(f"{publisher.topic_name} to {' and '.join(sorted(consumers))}")
        for port, source in self._inputs.items():
            subscription = self._receivers[port]
            if self._is_awaited(source.node) and subscription.get_publisher_count() < 1:
                missing.append(f"{subscription.topic_name} from {source.node}")
        if self.is_lockstep:
            nodes = (PLANT, *self.flow.modules)
            listeners = [name for name in nodes if self._role in make_gate(self.flow, name).producers]
            if self._marker_sender.get_subscription_count() < len(listeners):
                missing.append(f"{marker_topic(self._role)} to {' and '.join(listeners)}")
            missing += [
                f"{marker_topic(p)} from {p}" for p, s in self._markers.items() if s.get_publisher_count() < 1
            ]
        return missing

    def _is_awaited(self, neighbour: str) -> bool:
        """In real time a module does not wait for the plant, whose drivers may start when they like."""
        return self.is_lockstep or self._role == PLANT or neighbour != PLANT

    # --- health

    def _absent_drivers(self) -> list[str]:
        """Ports at whose other end a robot's driver should be, and is not."""
        inputs = [port for port in self._drivers.inputs if self._receivers[port].get_publisher_count() < 1]
        outputs = [port for port in self._drivers.outputs if self._senders[port].get_subscription_count() < 1]
        return inputs + outputs

    def _on_health_due(self) -> None:
        if not self.is_lockstep:
            self._watch_drivers()
        self.publish_health()

    def _watch_drivers(self) -> None:
        for port, source in self._inputs.items():
            limit_s = silence_s(self.flow.port(source))
            if source.node == PLANT and limit_s is not None:
                self.health.edges[port].watch(limit_s / self.parameters.real_time_factor)
