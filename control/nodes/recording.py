"""Recording: one run of the recorder beside a flow, from the first subscription to the complete bag.

Without a ring everything goes into one bag. With one, the last seconds are kept in memory and each incident gets a
bag of its own: an error in a health report, a call of the service `~/save`, or the signal SIGUSR1.
"""

import gc
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.bag_writer import BagWriter
from reflexarc.control.nodes.process import make_client_node
from reflexarc.control.nodes.recorder import ARTIFACTS, FLOW, Recorder
from reflexarc.control.nodes.ring import Ring
from reflexarc.control.nodes.running import RunningFlow

__all__ = ["INCIDENT", "Limits", "Recording"]

INCIDENT = "reflexarc_incident"
"""Metadata record: what happened, and when."""

_TAKE_EVERY_S = 0.05
"""Emptying 25 subscriptions takes 40 us and waiting 120 us, whatever has come; a subscription holds 2 s at 100 Hz."""
_SETTLING_S = 5.0
"""Until all topics have been found; later, one that appears is looked for once per second."""
_DISCOVER_EVERY_S = 1.0
_AFTER_S = 5.0
"""How long an incident is followed."""
_MB = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much is kept.

    Args:
        for_s: How long to record; None for until it is ended, or the flow ends.
        max_mb: For all files together; the oldest are dropped.
        max_s: How far back; the oldest files are dropped. None for no bound.
        ring_s: Keep so much in memory and write it when something happens; None to write everything.
    """

    max_mb: float
    for_s: float | None = None
    max_s: float | None = None
    ring_s: float | None = None


class Recording:
    """Records a flow.

    Args:
        node: A node in the flow's domain.
        executor: What spins it.
        running: The flow.
        folder: An empty folder: that of the bag, or with a ring that of the incidents' bags.
        limits: How much is kept.
        tell: Called with what a user wants to know.

    Raises:
        ReflexarcError: The bag cannot be written.
    """

    def __init__(
        self,
        node: Node,
        executor: Executor,
        running: RunningFlow,
        folder: Path,
        limits: Limits,
        tell: Callable[[str], None],
    ) -> None:
        self._executor, self._running, self._folder, self._limits, self._tell = (
            executor,
            running,
            folder,
            limits,
            tell,
        )
        self._metadata = {FLOW: {"flow": running.load().model_dump_json(), "clock": running.clock}}
        self._incidents: list[tuple[Path, int]] = []
        self._bag: BagWriter | None = None
        self._ring: Ring | None = None
        if limits.ring_s is None:
            self._bag = self._open(folder, limits.max_s)
        else:
            self._ring = Ring(limits.ring_s, _AFTER_S, self._open_incident, self._close_incident)
        # A node of its own, which the executor does not spin.
        self._taker = make_client_node("record_topics", node.context, node.get_namespace())
        sink = self._ring or self._bag
        assert sink is not None
        self._recorder = Recorder(self._taker, sink, self._on_incident, self._on_artifacts)
        node.create_service(Trigger, "~/save", self._on_save)

    def run(self, is_ending: Callable[[], bool], is_asked: Callable[[], bool]) -> None:
        """Record until it is over.

        Args:
            is_ending: Whether the user wants it to end.
            is_asked: Whether the user wants the last seconds kept; true once per wish.

        Raises:
            ReflexarcError: Something could not be written; what was, can be read.
        """
        begin = discovered_at = time.monotonic()
        for_s = float("inf") if self._limits.for_s is None else self._limits.for_s
        gc.freeze()  # what was imported stays, as in `process`
        self._recorder.start()
        try:
            while self._recorder.failure is None and not is_ending() and self._running.is_alive():
                now = time.monotonic()
                if now - begin >= for_s:
                    break
                if now - begin < _SETTLING_S or now - discovered_at >= _DISCOVER_EVERY_S:
                    self._recorder.discover()
                    discovered_at = now
                if is_asked():
                    self._recorder.report("asked for by SIGUSR1")
                self._recorder.take()
                never: Future[None] = Future(executor=self._executor)  # as in `process`
                self._executor.spin_until_future_complete(never, timeout_sec=_TAKE_EVERY_S)
        finally:
            try:
                self._recorder.end()
            finally:
                self._taker.destroy_node()
            self._say_what_is_missing()
        if self._bag is not None:
            topics = len(self._recorder.topics)
            self._tell(f"{self._folder}: {_content(self._bag)} of {topics} topics")
            if self._bag.dropped_files:
                self._tell(f"{self._bag.dropped_files} older files were dropped to stay within bounds")
        elif not self._incidents:
            self._tell("nothing happened, so nothing was kept")

    # --- bags

    def _open(self, folder: Path, max_s: float | None = None, **metadata: dict[str, str]) -> BagWriter:
        try:
            return BagWriter(folder, {**self._metadata, **metadata}, round(self._limits.max_mb * _MB), max_s)
        except OSError as error:
            raise ReflexarcError(f"{folder}: cannot be written ({error.strerror}).") from None

    def _open_incident(self, what: str) -> BagWriter:
        number = len(self._incidents)
        folder = self._folder / f"incident_{number}"
        folder.mkdir()
        about = {"what": what, "at_ns": str(time.time_ns())}
        self._tell(f"{what}: keeping it in {folder}")
        return BagWriter(folder, {**self._metadata, INCIDENT: about}, round(self._limits.max_mb * _MB))

    def _close_incident(self, bag: BagWriter) -> None:
        self._incidents.append((bag.folder, bag.size))
        self._tell(f"{bag.folder}: {_content(bag)}")
        kept = [(folder, size) for folder, size in self._incidents if folder.exists()]
        while len(kept) > 1 and sum(size for _, size in kept) > self._limits.max_mb * _MB:
            oldest, _ = kept.pop(0)
            shutil.rmtree(oldest)
            self._tell(f"{oldest}: dropped, to stay within bounds")

    # --- what happens

    def _on_incident(self, what: str) -> None:
        if self._ring is not None:
            self._ring.save(what, time.time_ns())

    def _on_artifacts(self, digests: dict[str, str]) -> None:
        self._metadata[ARTIFACTS] = digests
        if self._bag is not None:
            self._bag.add_metadata(ARTIFACTS, digests)

    def _on_save(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._ring is not None
        if response.success:
            self._recorder.report("asked for by ~/save")
        else:
            response.message = "everything is being written; with --ring the last seconds are kept in memory"
        return response

    def _say_what_is_missing(self) -> None:
        for topic, count in self._recorder.lost.items():
            self._tell(f"{topic}: {count} messages lost, since the disk was too slow")
        for topic, type_name in self._recorder.unknown.items():
            self._tell(f"{topic}: not recorded, since {type_name} is not installed here")


def _content(bag: BagWriter) -> str:
    return f"{bag.messages} messages in {bag.duration_s:.1f} s, {bag.size / _MB:.1f} MB"
