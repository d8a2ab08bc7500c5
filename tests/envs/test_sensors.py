import numpy as np

from reflexarc.envs.sensors import FRAMES, JOINTS, frame_fate, measure_joints

SEEDS = np.arange(20000, dtype=np.uint64)


def test_frames_are_lost_and_late_as_declared():
    lost, delay_s = frame_fate(SEEDS, 4)
    assert abs(lost.mean() - FRAMES.loss) < 0.005
    assert delay_s.min() >= FRAMES.delay_s[0]
    assert delay_s.max() <= FRAMES.delay_s[1]


def test_joints_are_measured_with_noise_and_delay():
    position, velocity = np.zeros((20000, 6)), np.ones((20000, 6))
    measured, speed = measure_joints(position, velocity, np.full(20000, 0.005), SEEDS, 7)
    assert abs(measured.mean() + 0.005) < 1e-4
    assert abs(measured.std() - JOINTS.position_noise) < 2e-5
    assert abs(speed.mean() - 1.0) < 1e-3
    assert abs(speed.std() - JOINTS.velocity_noise) < 2e-4
