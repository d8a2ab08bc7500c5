"""Someone has moved the camera: it hangs 15 cm and 10 degrees elsewhere, and its depth is twice as noisy.

The flow misses nearly every ball. Only perception is trained again; estimator and policy keep their digests,
since what perception now guarantees lies inside what they were trained under.

    python examples/moved_camera.py [--small] [--json FILE]
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from reflexarc.control.artifacts.store import SHIPPED_STORE, read_lock
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.frames import quaternion_from_matrix
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.control.training.paired import run_episodes
from reflexarc.control.training.plan import train_flow
from reflexarc.control.training.retrain import Retraining, plan_retraining, retrain
from reflexarc.envs.camera import CameraChange
from reflexarc.envs.twin import nominal_camera_pose

MOVED = CameraChange(shift_m=(0.10, 0.10, 0.05), turn_rad=(0.0, 0.1234, -0.1234), depth_noise=2.0)
"""0.15 m forward, to the left and up, and 0.1745 rad down and to the right, so that it still looks at where the balls
come through. Turned to the left instead it does not see 4 % of the throws in their second half, and what is not seen
no training brings back."""

SMALL = {
    "perception": {"images": 1500, "epochs": 3},
    "estimation": {"episodes": 40, "iterations": 50},
    "policy": {"steps": 100_000},
}
"""Sizes with which everything runs in two minutes, and nothing is trained well."""


def moved(flow: Flow, *, is_told: bool) -> Flow:
    """The flow with its camera moved; if it is told, perception knows the new pose."""
    parameters = {"camera": MOVED.model_dump(mode="json")}
    plant = flow.plant.model_copy(update={"parameters": parameters})
    modules = dict(flow.modules)
    if is_told:
        perception = modules["perception"]
        position, rotation = nominal_camera_pose(flow.plant.env, MOVED)
        pose = {
            **perception.parameters["camera_pose"],
            "position": position.tolist(),
            "orientation_xyzw": quaternion_from_matrix(rotation).tolist(),
        }
        parameters = {**perception.parameters, "camera_pose": pose}
        modules["perception"] = perception.model_copy(update={"parameters": parameters})
    return flow.model_copy(update={"plant": plant, "modules": modules})


def main() -> None:
    """Run the case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="short trainings, few episodes")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    flow = load_flow("arm_catch")
    seeds = evaluation_seeds(0, 8 if options.small else 200)
    settings = SMALL if options.small else {}
    with tempfile.TemporaryDirectory() as folder:
        store, logs = Path(folder) / "store", Path(folder) / "logs"
        shutil.copytree(SHIPPED_STORE, store)
        before = read_lock(store, flow.name)

        def catch_rate(what: str, under: Flow) -> float:
            scores = run_episodes(under, store, read_lock(store, flow.name), seeds)
            rate = float(np.mean([score["catch_rate"] for score in scores]))
            print(f"{what}: {100 * rate:.1f} % of {len(seeds)} balls caught", flush=True)
            return rate

        result: dict[str, object] = {"before": catch_rate("before", flow)}
        result["broken"] = catch_rate("camera moved, nobody told", moved(flow, is_told=False))
        told = moved(flow, is_told=True)
        result["recalibrated"] = catch_rate("new pose told, nothing trained", told)
        wanted = Retraining(
            settings=settings.get("perception", {}),
            episodes=20 if options.small else 400,
            force=options.small,
        )
        intent = plan_retraining(told, "perception", wanted, store)
        outcome = retrain(told, intent, wanted, store, logs, print, lambda done, total: None)
        print(f"perception: {'promoted' if outcome.is_promoted else 'not promoted'}: {outcome.reason}")
        result["after"] = catch_rate("perception trained again", told)
        after = read_lock(store, flow.name)
        result["unchanged"] = [name for name in before if after[name] == before[name]]
        result["violations"] = [str(violation) for violation in outcome.violations]

        # Perception is up to date now, so this trains the other two behind it.
        begin = time.monotonic()
        train_flow(told, None, 0, store, logs, settings)
        perception_s = outcome.seconds["training"]
        all_s = perception_s + time.monotonic() - begin
        result["all_three"] = catch_rate("all three trained again", told)
        result["seconds"] = {"perception": perception_s, "all_three": all_s}
        result["time_ratio"] = perception_s / all_s
    print(f"unchanged: {result['unchanged']}; time, as a ratio to training all: {result['time_ratio']:.2f}")
    if options.json:
        write_whole(options.json, json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
