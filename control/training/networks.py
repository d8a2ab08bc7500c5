"""The torch networks of perception and estimation; each normalises its own inputs, so that ONNX carries all of it."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

__all__ = ["HEAT_CHANNELS", "FilterCell", "HeatMapNetwork"]

HEAT_CHANNELS = 16
"""Width of the heat map network: 1.5 ms per 128 x 80 image on one core."""


_GATE_M, _GATE_SIGMA = 0.07, 4.0
"""A detection farther from the prediction than 7 cm and four standard deviations is of something else."""

_TRUST, _LONGEST_TRUST_S = 0.5, 0.6
"""Without a fitting detection a track is trusted for half as long as it has lasted: one wrong detection at
the start of a throw is soon given up, a ball that is hidden for half a second is waited for."""


_CHANNELS: Mapping[str, tuple[float, ...]] = {
    "color_depth": (1.0, 1.0, 1.0, 1.0, 1.0),
    "color": (1.0, 1.0, 1.0, 0.0, 0.0),
    "depth": (0.0, 0.0, 0.0, 1.0, 1.0),
}
"""What a network looks at of red, green, blue, depth, and whether depth was measured."""


class HeatMapNetwork(nn.Module):
    """Colour and depth, or one of them, to the logits of 'this pixel shows the ball'.

    Five convolutions at half resolution, two of them dilated so that a look-alike's size is in the field
    of view of each pixel, then a pixel shuffle (Shi et al., CVPR 2016) back to full resolution.

    Shape: color (B, H, W, 3) uint8 and depth (B, H, W) float32 in m to (B, H, W).

    Args:
        sees: `color_depth`, `color` or `depth`. The exported graph has both inputs in any case, so that it takes the
            place of any other; what it does not look at is zero to it.
        channels: Width.
    """

    looks_at: Tensor

    def __init__(self, sees: str = "color_depth", channels: int = HEAT_CHANNELS) -> None:
        super().__init__()
        looks_at = torch.tensor(_CHANNELS[sees])[None, :, None, None]
        self.register_buffer("looks_at", looks_at, persistent=False)
        self.layers = nn.Sequential(
            nn.Conv2d(5, channels, 5, stride=2, padding=2),
            nn.ELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ELU(),
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2),
            nn.ELU(),
            nn.Conv2d(channels, channels, 3, padding=4, dilation=4),
            nn.ELU(),
            nn.Conv2d(channels, 4, 3, padding=1),
            nn.PixelShuffle(2),
        )
        # Nearly every pixel is background: starting there saves the first epochs.
        last = cast(nn.Conv2d, self.layers[-2])
        nn.init.constant_(cast(Tensor, last.bias), -3.0)

    def forward(self, color: Tensor, depth: Tensor) -> Tensor:
        """Logits per pixel."""
        rgb = color.permute(0, 3, 1, 2).to(torch.float32) / 64.0 - 2.0
        far = torch.nan_to_num(depth[:, None], nan=0.0).clamp(0.0, 6.0)
        is_measured = (far > 0.0).to(torch.float32)
        seen = torch.cat([rgb, far - 2.0, is_measured], dim=1) * self.looks_at
        return cast(Tensor, self.layers(seen)[:, 0])


class FilterCell(nn.Module):
    """One step of a recurrent filter: it predicts, compares, and corrects by learned gains.

    The form is a Kalman filter's, with the gain (and what acceleration to expect) given by a recurrent
    network, after Revach et al., KalmanNet, IEEE Trans. Signal Processing 70, 2022. A detection too far from
    what was predicted, by the filter's own standard deviation, is not of the ball and is left out (gating, Bar-Shalom,
    Li, Kirubarajan, Estimation with applications to tracking and navigation, 2001). When all are left out
    for longer than the track deserves, it was the track that was wrong, and it starts anew.

    State, shape (B, 12 + hidden): 1 once something was seen, seconds since then, seconds that the track has
    lasted, position (3), velocity (3), standard deviation of the position (3), hidden state. Measurement,
    shape (B, 8): see `modules.estimation.measurement_row`. Estimate, shape (B, 13): is_known, position (3, m),
    velocity (3, m/s), standard deviations of both (6).
    """

    def __init__(self, step_s: float, hidden: int = 64) -> None:
        super().__init__()
        self.step_s = step_s
        self.hidden = hidden
        self.acceleration = nn.Sequential(nn.Linear(hidden + 6, 32), nn.Tanh(), nn.Linear(32, 3))
        self.memory = nn.GRUCell(26, hidden)
        self.correction = nn.Linear(hidden, 12)
        self.spread = nn.Linear(hidden, 6)

    @property
    def state_size(self) -> int:
        """Length of the explicit state."""
        return 12 + self.hidden

    def forward(self, state: Tensor, measurement: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and the estimate for now."""
        started, since, lasted, position, velocity, sigma, hidden = torch.split(
            state, [1, 1, 1, 3, 3, 3, self.hidden], dim=1
        )
        has, age, seen, log_sigma = torch.split(measurement, [1, 1, 3, 3], dim=1)
        step = self.step_s

        motion = torch.cat([hidden, position, velocity / 3.0], dim=1)
        acceleration = 10.0 * self.acceleration(motion) * started
        position = position + velocity * step + 0.5 * acceleration * step**2
        velocity = velocity + acceleration * step
        then = position - velocity * age + 0.5 * acceleration * age**2

        distance = (seen - then).detach().square().sum(dim=1, keepdim=True).sqrt()
        gate = _GATE_M + _GATE_SIGMA * sigma.detach().square().mean(dim=1, keepdim=True).sqrt()
        trusted_s = (_TRUST * lasted).clamp(max=_LONGEST_TRUST_S)
        is_far = (distance > gate).float() * started
        is_lost = is_far * (since + step > trusted_s).float()
        is_first = has * torch.maximum(1.0 - started, is_lost)
        is_left_out = has * is_far * (1.0 - is_lost)
        has = has - is_left_out

        position = is_first * seen + (1.0 - is_first) * position
        velocity = (1.0 - is_first) * velocity
        innovation = has * (1.0 - is_first) * (seen - then)
        started = torch.maximum(started, has)
        since = (since + step) * (1.0 - has) * started
        lasted = (lasted + step) * (1.0 - is_first) * started

        features = torch.cat(
            [
                torch.tanh(innovation / 0.05),
                torch.tanh(innovation / 0.5),
                position,
                velocity / 3.0,
                seen * has,
                log_sigma * has,
                has,
                is_first,
                is_left_out,
                started,
                age * has * 20.0,
                since * 5.0,
                acceleration[:, :2] / 10.0,
            ],
            dim=1,
        )
        hidden = self.memory(features, hidden)
        gain = self.correction(hidden)
        position_gain, velocity_gain, position_shift, velocity_shift = torch.split(gain, 3, dim=1)
        position = position + torch.sigmoid(position_gain) * innovation + 0.01 * position_shift * started
        velocity = (
            velocity + 20.0 * torch.sigmoid(velocity_gain) * innovation + 0.1 * velocity_shift * started
        )
        # An estimator that is sure to a tenth of a millimetre, or lost by a kilometre, is of no use to anyone.
        spread = torch.exp(self.spread(hidden).clamp(-4.0, 6.0) - 3.0)

        known = torch.cat([started, position, velocity, spread], dim=1)
        state = torch.cat([started, since, lasted, position, velocity, spread[:, :3], hidden], dim=1)
        return state, known
