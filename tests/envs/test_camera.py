import numpy as np
import pytest

from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.envs import camera as camera_module
from reflexarc.envs.camera import (
    POSITION_TOLERANCE_M,
    ROTATION_TOLERANCE_RAD,
    GlCamera,
    RaycastCamera,
    add_noise,
    looking_at,
)
from reflexarc.envs.registry import TASKS, task_class

COUNT = 24
IDS = np.arange(COUNT)


@pytest.fixture(params=TASKS)
def task(request):
    made = task_class(request.param)(COUNT, nthread=1, has_camera=True)
    made.reset(IDS, np.arange(COUNT, dtype=np.uint64))
    for _ in range(30):
        made.advance(np.zeros((COUNT, 6)))
    return made


def ball_in_camera(task):
    truth = task.truth()
    return np.einsum("bji,bj->bi", truth.camera_rotation, truth.position - truth.camera_position)


def test_the_ball_is_where_the_true_camera_pose_says(task):
    frames = RaycastCamera().render(task.batch, task.look, IDS)
    center = ball_in_camera(task)
    expected = center[:, :2] / center[:, 2:] * 64.0 + (39.5, 63.5)
    seen = 0
    for index in IDS:
        rows, columns = np.nonzero(frames.geom[index] == task.ball_geom_id)
        if len(rows) < 4:
            continue
        seen += 1
        assert np.abs((columns.mean(), rows.mean()) - expected[index]).max() < 1.0
        depth = frames.depth[index][rows, columns]
        assert (np.abs(depth - center[index, 2]) < 0.04).all()
    assert seen >= COUNT // 2


def test_the_simulated_ball_is_where_the_truth_says_at_the_same_time(task):
    """A tick is 5 mm at 0.5 m/s, which a test in pixels would not see."""
    drawn = task.batch.bind("geom_xpos")[:, task.ball_geom_id]
    assert np.abs(drawn - task.ball_position()).max() < 1e-12


def test_the_true_pose_is_within_the_tolerance_of_the_nominal_one(task):
    mount = task.mount
    assert (np.linalg.norm(task.look.position - mount.position, axis=1) <= POSITION_TOLERANCE_M).all()
    turn = mount.rotation.T @ task.look.rotation
    angle = np.arccos(np.clip((np.trace(turn, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert (angle <= ROTATION_TOLERANCE_RAD + 1e-9).all()
    assert angle.max() > 0.5 * ROTATION_TOLERANCE_RAD


def test_a_part_of_the_batch_looks_the_same_as_all_of_it(task):
    everything = RaycastCamera().render(task.batch, task.look, IDS)
    part = RaycastCamera().render(task.batch, task.look, np.array([2, 5]))
    for whole, some in zip(everything, part, strict=True):
        assert np.array_equal(whole[[2, 5]], some)


def test_depth_noise_grows_with_the_square_of_distance(task):
    clean = RaycastCamera().render(task.batch, task.look, IDS)
    noisy = add_noise(clean, task.seeds, task.steps)
    difference = noisy.depth - clean.depth
    for low, high in ((0.5, 1.0), (2.0, 3.0), (3.0, 4.5)):
        chosen = (clean.depth > low) & (clean.depth < high)
        if chosen.sum() < 1000:
            continue
        assert (difference[chosen] / clean.depth[chosen] ** 2).std() == pytest.approx(0.004, rel=0.05)
    assert (noisy.depth[clean.depth == 0] == 0).all()


def test_episodes_look_different(task):
    frames = RaycastCamera().render(task.batch, task.look, IDS)
    assert len({image.tobytes() for image in frames.color}) == COUNT


def test_looking_at_has_forward_along_z_and_an_upright_image():
    mount = looking_at((1.0, 0.0, 1.0), (0.0, 0.0, 1.0))
    assert np.allclose(mount.rotation[:, 2], (-1.0, 0.0, 0.0))
    assert np.allclose(mount.rotation[:, 1], (0.0, 0.0, -1.0))
    assert np.linalg.det(mount.rotation) == pytest.approx(1.0)


@pytest.mark.gl
def test_both_backends_see_the_same_scene(task):
    raycast = RaycastCamera().render(task.batch, task.look, IDS[:4])
    drawn = GlCamera(task.model).render(task.batch, task.look, IDS[:4])
    same = raycast.geom == drawn.geom
    assert same.mean() > 0.97  # the rest are pixels at edges
    near = same & (raycast.depth > 0)
    assert np.median(np.abs(raycast.depth - drawn.depth)[near]) < 0.01


def test_without_gl_the_backend_says_what_to_do(task, monkeypatch):
    def no_context(*_args, **_kwargs):
        raise OSError("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(camera_module.mujoco, "Renderer", no_context)
    with pytest.raises(
        RuntimeUnavailableError, match=r"apt-get install libegl1 libgl1\), set MUJOCO_GL=egl, or use"
    ):
        GlCamera(task.model)
