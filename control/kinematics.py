"""Forward kinematics of any serial arm, from its Denavit-Hartenberg table."""

import numpy as np
from pydantic import BaseModel, ConfigDict

from reflexarc.control.values import FloatArray

__all__ = ["DenavitHartenberg"]


class DenavitHartenberg(BaseModel):
    """A serial arm of N revolute joints, by the standard (distal) convention.

    Args:
        a_m: Link lengths, N.
        d_m: Link offsets, N.
        alpha_rad: Link twists, N.
        base_rotation_rad: Turn about z from the base frame to the table's frame 0.
        tool_m: Tool point in the last frame.

    Source: Denavit, Hartenberg, A kinematic notation for lower-pair mechanisms based on matrices,
        J. Applied Mechanics 22, 1955.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    a_m: tuple[float, ...]
    d_m: tuple[float, ...]
    alpha_rad: tuple[float, ...]
    base_rotation_rad: float = 0.0
    tool_m: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def tool_position(self, joint_position: FloatArray) -> FloatArray:
        """Position of the tool point in the base frame, m, shape (3,), for joints (N,) in rad."""
        point = np.array([*self.tool_m, 1.0])
        for a, d, alpha, theta in reversed(
            list(zip(self.a_m, self.d_m, self.alpha_rad, joint_position, strict=True))
        ):
            point = _link(a, d, alpha, theta) @ point
        return (_link(0.0, 0.0, 0.0, self.base_rotation_rad) @ point)[:3]


def _link(a: float, d: float, alpha: float, theta: float) -> FloatArray:
    ct, st, ca, sa = np.cos(theta), np.sin(theta), np.cos(alpha), np.sin(alpha)
    return np.array(
        [
            [ct, -st * ca, st * sa, a * ct],
            [st, ct * ca, -ct * sa, a * st],
            [0.0, sa, ca, d],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )
