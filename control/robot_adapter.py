"""RobotAdapter: between a robot's messages and the values that the flow speaks of, either way.

It stands between codec and inbox, so that a module gets from a driver what it got from the twin: units, frames,
order of joints and rates. What no driver should send is refused with a reason; the guard's own limits on
staleness then hold the robot still, and let it go on when good values come again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow import PLANT, Flow
from reflexarc.control.ports import Port
from reflexarc.control.robot import DriverTopic, SensorTopic
from reflexarc.control.values import Float64Array, Image, JointState, Value

__all__ = [
    "CONVERSIONS",
    "DriverEdges",
    "SensorAdapter",
    "actuator_topic",
    "flow_joints",
    "port_topic",
    "sensor_topic",
    "staleness_s",
]

_AHEAD_NS = 20_000_000
"""So far a stamp may be ahead of this host's clock: hosts that are kept in time over a network differ by a few ms."""

_STALENESS_S = 0.1
"""Where no guard says how old a value may be."""


def _metres(data: "np.ndarray[Any, Any]") -> "np.ndarray[Any, Any]":
    """REP 118: `16UC1` is millimetres, and 0 is 'no return', as it is in the flow."""
    return data.astype(np.float32) * np.float32(1e-3)


CONVERSIONS: Mapping[tuple[str, str], Callable[..., Any]] = {("16UC1", "32FC1"): _metres}
"""By (encoding of the driver, encoding of the flow)."""


def flow_joints(flow: Flow) -> tuple[str, ...]:
    """The joints of a flow, in the order that its guards name them; empty where none names any."""
    return tuple(
        joint for name in flow.commanders for joint in flow.modules[name].parameters.get("joints", ())
    )


def staleness_s(flow: Flow) -> float:
    """How old a value may be before the robot holds still: what the strictest guard says."""
    limits = [flow.modules[name].parameters.get("staleness_s", _STALENESS_S) for name in flow.commanders]
    return float(min(limits, default=_STALENESS_S))


class SensorAdapter:
    """What one driver publishes, as one port of the plant declares it.

    Args:
        flow: A flow with a robot.
        port: Output of its plant.
    """

    def __init__(self, flow: Flow, port: str) -> None:
        robot = flow.robot
        assert robot is not None
        self._port: Port = flow.plant.outputs[port]
        self._topic = robot.sensor(port)
        self._frame = self._port.frame if self._topic.frame is None else self._topic.frame
        self._encoding = self._topic.encoding or self._port.unit
        self._joints = flow_joints(flow) or robot.joints
        self._names = tuple(robot.joint_prefix + joint for joint in self._joints)
        self._staleness_ns = round(staleness_s(flow) * 1e9)
        self._last_ns: int | None = None
        self._period_ns = 0
        self._last_period: int | None = None
        if self._port.rate_hz is not None and (self._topic.rate_hz or 0.0) > self._port.rate_hz:
            self._period_ns = round(1e9 / self._port.rate_hz)

    def adapt(self, value: Value, now_ns: int) -> Value | None:
        """The value as the flow speaks of it; None where the flow takes fewer than the driver sends.

        Args:
            value: What came.
            now_ns: This host's clock, ROS time.

        Raises:
            ValueRefusedError: No driver should send that; the message is one of few, to be counted.
        """
        adapted = self.in_our_words(value)
        stamp_ns = getattr(value, "stamp_ns", None)
        if stamp_ns is None or self._port.stream == "description":  # which may be older than we are
            return adapted
        self._check_stamp(stamp_ns, now_ns)
        if not self._period_ns:
            return adapted
        # One per period, by stamp: so images of two topics, and the same stream at two nodes, are thinned alike.
        period, last = stamp_ns // self._period_ns, self._last_period
        self._last_period = period
        return adapted if last not in {None, period} else None  # the first period has begun without us

    def in_our_words(self, value: Value) -> Value:
        """The value in the flow's units, frame and order, whatever its stamp says.

        Raises:
            ValueRefusedError: It is not what the robot file says.
        """
        if self._frame and (frame := getattr(value, "frame_id", self._frame)) != self._frame:
            raise ValueRefusedError(f"frame '{frame}', expected '{self._frame}' of the robot file")
        if isinstance(value, JointState):
            return self._in_our_order(value)
        if isinstance(value, Image):
            if value.encoding != self._encoding:
                raise ValueRefusedError(
                    f"encoding {value.encoding}, expected {self._encoding} of the robot file"
                )
            convert = CONVERSIONS.get((self._encoding, self._port.unit))
            data = value.data if convert is None else convert(value.data)
            frame = self._port.frame or value.frame_id
            return replace(value, frame_id=frame, encoding=self._port.unit, data=data)
        if isinstance(value, Float64Array):
            return value
        return replace(value, frame_id=self._port.frame or value.frame_id)

    def _in_our_order(self, value: JointState) -> JointState:
        count = len(value.names)
        if value.position.shape != (count,) or value.velocity.shape != (count,):
            raise ValueRefusedError("not one position and one velocity for each name")
        try:
            order = [value.names.index(name) for name in self._names]
        except ValueError:
            missing = next(name for name in self._names if name not in value.names)
            raise ValueRefusedError(f"joint '{missing}' is missing") from None
        return replace(
            value,
            frame_id=self._port.frame or value.frame_id,
            names=self._joints,
            position=value.position[order],
            velocity=value.velocity[order],
            effort=value.effort[order] if value.effort.shape == (count,) else np.empty(0),
        )

    def _check_stamp(self, stamp_ns: int, now_ns: int) -> None:
        """Whether a stamp can be that of a fresh measurement.

        A driver's clock may jump, and be reset with the driver; so may this host's. Whatever was taken as the newest
        is forgotten when it lies in the future of this host's clock, so that nobody waits for that time to come.
        """
        if stamp_ns > now_ns + _AHEAD_NS:
            raise ValueRefusedError("stamp ahead of this host's clock")
        if stamp_ns < now_ns - self._staleness_ns:
            raise ValueRefusedError("stamp too far behind this host's clock")
        if self._last_ns is not None and self._last_ns <= now_ns + _AHEAD_NS and stamp_ns <= self._last_ns:
            raise ValueRefusedError("stamp not newer than the one before")
        self._last_ns = stamp_ns


class DriverEdges:
    """The edges between one node of a flow and a robot's drivers; none without a robot.

    Args:
        flow: The flow.
        node: The node.
    """

    def __init__(self, flow: Flow, node: str) -> None:
        self.inputs: dict[str, DriverTopic] = {}
        """Per input port that a driver gives, its topic from the root."""
        self.outputs: dict[str, DriverTopic] = {}
        """Per output port that a driver takes, the same."""
        self._sensors: dict[str, SensorAdapter] = {}
        self._order: list[int] = []
        if flow.robot is None or node == PLANT:
            return
        for name, source in flow.inputs(node).items():
            if source.node == PLANT:
                self.inputs[name] = sensor_topic(flow, source.port)
                self._sensors[name] = SensorAdapter(flow, source.port)
        for name, source in flow.plant.inputs.items():
            if source.node == node:
                self.outputs[source.port] = actuator_topic(flow, name)
        joints = tuple(flow.modules[node].parameters.get("joints", ()))
        self._order = [joints.index(joint) for joint in flow.robot.joints if joint in joints]

    def to_flow(self, port: str, value: Value, now_ns: int) -> Value | None:
        """What came at an input port, as the flow speaks of it; None where it is left out.

        Raises:
            ValueRefusedError: See `SensorAdapter.adapt`.
        """
        return self._sensors[port].adapt(value, now_ns) if port in self._sensors else value

    def to_robot(self, port: str, value: Value) -> Value:
        """What leaves at an output port, as the robot takes it."""
        if port in self.outputs and self._order and isinstance(value, Float64Array):
            return Float64Array(data=value.data[self._order])
        return value


def port_topic(port: Port, driver: DriverTopic | None) -> str:
    """Where a port's values travel: where the robot's driver has them, if one is at the other end."""
    return port.topic if driver is None or driver.topic is None else driver.topic


def sensor_topic(flow: Flow, port: str) -> SensorTopic:
    """An output of the plant as the robot has it, with its topic from the root."""
    assert flow.robot is not None
    said = flow.robot.sensor(port)
    topic = said.topic or flow.plant.outputs[port].topic
    return said.model_copy(update={"topic": flow.robot.full_topic(topic)})


def actuator_topic(flow: Flow, port: str) -> DriverTopic:
    """An input of the plant, the same."""
    assert flow.robot is not None
    said = flow.robot.actuator(port)
    topic = said.topic or flow.port(flow.plant.inputs[port]).topic
    return said.model_copy(update={"topic": flow.robot.full_topic(topic)})
