"""A loop closed: an approach that never saw a region departs there, and learns from what the others agreed on.

    python examples/close_the_loop.py [--episodes 150] [--json FILE]

Of the three perceptions of `arm_catch_3x3` the first is trained without any ball farther away than 1.5 m, where
each throw begins. The flow is run with `--usecases`; what the other two agreed on goes into `retrain --data`, for this
approach alone. How often it departs from the others, in the region and outside of it, is measured before and after, on
throws that are neither trained nor collected. Takes some 20 min.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from reflexarc.control.artifacts.store import SHIPPED_STORE, read_lock, resolve_artifacts
from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole
from reflexarc.control.flow_file import load_flow
from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.local import LocalRuntime
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules import make_module
from reflexarc.control.modules.perception import camera_pose
from reflexarc.control.modules.voter import Voter
from reflexarc.control.redundancy.voter import Verdict
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.envs.twin import make_plant

FLOW = "arm_catch_3x3"
JOB, APPROACH = "perception", "color_depth"
MODULE = f"{JOB}_{APPROACH}"
FARTHEST_M = 1.5
COLLECTED, MEASURED = 11, 12
"""Seeds of the throws that use cases are collected from, and of those that dissent is measured on."""


class Watched(Module):
    """A voter, and all that it has decided."""

    def __init__(self, voter: Voter) -> None:
        self._voter = voter
        self.verdicts: list[Verdict] = []

    def reset(self) -> None:
        """As the voter."""
        self._voter.reset()

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """As the voter."""
        outputs = self._voter.step(inputs, now_ns)
        if outputs and self._voter.verdict is not None:
            self.verdicts.append(self._voter.verdict)
        return outputs


def dissent(store: Path, episodes: int) -> dict[str, float]:
    """Share of the frames that two others agree on in which the approach departs, by where the ball is."""
    flow = load_flow(FLOW)
    artifacts = resolve_artifacts(flow, store)
    modules = {name: make_module(spec, artifacts.get(name)) for name, spec in flow.modules.items()}
    voter = modules[JOB]
    assert isinstance(voter, Voter)
    watched = Watched(voter)
    plant = make_plant(flow.plant.env, flow.plant.outputs, flow.plant.parameters)
    result = LocalRuntime(flow, {**modules, JOB: watched}, plant).run(evaluation_seeds(MEASURED, episodes))
    pose = camera_pose(flow.modules[MODULE].parameters)
    axis = matrix_from_quaternion(np.array(pose.orientation_xyzw))[:, 2]
    is_far, departs = [], []
    for verdict in watched.verdicts:
        if verdict.output is not None and verdict.output.is_known:
            is_far.append(float(axis @ (verdict.output.mean - np.array(pose.position))) > FARTHEST_M)
            departs.append(any(departure.member.approach == APPROACH for departure in verdict.use_cases))
    far, departing = np.array(is_far), np.array(departs)
    return {
        "far": float(departing[far].mean()),
        "near": float(departing[~far].mean()),
        "frames_far": int(far.sum()),
        "frames_near": int((~far).sum()),
        "catch_rate": float(np.mean([episode.score["catch_rate"] for episode in result.episodes])),
    }


def reflexarc(*arguments: str) -> str:
    """Run a verb, and show what it says."""
    print(f"$ reflexarc {' '.join(arguments)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "reflexarc.control.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{done.stdout}{done.stderr}")
    return done.stdout


def close(episodes: int, folder: Path) -> dict[str, Any]:
    """All of it; the figures."""
    store, usecases = folder / "artifacts", folder / "usecases"
    shutil.copytree(SHIPPED_STORE, store)
    common = ("--flow", FLOW, "--store", str(store))
    logs = ("--logs", str(folder / "runs"))
    shipped = dissent(store, episodes)
    reflexarc("train", *common, *logs, "--module", MODULE, "--set", f"{MODULE}.farthest_m={FARTHEST_M}")
    before = dissent(store, episodes)
    print(f"departs in {100 * before['far']:.1f} % of the frames of the region", flush=True)
    neighbours = read_lock(store, FLOW)
    seed = ("--seed", str(COLLECTED))
    reflexarc("eval", *common, "--episodes", str(episodes), *seed, "--usecases", str(usecases))
    print(reflexarc("usecases", str(usecases)), flush=True)
    print(reflexarc("retrain", MODULE, *common, *logs, "--data", str(usecases)), flush=True)
    after = dissent(store, episodes)
    changed = [name for name, digest in read_lock(store, FLOW).items() if neighbours[name] != digest]
    return {
        "shipped": shipped,
        "before": before,
        "after": after,
        "fall": 1.0 - after["far"] / before["far"],
        "changed": changed,
    }


def main() -> None:
    """Do it, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--episodes", type=int, default=150)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    with tempfile.TemporaryDirectory(prefix="close-the-loop-") as folder:
        figures = close(arguments.episodes, Path(folder))
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json is not None:
        write_whole(arguments.json, text + "\n")


if __name__ == "__main__":
    main()
