"""A small robot and three small modules that really close a loop through a camera, for tests over ROS 2.

Six joints that follow velocity commands; a camera sees a spot whose place tells where the joints are to go.
Node processes find this file by PYTHONPATH.
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from reflexarc.control.deployment import Deployment
from reflexarc.control.flow import Flow
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import MessageType, PortNeed
from reflexarc.control.values import (
    CameraInfo,
    Float64Array,
    Image,
    JointState,
    JointTrajectory,
    Odometry,
    PoseWithCovariance,
    Value,
    unknown_covariance,
)

JOINTS = ("pan", "lift", "elbow", "roll", "pitch", "yaw")
HEIGHT, WIDTH = 80, 128
TICKS = 60


class SpotPlant:
    """Joints that integrate their commanded velocities, and a camera at every second tick."""

    def __init__(self, flow: Flow) -> None:
        self.tick_ns = flow.tick_ns
        self._ticks = int(flow.plant.parameters.get("ticks", TICKS))
        self._digest = hashlib.sha256()
        self._ticks_left = 0
        self._camera_info_due = True

    @property
    def is_over(self) -> bool:
        return self._ticks_left <= 0

    def reset(self, seed: int, now_ns: int) -> None:
        self._random = np.random.default_rng(seed)
        self._now_ns = now_ns
        self._position = self._random.uniform(-0.5, 0.5, 6)
        self._velocity = np.zeros(6)
        self._spot = self._random.uniform((10, 10), (WIDTH - 10, HEIGHT - 10))
        self._drift = self._random.uniform(-0.5, 0.5, 2)
        self._ticks_left = self._ticks
        self._first_tick_ns = now_ns
        self._errors: list[float] = []
        self._unsafe = 0

    def sense(self) -> Sequence[tuple[str, Value]]:
        noise = self._random.normal(0.0, 1e-3, 6)
        sensed: list[tuple[str, Value]] = [
            (
                "joint_states",
                JointState(
                    stamp_ns=self._now_ns,
                    frame_id="base_link",
                    names=JOINTS,
                    position=self._position + noise,
                    velocity=self._velocity.copy(),
                ),
            )
        ]
        if (self._now_ns - self._first_tick_ns) % (2 * self.tick_ns) == 0:
            color, depth = self._images()
            sensed += [("color", color), ("depth", depth)]
        if self._now_ns == self._first_tick_ns:
            info = CameraInfo(
                stamp_ns=self._now_ns, frame_id="camera", width=WIDTH, height=HEIGHT, intrinsics=np.eye(3)
            )
            sensed.append(("camera_info", info))
        return sensed

    def accept(self, port: str, value: Value) -> None:
        assert port == "command"
        assert isinstance(value, Float64Array)
        self._velocity = value.data.copy()
        self._unsafe += int((np.abs(value.data) > 2.0).any())
        self._digest.update(value.data.tobytes())

    def advance(self) -> None:
        self._position = self._position + self._velocity * self.tick_ns * 1e-9
        self._spot = np.clip(self._spot + self._drift, 8, (WIDTH - 9, HEIGHT - 9))
        self._errors.append(float(np.abs(self._position - target_of(self._spot)).max()))
        self._digest.update(self._position.tobytes())
        self._now_ns += self.tick_ns
        self._ticks_left -= 1

    def score(self) -> Mapping[str, float]:
        return {"error_rad": self._errors[-1], "unsafe_commands": float(self._unsafe)}

    def trajectory_digest(self) -> str:
        return self._digest.hexdigest()

    def _images(self) -> tuple[Image, Image]:
        rows, columns = np.ogrid[:HEIGHT, :WIDTH]
        near = (columns - self._spot[0]) ** 2 + (rows - self._spot[1]) ** 2 < 25.0
        color = self._random.integers(0, 50, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        color[near] = 255
        depth = np.where(near, 1.0, 3.0).astype(np.float32)
        return (
            Image(stamp_ns=self._now_ns, frame_id="camera", encoding="rgb8", data=color),
            Image(stamp_ns=self._now_ns, frame_id="camera", encoding="32FC1", data=depth),
        )


def target_of(spot: np.ndarray) -> np.ndarray:
    """Where the joints are to go, rad, for a spot at (column, row)."""
    across, down = spot[0] / WIDTH - 0.5, spot[1] / HEIGHT - 0.5
    return np.array([across, down, -across, -down, across + down, across - down])


class _Classical(Module):
    needs_artifact: ClassVar = False

    def __init__(self, parameters: Mapping[str, Any], outputs: Mapping[str, Any], artifact: object) -> None:
        self.parameters = parameters
        self.reset()


class Spotter(_Classical):
    """Bright pixels to a position in pixels and metres."""

    input_needs: ClassVar = {
        "color": PortNeed(type=MessageType.IMAGE),
        "depth": PortNeed(type=MessageType.IMAGE),
        "camera_info": PortNeed(type=MessageType.CAMERA_INFO),
    }
    output_needs: ClassVar = {"detection": PortNeed(type=MessageType.POSE_WITH_COVARIANCE)}

    def reset(self) -> None:
        self._is_calibrated = False
        self._steps = 0

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        self._steps += 1
        if self._steps == self.parameters.get("hangs_at_step"):
            time.sleep(3600)
        self._is_calibrated |= bool(inputs["camera_info"])
        (color,), (depth,) = inputs["color"], inputs["depth"]
        bright = color.data[:, :, 0] > 200
        if not (self._is_calibrated and bright.any()):
            position, covariance = np.full(3, np.nan), unknown_covariance()
        else:
            rows, columns = np.nonzero(bright)
            position = np.array([columns.mean(), rows.mean(), float(np.median(depth.data[bright]))])
            covariance = np.eye(6) * 1e-4
        return {
            "detection": PoseWithCovariance(
                stamp_ns=color.stamp_ns, frame_id="camera", position=position, covariance=covariance
            )
        }


class Smoother(_Classical):
    """Detections to an estimate at the rate of the joints."""

    input_needs: ClassVar = {
        "detection": PortNeed(type=MessageType.POSE_WITH_COVARIANCE),
        "joint_states": PortNeed(type=MessageType.JOINT_STATE),
    }
    output_needs: ClassVar = {"odometry": PortNeed(type=MessageType.ODOMETRY)}

    def reset(self) -> None:
        self._position: np.ndarray | None = None

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        for detection in inputs["detection"]:
            if detection.is_known:
                old = detection.position if self._position is None else self._position
                self._position = old + 0.5 * (detection.position - old)
        is_known = self._position is not None
        return {
            "odometry": Odometry(
                stamp_ns=inputs["joint_states"][-1].stamp_ns if inputs["joint_states"] else now_ns,
                frame_id="camera",
                child_frame_id="camera",
                position=self._position if is_known else np.full(3, np.nan),
                linear_velocity=np.zeros(3),
                pose_covariance=np.eye(6) if is_known else unknown_covariance(),
                twist_covariance=np.eye(6),
            )
        }


class Pilot(_Classical):
    """Proportional control of the joints toward what the spot asks for."""

    input_needs: ClassVar = {
        "odometry": PortNeed(type=MessageType.ODOMETRY),
        "joint_states": PortNeed(type=MessageType.JOINT_STATE),
    }
    output_needs: ClassVar = {"command": PortNeed(type=MessageType.JOINT_TRAJECTORY)}

    def reset(self) -> None:
        self._joints: np.ndarray | None = None

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        for state in inputs["joint_states"]:
            self._joints = state.position
        odometry = inputs["odometry"][-1]
        velocity = np.zeros(6)
        if self._joints is not None and odometry.is_known:
            velocity = 5.0 * (target_of(odometry.position) - self._joints)
        return {
            "command": JointTrajectory(
                stamp_ns=odometry.stamp_ns,
                names=JOINTS,
                positions=np.empty((1, 0)),
                velocities=velocity[None],
                time_from_start_ns=np.zeros(1, dtype=np.int64),
            )
        }


def make_plant(flow: Flow) -> SpotPlant:
    """Named as the plant of `spot_flow`."""
    return SpotPlant(flow)


def spot_flow(**changes: Any) -> Flow:
    """The flow of all of these, with a real guard.

    Args:
        **changes: Per module, what is to be different in its declaration.
    """
    camera = {"frame": "camera", "rate_hz": 50, "stream": "sensor"}
    joints = {"type": "sensor_msgs/JointState", "topic": "joint_states", "shape": (6,), "unit": "rad"}
    limits = {
        "joints": JOINTS,
        "rate_hz": 100,
        "position_low_rad": [-2.0] * 6,
        "position_high_rad": [2.0] * 6,
        "velocity_limit": [2.0] * 6,
        "acceleration_limit": [40.0] * 6,
        "staleness_s": 0.1,
    }
    modules = {
        "spotter": {
            "kind": "ros_parts:Spotter",
            "trigger": ["color", "depth"],
            "latency_s": 0.01,
            "inputs": {name: {"node": "plant", "port": name} for name in ("color", "depth", "camera_info")},
            "outputs": {
                "detection": {
                    "type": "geometry_msgs/PoseWithCovarianceStamped",
                    "topic": "spot/detection",
                    "frame": "camera",
                    "rate_hz": 50,
                }
            },
        },
        "smoother": {
            "kind": "ros_parts:Smoother",
            "trigger": ["joint_states"],
            "inputs": {
                "detection": {"node": "spotter", "port": "detection"},
                "joint_states": {"node": "plant", "port": "joint_states"},
            },
            "outputs": {
                "odometry": {
                    "type": "nav_msgs/Odometry",
                    "topic": "spot/odometry",
                    "frame": "camera",
                    "rate_hz": 100,
                }
            },
        },
        "pilot": {
            "kind": "ros_parts:Pilot",
            "trigger": ["odometry"],
            "inputs": {
                "odometry": {"node": "smoother", "port": "odometry"},
                "joint_states": {"node": "plant", "port": "joint_states"},
            },
            "outputs": {
                "command": {
                    "type": "trajectory_msgs/JointTrajectory",
                    "topic": "pilot/command",
                    "shape": (6,),
                    "unit": "rad/s",
                    "rate_hz": 100,
                    "stream": "command",
                }
            },
        },
        "guard": {
            "kind": "guard",
            "trigger": ["command"],
            "deadline_s": 0.02,
            "latency_s": 0.01,
            "inputs": {
                "command": {"node": "pilot", "port": "command"},
                "joint_states": {"node": "plant", "port": "joint_states"},
            },
            "outputs": {
                "command": {
                    "type": "std_msgs/Float64MultiArray",
                    "topic": "forward_velocity_controller/commands",
                    "shape": (6,),
                    "unit": "rad/s",
                    "rate_hz": 100,
                    "stream": "command",
                }
            },
            "parameters": limits,
        },
    }
    for name, change in changes.items():
        modules[name] |= change
    return Flow.model_validate(
        {
            "name": "spot",
            "plant": {
                "env": "ros_parts:make_plant",
                "rate_hz": 100,
                "outputs": {
                    "color": {
                        "type": "sensor_msgs/Image",
                        "topic": "camera/image_raw",
                        "shape": (HEIGHT, WIDTH, 3),
                        "unit": "rgb8",
                        **camera,
                    },
                    "depth": {
                        "type": "sensor_msgs/Image",
                        "topic": "camera/depth",
                        "shape": (HEIGHT, WIDTH),
                        "unit": "32FC1",
                        **camera,
                    },
                    "camera_info": {
                        "type": "sensor_msgs/CameraInfo",
                        "topic": "camera/camera_info",
                        "frame": "camera",
                        "stream": "description",
                    },
                    "joint_states": {**joints, "rate_hz": 100, "frame": "base_link"},
                },
                "inputs": {"command": {"node": "guard", "port": "command"}},
            },
            "modules": {name: {"name": name, **module} for name, module in modules.items()},
        }
    )


def deployed(flow: Flow, processes: Mapping[str, Sequence[str]]) -> Flow:
    """A flow whose modules share processes."""
    placed = {"processes": {name: {"modules": modules} for name, modules in processes.items()}}
    return flow.model_copy(update={"deployment": Deployment.model_validate(placed)})
