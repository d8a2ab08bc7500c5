"""Every fault of a driver while a throw is under way: what the robot is told, how soon it stands, whether it heals.

    python examples/driver_faults.py [--json FILE]

A flow is deployed to the stand-in for a robot. In each throw, while the arm moves, arm and camera driver (or one of
them) begin to fail; later they are well again, and the next throw is an ordinary one. Looked at are the commands that
the actuators get: when the arm is told to slow down, when to stand, whether one was unsafe; and whether it moves
and catches afterwards.
"""

import argparse
import itertools
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from standin_deployed import Deployed, deployed, write_robot_file
from standin_faults import FAULTS

from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole
from reflexarc.control.seeds import evaluation_seeds

CASES = (*tuple((fault, "both") for fault in FAULTS if fault != "none"), ("stop", "arm"), ("stop", "camera"))
MOVES_RAD_S = 0.5
STANDS_RAD_S = 0.02
FAILS_FOR_S = 1.5


def one(person: Deployed, fault: str, driver: str) -> dict[str, Any]:
    """Have a driver fail in a throw, heal it, and throw once more."""
    before = len(person.episodes())
    person.reset()
    person.forget()
    person.throw()
    person.spin_until(
        lambda: (
            (bool(person.commands) and person.commands[-1][1] > MOVES_RAD_S)
            or len(person.episodes()) > before
        ),
        30.0,
        "the arm does not move",
    )
    person.set_fault(fault, driver)
    failed_at = time.monotonic()
    person.spin_for(FAILS_FOR_S)
    told = [(moment - failed_at, speed) for moment, speed in person.commands if moment > failed_at]
    person.set_fault("none")
    healed_at = time.monotonic()
    person.spin_until(lambda: len(person.episodes()) > before, 60.0, "the throw does not end")
    person.spin_for(0.3)
    after = person.catch()
    moves = [moment - healed_at for moment, speed in person.commands if speed > MOVES_RAD_S]
    failed = person.episodes()[before]
    return {
        "fault": fault,
        "driver": driver,
        "stands_after_s": _stands_after(told),
        "commands": len(told),
        "longest_gap_s": max((b - a for (a, _), (b, _) in itertools.pairwise(told)), default=None),
        "caught": failed["score"]["catch_rate"] > 0,
        "moves_again": bool(moves),
        "catches_again": after["score"]["catch_rate"] > 0,
        "unsafe_commands": int(
            sum(line["score"]["unsafe_commands"] + line["unsafe_while_held"] for line in (failed, after))
        ),
    }


def _stands_after(told: list[tuple[float, float]]) -> float | None:
    """When the arm was told to stand, and not to move again; None if it was not."""
    moving = [moment for moment, speed in told if speed > STANDS_RAD_S]
    if not moving:
        return 0.0
    after = [moment for moment, _ in told if moment > moving[-1]]
    # The last tenth of a second at least it has to stand.
    return after[0] if after and told[-1][0] - after[0] > 0.1 else None


def measure(flow: str, robot: Path | None, seed: int) -> dict[str, Any]:
    """Every fault once; the figures."""
    found = []
    with tempfile.TemporaryDirectory(prefix="driver-faults-") as folder:
        robot_file, told = write_robot_file("plain", Path(folder), robot)
        seeds = evaluation_seeds(seed, 2 * len(CASES))
        with deployed(flow, robot_file, told, seeds, Path(folder)) as person:
            for fault, driver in CASES:
                found.append(one(person, fault, driver))
                print(line(found[-1]), flush=True)
    machine = {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]}
    return {"flow": flow, "machine": machine, "faults": found}


def line(case: dict[str, Any]) -> str:
    """One fault in words."""
    stands = case["stands_after_s"]
    what = "goes on" if stands is None else f"told to stand {1000 * stands:.0f} ms later"
    again = "moves" if case["moves_again"] else "does NOT move"
    return (
        f"{case['fault']} ({case['driver']}; {FAULTS[case['fault']]}): {what}, "
        f"ball {'caught' if case['caught'] else 'missed'}; "
        f"healed: {again} and {'catches' if case['catches_again'] else 'misses'} the next; "
        f"{case['unsafe_commands']} unsafe commands"
    )


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", default="arm_catch")
    parser.add_argument("--robot", type=Path, help="another robot file than the one that ships")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    found = measure(arguments.flow, arguments.robot, arguments.seed)
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
