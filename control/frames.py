"""Poses and quaternions: the one place where MuJoCo's and ROS's conventions meet.

Frames are right-handed (REP 103). A rotation `base_from_optical` takes a vector in the optical frame to the
base frame. ROS quaternions are (x, y, z, w), MuJoCo's are (w, x, y, z). A ROS optical frame looks along +z
with y down, a MuJoCo camera along -z with y up.
"""

import numpy as np

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.values import FloatArray

__all__ = [
    "MUJOCO_FROM_OPTICAL",
    "matrix_from_quaternion",
    "matrix_from_rotation_vector",
    "quaternion_from_matrix",
    "wxyz_from_xyzw",
    "xyzw_from_wxyz",
]

MUJOCO_FROM_OPTICAL: FloatArray = np.diag([1.0, -1.0, -1.0])
"""Half a turn about x: a vector in a camera's optical frame, in MuJoCo's frame of the same camera."""


def xyzw_from_wxyz(quaternion: FloatArray) -> FloatArray:
    """MuJoCo's quaternion in ROS's order. Shape (..., 4)."""
    return np.roll(quaternion, -1, axis=-1)


def wxyz_from_xyzw(quaternion: FloatArray) -> FloatArray:
    """ROS's quaternion in MuJoCo's order. Shape (..., 4)."""
    return np.roll(quaternion, 1, axis=-1)


def matrix_from_quaternion(quaternion_xyzw: FloatArray) -> FloatArray:
    """Rotation matrices of quaternions of any length but zero.

    Args:
        quaternion_xyzw: Shape (..., 4).

    Returns:
        Shape (..., 3, 3).

    Raises:
        ValueRefusedError: A quaternion has no length.
    """
    length = np.linalg.norm(quaternion_xyzw, axis=-1, keepdims=True)
    if not (length > 0).all():
        raise ValueRefusedError(f"quaternion {quaternion_xyzw} has no length; (0, 0, 0, 1) is 'not rotated'.")
    x, y, z, w = np.moveaxis(quaternion_xyzw / length, -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_from_matrix(matrix: FloatArray) -> FloatArray:
    """The quaternion (x, y, z, w), w >= 0, of one rotation matrix of shape (3, 3).

    Source: Bar-Itzhack, New method for extracting the quaternion from a rotation matrix, J. Guidance 23(6),
        2000: the eigenvector of the largest eigenvalue of K.
    """
    m = matrix
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m.trace()],
        ]
    )
    quaternion = np.linalg.eigh(k, UPLO="L")[1][:, -1]
    return quaternion if quaternion[3] >= 0 else -quaternion


def matrix_from_rotation_vector(vector: FloatArray) -> FloatArray:
    """Rotation matrices of rotation vectors, by Rodrigues' formula.

    Args:
        vector: Axis times angle in rad. Shape (..., 3).

    Returns:
        Shape (..., 3, 3).
    """
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    x, y, z = np.moveaxis(vector, -1, 0)
    cross = np.zeros((*x.shape, 3, 3))
    cross[..., 2, 1], cross[..., 0, 2], cross[..., 1, 0] = x, y, z
    cross[..., 1, 2], cross[..., 2, 0], cross[..., 0, 1] = -x, -y, -z
    safe = np.where(angle > 0, angle, 1.0)
    return np.eye(3) + np.sinc(angle / np.pi) * cross + (1 - np.cos(angle)) / safe**2 * (cross @ cross)
