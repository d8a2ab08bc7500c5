"""Robot file: YAML to a `Flow` that knows its robot. Every problem is said with file and line, all of them at once."""

from pathlib import Path
from typing import Any

from reflexarc.control.flow import Flow, ModuleSpec
from reflexarc.control.frames import quaternion_from_matrix
from reflexarc.control.robot import DeadMan, DriverTopic, Limits, Robot, SensorTopic, StaticFrame, pose_in
from reflexarc.control.robot_checks import camera_frames, check_robot
from reflexarc.control.yaml_file import Keys, YamlReader, known_names, read_yaml

__all__ = ["ROBOTS", "known_robots", "on_robot"]

ROBOTS = Path(__file__).parents[1] / "launch" / "robots"
"""The robots that come with the project."""


def known_robots() -> list[str]:
    """Names of the robots that come with the project."""
    return known_names(ROBOTS)


def on_robot(flow: Flow, name_or_path: str) -> Flow:
    """A flow, as it is to run on a robot: with the robot, its narrower limits, and where its camera is.

    Args:
        flow: The flow.
        name_or_path: A robot that comes with the project, or a path that ends in .yaml.

    Raises:
        FlowError: There is no such file, or something in it is wrong or does not fit the flow: one line per problem.
    """
    path, text = read_yaml(name_or_path, ROBOTS, "robot")
    robot = _Reader(path, text).robot(flow)
    modules = {name: _adapted(spec, robot, flow) for name, spec in flow.modules.items()}
    return flow.model_copy(update={"robot": robot, "modules": modules})


def _adapted(spec: ModuleSpec, robot: Robot, flow: Flow) -> ModuleSpec:
    parameters = dict(spec.parameters)
    if spec.name in flow.commanders:
        for limit, values in robot.limits.model_dump(exclude_none=True).items():
            by_joint = dict(zip(robot.joints, values, strict=True))
            parameters[limit] = [by_joint[joint] for joint in parameters["joints"]]
    if robot.frames and (found := camera_frames(robot, flow, spec.name)) is not None:
        base, (camera,) = found
        pose = pose_in(robot.frames, base, camera)
        assert pose is not None  # which was checked
        parameters["camera_pose"] = {
            **parameters["camera_pose"],
            "position": pose[0].tolist(),
            "orientation_xyzw": quaternion_from_matrix(pose[1]).tolist(),
        }
    return spec.model_copy(update={"parameters": parameters})


class _Reader(YamlReader):
    """Reads one robot file."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(
            path,
            text,
            "robot file",
            "robot, joints, outputs, inputs and frames",
            hint=f"{ROBOTS} has one that is not",
        )

    def robot(self, flow: Flow) -> Robot:
        """The robot, or one error with all problems."""
        top = self._mapping(self._data, (), tuple(Robot.model_fields))
        parts: dict[str, Any] = {
            side: {
                name: self._model(model, content, (side, name), f"{side}.{name}")
                for name, content in self._mapping(top.get(side), (side,)).items()
            }
            for side, model in (("outputs", SensorTopic), ("inputs", DriverTopic))
        }
        parts["frames"] = self._frames(top.get("frames"))
        for key, part in (("limits", Limits), ("dead_man", DeadMan)):
            if key in top:
                content = {} if top[key] is None else top[key]
                parts[key] = self._model(part, content, (key,), key)
        self._raise_if_any()
        robot = self._model(Robot, {**top, **parts}, (), "robot file")
        self._raise_if_any()
        assert robot is not None
        self._problems += check_robot(robot, flow)
        self._raise_if_any()
        return robot

    def _frames(self, content: Any) -> list[StaticFrame | None]:
        keys: Keys = ("frames",)
        if content is None:
            return []
        if not isinstance(content, list):
            self._problem(keys, f"frames: {content!r}, expected a list of frames.")
            return []
        return [
            self._model(StaticFrame, frame, (*keys, str(index)), f"frames.{index}")
            for index, frame in enumerate(content)
        ]
