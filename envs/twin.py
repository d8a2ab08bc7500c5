"""Twin: a task as the plant of a flow, on the topics that the robot's own drivers would have."""

import hashlib
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reflexarc.control.errors import FlowError, did_you_mean
from reflexarc.control.ports import Port
from reflexarc.control.values import CameraInfo, Float64Array, FloatArray, Image, JointState, Value
from reflexarc.envs.camera import HEIGHT, UNCHANGED, WIDTH, Backend, CameraChange, camera_change
from reflexarc.envs.drives import Drives
from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import JOINT_NAMES
from reflexarc.envs.sensors import FRAMES, frame_fate
from reflexarc.envs.task import TICK_S

__all__ = ["Twin", "make_plant", "nominal_camera_pose"]

_ONLY = np.zeros(1, dtype=np.int64)
_SENSORS = ("color", "depth", "camera_info", "joint_states")


class Twin:
    """One simulation on ports `color`, `depth`, `camera_info`, `joint_states`, and the input `command`.

    A frame leaves at the first tick after its delay, and never before an older one. `camera_info` comes with
    the first tick of every episode. What commands do, and which of them count as unsafe, `Drives` says.

    Args:
        task_id: Gymnasium id of the task.
        ports: Output ports as the flow declares them; their frames go into the values.
        backend: Camera backend.
        camera: How the camera departs from the task's own.

    Raises:
        FlowError: The flow wants a sensor that the twin does not have, or images of another size.
    """

    def __init__(
        self,
        task_id: str,
        ports: Mapping[str, Port],
        backend: Backend = "raycast",
        camera: CameraChange = UNCHANGED,
    ) -> None:
        for name in ports:
            if name not in _SENSORS:
                raise FlowError(f"plant: the twin has no output '{name}'. {did_you_mean(name, _SENSORS)}")
        for name, shape in (("color", (HEIGHT, WIDTH, 3)), ("depth", (HEIGHT, WIDTH))):
            if name in ports and ports[name].shape != shape:
                raise FlowError(
                    f"plant: output '{name}' has shape {ports[name].shape}, the twin's is {shape}."
                )
        self._ports = dict(ports)
        self.task = task_class(task_id)(1, nthread=1, has_camera=True, backend=backend, camera=camera)
        self._digest = hashlib.sha256()
        self._start_ns = 0
        self._in_flight: deque[tuple[int, Image, Image]] = deque()
        self._drives = Drives()
        self._is_over = True

    @property
    def tick_ns(self) -> int:
        """Length of a tick, in ns."""
        return round(TICK_S * 1e9)

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended."""
        return self._is_over

    def reset(self, seed: int, now_ns: int) -> None:
        """Start the episode that `seed` alone decides; its first tick is at `now_ns`, flow time."""
        self.task.reset(_ONLY, np.array([seed], dtype=np.uint64))
        self._start_ns = now_ns
        self._in_flight.clear()
        self._drives.reset()
        self._is_over = False

    def sense(self) -> Sequence[tuple[str, Value]]:
        """What leaves the sensors at this tick."""
        step = int(self.task.steps[0])
        now_ns = self._start_ns + step * self.tick_ns
        leaving: list[tuple[str, Value]] = []
        if step == 0 and "camera_info" in self._ports:
            leaving.append(("camera_info", self._camera_info(now_ns)))
        if "color" in self._ports:
            while self._in_flight and self._in_flight[0][0] <= step:
                _, color, depth = self._in_flight.popleft()
                leaving += [("color", color), ("depth", depth)]
        position, velocity = self.task.joints()
        joints = JointState(
            stamp_ns=now_ns,
            frame_id=self._ports["joint_states"].frame,
            names=JOINT_NAMES,
            position=position[0],
            velocity=velocity[0],
        )
        leaving.append(("joint_states", joints))
        return leaving

    def accept(self, port: str, value: Value) -> None:
        """Take a command, to act from this tick until another one is accepted."""
        if port != "command":
            raise FlowError(f"plant: the twin has no input '{port}'. {did_you_mean(port, ['command'])}")
        self._drives.take(value.data if isinstance(value, Float64Array) else np.empty(0))

    def advance(self) -> None:
        """Let one tick pass."""
        command = self._drives.follow(int(self.task.steps[0]))
        self._expose()
        outcome = self.task.advance(command[None])
        self._digest.update(command.tobytes())
        self._digest.update(self.task.state_bytes())
        self._is_over = bool(outcome.terminated[0] or outcome.truncated[0])

    def score(self) -> dict[str, float]:
        """What the episode came to, by name."""
        return {**self.task.score(0), "unsafe_commands": float(self._drives.unsafe)}

    def trajectory_digest(self) -> str:
        """sha256 (hex) over all commands that acted and all states since construction."""
        return self._digest.hexdigest()

    def _expose(self) -> None:
        """Take the frame of this tick, if there is one.

        It cannot leave before the next tick, so it is drawn when everything that leaves now has left: drawing
        takes 5 ms, and joint states need not wait for it.
        """
        step = int(self.task.steps[0])
        if "color" not in self._ports or step % FRAMES.every_ticks != 0:
            return
        now_ns = self._start_ns + step * self.tick_ns
        lost, delay_s = frame_fate(self.task.seeds, step)
        if lost[0]:
            return
        leaves = step + int(np.ceil(delay_s[0] / TICK_S - 1e-9))
        if self._in_flight:
            leaves = max(leaves, self._in_flight[-1][0])
        frames = self.task.render(_ONLY)
        color, depth = self._ports["color"], self._ports["depth"]
        self._in_flight.append(
            (
                leaves,
                Image(stamp_ns=now_ns, frame_id=color.frame, encoding="rgb8", data=frames.color[0]),
                Image(stamp_ns=now_ns, frame_id=depth.frame, encoding="32FC1", data=frames.depth[0]),
            )
        )

    def _camera_info(self, now_ns: int) -> CameraInfo:
        return CameraInfo(
            stamp_ns=now_ns,
            frame_id=self._ports["camera_info"].frame,
            width=WIDTH,
            height=HEIGHT,
            intrinsics=self.task.mount.intrinsics,
        )


def make_plant(task_id: str, ports: Mapping[str, Port], parameters: Mapping[str, Any] | None = None) -> Twin:
    """The twin of a task, as a flow's plant.

    Args:
        task_id: Gymnasium id of the task.
        ports: Output ports as the flow declares them.
        parameters: The plant's `parameters` of the flow file.

    Raises:
        FlowError: The task is not known, or a port or parameter does not fit the twin.
    """
    return Twin(task_id, ports, camera=camera_change(parameters or {}))


def nominal_camera_pose(task_id: str, camera: CameraChange = UNCHANGED) -> tuple[FloatArray, FloatArray]:
    """Where a task's camera is said to be: position (3,) in m and base_from_optical (3, 3)."""
    mount = task_class(task_id).own_mount.changed(camera)
    return mount.position, mount.rotation
