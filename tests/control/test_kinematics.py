import numpy as np
import pytest

from reflexarc.control.kinematics import DenavitHartenberg

PLANAR = DenavitHartenberg(a_m=(1.0, 0.5), d_m=(0.0, 0.0), alpha_rad=(0.0, 0.0))


@pytest.mark.parametrize(
    ("joints", "tool"),
    [
        ((0.0, 0.0), (1.5, 0.0, 0.0)),
        ((np.pi / 2, 0.0), (0.0, 1.5, 0.0)),
        ((0.0, np.pi / 2), (1.0, 0.5, 0.0)),
    ],
)
def test_a_planar_arm(joints, tool):
    assert np.allclose(PLANAR.tool_position(np.array(joints)), tool)


def test_tool_and_base_rotation():
    arm = PLANAR.model_copy(update={"tool_m": (0.0, 0.0, 0.2), "base_rotation_rad": np.pi})
    assert np.allclose(arm.tool_position(np.zeros(2)), (-1.5, 0.0, 0.2))


def test_the_number_of_joints_must_fit():
    with pytest.raises(ValueError, match="zip"):
        PLANAR.tool_position(np.zeros(3))
