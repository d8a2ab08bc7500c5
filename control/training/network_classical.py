"""A classical detector: orange things of the size that a ball has at their distance, by logistic regression."""

import math
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["ClassicalHeatMap"]

_HUE_DEG, _HUE_WIDTH_DEG = 20.0, 20.0
"""Orange, and how far from it a hue still counts."""

_LEAST_SATURATION = 0.4

_BOXES = ((1, 5), (3, 7), (5, 9), (7, 13), (9, 19))
"""Inner and outer side of a frame around a pixel, px: a ball fills the inner square, and nothing of the rest."""

_FARTHEST_M = 6.0
_CONTRAST_M = 0.3


class ClassicalHeatMap(nn.Module):
    """Colour and depth to the logits of 'this pixel shows the ball', by features that were thought of, not learned.

    Orange is a range of hues (Smith, Color gamut transform pairs, SIGGRAPH 1978). How many pixels wide a ball is
    follows from its distance, so of five frames around each pixel the one of that size is looked at: its inside is
    to be orange, its border not, and farther away. Seven numbers per pixel, weighed by logistic regression, are all
    that is learned.

    Shape: as `HeatMapNetwork`.

    Args:
        focal_px: Focal length of the camera.
        ball_radius_m: Of what is looked for.
    """

    def __init__(self, focal_px: float, ball_radius_m: float) -> None:
        super().__init__()
        self.width_px = 2.0 * focal_px * ball_radius_m
        self.weigh = nn.Conv2d(7, 1, 1)
        nn.init.constant_(cast(Tensor, self.weigh.bias), -3.0)

    def forward(self, color: Tensor, depth: Tensor) -> Tensor:
        """Logits per pixel."""
        orange = _orangeness(color.permute(0, 3, 1, 2).to(torch.float32) / 255.0)
        far = torch.nan_to_num(depth[:, None], nan=0.0)
        far = torch.where(far > 0.0, far.clamp(0.3, _FARTHEST_M), torch.full_like(far, _FARTHEST_M))
        log_width = torch.log(self.width_px / far)
        closeness = torch.cat(
            [-((log_width - math.log(inner)) / 0.25).square() for inner, _ in _BOXES], dim=1
        )
        chosen = torch.softmax(closeness, dim=1)
        inside, border, behind = [], [], []
        for inner, outer in _BOXES:
            share = (outer / inner) ** 2
            within = _mean(orange, inner)
            inside.append(within)
            border.append((share * _mean(orange, outer) - within) / (share - 1.0))
            behind.append((share * _mean(far, outer) - _mean(far, inner)) / (share - 1.0))
        within, around, beyond = (
            (torch.cat(maps, dim=1) * chosen).sum(dim=1, keepdim=True) for maps in (inside, border, behind)
        )
        contrast = (beyond - far).clamp(-_CONTRAST_M, _CONTRAST_M) / _CONTRAST_M
        features = [
            orange,
            within,
            around,
            contrast,
            orange * within,
            orange * within * (1.0 - around),
            orange * within * (1.0 - around) * contrast,
        ]
        return cast(Tensor, self.weigh(4.0 * torch.cat(features, dim=1))[:, 0])


def _orangeness(rgb: Tensor) -> Tensor:
    """1 for a strong orange, 0 for grey and for other hues. Shape (B, 3, H, W) to (B, 1, H, W)."""
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    chroma = red - blue
    # In the sector from red to yellow, where red is the greatest and blue the least, the hue is this.
    hue_deg = 60.0 * (green - blue) / chroma.clamp(min=1e-3)
    is_sector = ((red >= green) & (green >= blue)).to(torch.float32)
    saturation = chroma / red.clamp(min=1e-3)
    fits = (1.0 - ((hue_deg - _HUE_DEG) / _HUE_WIDTH_DEG).square()).clamp(0.0, 1.0)
    return is_sector * fits * ((saturation - _LEAST_SATURATION) / (1.0 - _LEAST_SATURATION)).clamp(0.0, 1.0)


def _mean(image: Tensor, side: int) -> Tensor:
    """Mean over a square around each pixel."""
    if side == 1:
        return image
    return torch.nn.functional.avg_pool2d(image, side, stride=1, padding=side // 2, count_include_pad=False)
