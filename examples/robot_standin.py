"""A stand-in for a robot: a process that behaves at its topics as `ur_robot_driver` and a RealSense camera do.

    python examples/robot_standin.py --ros-args -p seeds:="[1000000000, 1000000001]" -p episodes_file:=episodes.jsonl

What it offers, and where that is from:
- `joint_states` at 500 Hz: joint_state_broadcaster of ros2_controllers (QoS SystemDefaults, frame base_link). The order
  of names is that of the controller manager's interfaces, here the alphabetical one that UR users often see.
- `forward_velocity_controller/commands`: ForwardCommandController (QoS SystemDefaults), its joints in the order of
  ur_robot_driver's config/ur_controllers.yaml.
- `camera/camera/color/image_raw` (rgb8), `camera/camera/aligned_depth_to_color/image_raw` (16UC1, mm) and
  `camera/camera/color/camera_info` with every frame at 50 Hz: realsense2_camera with align_depth (image QoS
  SYSTEM_DEFAULT, info QoS DEFAULT; frame camera_color_optical_frame). Nothing is sent on a topic that nobody reads.
  Images are 128 x 80, the size that the flow's networks were trained on, as a crop or a resize would give it.
- `~/throw` (std_srvs/Trigger) throws the next ball; the answer tells the score of the throw before.

Its parameters make another robot of it (`joint_prefix`, `joint_state_order`, `command_order`, `depth_encoding`,
`camera_frame`; a namespace by `-r __ns:=/robot`), and have it fail while it runs: `fault` (one of those in
standin_faults.py) of `faulty_driver` (`both`, `arm` or `camera`). With a `real_time_factor` below 1 it is a simulated
robot whose time passes slower, by `/clock`, as Gazebo's does. On a machine that is still too slow it says so.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from builtin_interfaces.msg import Time
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, qos_profile_system_default
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from standin_arm import TICK_NS, Frame, Joints, StandinArm
from standin_faults import FAULTS, DriverFault, Sample
from standin_messages import DEPTH_ENCODINGS, CameraInfoMessage, ImageMessage, JointStateMessage, as_depth
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from reflexarc.control.errors import ValueRefusedError, did_you_mean
from reflexarc.control.nodes.process import host
from reflexarc.envs.camera import HEIGHT, WIDTH
from reflexarc.envs.robot import JOINT_NAMES

_SLIP_NS = 50_000_000
"""It makes up for so little, what a busy host and the drawing of images hold it up. Behind by more, its time passes
slower instead. A ball whose time passes slower than that of the stamps is another ball: what is caught then says
nothing."""

_CHOICES = {
    "depth_encoding": DEPTH_ENCODINGS,
    "fault": tuple(FAULTS),
    "faulty_driver": ("both", "arm", "camera"),
}


class RobotTime:
    """The robot's time, in ns of the system's clock: that clock itself, or slower from now on.

    Args:
        factor: Robot time over the system's.

    Raises:
        ValueRefusedError: It stands, or runs ahead.
    """

    def __init__(self, factor: float) -> None:
        if not 0.0 < factor <= 1.0:
            raise ValueRefusedError(f"real_time_factor is {factor:g}. Give more than 0, up to 1.")
        self.factor = factor
        self._began_ns = time.time_ns()
        self._monotonic_ns = self._began_ns - time.monotonic_ns()

    def now_ns(self) -> int:
        """The time now; it never jumps."""
        return self.of_system_ns(time.monotonic_ns() + self._monotonic_ns)

    def of_system_ns(self, system_ns: int) -> int:
        """What the time was then."""
        return self._began_ns + round((system_ns - self._began_ns) * self.factor)


class RobotStandin(Node):
    """The drivers of arm and camera in one node."""

    is_done = False
    """A robot does not end by itself."""
    is_urgent = False

    def __init__(self) -> None:
        super().__init__("robot_standin")
        texts = {
            "episodes_file": "",
            "joint_prefix": "",
            "depth_encoding": "16UC1",
            "camera_frame": "camera_color_optical_frame",
            "fault": "none",
            "faulty_driver": "both",
        }
        for name, default in texts.items():
            self.declare_parameter(name, default)
        self.declare_parameter("seeds", [0])
        self.declare_parameter("real_time_factor", 1.0)
        self.declare_parameter("joint_state_order", sorted(JOINT_NAMES))
        self.declare_parameter("command_order", list(JOINT_NAMES))

    def begin(self) -> None:
        """Set everything up.

        Raises:
            ValueRefusedError: A parameter cannot be right.
        """
        for name, choices in _CHOICES.items():
            if self._text(name) not in choices:
                raise ValueRefusedError(
                    f"{name} is '{self._text(name)}'. {did_you_mean(self._text(name), choices)}"
                )
        self._arm = StandinArm(self.get_parameter("seeds").get_parameter_value().integer_array_value)
        self._time = RobotTime(self.get_parameter("real_time_factor").get_parameter_value().double_value)
        self._clock_sender = self.create_publisher(Clock, "/clock", 1) if self._time.factor < 1.0 else None
        self._make_arm_driver()
        self._make_camera_driver()
        self.create_service(Trigger, "~/throw", self._on_throw)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._last: dict[str, Any] | None = None
        self._ticks = self._slips = 0
        self._due_ns = self._began_ns = self._throw_began_ns = self._time.now_ns()

    def work(self) -> float:
        """Do what is due by the clock; return after how many seconds more is."""
        now_ns = self._time.now_ns()
        if now_ns - self._due_ns > _SLIP_NS:
            self._due_ns = now_ns
            self._slips += 1
        while self._due_ns <= now_ns:
            self._do_tick()
            self._due_ns += TICK_NS
        return max(0.0, (self._due_ns - self._time.now_ns()) * 1e-9 / self._time.factor)

    def end(self) -> None:
        """Say how time has passed."""
        passed_s = (self._time.now_ns() - self._began_ns) * 1e-9
        share = self._ticks * TICK_NS * 1e-9 / max(passed_s, 1e-9)
        self.get_logger().info(
            f"{share:.3f} of its time simulated, {self._slips} slips; unsafe commands {self._arm.drives.unsafe}"
        )

    def destroy_node(self) -> None:
        """Free the controller's node with this one."""
        if hasattr(self, "_controller"):
            self._controller.destroy_node()
        super().destroy_node()

    # --- the drivers

    def _text(self, name: str) -> str:
        return self.get_parameter(name).get_parameter_value().string_value

    def _order(self, name: str) -> list[int]:
        """Places in `JOINT_NAMES` of the joints in an order that a parameter gives."""
        order = list(self.get_parameter(name).get_parameter_value().string_array_value)
        if sorted(order) != sorted(JOINT_NAMES):
            raise ValueRefusedError(f"{name} is {order}. Give each of {', '.join(JOINT_NAMES)} once.")
        return [JOINT_NAMES.index(joint) for joint in order]

    def _make_arm_driver(self) -> None:
        prefix, self._state_order = self._text("joint_prefix"), self._order("joint_state_order")
        self._joint_message = JointStateMessage([prefix + JOINT_NAMES[index] for index in self._state_order])
        self._joint_sender = self.create_publisher(JointState, "joint_states", qos_profile_system_default)
        self._arm_fault = DriverFault(group=5)
        self._places = np.argsort(self._order("command_order"))
        # Not spun: it looks for a command in every tick, as a controller does in its update.
        self._controller = rclpy.create_node("forward_velocity_controller", enable_rosout=False)
        self._commands = self._controller.create_subscription(
            Float64MultiArray, "~/commands", lambda message: None, qos_profile_system_default
        )

    def _make_camera_driver(self) -> None:
        frame, self._depth_encoding = self._text("camera_frame"), self._text("depth_encoding")
        self._color_message = ImageMessage(frame, "rgb8", HEIGHT, WIDTH)
        self._depth_message = ImageMessage(frame, self._depth_encoding, HEIGHT, WIDTH)
        self._info_message = CameraInfoMessage(frame, HEIGHT, WIDTH, self._arm.task.mount.intrinsics)
        of = "camera/camera"
        self._color_sender = self.create_publisher(Image, f"{of}/color/image_raw", qos_profile_system_default)
        self._depth_sender = self.create_publisher(
            Image, f"{of}/aligned_depth_to_color/image_raw", qos_profile_system_default
        )
        self._info_sender = self.create_publisher(CameraInfo, f"{of}/color/camera_info", QoSProfile(depth=10))
        self._camera_fault = DriverFault(group=1)

    def _take_commands(self) -> None:
        with self._commands.handle:
            while (taken := self._commands.handle.take_message(Float64MultiArray, False)) is not None:
                message, about = taken
                command = np.array(message.data, dtype=np.float64)
                if len(command) == len(self._places):
                    command = command[self._places]
                self._arm.take(command, self._time.of_system_ns(about["source_timestamp"]))

    def _do_tick(self) -> None:
        stamp_ns = self._due_ns
        if self._clock_sender is not None:
            seconds, nanoseconds = divmod(stamp_ns, 10**9)
            self._clock_sender.publish(Clock(clock=Time(sec=seconds, nanosec=nanoseconds)))
        self._take_commands()
        joints, frames = self._arm.sense()
        for sample in self._arm_fault.out(Sample(stamp_ns, joints), stamp_ns):
            self._send_joints(sample)
        for frame in frames:
            for sample in self._camera_fault.out(Sample(frame.stamp_ns, frame), stamp_ns):
                self._send_frame(sample)
        for sample in self._camera_fault.overdue(stamp_ns):
            self._send_frame(sample)
        was_throwing = self._arm.is_throwing
        over = self._arm.advance(stamp_ns)
        if self._arm.is_throwing and not was_throwing:
            self._throw_began_ns = self._time.now_ns()
        self._ticks += 1
        if over is not None:
            self._finish(over)

    def _send_joints(self, sample: Sample) -> None:
        joints: Joints = sample.content
        self._joint_sender.publish(
            self._joint_message.filled(sample.stamp_ns, *(part[self._state_order] for part in joints))
        )

    def _send_frame(self, sample: Sample) -> None:
        frame: Frame = sample.content
        if self._info_sender.get_subscription_count():
            self._info_sender.publish(self._info_message.filled(sample.stamp_ns))
        if self._color_sender.get_subscription_count():
            self._color_sender.publish(self._color_message.filled(sample.stamp_ns, frame.color))
        if self._depth_sender.get_subscription_count():
            depth = as_depth(frame.depth, self._depth_encoding)
            self._depth_sender.publish(self._depth_message.filled(sample.stamp_ns, depth))

    # --- throws and faults

    def _on_throw(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._arm.is_free
        response.message = json.dumps(self._last)
        if response.success:
            self._arm.throw()
        return response

    def _finish(self, line: dict[str, Any]) -> None:
        passed_s = (self._time.now_ns() - self._throw_began_ns) * 1e-9
        self._last = {**line, "passed_s": round(passed_s, 3)}
        if file := self._text("episodes_file"):
            with Path(file).open("a") as lines:
                lines.write(json.dumps(self._last) + "\n")

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name not in ("fault", "faulty_driver"):
                return SetParametersResult(successful=False, reason=f"{parameter.name} is read at the start")
            choices = _CHOICES[parameter.name]
            if parameter.value not in choices:
                return SetParametersResult(
                    successful=False, reason=did_you_mean(str(parameter.value), choices)
                )
        wanted = {parameter.name: parameter.value for parameter in parameters}
        self._become(
            wanted.get("fault", self._text("fault")),
            wanted.get("faulty_driver", self._text("faulty_driver")),
        )
        return SetParametersResult(successful=True)

    def _become(self, fault: str, driver: str) -> None:
        now_ns = self._due_ns
        for sample in self._arm_fault.become(fault if driver in ("both", "arm") else "none", now_ns):
            self._send_joints(sample)
        for sample in self._camera_fault.become(fault if driver in ("both", "camera") else "none", now_ns):
            self._send_frame(sample)


if __name__ == "__main__":
    host(RobotStandin)
