"""A flow deployed to the stand-in for a robot, in real time, against the same throws with the twin.

    python examples/deploy_trial.py [--throws 30] [--variant plain ...] [--robot FILE] [--real-time-factor 1]
        [--json FILE]

Each variant is another robot, and only the robot file tells the flow so: joints in another order and with a prefix,
depth in metres, a camera of another name that was calibrated in another frame, a namespace, or all of these. Before
each throw the modules are reset, as the person does who throws. The twin (`reflexarc sim --clock realtime`) gets the
same seeds, in turn with the others, so that all see the same machine.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from standin_deployed import VARIANTS, Deployed, deployed, write_robot_file

from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.bringup import run_ros
from reflexarc.control.seeds import evaluation_seeds

TICK_S = 0.01
PERIOD_S = 0.01
"""Of the guard's commands."""
LATE_S = 0.02
"""A command so long after the one before is late."""
PAUSE_S = 0.3
"""Between two throws, so that a throw does not always meet the flow in the same phase."""


def throw_all(person: Deployed, factor: float, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """One throw per seed; each with how its commands came."""
    done = []
    for _ in seeds:
        person.spin_for(PAUSE_S)
        line = person.catch()
        gaps = [
            factor * (after - before)
            for (before, _), (after, _) in zip(person.commands, person.commands[1:], strict=False)
        ]
        line["late_commands"] = sum(gap > LATE_S for gap in gaps)
        line["longest_gap_s"] = max(gaps, default=None)
        done.append(line)
    return done


def with_robot(
    flow: str, variant: str, robot: Path | None, factor: float, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Throws at a flow that is deployed to a variant of the stand-in."""
    with tempfile.TemporaryDirectory(prefix="deploy-trial-") as folder:
        robot_file, told = write_robot_file(variant, Path(folder), robot, factor)
        with deployed(flow, robot_file, told, seeds, Path(folder)) as person:
            return throw_all(person, factor, seeds)


def with_twin(flow: str, factor: float, seeds: Sequence[int]) -> list[dict[str, Any]]:
    """The same throws with the twin."""
    result = run_ros(load_flow(flow), seeds, "realtime", real_time_factor=factor)
    assert result.clock_at is not None
    moments = sorted(result.clock_at.items())
    wall_s = dict(
        zip((flow_ns for flow_ns, _ in moments), (wall_ns * 1e-9 for _, wall_ns in moments), strict=True)
    )
    done, tick = [], 0
    for episode in result.episodes:
        first, last = (round(t * TICK_S * 1e9) for t in (tick, tick + episode.ticks - 1))
        passed_s = factor * (wall_s[last] - wall_s[first]) + TICK_S
        done.append(
            {"seed": episode.seed, "ticks": episode.ticks, "score": dict(episode.score), "passed_s": passed_s}
        )
        tick += episode.ticks
    return done


def measure(
    flow: str, variants: Sequence[str], robot: Path | None, factor: float, seeds: Sequence[int], block: int
) -> dict[str, Any]:
    """All throws, in blocks that take turns; the figures of each."""
    throws: dict[str, list[dict[str, Any]]] = {name: [] for name in ("twin", *variants)}
    for first in range(0, len(seeds), block):
        some = seeds[first : first + block]
        for name, done in throws.items():
            done.extend(
                with_twin(flow, factor, some)
                if name == "twin"
                else with_robot(flow, name, robot, factor, some)
            )
            print(line(name, figures(done)), flush=True)
    return {
        "flow": flow,
        "real_time_factor": factor,
        "machine": {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
        **{name: {**figures(lines), "throws": lines} for name, lines in throws.items()},
    }


def figures(throws: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What some throws came to."""
    caught = sum(throw["score"]["catch_rate"] for throw in throws)
    late = [throw["late_commands"] for throw in throws if "late_commands" in throw]
    return {
        "count": len(throws),
        "caught": int(caught),
        "catch_rate": caught / len(throws),
        "unsafe_commands": int(sum(throw["score"]["unsafe_commands"] for throw in throws)),
        "unsafe_while_held": sum(throw.get("unsafe_while_held", 0) for throw in throws),
        "late_commands": sum(late) if late else None,
        "simulated_share": sum(t["ticks"] for t in throws) * TICK_S / sum(t["passed_s"] for t in throws),
    }


def line(name: str, found: dict[str, Any]) -> str:
    """Figures in words."""
    late = ""
    if found["late_commands"] is not None:
        late = (
            f" and {found['unsafe_while_held']} more between throws, {found['late_commands']} commands late"
        )
    return (
        f"{name}: caught {found['caught']} of {found['count']} ({100 * found['catch_rate']:.1f} %), "
        f"{found['unsafe_commands']} unsafe commands{late}, {found['simulated_share']:.3f} of the time simulated"
    )


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flow", default="arm_catch")
    parser.add_argument("--throws", type=int, default=30)
    parser.add_argument("--block", type=int, default=25, help="throws until it is the next one's turn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant", nargs="+", choices=tuple(VARIANTS), default=["plain"])
    parser.add_argument("--robot", type=Path, help="robot file that the variants are made from")
    parser.add_argument(
        "--real-time-factor", type=float, default=1.0, help="below 1, for a machine that is too slow"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    seeds = evaluation_seeds(arguments.seed, arguments.throws)
    found = measure(
        arguments.flow,
        arguments.variant,
        arguments.robot,
        arguments.real_time_factor,
        seeds,
        arguments.block,
    )
    if arguments.json is not None:
        write_whole(arguments.json, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
