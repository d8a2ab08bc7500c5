import numpy as np
import torch
from gymnasium import spaces

from reflexarc.control.flow_file import load_flow
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.training.policy_network import InterceptFeatures, PolicyNetwork

TABLE = DenavitHartenberg.model_validate(load_flow("arm_catch").modules["policy"].parameters["kinematics"])
FEATURES = InterceptFeatures(spaces.Box(-1.0, 1.0, (19,)), TABLE)


def test_the_tool_is_where_the_kinematics_put_it():
    joints = np.random.default_rng(0).uniform(-3, 3, (20, 6))
    position, normal = FEATURES.tool(torch.from_numpy(joints))
    expected = np.stack([TABLE.tool_position(row) for row in joints])
    assert np.allclose(position.numpy(), expected, atol=1e-6)
    farther = TABLE.model_copy(update={"tool_m": (0.0, 0.0, TABLE.tool_m[2] + 1.0)})
    ahead = np.stack([farther.tool_position(row) for row in joints])
    assert np.allclose(normal.numpy(), ahead - expected, atol=1e-6)


def test_an_unknown_ball_has_no_arrival():
    observation = torch.zeros(2, 19)
    observation[1, 18] = 1.0
    features = FEATURES(observation)
    assert features.shape == (2, FEATURES.features_dim)
    assert not features[0, -12:].any()
    assert features[1, -12:].any()


def test_a_policy_runs_its_layers_in_order():
    network = PolicyNetwork(torch.nn.Linear(3, 3), torch.nn.ReLU())
    assert (network(torch.randn(5, 3)) >= 0).all()
