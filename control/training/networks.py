"""The torch networks, each with the normalisation of its inputs inside, so that ONNX carries all of it."""

from typing import cast

import torch
from gymnasium import spaces
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

__all__ = ["HEAT_CHANNELS", "BallisticFeatures", "FilterCell", "HeatMapNetwork", "PolicyNetwork"]

HEAT_CHANNELS = 16
"""Width of the heat map network: 1.5 ms per 128 x 80 image on one core."""


_GRAVITY = -9.81
"""m/s^2, along z."""


class HeatMapNetwork(nn.Module):
    """Colour and depth to the logits of 'this pixel shows the ball'.

    Five convolutions at half resolution, two of them dilated so that a look-alike's size is in the field
    of view of each pixel, then a pixel shuffle (Shi et al., CVPR 2016) back to full resolution.

    Shape: color (B, H, W, 3) uint8 and depth (B, H, W) float32 in m to (B, H, W).
    """

    def __init__(self, channels: int = HEAT_CHANNELS) -> None:
        super().__init__()
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
        return cast(Tensor, self.layers(torch.cat([rgb, far - 2.0, is_measured], dim=1))[:, 0])


class FilterCell(nn.Module):
    """One step of a recurrent filter: it predicts, compares, and corrects by learned gains.

    The form is a Kalman filter's, with the gain (and what acceleration to expect) given by a recurrent
    network, after Revach et al., KalmanNet, IEEE Trans. Signal Processing 70, 2022.

    State, shape (B, 8 + hidden): 1 once something was seen, seconds since then, position (3), velocity (3),
    hidden state. Measurement, shape (B, 8): see `modules.estimation.measurement_row`. Estimate, shape
    (B, 13): is_known, position (3, m), velocity (3, m/s), standard deviations of both (6).
    """

    def __init__(self, step_s: float, hidden: int = 64) -> None:
        super().__init__()
        self.step_s = step_s
        self.hidden = hidden
        self.acceleration = nn.Sequential(nn.Linear(hidden + 6, 32), nn.Tanh(), nn.Linear(32, 3))
        self.memory = nn.GRUCell(25, hidden)
        self.correction = nn.Linear(hidden, 12)
        self.spread = nn.Linear(hidden, 6)

    @property
    def state_size(self) -> int:
        """Length of the explicit state."""
        return 8 + self.hidden

    def forward(self, state: Tensor, measurement: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and the estimate for now."""
        started, since, position, velocity, hidden = torch.split(state, [1, 1, 3, 3, self.hidden], dim=1)
        has, age, seen, log_sigma = torch.split(measurement, [1, 1, 3, 3], dim=1)
        step = self.step_s

        motion = torch.cat([hidden, position, velocity / 3.0], dim=1)
        acceleration = 10.0 * self.acceleration(motion) * started
        position = position + velocity * step + 0.5 * acceleration * step**2
        velocity = velocity + acceleration * step

        is_first = has * (1.0 - started)
        position = is_first * seen + (1.0 - is_first) * position
        then = position - velocity * age + 0.5 * acceleration * age**2
        innovation = has * (1.0 - is_first) * (seen - then)
        started = torch.maximum(started, has)
        since = (since + step) * (1.0 - has) * started

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
                started,
                age * 20.0,
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
        sigma = torch.exp(self.spread(hidden).clamp(-4.0, 6.0) - 3.0)

        known = torch.cat([started, position, velocity, sigma], dim=1)
        return torch.cat([started, since, position, velocity, hidden], dim=1), known


class BallisticFeatures(BaseFeaturesExtractor):
    """An observation, scaled, and where the ball would come through upright planes in front of the robot.

    A small network finds it hard to divide, and where a throw arrives is a quotient of what is observed.
    Source of the path: a throw without drag, p + v t + g t^2 / 2.

    Args:
        observation_space: Its last seven entries are ball position (3, m), velocity (3, m/s) and is_known.
        planes_m: Distances of the planes along x, base frame.
    """

    def __init__(self, observation_space: spaces.Box, planes_m: tuple[float, ...] = (0.4, 0.55, 0.7)) -> None:
        size = int(observation_space.shape[0])
        super().__init__(observation_space, size + 4 * len(planes_m))
        self.joints = (size - 7) // 2
        self.planes: Tensor
        self.register_buffer("planes", torch.tensor(planes_m))

    def forward(self, observation: Tensor) -> Tensor:
        """Shape (B, O) to (B, O + 4 P)."""
        n = self.joints
        joint_position, joint_velocity, position, velocity, known = torch.split(
            observation, [n, n, 3, 3, 1], dim=1
        )
        # Time until the plane: none for a ball that does not come nearer, and no farther than a second.
        speed = torch.clamp(-velocity[:, :1], min=0.3)
        time = torch.clamp((position[:, :1] - self.planes) / speed, min=0.0, max=1.0)
        y = position[:, 1:2] + velocity[:, 1:2] * time
        z = position[:, 2:3] + velocity[:, 2:3] * time + 0.5 * _GRAVITY * time**2
        rise = velocity[:, 2:3] + _GRAVITY * time
        arrival = torch.cat([2.0 * time, 2.0 * y, 2.0 * (z - 0.5), rise / 4.0], dim=1)
        plain = [joint_position, joint_velocity / 2.0, position - 0.5, velocity / 4.0]
        return torch.cat([*plain, known, arrival * known], dim=1)


class PolicyNetwork(nn.Module):
    """The mean action of a trained actor, as it runs: observation (B, O) to action (B, A)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, observation: Tensor) -> Tensor:
        """The action, before it is clipped to [-1, 1]."""
        return cast(Tensor, self.layers(observation))
