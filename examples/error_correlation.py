"""What redundancy is worth: how far the errors of parallel systems go together, on throws that nobody was trained on.

    python examples/error_correlation.py [--episodes 50] [--store FOLDER] [--json FILE]

It runs `arm_catch_3x3` in lock step and compares what each perception and each estimator says with where the ball
really is. Errors that two of them make together no voter can see. Replicas of one approach give the same bits here,
so they stand for each other: their correlation is 1, and they protect against faults of processes only.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole
from reflexarc.control.flow_file import load_flow
from reflexarc.control.local import LocalRuntime
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules import make_module
from reflexarc.control.redundancy.members import VOTER
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.control.values import FloatArray, Odometry, PoseWithCovariance
from reflexarc.envs.twin import make_plant

WRONG_M = 0.08
"""So far off an estimate is of no use: the ring has a radius of 4 cm."""


class Heard(Module):
    """A module, and what it says of each stamp."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self.said: dict[int, FloatArray] = {}

    def reset(self) -> None:
        """As the module."""
        self._module.reset()

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """As the module."""
        outputs = self._module.step(inputs, now_ns)
        for value in outputs.values():
            assert isinstance(value, PoseWithCovariance | Odometry)
            if value.is_known:
                self.said[value.stamp_ns] = value.position
        return outputs


def measure(flow_name: str, episodes: int, seed: int, store: Path) -> dict[str, Any]:
    """Errors of the members of every job, and how they go together.

    Args:
        flow_name: Name or path of the flow.
        episodes: How many.
        seed: Decides them.
        store: Folder of the artifacts.
    """
    flow = load_flow(flow_name)
    artifacts = resolve_artifacts(flow, store)
    modules = {name: make_module(spec, artifacts.get(name)) for name, spec in flow.modules.items()}
    jobs = {job: spec.inputs for job, spec in flow.modules.items() if spec.kind == VOTER}
    members = {source.node for inputs in jobs.values() for source in inputs.values()}
    heard = {name: Heard(modules[name]) for name in members}
    plant = make_plant(flow.plant.env, flow.plant.outputs, flow.plant.parameters)
    runtime = LocalRuntime(flow, {**modules, **heard}, plant)
    truth: dict[int, FloatArray] = {}
    episode_of: dict[int, int] = {}
    for number, episode in enumerate(evaluation_seeds(seed, episodes)):

        def look(now_ns: int, number: int = number) -> None:
            truth[now_ns] = plant.task.truth().position[0].copy()
            episode_of[now_ns] = number

        begin_ns = runtime.now_ns
        runtime.run_episode(episode, look)
        truth.pop(begin_ns, None)  # where the last episode ended this one begins, with another ball
    return {
        job: _job({port: heard[source.node].said for port, source in inputs.items()}, truth, episode_of)
        for job, inputs in jobs.items()
    }


def _job(
    said: Mapping[str, Mapping[int, FloatArray]],
    truth: Mapping[int, FloatArray],
    episode_of: Mapping[int, int],
) -> dict[str, Any]:
    errors = {
        port: {stamp: place - truth[stamp] for stamp, place in of.items() if stamp in truth}
        for port, of in said.items()
    }
    figures = {}
    for port, error in errors.items():
        distance = np.linalg.norm(list(error.values()), axis=1)
        figures[port] = {
            "stamps": len(distance),
            "median_m": float(np.median(distance)),
            "p99_m": float(np.percentile(distance, 99)),
            "wrong_share": float((distance > WRONG_M).mean()),
        }
    pairs = {}
    for one, other in combinations(errors, 2):
        stamps = sorted(errors[one].keys() & errors[other].keys())
        first, second = (np.array([errors[port][stamp] for stamp in stamps]) for port in (one, other))
        episodes = np.array([episode_of[stamp] for stamp in stamps])
        wrong = [np.linalg.norm(error, axis=1) > WRONG_M for error in (first, second)]
        pairs[f"{one}, {other}"] = {
            "within": one.rpartition("_")[0] == other.rpartition("_")[0],
            "correlation": correlation(first, second),
            "correlation_in_an_episode": correlation(*(_centered(e, episodes) for e in (first, second))),
            "wrong_together_share": float((wrong[0] & wrong[1]).mean()),
            "wrong_together_if_independent": float(wrong[0].mean() * wrong[1].mean()),
        }
    return {"members": figures, "pairs": pairs}


def correlation(first: FloatArray, second: FloatArray) -> float:
    """Pearson's, over stamps and axes together. Both of shape (N, 3)."""
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    size = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / size) if size > 0 else 1.0


def _centered(error: FloatArray, episodes: Any) -> FloatArray:
    """Errors without their mean over each episode, which is what the camera's pose is wrong by."""
    centered = error.copy()
    for episode in np.unique(episodes):
        centered[episodes == episode] -= error[episodes == episode].mean(axis=0)
    return centered


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", default="arm_catch_3x3")
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--store", type=Path, default=SHIPPED_STORE)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    found = measure(arguments.flow, arguments.episodes, arguments.seed, arguments.store)
    for job, figures in found.items():
        print(f"{job}:")
        for port, member in figures["members"].items():
            if port.endswith("_1"):
                print(
                    f"  {port.removesuffix('_1')}: median {100 * member['median_m']:.1f} cm, "
                    f"p99 {100 * member['p99_m']:.1f} cm, wrong {100 * member['wrong_share']:.1f} %"
                )
        kinds = defaultdict(list)
        for names, pair in figures["pairs"].items():
            one, other = names.split(", ")
            if pair["within"]:
                kinds["within an approach"].append(pair)
            elif one.endswith("_1") and other.endswith("_1"):
                kinds[f"{one.removesuffix('_1')} and {other.removesuffix('_1')}"].append(pair)
        for kind, pairs in kinds.items():
            pair = {key: np.mean([p[key] for p in pairs]) for key in pairs[0]}
            print(
                f"  {kind}: correlation {pair['correlation']:.2f}, "
                f"{pair['correlation_in_an_episode']:.2f} within an episode; wrong together "
                f"{100 * pair['wrong_together_share']:.2f} % (independent: "
                f"{100 * pair['wrong_together_if_independent']:.2f} %)"
            )
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
