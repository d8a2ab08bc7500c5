"""A training is killed with SIGKILL again and again, and ends with the same digests as one that was not disturbed.

python examples/kill_trainings.py [--kills 20] [--seed 0] [--json FILE]
"""

import argparse
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from reflexarc.control.artifacts.store import read_lock
from reflexarc.control.files import write_whole

FLOW = "arm_track"

SMALL = {
    "perception": {"images": 512, "epochs": 6},
    "estimation": {"episodes": 8, "ticks": 40, "iterations": 160, "batch": 8},
    "policy": {"steps": 12_000, "environments": 8, "rollout": 16, "batch": 64, "epochs": 1},
}
"""Sizes of two minutes in all, with several checkpoints each."""


def command(store: Path, settings: dict[str, dict[str, int]], modules: Sequence[str] = ()) -> list[str]:
    """What a user would type."""
    given = [f"{module}.{key}={value}" for module, keys in settings.items() for key, value in keys.items()]
    return [
        *(sys.executable, "-m", "reflexarc.control.cli", "train", "--flow", FLOW),
        *("--store", str(store), "--logs", str(store / "logs")),
        *(word for module in modules for word in ("--module", module)),
        *(word for setting in given for word in ("--set", setting)),
    ]


def train_with_kills(
    make_store: Callable[[], Path],
    settings: dict[str, dict[str, int]],
    modules: Sequence[str],
    kills: int,
    longest_s: float,
    seed: int,
    say: Callable[[str], None] = print,
) -> tuple[list[dict[str, str]], int]:
    """Train, kill at random moments and train again, until all kills are done and the training is, too.

    Args:
        make_store: Gives a store that lacks these modules; called again when a training ended before its kill.
        settings: Per module.
        modules: Which to train; none for all.
        kills: How many.
        longest_s: Kills come within so much of the moment at which the first module begins to be trained.
        seed: Decides the moments.
        say: Told each kill.

    Returns:
        Digests of each training that ended, and how many kills struck while a module was being trained.
    """
    draw = random.Random(seed)
    ended, struck, done = [], 0, 0
    store = make_store()
    while True:
        wait_s = draw.uniform(0.0, longest_s)
        process = subprocess.Popen(
            command(store, settings, modules), stdout=subprocess.DEVNULL, start_new_session=True
        )
        while done < kills and process.poll() is None and not _being_trained(store):
            time.sleep(0.05)
        try:
            code = process.wait(wait_s if done < kills else None)
        except subprocess.TimeoutExpired:
            trained = _being_trained(store)
            process.send_signal(signal.SIGKILL)  # the launcher alone: its trainings have to notice
            process.wait()
            done += 1
            struck += bool(trained)
            say(f"kill {done} after {wait_s:.1f} s, while training: {', '.join(trained) or 'nothing yet'}")
            continue
        if code != 0:
            raise SystemExit(f"the training ended with exit code {code}")
        ended.append(read_lock(store, FLOW))
        if done == kills:
            return ended, struck
        store = make_store()


def _being_trained(store: Path) -> list[str]:
    """Modules whose lock someone holds."""
    found = []
    for path in sorted((store / ".work").glob("*.lock")):
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            found.append(path.stem)
        finally:
            os.close(descriptor)
    return found


def main() -> None:
    """Run the case."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="decides their moments")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores = iter(Path(folder) / str(number) for number in range(options.kills + 2))
        begin = time.monotonic()
        (undisturbed,), _ = train_with_kills(lambda: next(stores), SMALL, (), 0, 0.0, 0)
        seconds = time.monotonic() - begin
        print(f"undisturbed, {seconds:.0f} s: {undisturbed}", flush=True)
        ended, struck = train_with_kills(
            lambda: next(stores), SMALL, (), options.kills, seconds, options.seed
        )
    is_equal = all(digests == undisturbed for digests in ended)
    print(f"after {options.kills} kills: {ended[-1]}")
    print(f"{struck} of {options.kills} kills struck while a module was being trained")
    print(f"digests of {len(ended)} killed trainings are those of the undisturbed one: {is_equal}")
    if options.json:
        result = {
            "kills": options.kills,
            "struck": struck,
            "trainings": len(ended),
            "equal": is_equal,
            "digests": undisturbed,
        }
        write_whole(options.json, json.dumps(result, indent=1) + "\n")
    raise SystemExit(0 if is_equal else 1)


if __name__ == "__main__":
    main()
