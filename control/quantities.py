"""Quantities: what of a value may be watched without knowing the truth, in training and on a robot alike."""

import numpy as np
import numpy.typing as npt

from reflexarc.control.values import FloatArray

__all__ = ["image_quantities", "position_quantities"]


def image_quantities(data: npt.NDArray[np.generic]) -> dict[str, FloatArray]:
    """What may be watched of B images, (B, H, W, 3) of colour or (B, H, W) of depth; each of shape (B,).

    `brightness` is the mean of all channels; `measured_share` the share of pixels with a return, and
    `depth_m` their mean.
    """
    values = data.reshape(len(data), -1)
    if data.ndim == 4:
        return {"brightness": values.mean(axis=1, dtype=np.float64)}
    depth = values.astype(np.float64)
    measured = np.isfinite(depth) & (depth > 0.0)
    count = measured.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = depth.sum(axis=1, where=measured) / np.where(count > 0, count, np.nan)
    return {"measured_share": count / depth.shape[1], "depth_m": mean}


def position_quantities(
    position: FloatArray, sigma: FloatArray, velocity: FloatArray | None = None
) -> dict[str, FloatArray]:
    """What may be watched of B positions with their standard deviations, each (B, 3); NaN for unknown ones."""
    quantities = {
        "x_m": position[:, 0],
        "y_m": position[:, 1],
        "z_m": position[:, 2],
        "sigma_m": np.where(np.isfinite(position[:, 0]), np.sqrt((sigma**2).sum(axis=1)), np.nan),
    }
    if velocity is not None:
        quantities["speed_m_s"] = np.linalg.norm(velocity, axis=1)
    return quantities
