"""Attention over the last detections, then least squares: an approach to estimation without a recurrent state."""

import math

import torch
from torch import Tensor, nn

__all__ = ["AttentionCell"]

_KEPT = 24
"""Detections that are looked at: half a second at 50 Hz."""

_ROW = 8
"""Of a kept detection: whether there is one, its age in s, position (3), log of its standard deviation in cm (3)."""

_LONGEST_S = 0.6
"""Older than this a detection says nothing of where the ball is."""

_WIDTH = 32

_REWEIGHTED, _USUAL_M = 2, 0.08
"""How often the fit is repeated without what it does not fit, and how far off something may be to count."""


class AttentionCell(nn.Module):
    """Detections of the last half second, weighed by attention to each other, and a parabola through them.

    Each detection is a token; two layers of attention (Vaswani et al., NeurIPS 2017) let it be compared with all
    others, and end in its weight: what does not fit the rest gets none. Position and velocity are the weighted
    least squares of a fall with an acceleration that is read from the tokens as well; their covariance is scaled by
    what the tokens say. The fit is repeated with less weight on what is far off it (Holland, Welsch, Robust regression
    using iteratively reweighted least squares, Communications in Statistics 6(9), 1977).

    State, shape (B, 192): the last 24 detections, newest first. Measurement, shape (B, 8): see
    `modules.estimation.measurement_row`. Estimate, shape (B, 13): is_known, position (3, m), velocity (3, m/s),
    standard deviations of both (6).
    """

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s
        self.embed = nn.Linear(9, _WIDTH)
        self.layers = nn.ModuleList(_Layer() for _ in range(2))
        self.weight = nn.Linear(_WIDTH, 1)
        self.acceleration = nn.Linear(_WIDTH, 3)
        self.spread = nn.Linear(_WIDTH, 6)
        self.first_velocity = nn.Parameter(torch.zeros(3))
        self.log_first_spread = nn.Parameter(torch.full((3,), math.log(2.0)))
        nn.init.constant_(self.weight.bias, 2.0)

    @property
    def state_size(self) -> int:
        """Length of the explicit state."""
        return _KEPT * _ROW

    def forward(self, state: Tensor, measurement: Tensor) -> tuple[Tensor, Tensor]:
        """The next state and the estimate for now."""
        kept = state.reshape(-1, _KEPT, _ROW)
        age = kept[:, :, 1:2] + self.step_s
        has = kept[:, :, 0:1] * (age < _LONGEST_S).float()
        kept = torch.cat([has, age, kept[:, :, 2:]], dim=2) * has
        is_new = measurement[:, None, :1]
        shifted = torch.cat([measurement[:, None, :], kept[:, :-1]], dim=1)
        kept = is_new * shifted + (1.0 - is_new) * kept

        has, age, place, log_sigma = torch.split(kept, [1, 1, 3, 3], dim=2)
        count = has.sum(dim=1, keepdim=True).clamp(min=1.0)
        center = (place * has).sum(dim=1, keepdim=True) / count
        features = [
            has,
            2.0 * age,
            torch.tanh((place - center) / 0.5),
            log_sigma,
            (count / _KEPT).expand_as(has),
        ]
        tokens = self.embed(torch.cat(features, dim=2))
        blocked = -1e4 * (1.0 - has.transpose(1, 2))
        for layer in self.layers:
            tokens = layer(tokens, blocked)
        pooled = (tokens * has).sum(dim=1) / count[:, 0]

        acceleration = 10.0 * self.acceleration(pooled)[:, None]
        weight = has * torch.sigmoid(self.weight(tokens)) / (0.01 * torch.exp(log_sigma)).square()
        level = place - 0.5 * acceleration * age**2
        position, velocity, variance = self._fit(weight, age, level)
        for _ in range(_REWEIGHTED):
            residual = level - (position[:, None] - velocity[:, None] * age)
            off = residual.square().sum(dim=2, keepdim=True) / _USUAL_M**2
            position, velocity, variance = self._fit(weight / (1.0 + off).square(), age, level)
        deviation = variance.clamp(1e-8, 1e2).sqrt() * torch.exp(self.spread(pooled).clamp(-4.0, 4.0))

        known = has.amax(dim=1)
        estimate = torch.cat([known, position * known, velocity * known, deviation], dim=1)
        return kept.reshape(-1, _KEPT * _ROW), estimate

    def _fit(self, weight: Tensor, age: Tensor, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Position, velocity and their variances by weighted least squares."""
        # Normal equations of level = position - velocity * age, and of the velocity as it is before anything is seen.
        prior = torch.exp(-2 * self.log_first_spread)
        w, wa, waa = weight.sum(dim=1) + 1e-6, (weight * age).sum(dim=1), (weight * age**2).sum(dim=1) + prior
        wy = (weight * level).sum(dim=1)
        way = prior * 5.0 * self.first_velocity - (weight * age * level).sum(dim=1)
        determinant = (w * waa - wa.square()).clamp(min=1e-9)
        position = (waa * wy + wa * way) / determinant
        velocity = (wa * wy + w * way) / determinant
        return position, velocity, torch.cat([waa / determinant, w / determinant], dim=1)


class _Layer(nn.Module):
    """One head of attention and a small network per token, both added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(_WIDTH)
        self.looks = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.after = nn.LayerNorm(_WIDTH)
        self.think = nn.Sequential(nn.Linear(_WIDTH, 2 * _WIDTH), nn.ELU(), nn.Linear(2 * _WIDTH, _WIDTH))

    def forward(self, tokens: Tensor, blocked: Tensor) -> Tensor:
        """Tokens (B, K, W); `blocked` (B, 1, K) is added to how much each looks at the others."""
        query, key, value = self.looks(self.before(tokens)).chunk(3, dim=2)
        looks = torch.softmax(query @ key.transpose(1, 2) / math.sqrt(_WIDTH) + blocked, dim=2)
        tokens = tokens + looks @ value
        thought: Tensor = tokens + self.think(self.after(tokens))
        return thought
