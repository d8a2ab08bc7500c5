import numpy as np
import pytest

from reflexarc.control.training.dataset import labelled_images, record_detections
from reflexarc.envs.camera import CameraChange
from reflexarc.envs.sensors import FRAMES

TASK = "reflexarc/ArmTrack-v0"


def test_images_are_labelled_where_the_ball_is_and_the_same_for_the_same_seed():
    images = labelled_images(TASK, CameraChange(), 40, 3, lambda *_: None)
    assert images.color.shape == (40, 128, 80, 3)
    u = images.center[:, 0] / images.center[:, 2] * 64 + 39.5
    v = images.center[:, 1] / images.center[:, 2] * 64 + 63.5
    checked = 0
    for index in range(40):
        rows, columns = np.nonzero(images.mask[index])
        if len(rows) >= 8:
            checked += 1
            assert abs(columns.mean() - u[index]) < 1.5
            assert abs(rows.mean() - v[index]) < 1.5
    assert checked > 25
    again = labelled_images(TASK, CameraChange(), 40, 3, lambda *_: None)
    for one, other in zip(images, again, strict=True):
        assert np.array_equal(one, other)


class Spotless:
    """A detector that sees nothing but counts what it is shown."""

    def __init__(self):
        self.frames = 0

    def __call__(self, color, depth, intrinsics):
        self.frames += len(color)
        return np.full((len(color), 3), 0.5), np.tile(0.01**2 * np.eye(3), (len(color), 1, 1))


@pytest.mark.parametrize("task_id", [TASK, "reflexarc/ArmCatch-v0"])
def test_episodes_are_recorded_tick_by_tick_and_frame_by_frame(task_id):
    detector = Spotless()
    recording = record_detections(task_id, CameraChange(), [detector], 6, 20, 0, lambda *_: None)
    assert recording.seen.shape == (6, 20, 3)
    assert recording.is_valid.all()
    assert detector.frames == 6 * 20 // FRAMES.every_ticks
    seen = np.isfinite(recording.seen[..., 0])
    assert (seen.sum(axis=1) == 10).all()
    assert np.allclose(recording.sigma[seen], 0.01)
    # What is recorded as true moves as its velocity says (the throw falls by 1 mm in a tick, too).
    moved = np.diff(recording.position, axis=1)
    assert np.abs(moved - 0.01 * recording.velocity[:, :-1]).max() < 2e-3


def test_several_perceptions_share_the_episodes():
    first, second = Spotless(), Spotless()
    recording = record_detections(TASK, CameraChange(), [first, second], 6, 20, 0, lambda *_: None)
    assert first.frames == second.frames == 3 * 20 // FRAMES.every_ticks
    assert (np.isfinite(recording.seen[..., 0]).sum(axis=1) == 10).all()
