import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reflexarc.control.quantities import image_quantities, position_quantities

NO_RETURN = (0.0, -1.0, np.nan, np.inf, -np.inf)
DEPTHS = arrays(np.float32, (3, 4, 2), elements=st.floats(0.125, 8.0, width=32) | st.sampled_from(NO_RETURN))


@given(DEPTHS)
def test_depth_is_that_of_the_pixels_with_a_return(depth):
    found = image_quantities(depth)
    for image, share, mean in zip(depth, found["measured_share"], found["depth_m"], strict=True):
        measured = image[np.isfinite(image) & (image > 0)].astype(np.float64)
        assert share == pytest.approx(len(measured) / image.size)
        assert mean == pytest.approx(measured.mean() if len(measured) else np.nan, nan_ok=True)


@given(arrays(np.uint8, (2, 3, 4, 3)))
def test_brightness_is_the_mean_of_each_image(color):
    assert image_quantities(color)["brightness"] == pytest.approx([color[0].mean(), color[1].mean()])


def test_a_position_that_is_not_known_has_no_quantity():
    position, sigma = np.array([[1.0, 2.0, 3.0], [np.nan] * 3]), np.array([[3.0, 0.0, 4.0], [1.0] * 3])
    found = position_quantities(position, sigma, np.array([[0.0, 3.0, 4.0], [np.nan] * 3]))
    assert {name: values[0] for name, values in found.items()} == {
        "x_m": 1.0,
        "y_m": 2.0,
        "z_m": 3.0,
        "sigma_m": 5.0,
        "speed_m_s": 5.0,
    }
    assert all(np.isnan(values[1]) for values in found.values())
    assert "speed_m_s" not in position_quantities(position, sigma)
