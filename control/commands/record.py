"""`reflexarc record`: all topics of a flow that runs in another terminal, into a bag as rosbag2 makes it."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import FrameType

from rich.console import Console

from reflexarc.control.errors import ReflexarcError, RuntimeUnavailableError, ValueRefusedError
from reflexarc.control.nodes.environment import joined, require_ros, shared_memory_cleaned
from reflexarc.control.nodes.running import find_running

__all__ = ["require_mcap", "run_record"]


def run_record(
    flow: str | None,
    out: Path | None,
    for_s: float | None,
    max_mb: float,
    max_s: float | None,
    ring_s: float | None,
) -> None:
    """Record until it is over, and say what there is.

    Args:
        flow: Name of the running flow; None for the only one.
        out: Folder of the bag, or with a ring that of the incidents' bags; None for one named by the time.
        for_s: How long; None for until Ctrl-C, or the end of the flow.
        max_mb: For all files together.
        max_s: How far back; None for no bound.
        ring_s: Keep so much in memory and write it when something happens; None to write everything.

    Raises:
        ReflexarcError: No flow runs, or not this one; the folder exists, or something cannot be written.
    """
    if ring_s is not None and max_s is not None:
        raise ValueRefusedError(
            "--ring keeps seconds of its own; bound its incidents by --max-mb, not by --max-s."
        )
    running = find_running(flow)
    require_ros()
    require_mcap()
    folder = out or Path(f"{running.flow}_{time.strftime('%Y_%m_%d-%H_%M_%S')}")
    if folder.exists():
        raise ReflexarcError(f"{folder} exists already. Give a folder that does not: --out.")
    console = Console(soft_wrap=True, highlight=False)

    def tell(line: str) -> None:
        console.print(line, markup=False)

    with _signals() as came, shared_memory_cleaned(), joined(running.environment, running.directory):
        from reflexarc.control.nodes.module_client import guest
        from reflexarc.control.nodes.recording import Limits, Recording

        limits = Limits(for_s=for_s, max_mb=max_mb, max_s=max_s, ring_s=ring_s)
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise ReflexarcError(f"{folder}: cannot be made ({error.strerror}).") from None
        with guest("record") as (node, executor):
            recording = Recording(node, executor, running, folder, limits, tell)
            tell(f"recording {running.flow} into {folder}; Ctrl-C ends it")
            recording.run(lambda: _ends(came), lambda: _asks(came))


def require_mcap() -> None:
    """Make sure that the library of the file format is there.

    Raises:
        RuntimeUnavailableError: It is not.
    """
    if find_spec("mcap") is None:
        raise RuntimeUnavailableError("mcap is not installed. Run: pip install 'reflexarc[ros]'")


def _ends(came: list[int]) -> bool:
    return signal.SIGINT in came or signal.SIGTERM in came


def _asks(came: list[int]) -> bool:
    if signal.SIGUSR1 not in came:
        return False
    came.remove(signal.SIGUSR1)
    return True


@contextmanager
def _signals() -> Iterator[list[int]]:
    """While open, these signals are only noted, so that the bag is completed before the process ends."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
