import numpy as np
import pytest

from reflexarc.control.errors import ArtifactError, ValueRefusedError
from reflexarc.control.modules.policy import Policy
from reflexarc.control.values import JointState, Odometry, unknown_covariance

JOINTS = ("a", "b")
OBSERVATION = [
    ["joint_position", 2],
    ["joint_velocity", 2],
    ["ball_position", 3],
    ["ball_velocity", 3],
    ["is_known", 1],
]
WEIGHTS = np.random.default_rng(0).uniform(-0.3, 0.3, (11, 2)).astype(np.float32)
SCALE = 3.0


@pytest.fixture
def made(network, written):
    """Makes a policy whose network is one matrix."""

    def make(weights=WEIGHTS, joints=JOINTS, observation=OBSERVATION):
        model = network(
            {"observation": 11},
            {"action": 2},
            [("MatMul", ["observation", "weights"], "action")],
            {"weights": weights},
        )
        constants = {"observation": observation, "velocity_scale": SCALE}
        return Policy({"joints": list(joints)}, {}, written(model, constants))

    return make


def joint_state(position, velocity=(0.0, 0.0), names=JOINTS, stamp_ns=10):
    return JointState(
        stamp_ns=stamp_ns, names=names, position=np.array(position), velocity=np.array(velocity)
    )


def odometry(position=(0.4, 0.1, 0.9), velocity=(-2.0, 0.0, 1.0), stamp_ns=10, known=True):
    return Odometry(
        stamp_ns=stamp_ns,
        frame_id="base_link",
        child_frame_id="base_link",
        position=np.array(position) if known else np.full(3, np.nan),
        linear_velocity=np.array(velocity) if known else np.full(3, np.nan),
        pose_covariance=np.eye(6) if known else unknown_covariance(),
        twist_covariance=np.eye(6),
    )


def inputs(*joint_states, odometries=()):
    return {"joint_states": joint_states, "odometry": odometries}


def expected(observation):
    action = np.float32(observation) @ WEIGHTS
    return np.clip(action, -1, 1).astype(np.float64) * SCALE


def test_a_command_follows_from_joints_and_ball(made):
    outputs = made().step(
        inputs(joint_state([0.1, -0.2], [0.3, 0.4]), odometries=(odometry(stamp_ns=7),)), 10
    )
    command = outputs["command"]
    observation = [0.1, -0.2, 0.3, 0.4, 0.4, 0.1, 0.9, -2.0, 0.0, 1.0, 1.0]
    np.testing.assert_allclose(command.velocities, [expected(observation)], rtol=1e-6)
    assert command.stamp_ns == 7
    assert command.names == JOINTS
    assert command.positions.shape == (1, 0)
    assert command.time_from_start_ns.tolist() == [0]


def test_a_ball_that_is_not_known_is_zero_and_said_to_be(made):
    command = made().step(inputs(joint_state([0.1, -0.2]), odometries=(odometry(known=False),)), 10)[
        "command"
    ]
    np.testing.assert_allclose(command.velocities, [expected([0.1, -0.2, *9 * [0.0]])], rtol=1e-6)


def test_a_command_is_within_the_scale(made):
    weights = np.zeros((11, 2), dtype=np.float32)
    weights[10] = 5.0, -5.0
    command = made(weights).step(inputs(joint_state([0.0, 0.0]), odometries=(odometry(),)), 10)["command"]
    assert command.velocities.tolist() == [[SCALE, -SCALE]]


def test_the_newest_of_each_counts_and_joint_states_are_remembered(made):
    policy = made()
    assert policy.step(inputs(joint_state([9.0, 9.0]), joint_state([0.1, -0.2])), 10) == {}
    found = policy.step(inputs(odometries=(odometry(position=(9.0, 9.0, 9.0)), odometry())), 20)["command"]
    direct = made().step(inputs(joint_state([0.1, -0.2]), odometries=(odometry(),)), 10)["command"]
    assert np.array_equal(found.velocities, direct.velocities)


def test_joints_are_put_in_the_order_of_the_command(made):
    given = joint_state([0.7, -0.2, 0.1], [0.0, 0.4, 0.3], names=("other", "b", "a"))
    found = made().step(inputs(given, odometries=(odometry(),)), 10)["command"]
    direct = made().step(inputs(joint_state([0.1, -0.2], [0.3, 0.4]), odometries=(odometry(),)), 10)[
        "command"
    ]
    assert np.array_equal(found.velocities, direct.velocities)


def test_nothing_is_commanded_before_the_joints_are_known(made):
    policy = made()
    assert policy.step(inputs(odometries=(odometry(),)), 10) == {}
    assert policy.step(inputs(joint_state([0.0], [0.0], names=("a",)), odometries=(odometry(),)), 20) == {}
    assert policy.rejections == {"odometry: no joint state yet": 2, "joint_states: joints ('a',)": 1}


def test_a_reset_forgets_the_joints(made):
    policy = made()
    policy.step(inputs(joint_state([0.0, 0.0])), 10)
    policy.reset()
    assert policy.step(inputs(odometries=(odometry(),)), 20) == {}


def test_an_output_that_is_not_finite_is_counted_and_not_commanded(made):
    weights = WEIGHTS.copy()
    weights[0, 1] = np.inf
    policy = made(weights)
    assert policy.step(inputs(joint_state([0.1, 0.0]), odometries=(odometry(),)), 10) == {}
    assert policy.rejections == {"command: network output not finite": 1}


def test_an_artifact_of_another_observation_is_refused(made):
    with pytest.raises(ArtifactError) as refused:
        made(joints=("a", "b", "c"))
    message = str(refused.value)
    assert message.startswith("policy: policy-")
    assert "reads [('joint_position', 2), ('joint_velocity', 2)," in message
    assert "this flow gives [('joint_position', 3), ('joint_velocity', 3)," in message
    assert message.endswith("Train it for this flow.")
    with pytest.raises(ArtifactError, match="reads"):
        made(observation=OBSERVATION[::-1])


def test_a_joint_that_is_named_twice_is_refused(made):
    with pytest.raises(ValueRefusedError, match="policy: parameter joints names a joint twice"):
        made(joints=("a", "a"))


def test_a_policy_needs_an_artifact():
    with pytest.raises(ArtifactError, match="policy: needs a trained artifact"):
        Policy({"joints": list(JOINTS)}, {}, None)


def test_an_estimate_beyond_all_float32_gives_no_command(made):
    policy = made(np.diag(np.ones(11, dtype=np.float32))[:, 4:6] * np.float32(np.nan))
    far = odometry(position=(1e300, 0.0, 0.0))
    assert policy.step(inputs(joint_state([0.0, 0.0]), odometries=(far,)), 10) == {}
    assert policy.rejections == {"command: network output not finite": 1}
