import numpy as np
import pytest

from reflexarc.control.modules.perception import locate, measurement_sigma, read_blobs

INTRINSICS = np.array([[64.0, 0.0, 39.5], [0.0, 64.0, 63.5], [0.0, 0.0, 1.0]])
RADIUS = 0.035


def sphere(center):
    """Heat map and depth image of a sphere in front of a wall 3 m away, drawn ray by ray."""
    rows, columns = np.mgrid[0:128, 0:80]
    rays = np.stack([(columns - 39.5) / 64.0, (rows - 63.5) / 64.0, np.ones((128, 80))], axis=-1)
    unit = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    along = unit @ center
    inside = along**2 - center @ center + RADIUS**2
    hit = inside >= 0
    depth = np.where(hit, (along - np.sqrt(np.maximum(inside, 0))) * unit[..., 2], 3.0)
    return np.where(hit, 6.0, -8.0).astype(np.float32), depth.astype(np.float32)


@pytest.mark.parametrize(
    "center", [(0.0, 0.0, 0.8), (0.21, -0.33, 1.1), (-0.4, 0.5, 0.9), (0.05, 0.1, 2.2)], ids=str
)
def test_a_drawn_sphere_is_located(center):
    heat, depth = sphere(np.array(center))
    blobs = read_blobs(heat[None], depth[None])
    found = locate(blobs, INTRINSICS, RADIUS / np.sqrt(2))[0]
    assert np.linalg.norm(found - center) < 0.02 * center[2]


def test_the_background_does_not_mix_into_the_depth():
    heat, depth = sphere(np.array([0.0, 0.0, 1.0]))
    heat[60:70, 40:50] = np.maximum(heat[60:70, 40:50], -1.0)
    assert read_blobs(heat[None], depth[None]).depth[0] == pytest.approx(0.97, abs=0.01)


def test_depth_without_return_is_left_out():
    heat, depth = sphere(np.array([0.0, 0.0, 0.8]))
    depth[63, 38:41] = np.nan
    depth[62, 38:41] = 0.0
    assert read_blobs(heat[None], depth[None]).depth[0] == pytest.approx(0.775, abs=0.01)


def test_a_blob_at_the_edge_and_an_empty_image():
    heat = np.full((2, 128, 80), -8.0, dtype=np.float32)
    heat[0, 0, 0] = 5.0
    blobs = read_blobs(heat, np.ones((2, 128, 80), dtype=np.float32))
    assert np.array_equal(blobs.pixel[0], [0.0, 0.0])
    assert blobs.pixels.tolist() == [1.0, 0.0]
    assert np.isnan(blobs.depth[1])


def test_sigma_grows_with_distance_and_falls_with_pixels():
    heat_near, depth_near = sphere(np.array([0.0, 0.0, 0.7]))
    heat_far, depth_far = sphere(np.array([0.0, 0.0, 2.0]))
    blobs = read_blobs(np.stack([heat_near, heat_far]), np.stack([depth_near, depth_far]))
    coefficients = np.array([[-6.0, 1.0, -0.2, 0.0], [-6.0, 2.0, -0.5, 0.0]])
    sigma = measurement_sigma(blobs, coefficients)
    assert sigma.shape == (2, 2)
    assert (sigma[1] > sigma[0]).all()
