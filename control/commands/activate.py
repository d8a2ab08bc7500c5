"""`reflexarc activate` and `deactivate`: whether commands go out to the robot of a flow that is deployed."""

from rich.console import Console

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.environment import joined, require_ros, shared_memory_cleaned
from reflexarc.control.nodes.running import RunningFlow, find_running

__all__ = ["run_activate"]

_WITHIN_S = 10.0
"""Discovery takes 0.1 s mostly, a transition some ms; the rest is for a loaded machine."""


def run_activate(flow: str | None, *, is_to_move: bool) -> None:
    """Activate or deactivate the guard of a deployment.

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
            "Only what `reflexarc deploy` started is activated."
        )
    require_ros()
    with shared_memory_cleaned(), joined(running.environment, running.directory):
        for guard in loaded.commanders:
            _change(running, guard, loaded.robot.namespace, is_to_move=is_to_move)
    console = Console(soft_wrap=True, highlight=False)
    for guard in loaded.commanders:
        if is_to_move:
            console.print(f"{guard} is active: {loaded.robot.robot} may move")
        else:
            console.print(f"{guard} is inactive: {loaded.robot.robot} stands still")


def _change(running: RunningFlow, guard: str, namespace: str, *, is_to_move: bool) -> None:
    import time

    from reflexarc.control.nodes.lifecycle import LifecycleClient

    def check() -> None:
        if not running.is_alive():
            raise ReflexarcError(f"flow {running.flow} has just ended.")

    verb, wanted = ("activate", "active") if is_to_move else ("deactivate", "inactive")
    client = LifecycleClient([guard], namespace=namespace)
    try:
        until = time.monotonic() + _WITHIN_S
        while not client.is_up(guard):
            check()
            if time.monotonic() > until:
                raise ReflexarcError(
                    f"{guard} does not answer in {_WITHIN_S:.0f} s. Is it being started again?"
                )
            client.spin(0.05)
        if (state := client.state(guard, _WITHIN_S)) == wanted:
            return
        if not client.change(guard, verb, _WITHIN_S, check):
            raise ReflexarcError(f"{guard} does not {verb}: it is {state}. `reflexarc faults` says more.")
    finally:
        client.close()
