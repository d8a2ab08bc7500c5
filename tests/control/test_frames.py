import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.frames import (
    MUJOCO_FROM_OPTICAL,
    matrix_from_quaternion,
    matrix_from_rotation_vector,
    quaternion_from_matrix,
    wxyz_from_xyzw,
    xyzw_from_wxyz,
)

numbers = st.floats(-1.0, 1.0, allow_subnormal=False)
quaternions = arrays(np.float64, 4, elements=numbers).filter(lambda q: np.linalg.norm(q) > 0.1)
vectors = arrays(np.float64, 3, elements=st.floats(-3.0, 3.0, allow_subnormal=False))


@given(quaternions)
def test_quaternion_to_matrix_and_back(quaternion):
    matrix = matrix_from_quaternion(quaternion)
    back = quaternion_from_matrix(matrix)
    unit = quaternion / np.linalg.norm(quaternion)
    assert min(np.abs(back - unit).max(), np.abs(back + unit).max()) < 1e-9


@given(vectors)
def test_rotation_vector_gives_a_rotation_about_its_axis(vector):
    matrix = matrix_from_rotation_vector(vector)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)
    assert np.allclose(matrix @ vector, vector, atol=1e-12)


def test_quarter_turn_about_z_takes_x_to_y():
    matrix = matrix_from_rotation_vector(np.array([0.0, 0.0, np.pi / 2]))
    assert np.allclose(matrix @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    half = np.sqrt(0.5)
    assert np.allclose(matrix_from_quaternion(np.array([0.0, 0.0, half, half])), matrix)


@given(quaternions)
def test_the_two_orders_of_a_quaternion(quaternion):
    assert np.array_equal(xyzw_from_wxyz(wxyz_from_xyzw(quaternion)), quaternion)
    assert wxyz_from_xyzw(quaternion)[0] == quaternion[3]


def test_optical_forward_is_mujoco_backward():
    assert np.array_equal(MUJOCO_FROM_OPTICAL @ [0.0, 0.0, 1.0], [0.0, 0.0, -1.0])
    assert np.array_equal(MUJOCO_FROM_OPTICAL @ [0.0, 1.0, 0.0], [0.0, -1.0, 0.0])


def test_a_quaternion_without_length_is_refused():
    with pytest.raises(ValueRefusedError, match="has no length"):
        matrix_from_quaternion(np.zeros(4))
