"""Executors: where trainings run: in processes on this machine, or on a Ray cluster."""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, Protocol

from reflexarc.control.errors import ReflexarcError, RuntimeUnavailableError
from reflexarc.control.training.worker import Request, train_one

__all__ = ["Event", "Executor", "ExecutorName", "LocalExecutor", "RayExecutor", "end_with", "make_executor"]

ExecutorName = Literal["local", "ray"]

_POLL_S = 0.2
_REPORT_EVERY_S = 0.1
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Event(NamedTuple):
    """What came of a training.

    Attributes:
        module: Its name.
        kind: `progress` with (what, done, total), `done` with the digest, `failed` with one line.
        content: As said.
    """

    module: str
    kind: Literal["progress", "done", "failed"]
    content: Any


class Executor(Protocol):
    """Runs trainings side by side."""

    @property
    def slots(self) -> int:
        """How many at once."""

    def start(self, request: Request) -> None:
        """Start one."""

    def events(self) -> Iterator[Event]:
        """What has happened since; returns after a moment if nothing has."""

    def close(self) -> None:
        """End what still runs; its checkpoints stay."""


class LocalExecutor:
    """A process per training, each on one core: numpy and torch sum alike then, whatever else runs."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._queue: Any = self._context.Queue()
        self._processes: dict[str, Any] = {}

    @property
    def slots(self) -> int:
        """One per core that this process may use."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def start(self, request: Request) -> None:
        """Start a process."""
        arguments = (request, self._queue, os.getpid())
        process = self._context.Process(target=_work, args=arguments, daemon=True, name=request.module)
        process.start()
        self._processes[request.module] = process

    def events(self) -> Iterator[Event]:
        """What the processes said, and that one ended without a word."""
        try:
            yield self._take(self._queue.get(timeout=_POLL_S))
            while True:
                yield self._take(self._queue.get_nowait())
        except queue.Empty:
            pass
        for module, process in list(self._processes.items()):
            if process.exitcode is not None and self._queue.empty():
                del self._processes[module]
                reason = f"its process ended with exit code {process.exitcode}"
                yield Event(
                    module, "failed", f"{module}: {reason}. Train again to go on from its checkpoint."
                )

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.join()
        self._queue.close()

    def _take(self, event: Event) -> Event:
        if event.kind != "progress":
            self._processes.pop(event.module).join()
        return event


class RayExecutor:
    """Tasks on a Ray cluster whose hosts share the store.

    Raises:
        RuntimeUnavailableError: Ray is not installed, or no cluster answers.
    """

    def __init__(self) -> None:
        try:
            import ray  # noqa: PLC0415 an extra of its own
            from ray.util.queue import Queue  # noqa: PLC0415
        except ImportError:
            raise RuntimeUnavailableError(
                "Ray is not installed. Run: pip install 'reflexarc[ray]'."
            ) from None
        self._ray: Any = ray
        try:
            ray.init(address="auto", log_to_driver=False, configure_logging=False)
        except ConnectionError:
            raise RuntimeUnavailableError(
                "no Ray cluster answers. Start one with `ray start --head`, or set RAY_ADDRESS."
            ) from None
        self._queue = Queue()
        self._tasks: dict[str, Any] = {}

    @property
    def slots(self) -> int:
        """One per CPU of the cluster."""
        resources: dict[str, float] = self._ray.cluster_resources()
        return int(resources.get("CPU", 1))

    def start(self, request: Request) -> None:
        """Submit a task; it is not tried again, since the next `train` goes on from its checkpoint."""
        remote = self._ray.remote(num_cpus=1, max_retries=0)(_report_to)
        self._tasks[request.module] = remote.remote(request, self._queue)

    def events(self) -> Iterator[Event]:
        """What the tasks said, and that one was lost."""
        time.sleep(_POLL_S)
        for event in self._queue.get_nowait_batch(self._queue.qsize()):
            if event.kind != "progress":
                self._tasks.pop(event.module, None)
            yield event
        for module, task in list(self._tasks.items()):
            ready, _ = self._ray.wait([task], timeout=0)
            if ready and self._queue.empty():
                del self._tasks[module]
                yield Event(module, "failed", f"{module}: its Ray task was lost. Train again to go on.")

    def close(self) -> None:
        """Cancel what still runs, and leave the cluster."""
        for task in self._tasks.values():
            self._ray.cancel(task, force=True)
        self._queue.shutdown(force=True)
        self._ray.shutdown()


def make_executor(name: ExecutorName) -> Executor:
    """The executor of a name.

    Raises:
        RuntimeUnavailableError: What it needs is not there.
    """
    return RayExecutor() if name == "ray" else LocalExecutor()


def _work(request: Request, events: Any, launcher: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides what a Ctrl-C means
    end_with(launcher)
    _report_to(request, events)


def _report_to(request: Request, events: Any) -> None:
    """Train, and put everything that is to be known into a queue."""
    reported_at, reported = 0.0, ""

    def report(what: str, done: int, total: int) -> None:
        nonlocal reported_at, reported
        now = time.monotonic()
        if what != reported or done == total or now - reported_at > _REPORT_EVERY_S:
            reported_at, reported = now, what
            events.put(Event(request.module, "progress", (what, done, total)))

    try:
        events.put(Event(request.module, "done", train_one(request, report)))
    except ReflexarcError as error:
        events.put(Event(request.module, "failed", str(error)))
    except MemoryError:
        events.put(Event(request.module, "failed", f"{request.module}: not enough memory to train it."))
    except Exception:
        traceback.print_exc(file=sys.stderr)
        events.put(Event(request.module, "failed", f"{request.module}: its training has a bug, see above."))


def end_with(launcher: int) -> None:
    """End when the launcher is gone, however it went: nobody would hear of the result."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
