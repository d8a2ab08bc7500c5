import mujoco
import numpy as np
import pytest

from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import (
    ACCELERATION_LIMIT,
    JOINT_NAMES,
    JOINT_TORQUE_LIMIT,
    NET_RADIUS,
    READY_POSITION,
    TOOL_OFFSET_M,
    VELOCITY_LIMIT,
)

TURN = np.pi / 2
PUBLISHED = DenavitHartenberg(
    a_m=(0.0, -0.425, -0.3922, 0.0, 0.0, 0.0),
    d_m=(0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996),
    alpha_rad=(TURN, 0.0, 0.0, TURN, -TURN, 0.0),
    base_rotation_rad=np.pi,
    tool_m=(0.0, 0.0, TOOL_OFFSET_M),
)


@pytest.fixture(scope="module")
def model():
    return task_class("reflexarc/ArmCatch-v0")(1, nthread=1).model


def test_the_model_has_the_published_kinematics(model):
    data = mujoco.MjData(model)
    for position in np.random.default_rng(0).uniform(-3, 3, (50, 6)):
        data.qpos[:6] = position
        mujoco.mj_kinematics(model, data)
        assert np.allclose(data.site("tcp").xpos, PUBLISHED.tool_position(position), atol=1e-7)


def test_the_model_has_the_published_masses(model):
    links = ["shoulder", "upper_arm", "forearm", "wrist_1", "wrist_2", "wrist_3"]
    masses = [float(model.body(f"{link}_link").mass[0]) for link in links]
    assert masses == [3.761, 8.058, 2.846, 1.37, 1.3, 0.365]


def test_joint_order_and_limits_are_those_of_the_model(model):
    assert tuple(model.joint(index).name for index in range(6)) == JOINT_NAMES
    assert np.allclose(model.actuator_ctrlrange[:, 1], VELOCITY_LIMIT, atol=1e-4)
    assert np.array_equal(model.actuator_forcerange[:, 1], JOINT_TORQUE_LIMIT)


def test_the_acceleration_limit_is_what_the_shoulder_can_lift_at_full_stretch(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)  # all joints at zero: the arm is stretched out level
    inertia = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, inertia)
    lift = model.joint("shoulder_lift_joint").id
    weight = abs(data.qfrc_gravcomp[lift])
    possible = (JOINT_TORQUE_LIMIT[1] - weight) / inertia[lift, lift]
    assert possible == pytest.approx(23.5, abs=0.5)
    assert possible * 0.86 > ACCELERATION_LIMIT


def test_the_ready_position_is_where_it_is_said_to_be(model):
    assert np.allclose(PUBLISHED.tool_position(READY_POSITION), (0.5, 0.0, 0.55), atol=2e-3)


def test_the_ring_of_the_model_has_the_radius_that_counts(model):
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    corner = data.geom("ring_0").xpos - data.site("tcp").xpos
    size = model.geom("ring_0").size
    inside = np.hypot(np.linalg.norm(corner), size[1]) - size[0]
    assert inside == pytest.approx(NET_RADIUS, abs=5e-4)
