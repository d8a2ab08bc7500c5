"""Scheduling: which processes get a core first, where the kernel permits that.

On cores that are shared most of a slow step is waiting for a core. Modules that look at no image are short, and whoever
comes after them waits for them, so in real time their processes are given more weight than all others. Not real-time
scheduling: `docs/decisions/0012-short-steps-go-first.md` has what each is worth, and why.
"""

import os
from contextlib import suppress
from pathlib import Path

from reflexarc.control.flow import Flow
from reflexarc.control.ports import MessageType

__all__ = ["go_first", "goes_first", "is_short"]

_NICE = -15


def is_short(flow: Flow, module: str) -> bool:
    """Whether the steps of a module are short, and others wait for them.

    One that looks at images may take long, and one without outputs has nobody who waits for it: neither is to keep
    others from running.
    """
    types = [flow.port(source).type for source in flow.inputs(module).values()]
    return MessageType.IMAGE not in types and bool(flow.outputs(module))


def go_first() -> None:
    """Give this process more weight than others have, if the kernel permits that."""
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # it has just ended
                os.setpriority(os.PRIO_PROCESS, int(thread.name), _NICE)
        # Where the scheduler groups by session (sched(7)), niceness counts only within one. The launcher gives each
        # process a session; whoever shares a terminal's is not to speak for all of it.
        group = Path("/proc/self/autogroup")
        if os.getsid(0) == os.getpid() and group.exists():
            group.write_text(str(_NICE))


def goes_first() -> bool:
    """Whether it has that weight."""
    return os.getpriority(os.PRIO_PROCESS, 0) <= _NICE
