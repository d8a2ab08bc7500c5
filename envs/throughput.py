"""Throughput: control steps per second of an environment, beside the bare simulation and SB3's processes."""

import os
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import gymnasium
import numpy as np
from stable_baselines3.common.vec_env import SubprocVecEnv

from reflexarc.envs.batched import BatchedEnv
from reflexarc.envs.registry import task_class
from reflexarc.envs.task import SUBSTEPS

__all__ = ["measure"]

_ROUNDS = 40
"""The three take turns this often, so that what slows the machine down for a while slows all of them: their ratio
varies by 3 % from run to run, with five turns by 10 %."""


def measure(task_id: str, num_envs: int, seconds: float) -> dict[str, float]:
    """Medians of interleaved measurements, control steps per second.

    Args:
        task_id: Gymnasium id.
        num_envs: Simulations in the batch.
        seconds: How long to measure, all together.

    Returns:
        `bare_batch` (`mujoco.batch.Batch.step` alone, as many substeps), `batched` (`BatchedEnv`), and
        `subproc` (`SubprocVecEnv` of single environments, one per core).
    """
    cores = len(os.sched_getaffinity(0))
    rng = np.random.default_rng(0)
    batched = BatchedEnv(task_id, num_envs, seed=0)
    batched.reset()
    actions = rng.uniform(-0.3, 0.3, (num_envs, 6)).astype(np.float32)
    bare = task_class(task_id)(num_envs)
    bare.reset(np.arange(num_envs), np.arange(num_envs, dtype=np.uint64))
    processes = SubprocVecEnv([partial(_make, task_id)] * cores)
    try:
        processes.reset()
        few = actions[:cores]
        runs: dict[str, tuple[int, Callable[[], object]]] = {
            "bare_batch": (num_envs, lambda: bare.batch.step(nstep=SUBSTEPS)),
            "batched": (num_envs, lambda: batched.step(actions)),
            "subproc": (cores, lambda: processes.step(few)),
        }
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(_ROUNDS):
            for name, (count, step) in runs.items():
                rates[name].append(count * _steps_per_s(step, seconds / (_ROUNDS * len(runs))))
    finally:
        processes.close()
    return {name: median(values) for name, values in rates.items()}


def _make(task_id: str) -> gymnasium.Env[object, object]:
    import reflexarc.envs  # noqa: PLC0415 registers the ids, in a fresh process

    assert reflexarc.envs
    return gymnasium.make(task_id)


def _steps_per_s(step: Callable[[], object], seconds: float) -> float:
    step()
    count = 0
    begin = time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        step()
        count += 1
    return count / elapsed
