from functools import cache

import numpy as np
import pytest

from reflexarc.control.artifacts.artifact import Manifest, write_artifact
from reflexarc.control.flow_file import load_flow
from reflexarc.control.modules.perception import camera_pose
from reflexarc.control.training.export import export_network
from reflexarc.control.training.networks import FilterCell
from reflexarc.control.training.recording import Delivery
from reflexarc.control.training.upstream import FrozenEstimator
from reflexarc.envs.registry import task_class
from reflexarc.envs.task import BallTruth

torch = pytest.importorskip("torch")
FLOW = load_flow("arm_catch")
MOUNT = task_class("reflexarc/ArmCatch-v0").own_mount
DELIVERY = Delivery(
    delay_s=(0.015, 0.040), loss=0.0, latency_ticks=1, extra_tick=0.0, step_s=0.01, frame_ticks=2
)
MODEL = {
    "across": [np.log(0.005), 0.0],
    "along": [np.log(0.005), 0.0],
    "missed_depth_edges_m": [1.0],
    "missed_share": [0.0, 0.0],
    "wrong_share": 0.0,
}
COUNT = 16


@cache
def exported(hidden):
    """An untrained estimator, exported once for all tests, and the size of its state."""
    torch.manual_seed(hidden)
    cell = FilterCell(0.01, hidden)
    example = {"state": torch.zeros(1, cell.state_size), "measurement": torch.zeros(1, 8)}
    return export_network(cell, example, ["next_state", "estimate"]), cell.state_size


def written(folder, hidden):
    """The artifact of an untrained estimator."""
    files, state_size = exported(hidden)
    manifest = Manifest(
        module="estimation",
        kind="estimation",
        flow="arm_catch",
        trainer="sequence",
        ports={},
        constants={"state_size": state_size},
        code_digest="",
        environment_digest="",
        config_digest="",
        upstream={},
        seed=0,
        libraries={},
    )
    return write_artifact(folder, manifest, files)


@pytest.fixture
def estimator(tmp_path):
    def make(others=(), hidden=(16,), **changes):
        artifacts = [written(tmp_path, size) for size in hidden]
        camera = camera_pose(FLOW.modules["perception"].parameters)
        models = [{**MODEL, **changes}, *others]
        return FrozenEstimator(artifacts, models, camera, MOUNT.half_view, DELIVERY, COUNT, 0)

    return make


def truth(step, position=(0.8, 0.0, 0.7), *, hidden=False):
    return BallTruth(
        np.tile(position, (COUNT, 1)),
        np.zeros((COUNT, 3)),
        np.tile(MOUNT.position, (COUNT, 1)),
        np.tile(MOUNT.rotation, (COUNT, 1, 1)),
        np.full(COUNT, hidden),
        np.full(COUNT, step),
    )


def run(made, steps, **where):
    for step in range(steps):
        estimate = made.update(truth(step, **where))
    return estimate


def test_a_ball_in_view_is_known_once_the_first_frame_is_through(estimator):
    made = estimator()
    assert not run(made, 3)[2].any()
    position, _, known = run(made, 8)
    assert known.all()
    assert np.abs(position - (0.8, 0.0, 0.7)).max() < 0.2  # an untrained filter, begun at the first detection


@pytest.mark.parametrize(
    "where", [{"hidden": True}, {"position": (-3.0, 0.0, 1.0)}, {"position": (0.5, 5.0, 0.5)}]
)
def test_what_cannot_be_seen_is_not_known(estimator, where):
    assert not run(estimator(), 30, **where)[2].any()


def test_what_is_always_missed_is_not_known(estimator):
    assert not run(estimator(missed_share=[1.0, 1.0]), 30)[2].any()


def test_a_wrong_detection_is_elsewhere(estimator):
    position, _, known = run(estimator(wrong_share=1.0), 12)
    assert known.all()
    assert np.linalg.norm(position - (0.8, 0.0, 0.7), axis=1).mean() > 0.3


def test_a_reset_forgets_some_simulations_only(estimator):
    made = estimator()
    run(made, 12)
    made.reset(np.array([0, 3]))
    known = made.update(truth(13))[2]
    assert not known[[0, 3]].any()
    assert known[[1, 2, 4]].all()


def test_of_several_perceptions_each_stands_before_every_nth_simulation(estimator):
    known = run(estimator([{**MODEL, "missed_share": [1.0, 1.0]}]), 12)[2]
    assert known[::2].all()
    assert not known[1::2].any()


def test_each_pair_of_perception_and_estimator_stands_before_a_part_of_the_simulations(estimator):
    blind = {**MODEL, "missed_share": [1.0, 1.0]}
    both = run(estimator([blind], hidden=(16, 8)), 12)
    assert both[2].tolist() == [True, False] * (COUNT // 2), "of two perceptions every second is blind"
    alone = [run(estimator([blind], hidden=(size,)), 12) for size in (16, 8)]
    for index in range(0, COUNT, 2):
        mine = alone[index // 2 % 2]
        assert np.array_equal(both[0][index], mine[0][index])
        assert not np.array_equal(both[0][index], alone[1 - index // 2 % 2][0][index])


def test_a_reset_reaches_the_state_of_every_estimator(estimator):
    made = estimator(hidden=(16, 8))
    run(made, 12)
    made.reset(np.arange(COUNT))
    assert not made.update(truth(13))[2].any()
