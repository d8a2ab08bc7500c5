"""What it costs to record a running flow, and whether others read all of it.

    python examples/recording_cost.py [--minutes 10] [--flow arm_catch] [--json FILE]

It runs `reflexarc sim --clock realtime` and beside it `reflexarc record`, and reads from the kernel how much processor
time the recorder took. Then `rosbags` and `mcap` read the whole bag, and every message of it is decoded by `rosbags`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flow_running import flow_running
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.commands.run import require_writable
from reflexarc.control.files import write_whole

UP_WITHIN_S = 60.0
BEGUN_WITHIN_S = 30.0


@contextmanager
def recorder(bag: Path, flow: str) -> Iterator["subprocess.Popen[str]"]:
    """A recorder that has begun; it is ended in the end."""
    command = [sys.executable, "-m", "reflexarc.control.cli", "record", "--flow", flow, "--out", str(bag)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + BEGUN_WITHIN_S
        while not sum(path.stat().st_size for path in bag.glob("*.mcap")) > 1_000_000:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the recorder did not begin")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def processor_s(pid: int) -> float:
    """Processor time that a process has taken, all its threads together (proc(5), stat: utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_by_rosbags(bag: Path) -> tuple[Counter[str], int]:
    """Messages per topic, each decoded, and how many `metadata.yaml` promises."""
    counts: Counter[str] = Counter()
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
            counts[connection.topic] += 1
        return counts, reader.message_count


def read_by_mcap(bag: Path) -> Counter[str]:
    """Messages per topic."""
    counts: Counter[str] = Counter()
    for path in sorted(bag.glob("*.mcap")):
        with path.open("rb") as stream:
            counts.update(channel.topic for _, channel, _ in make_reader(stream).iter_messages())
    return counts


def measure(flow: str, minutes: float, folder: Path) -> dict[str, Any]:
    """Record, and read it back; the figures."""
    bag = folder / "bag"
    with (
        flow_running(flow, SHIPPED_STORE, folder / "sim.log", UP_WITHIN_S) as running,
        recorder(bag, flow) as process,
    ):
        begin, before = time.monotonic(), processor_s(process.pid)
        while (left := begin + minutes * 60 - time.monotonic()) > 0:
            if process.poll() is not None or not running.is_alive():
                raise SystemExit("the flow or the recorder ended early")
            time.sleep(min(left, 1.0))
        took, wall = processor_s(process.pid) - before, time.monotonic() - begin
    counts, promised = read_by_rosbags(bag)
    size = sum(path.stat().st_size for path in bag.glob("*.mcap"))
    return {
        "machine": {"cores": os.cpu_count(), "load": [round(load, 1) for load in os.getloadavg()]},
        "minutes": round(wall / 60, 2),
        "share_of_one_core": round(took / wall, 4),
        "messages": promised,
        "messages_per_s": round(promised / wall),
        "megabytes": round(size / 1e6, 1),
        "read_by_rosbags": counts.total(),
        "read_by_mcap": read_by_mcap(bag).total(),
        "per_topic": dict(sorted(counts.items())),
    }


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--flow", default="arm_catch")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.json is not None:
        require_writable(arguments.json)
    with tempfile.TemporaryDirectory(prefix="recording-cost-") as folder:
        figures = measure(arguments.flow, arguments.minutes, Path(folder))
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json is not None:
        write_whole(arguments.json, text + "\n")
    if not figures["messages"] == figures["read_by_rosbags"] == figures["read_by_mcap"]:
        raise SystemExit("not all messages were read back")


if __name__ == "__main__":
    main()
