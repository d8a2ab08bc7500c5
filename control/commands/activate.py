"""`reflexarc activate` and `deactivate`: whether commands go out to the robot of a flow that is deployed."""

import time
from collections.abc import Callable

from rich.console import Console

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow import Flow
from reflexarc.control.modules.stop import NOT_ACTIVATED
from reflexarc.control.nodes.environment import joined, require_ros, shared_memory_cleaned
from reflexarc.control.nodes.running import RunningFlow, find_running
from reflexarc.control.values import Diagnostic

__all__ = ["run_activate"]

_WITHIN_S = 10.0
"""Discovery takes 0.1 s mostly, a transition some ms; the rest is for a loaded machine."""
_POLL_S = 0.05


def run_activate(flow: str | None, *, is_to_move: bool) -> None:
    """Activate or deactivate the guard of a deployment. All modules forget what was before an activation.

    Args:
        flow: Name of the running flow; None for the only one.
        is_to_move: Whether commands are to go out from now on.

    Raises:
        ReflexarcError: No flow is deployed, or not this one, or its guard does not do it.
    """
    running = find_running(flow)
    loaded = running.load()
    if loaded.robot is None:
        raise ReflexarcError(
            f"flow {running.flow} runs with its twin, whose guard is active with it. "
            "Only what is deployed to a robot is activated."
        )
    require_ros()
    console = Console(soft_wrap=True, highlight=False)
    with shared_memory_cleaned(), joined(running.environment, running.directory):
        if is_to_move:
            _prepare(running, loaded)
        for guard in loaded.commanders:
            said = _change(running, guard, is_to_move=is_to_move)
            console.print(f"{loaded.robot.robot}: {guard} is {said}")


def _prepare(running: RunningFlow, flow: Flow) -> None:
    """Wait for the robot's drivers, and have the modules forget what was: a recording then tells all that follows.

    Raises:
        ReflexarcError: A driver is not there or a module is not active, so nothing may move.
    """
    from reflexarc.control.nodes.health import NO_DRIVER
    from reflexarc.control.nodes.module_client import ModuleClient, guest

    with guest("activate", running.namespace) as (node, executor):
        client = ModuleClient(node, executor)
        until = time.monotonic() + _WITHIN_S
        for module in flow.modules:
            while absent := client.figures(module).get(NO_DRIVER):
                if time.monotonic() > until:
                    raise ReflexarcError(
                        f"{module}: {NO_DRIVER} at {absent}. Nothing was activated. `reflexarc deploy --check` "
                        "says what the robot must offer."
                    )
                client.spin()
        for module in flow.modules:
            reason = "" if module in flow.commanders else client.reset(module)
            if reason:
                raise ReflexarcError(f"{reason}. Nothing was activated.")


def _change(running: RunningFlow, guard: str, *, is_to_move: bool) -> str:
    """Do it; what the guard is then, and what becomes of its commands."""
    from reflexarc.control.nodes.lifecycle import LifecycleClient

    verb, wanted = ("activate", "active") if is_to_move else ("deactivate", "inactive")
    reports: list[Diagnostic] = []
    client = LifecycleClient([guard], on_health=reports.append, namespace=running.namespace)

    def wait(is_done: Callable[[], bool], complaint: str) -> None:
        until = time.monotonic() + _WITHIN_S
        while not is_done():
            if not running.is_alive():
                raise ReflexarcError(f"flow {running.flow} has just ended.")
            if time.monotonic() > until:
                raise ReflexarcError(f"{guard} {complaint} in {_WITHIN_S:.0f} s. Is it being started again?")
            client.spin(_POLL_S)

    def commands() -> str:
        figures = (dict(r.figures) for r in reversed(reports) if r.name == guard)
        return next((f["commands"] for f in figures if "commands" in f), "")

    try:
        wait(lambda: client.is_up(guard), "does not answer")
        state = client.state(guard, _WITHIN_S)
        if state != wanted and not client.change(guard, verb, _WITHIN_S, lambda: None):
            raise ReflexarcError(f"{guard} does not {verb}: it is {state}. `reflexarc faults` says more.")
        wait(lambda: bool(commands()) and (commands() == NOT_ACTIVATED) != is_to_move, "reports nothing")
        return f"{wanted}, its commands {commands()}" if is_to_move else wanted
    finally:
        client.close()
