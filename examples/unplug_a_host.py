"""Three hosts, one unplugged: how long until the reader falls back or the robot holds still, and until all is back.

    python examples/unplug_a_host.py [--cuts 5] [--seconds 2] [--json FILE]

`arm_track` runs on three hosts: `arm` has the robot (its twin) and the guard, `head` perception and estimation,
`brain` the policy and a second estimator, which has the joints alone and is what the policy falls back to. The hosts
are network namespaces with a cable each to one switch, so this needs root. In turn, in episodes of ten seconds:

- `head` is unplugged: the policy falls back to the estimator beside it, and the guard goes on getting commands;
- `brain` is unplugged: the guard gets no commands any more, and brings the robot to a stop;
- `arm` is unplugged: the same, seen from the other end.

Measured beside the plant: the longest time without a command to the guard; how long unplugging itself took; the time
from its begin until the arm is told to slow down, and until all commands to the plant are to stand still, by the wall
clock and by the flow's, which a twin slows down that has no time; and the time from plugging in until the first new
command to the guard.
"""

import argparse
import json
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from flow_on_hosts import FlowOnHosts, flow_on_hosts
from hosts import Hosts, hosts, why_not

from reflexarc.control.commands.run import require_writable
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import FLOWS, load_flow

ADDRESSES = {"arm": "10.78.0.1", "head": "10.78.0.2", "brain": "10.78.0.3"}

DEPLOYMENT = """
deployment:
  hosts: {arm: {address: 10.78.0.1}, head: {address: 10.78.0.2}, brain: {address: 10.78.0.3}}
  processes:
    twin: {host: arm, modules: [twin]}
    reflex: {host: arm, modules: [guard]}
    eyes: {host: head, modules: [perception, estimation]}
    mind: {host: brain, modules: [spare, policy]}
"""

SPARE = """
  spare:
    kind: estimation
    artifact: estimation
    trigger: [joint_states]
    inputs:
      detection: {source: perception.detection, unit: m, frame: base_link}
      joint_states: plant.joint_states
    outputs:
      odometry: {type: nav_msgs/Odometry, topic: ball/spare, shape: [3], unit: m, frame: base_link, rate_hz: 100}

  policy:
"""

DOMAIN = "78"
SETTLED_S = 2.0
"""Into an episode the arm has caught up with the ball, and moves with it."""
BACK_WITHIN_S = 60.0


def spread_flow(folder: Path) -> Flow:
    """`arm_track` with a spare estimator, on three hosts."""
    text = (FLOWS / "arm_track.yaml").read_text(encoding="utf-8")
    source = "odometry: {source: estimation.odometry, "
    text = text.replace(source, f"{source}fallback: [spare.odometry], ")
    text = text.replace("\n  policy:\n", SPARE) + DEPLOYMENT
    path = folder / "arm_track.yaml"
    path.write_text(text, encoding="utf-8")
    return load_flow(str(path))


def cut(made: Hosts, running: FlowOnHosts, host: str, seconds: float) -> dict[str, Any]:
    """Unplug a host for some seconds, in the middle of an episode, and say what was seen of it."""
    seen = running.seen

    def is_settled() -> bool:
        """Whether commands have come for a while without a pause, as between two episodes."""
        now = time.monotonic()
        recent = [at for at in seen.wanted if at > now - SETTLED_S]
        return (
            len(recent) > 50 * SETTLED_S
            and max(b - a for a, b in pairwise([now - SETTLED_S, *recent])) < 0.15
        )

    running.wait_for("an episode is under way", is_settled, BACK_WITHIN_S)
    begin = time.monotonic()
    made.unplug(host)
    took = time.monotonic() - begin
    time.sleep(seconds)
    still, slows_at = seen.still_at(begin), seen.slows_at(begin)
    end = time.monotonic()
    made.plug(host)
    running.wait_for(
        "commands come again", lambda: bool(seen.wanted) and seen.wanted[-1] > end, BACK_WITHIN_S
    )
    during = [at for at in seen.wanted if begin - 0.1 < at < end]
    silence = max(b - a for a, b in pairwise([*during, end]))
    reads = [
        figures.get("odometry_source") for at, name, figures in seen.reports if name == "policy" and at < end
    ]
    return {
        "host": host,
        "longest_silence_ms": round(1e3 * silence, 1),
        "unplugging_took_ms": round(1e3 * took, 1),
        "slows_after_ms": None if slows_at is None else round(1e3 * (slows_at - begin), 1),
        "still_after_ms": None if still is None else round(1e3 * (still[0] - begin), 1),
        "still_after_flow_ms": None if still is None else round(1e3 * (still[1] - seen.flow_time(begin)), 1),
        "policy_reads": reads[-1],
        "back_after_ms": round(1e3 * (next(at for at in seen.wanted if at > end) - end), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=5, help="of each host")
    parser.add_argument("--seconds", type=float, default=2.0, help="how long a host is unplugged")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    if (reason := why_not()) is not None:
        sys.exit(f"unplug_a_host: {reason}")
    if options.json is not None:
        require_writable(options.json)
    with tempfile.TemporaryDirectory() as folder, hosts(ADDRESSES) as made:
        flow = spread_flow(Path(folder))
        with flow_on_hosts(made, flow, 5000, {"ROS_DOMAIN_ID": DOMAIN}) as running:
            running.wait_for("the robot moves", lambda: running.seen.moves(0.0), BACK_WITHIN_S)
            figures = []
            for _ in range(options.cuts):
                for host in ("head", "brain", "arm"):
                    figures.append(cut(made, running, host, options.seconds))
                    print(json.dumps(figures[-1]), flush=True)
    if options.json is not None:
        write_whole(options.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except ReflexarcError as error:
        sys.exit(f"unplug_a_host: {error}")
