"""The policy's network: what it makes of an observation before it learns, and the part of it that runs."""

from typing import cast

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from reflexarc.control.kinematics import DenavitHartenberg

__all__ = ["InterceptFeatures", "PolicyNetwork"]

_GRAVITY = -9.81
"""m/s^2, along z."""

_PLANES_M = (0.4, 0.55, 0.7)
"""Where a throw's arrival is computed: upright planes across the near workspace, along x of the base frame."""


class InterceptFeatures(BaseFeaturesExtractor):
    """An observation, scaled, with the tool's pose and where the ball would come through upright planes.

    What a small network finds hard is computed: forward kinematics, and the division by the ball's speed.
    The path is that of a throw without drag, p + v t + g t^2 / 2.

    Args:
        observation_space: Its last seven entries are ball position (3, m), velocity (3, m/s) and is_known.
        kinematics: How the tool follows from the joints.
    """

    def __init__(self, observation_space: spaces.Box, kinematics: DenavitHartenberg) -> None:
        size = int(observation_space.shape[0])
        super().__init__(observation_space, size + 9 + 4 * len(_PLANES_M))
        self.joints = (size - 7) // 2
        self.kinematics = kinematics
        self.planes: Tensor
        self.register_buffer("planes", torch.tensor(_PLANES_M))

    def forward(self, observation: Tensor) -> Tensor:
        """Shape (B, O) to (B, O + 9 + 4 P)."""
        n = self.joints
        joint_position, joint_velocity, position, velocity, known = torch.split(
            observation, [n, n, 3, 3, 1], dim=1
        )
        tool, normal = self.tool(joint_position)
        # Time until the plane: none for a ball that does not come nearer, and no farther than a second.
        speed = torch.clamp(-velocity[:, :1], min=0.3)
        time = torch.clamp((position[:, :1] - self.planes) / speed, min=0.0, max=1.0)
        y = position[:, 1:2] + velocity[:, 1:2] * time - tool[:, 1:2]
        z = position[:, 2:3] + velocity[:, 2:3] * time + 0.5 * _GRAVITY * time**2 - tool[:, 2:3]
        rise = velocity[:, 2:3] + _GRAVITY * time
        arrival = torch.cat([2.0 * time, 4.0 * y, 4.0 * z, rise / 4.0], dim=1)
        apart = torch.tanh(4.0 * (position - tool)) * known
        parts = [joint_position, joint_velocity / 2.0, position - 0.5, velocity / 4.0, known]
        return torch.cat([*parts, 2.0 * (tool - 0.5), normal, apart, arrival * known], dim=1)

    def tool(self, joint_position: Tensor) -> tuple[Tensor, Tensor]:
        """Position (B, 3) of the tool point in the base frame, m, and z axis (B, 3) of the last frame."""
        table = self.kinematics
        zero = torch.zeros_like(joint_position[:, 0])
        point = torch.stack([zero + value for value in table.tool_m], dim=1)
        axis = torch.stack([zero, zero, zero + 1.0], dim=1)
        for index in reversed(range(self.joints)):
            angle = joint_position[:, index]
            point = _through_link(table, index, angle, point, offset=1.0)
            axis = _through_link(table, index, angle, axis, offset=0.0)
        base = zero + table.base_rotation_rad
        return _turn(base, point), _turn(base, axis)


def _through_link(
    table: DenavitHartenberg, index: int, angle: Tensor, vector: Tensor, offset: float
) -> Tensor:
    """A vector of a link's frame in the frame before it: x by alpha, along x by a, along z by d, z by theta."""
    alpha = torch.tensor(table.alpha_rad[index])
    x, y, z = vector.unbind(dim=1)
    tilted = torch.stack(
        [
            x + offset * table.a_m[index],
            torch.cos(alpha) * y - torch.sin(alpha) * z,
            torch.sin(alpha) * y + torch.cos(alpha) * z + offset * table.d_m[index],
        ],
        dim=1,
    )
    return _turn(angle, tilted)


def _turn(angle: Tensor, vector: Tensor) -> Tensor:
    """Vectors (B, 3) turned about z by angles (B,)."""
    x, y, z = vector.unbind(dim=1)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], dim=1)


class PolicyNetwork(nn.Module):
    """The mean action of a trained actor, as it runs: observation (B, O) to action (B, A)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, observation: Tensor) -> Tensor:
        """The action, before it is clipped to [-1, 1]."""
        return cast(Tensor, self.layers(observation))
