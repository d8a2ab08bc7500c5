"""A Kalman filter whose noise, gravity and drag are learned: the classical approach to estimation."""

import math

import torch
from torch import Tensor, nn

__all__ = ["KalmanCell"]

_GATE = 16.3
"""Squared innovation in standard deviations beyond which a detection is of something else: the 0.999 quantile of
chi-squared with 3 degrees of freedom."""

_TRUST, _LONGEST_TRUST_S = 0.5, 0.6
"""Without a fitting detection a track is given up after half as long as it has lasted, at most after 0.6 s."""


class KalmanCell(nn.Module):
    """One step of a Kalman filter of a point that falls, with drag, and is pushed by white noise.

    The axes are independent: a 2 x 2 covariance each. A late detection is compared with where the point was then.
    What is learned are some twenty numbers with a meaning: gravity, drag, the noise of motion and of detections, and
    how fast a thing is when it is first seen.

    State, shape (B, 18): 1 once something was seen, seconds since then, seconds that the track has lasted, position
    (3), velocity (3), and per axis variance of the position, covariance of both, variance of the velocity (3 x 3).
    Measurement, shape (B, 8): see `modules.estimation.measurement_row`. Estimate, shape (B, 13): is_known, position
    (3, m), velocity (3, m/s), standard deviations of both (6).

    Source: Bar-Shalom, Li, Kirubarajan, Estimation with applications to tracking and navigation, 2001: sections
        6.2.2 (motion pushed by white noise) and 5.4.2 (gate).
    """

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s
        self.gravity = nn.Parameter(torch.zeros(3))
        self.log_drag = nn.Parameter(torch.tensor(math.log(0.02)))
        self.log_push = nn.Parameter(torch.zeros(3))
        self.log_noise_scale = nn.Parameter(torch.zeros(3))
        self.log_noise_floor = nn.Parameter(torch.full((3,), math.log(0.005)))
        self.first_velocity = nn.Parameter(torch.zeros(3))
        self.log_first_spread = nn.Parameter(torch.full((3,), math.log(2.0)))
        self.log_calibration = nn.Parameter(torch.zeros(6))

    @property
    def state_size(self) -> int:
        """Length of the explicit state."""
        return 18

    def forward(self, state: Tensor, measurement: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and the estimate for now."""
        started, since, lasted, position, velocity, pp, pv, vv = torch.split(
            state, [1, 1, 1, 3, 3, 3, 3, 3], dim=1
        )
        has, age, seen, log_sigma = torch.split(measurement, [1, 1, 3, 3], dim=1)
        step = self.step_s

        speed = (velocity.square().sum(dim=1, keepdim=True) + 1e-9).sqrt()
        acceleration = (10.0 * self.gravity - torch.exp(self.log_drag) * speed * velocity) * started
        push = torch.exp(self.log_push) * started
        position = position + velocity * step + 0.5 * acceleration * step**2
        velocity = velocity + acceleration * step
        pp = pp + 2 * step * pv + step**2 * vv + push * step**3 / 3
        pv = pv + step * vv + push * step**2 / 2
        vv = vv + push * step

        sigma = 0.01 * torch.exp(log_sigma)
        noise = (sigma * torch.exp(self.log_noise_scale)).square() + torch.exp(2 * self.log_noise_floor)
        innovation = seen - (position - velocity * age + 0.5 * acceleration * age**2)
        to_position, to_velocity = pp - age * pv, pv - age * vv
        spread = to_position - age * to_velocity + noise
        is_far = ((innovation.square() / spread).sum(dim=1, keepdim=True) > _GATE).float() * started
        trusted_s = (_TRUST * lasted).clamp(max=_LONGEST_TRUST_S)
        is_lost = is_far * (since + step > trusted_s).float()
        is_first = has * torch.maximum(1.0 - started, is_lost)
        used = has * (1.0 - is_first) * (1.0 - is_far)

        position = position + used * to_position / spread * innovation
        velocity = velocity + used * to_velocity / spread * innovation
        pp = pp - used * to_position.square() / spread
        pv = pv - used * to_position * to_velocity / spread
        vv = vv - used * to_velocity.square() / spread

        first_spread = torch.exp(2 * self.log_first_spread)
        first = 5.0 * self.first_velocity.expand_as(velocity)
        position = is_first * (seen + first * age) + (1.0 - is_first) * position
        velocity = is_first * first + (1.0 - is_first) * velocity
        pp = is_first * (noise + age**2 * first_spread) + (1.0 - is_first) * pp
        pv = is_first * age * first_spread + (1.0 - is_first) * pv
        vv = is_first * first_spread + (1.0 - is_first) * vv

        started = torch.maximum(started, has)
        since = (since + step) * (1.0 - torch.maximum(used, is_first)) * started
        lasted = (lasted + step) * (1.0 - is_first) * started
        deviation = torch.cat([pp, vv], dim=1).clamp(min=1e-8).sqrt() * torch.exp(self.log_calibration)
        estimate = torch.cat([started, position, velocity, deviation], dim=1)
        return torch.cat([started, since, lasted, position, velocity, pp, pv, vv], dim=1), estimate
