"""Paired: two artifacts of one module in closed loop on the same episodes, until it is clear which is better."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import numpy as np

from reflexarc.control.artifacts.store import load_pinned
from reflexarc.control.flow import Flow
from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.control.training.executors import end_with
from reflexarc.envs.twin import make_plant

__all__ = ["Comparison", "compare_in_closed_loop", "interval", "run_episodes", "score_of"]

_LOOKS = (20, 50, 100, 200, 400)
"""Episodes after which is looked whether it is decided."""

_CONFIDENCE = 0.95
_Z = 2.576
"""Normal quantile of 0.995, both sides: five looks share the 5 % of error (Bonferroni)."""

_MARGINS: Mapping[str, float] = {"catch_rate": 0.03, "tracking_rmse_m": 0.002}
"""How much worse still counts as not worse: a difference of nought can never be shown."""

_HIGHER_IS_BETTER: Mapping[str, bool] = {"catch_rate": True, "tracking_rmse_m": False}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What the paired episodes said.

    Args:
        figure: Name of the score.
        old: Per episode, with the old artifact.
        new: With the new one, same seeds.
        gain: Mean improvement, in the score's unit; positive where the new one is better.
        low: Lower end of its interval, at 95 % over all looks.
        high: Upper end.
        margin: By so much the new one may be worse.
        verdict: `not worse`, `worse`, or `undecided` after all episodes.
    """

    figure: str
    old: tuple[float, ...]
    new: tuple[float, ...]
    gain: float
    low: float
    high: float
    margin: float
    verdict: Literal["not worse", "worse", "undecided"]


def score_of(scores: Mapping[str, float]) -> str:
    """The score that episodes of a task are compared by."""
    return next(name for name in _MARGINS if name in scores)


def interval(gains: Sequence[float], *, is_share: bool) -> tuple[float, float, float]:
    """Mean of paired gains, and the ends of its interval.

    For outcomes of 0 and 1 the interval of Bonett and Price, Adjusted Wald confidence interval for a difference
    of binomial proportions based on paired data, J. Educ. Behav. Stat. 37(4), 2012: pairs that never
    differ leave it a width. Else the normal one.
    """
    values = np.asarray(gains, dtype=np.float64)
    count = len(values)
    if is_share:
        better, worse = ((values > 0).sum() + 1) / (count + 2), ((values < 0).sum() + 1) / (count + 2)
        middle = better - worse
        half = _Z * math.sqrt((better + worse - middle**2) / (count + 2))
        return float(values.mean()), float(middle - half), float(middle + half)
    half = _Z * float(values.std(ddof=1)) / math.sqrt(count)
    mean = float(values.mean())
    return mean, mean - half, mean + half


def compare_in_closed_loop(
    flow: Flow,
    store: Path,
    old: Mapping[str, str],
    new: Mapping[str, str],
    seed: int,
    episodes: int,
    on_progress: Callable[[int, int], None],
) -> Comparison:
    """Run the same episodes with both, side by side in two processes, until it is decided.

    Args:
        flow: The flow, as it is now.
        store: Folder of the artifacts.
        old: Digest per artifact name.
        new: The same, with one other.
        seed: Of the evaluation.
        episodes: At most so many.
        on_progress: Called with (pairs done, pairs at most).

    Raises:
        ReflexarcError: An artifact is not right; nothing has run then.
    """
    for digests in (old, new):
        for name, spec in flow.modules.items():
            if spec.artifact is not None:
                load_pinned(flow, name, store, digests)
    looks = sorted({min(look, episodes) for look in _LOOKS})
    seeds = evaluation_seeds(seed, episodes)
    scores: tuple[list[float], list[float]] = ([], [])
    figure = ""
    # Without the initializer they would stay behind when this process is killed.
    with ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=end_with, initargs=(os.getpid(),)
    ) as pool:
        done = 0
        for look in looks:
            part = seeds[done:look]
            running = [
                pool.submit(_run, flow.model_dump_json(), str(store), dict(digests), part)
                for digests in (old, new)
            ]
            for kept, future in zip(scores, running, strict=True):
                rows = future.result()
                figure = score_of(rows[0])
                kept += [row[figure] for row in rows]
            done = look
            on_progress(done, episodes)
            sign = 1.0 if _HIGHER_IS_BETTER[figure] else -1.0
            gains = [sign * (b - a) for a, b in zip(*scores, strict=True)]
            gain, low, high = interval(gains, is_share=figure == "catch_rate")
            margin = _MARGINS[figure]
            if low > -margin or high < 0:
                on_progress(episodes, episodes)
                break
    verdict: Literal["not worse", "worse", "undecided"]
    verdict = "not worse" if low > -margin else "worse" if high < 0 else "undecided"
    return Comparison(
        figure=figure,
        old=tuple(scores[0]),
        new=tuple(scores[1]),
        gain=gain,
        low=low,
        high=high,
        margin=margin,
        verdict=verdict,
    )


def run_episodes(
    flow: Flow, store: Path, lock: Mapping[str, str], seeds: Sequence[int]
) -> list[dict[str, float]]:
    """Score of each episode, with the artifacts of a lock, in this process.

    Args:
        flow: The flow.
        store: Folder of the artifacts.
        lock: Digest per artifact name.
        seeds: One per episode.

    Raises:
        ReflexarcError: An artifact or the plant is not right.
    """
    modules = {
        name: make_module(spec, load_pinned(flow, name, store, lock) if spec.artifact else None)
        for name, spec in flow.modules.items()
    }
    plant = make_plant(flow.plant.env, flow.plant.outputs, flow.plant.parameters)
    return [dict(episode.score) for episode in LocalRuntime(flow, modules, plant).run(seeds).episodes]


def _run(flow_json: str, store: str, lock: Mapping[str, str], seeds: Sequence[int]) -> list[dict[str, float]]:
    return run_episodes(Flow.model_validate_json(flow_json), Path(store), lock, seeds)
