"""What has to hold between a robot and a flow, so that the one can be deployed to the other."""

from collections import Counter
from collections.abc import Iterator, Sequence

from reflexarc.control.errors import ValueRefusedError, did_you_mean
from reflexarc.control.flow import PLANT, Flow
from reflexarc.control.ports import MessageType
from reflexarc.control.robot import Robot, StaticFrame, pose_in
from reflexarc.control.robot_adapter import CONVERSIONS, actuator_topic, flow_joints, sensor_topic
from reflexarc.control.yaml_file import Problem

__all__ = ["camera_frames", "check_robot"]


def check_robot(robot: Robot, flow: Flow) -> list[Problem]:
    """Everything that is wrong with a robot whose parts are well formed; empty if the flow can be deployed to it."""
    problems = [*_ports(robot, flow), *_joints(robot, flow)]
    if problems:  # the rest goes by names
        return problems
    return [*_streams(robot, flow), *_topics(robot, flow), *_limits(robot, flow), *_frames(robot, flow)]


def camera_frames(robot: Robot, flow: Flow, module: str) -> tuple[str, tuple[str, ...]] | None:
    """Of a module that is told where its camera is: the frame that it speaks of, and the drivers' camera frames.

    None for any other module.
    """
    spec = flow.modules[module]
    if "camera_pose" not in spec.parameters:
        return None
    base = next((port.frame for port in spec.outputs.values() if port.frame), "")
    images = {
        source.port: flow.port(source)
        for source in spec.inputs.values()
        if source.node == PLANT and flow.port(source).type is MessageType.IMAGE
    }
    frames = {
        port.frame if (frame := robot.sensor(name).frame) is None else frame for name, port in images.items()
    }
    return (base, tuple(sorted(frames))) if frames else None


def _ports(robot: Robot, flow: Flow) -> Iterator[Problem]:
    for side, named, known in (
        ("outputs", robot.outputs, flow.plant.outputs),
        ("inputs", robot.inputs, flow.plant.inputs),
    ):
        for name in named:
            if name not in known:
                yield Problem(
                    (side, name),
                    f"{side}: the plant of flow {flow.name} has no '{name}'. {did_you_mean(name, known)}",
                )


def _joints(robot: Robot, flow: Flow) -> Iterator[Problem]:
    for joint, count in Counter(robot.joints).items():
        if count > 1:
            yield Problem(("joints",), f"joints: '{joint}' is named {count} times.")
    known = flow_joints(flow)
    if not known:
        return
    for joint in robot.joints:
        if joint not in known:
            yield Problem(
                ("joints",), f"joints: flow {flow.name} has no '{joint}'. {did_you_mean(joint, known)}"
            )
    for joint in known:
        if joint not in robot.joints:
            yield Problem(("joints",), f"joints: '{joint}' of flow {flow.name} is missing.")


def _streams(robot: Robot, flow: Flow) -> Iterator[Problem]:
    for name, topic in robot.outputs.items():
        port = flow.plant.outputs[name]
        who = f"outputs.{name}"
        if topic.encoding is not None and port.type is not MessageType.IMAGE:
            yield Problem(("outputs", name, "encoding"), f"{who}: encoding: only an image has one.")
        elif topic.encoding not in {None, port.unit} and (topic.encoding, port.unit) not in CONVERSIONS:
            wrong = f"{who}: encoding {topic.encoding} cannot be made {port.unit}."
            known = [port.unit, *(ours for ours, theirs in CONVERSIONS if theirs == port.unit)]
            yield Problem(
                ("outputs", name, "encoding"),
                f"{wrong} {did_you_mean(topic.encoding or '', known)}",
            )
        if topic.rate_hz is not None and port.rate_hz is not None and topic.rate_hz < port.rate_hz:
            yield Problem(
                ("outputs", name, "rate_hz"),
                f"{who}: rate_hz {topic.rate_hz:g} is less than the {port.rate_hz:g} of flow {flow.name}, "
                "whose modules were trained at that. Let the driver publish faster.",
            )


def _topics(robot: Robot, flow: Flow) -> Iterator[Problem]:
    there = flow.model_copy(update={"robot": robot})
    topics: dict[str | None, tuple[str, str]] = {}
    named = [("outputs", name, sensor_topic(there, name).topic) for name in flow.plant.outputs]
    named += [("inputs", name, actuator_topic(there, name).topic) for name in flow.plant.inputs]
    for side, name, topic in named:
        other = topics.setdefault(topic, (side, name))
        if other != (side, name):
            yield Problem(
                (side, name, "topic"),
                f"{side}.{name}: topic '{topic}' is that of {other[0]}.{other[1]} as well.",
            )
    for name, source in flow.plant.inputs.items():
        readers = [node for node, _ in flow.consumers(source.node, source.port) if node != PLANT]
        if readers:
            yield Problem(
                ("inputs", name),
                f"inputs.{name}: {source} is also read by {', '.join(readers)}, and it goes out as the robot takes it. "
                "Let them read what the guard says that it commanded.",
            )


def _limits(robot: Robot, flow: Flow) -> Iterator[Problem]:
    own = {
        limit: {
            joint: value
            for name in flow.commanders
            for joint, value in zip(
                flow.modules[name].parameters.get("joints", ()),
                flow.modules[name].parameters.get(limit, ()),
                strict=False,
            )
        }
        for limit in ("velocity_limit", "acceleration_limit")
    }
    for limit, widest in own.items():
        values = getattr(robot.limits, limit)
        if values is None:
            continue
        if len(values) != len(robot.joints):
            yield Problem(
                ("limits", limit),
                f"limits.{limit} has {len(values)} entries for {len(robot.joints)} joints.",
            )
            continue
        for index, (joint, value) in enumerate(zip(robot.joints, values, strict=True)):
            if value > widest.get(joint, 0.0):
                yield Problem(
                    ("limits", limit, str(index)),
                    f"limits.{limit}: {value:g} for {joint} is wider than the guard's own {widest.get(joint, 0.0):g}. "
                    "A robot file may only narrow it.",
                )


def _frames(robot: Robot, flow: Flow) -> Iterator[Problem]:
    parents: dict[str, str] = {}
    for index, frame in enumerate(robot.frames):
        if not any(frame.orientation_xyzw):
            yield Problem(
                ("frames", str(index), "orientation_xyzw"),
                f"frames: orientation_xyzw of {frame.child} has no length; [0, 0, 0, 1] is 'not rotated'.",
            )
            return
        if frame.child in parents:
            yield Problem(
                ("frames", str(index)),
                f"frames: {frame.child} has two parents, {parents[frame.child]} and {frame.parent}.",
            )
            return
        if frame.parent == frame.child or _is_joined(robot.frames[:index], frame):
            yield Problem(("frames", str(index)), f"frames: {frame.parent} to {frame.child} closes a ring.")
            return
        parents[frame.child] = frame.parent
    if not robot.frames:
        return
    for module in flow.modules:
        found = camera_frames(robot, flow, module)
        if found is None:
            continue
        base, cameras = found
        if len(cameras) > 1:
            yield Problem(
                ("outputs",),
                f"outputs: {module} reads images of frames {' and '.join(cameras)}, expected one. "
                "Let the driver align depth to colour.",
            )
        for camera in cameras:
            if pose_in(robot.frames, base, camera) is None:
                known = ", ".join(sorted({f.parent for f in robot.frames} | {f.child for f in robot.frames}))
                yield Problem(
                    ("frames",),
                    f"frames: none leads from {base} to {camera}, where {module} sees from. Known: {known}.",
                )


def _is_joined(frames: Sequence[StaticFrame], frame: StaticFrame) -> bool:
    try:
        return pose_in(frames, frame.parent, frame.child) is not None
    except ValueRefusedError:
        return False
