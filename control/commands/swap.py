"""`reflexarc swap`: another artifact for one module of a flow that runs in another terminal."""

from pathlib import Path

from rich.console import Console

from reflexarc.control.artifacts.store import lock_path, read_lock
from reflexarc.control.errors import ArtifactError, FlowError, ReflexarcError, did_you_mean
from reflexarc.control.nodes.environment import joined, require_ros, shared_memory_cleaned
from reflexarc.control.nodes.running import RunningFlow, find_running

__all__ = ["run_swap"]

_SAID = {
    "loading": "{digest} is verified and loads",
    "warming": "{digest} warms up on live inputs; what ran still runs",
    "watching": "{digest} has taken over and is watched",
    "done": "{digest} runs",
    "already runs": "{digest} runs already",
}


def run_swap(module: str, digest: str | None, flow: str | None, store: Path | None) -> None:
    """Ask for the swap, and print a line per phase until it is over.

    Args:
        module: Name of the module.
        digest: Digest of the artifact or its first digits; None for what the lock pins now.
        flow: Name of the running flow; None for the only one.
        store: Folder of the artifacts, which has to be that of the flow; None for whatever that is.

    Raises:
        ReflexarcError: No flow runs, or not this one; there is no such module or artifact; or the swap was
            refused or rolled back, with the reason.
    """
    running = find_running(flow)
    if store is not None and store.resolve() != running.store.resolve():
        raise ArtifactError(
            f"flow {running.flow} runs from {running.store}, not from {store}. "
            f"Start it with `reflexarc sim --clock realtime --store {store}`."
        )
    wanted = _wanted(running, module, digest)
    require_ros()
    console = Console(soft_wrap=True, highlight=False)

    def tell(phase: str) -> None:
        console.print(f"{module}: {_SAID.get(phase, phase).format(digest=wanted[:12])}")

    def check() -> None:
        if not running.is_alive():
            raise ReflexarcError(f"flow {running.flow} ended before the swap was over.")

    with shared_memory_cleaned(), joined(running.environment, running.directory):
        from reflexarc.control.nodes.module_client import ModuleClient, guest

        with guest("swap", running.namespace) as (node, executor):
            ModuleClient(node, executor, check).swap(module, wanted, tell)


def _wanted(running: RunningFlow, module: str, digest: str | None) -> str:
    """The digest to ask for: that which was given, or that which the lock pins now."""
    modules = running.load().modules
    if module not in modules:
        raise FlowError(f"flow {running.flow} has no module '{module}'. {did_you_mean(module, modules)}")
    name = modules[module].artifact
    if name is None:
        raise ArtifactError(f"{module}: it is not a trained module, so there is nothing to swap.")
    if digest is not None:
        return digest
    pinned = read_lock(running.store, running.flow).get(name)
    if pinned is None:
        raise ArtifactError(f"{module}: no artifact '{name}' in {lock_path(running.store, running.flow)}.")
    return pinned
