"""`reflexarc inject`: one fault into one module of a flow that runs in another terminal."""

import time

from rich.console import Console

from reflexarc.control.errors import FlowError, ReflexarcError, ValueRefusedError, did_you_mean
from reflexarc.control.modules import module_class
from reflexarc.control.modules.guard import Guard
from reflexarc.control.nodes.environment import joined, require_ros, shared_memory_cleaned
from reflexarc.control.nodes.running import find_running
from reflexarc.control.nodes.strike import SIGNALS, strike
from reflexarc.control.redundancy.faults import IS_GUARD, Fault

__all__ = ["run_inject"]

_POLL_S = 0.05


def run_inject(module: str, fault: Fault, flow: str | None) -> None:
    """Inject it, and wait until it is over.

    Args:
        module: Name of the module.
        fault: What goes wrong; its times count from now.
        flow: Name of the running flow; None for the only one.

    Raises:
        ReflexarcError: No flow runs, or not this one; there is no such module; or the fault cannot be injected there.
    """
    running = find_running(flow)
    modules = running.load().modules
    if module not in modules:
        raise FlowError(f"flow {running.flow} has no module '{module}'. {did_you_mean(module, modules)}")
    if issubclass(module_class(modules[module].kind), Guard):
        raise ValueRefusedError(f"{module}: {IS_GUARD}")
    if running.clock == "lockstep" and fault.kind in SIGNALS:
        raise ValueRefusedError(
            f"{module}: in lock step everybody waits for a process that is silent. "
            f"Inject {fault.kind.value} in real time: --clock realtime."
        )
    console = Console(soft_wrap=True, highlight=False)

    def wait(seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not running.is_alive():
                raise ReflexarcError(f"flow {running.flow} ended before the fault was over.")
            time.sleep(min(left, _POLL_S))

    if fault.kind in SIGNALS:
        wait(fault.at_s)
        console.print(f"{module}: {fault.kind.value} begins")
        strike([running.pid_of(module)], fault, wait)
    else:
        require_ros()
        with shared_memory_cleaned(), joined(running.environment, running.directory):
            from reflexarc.control.nodes.injected_fault import PARAMETER
            from reflexarc.control.nodes.module_client import ModuleClient, guest

            with guest("inject", running.namespace) as (node, executor):
                refused = ModuleClient(node, executor).set_parameter(
                    module, PARAMETER, fault.model_dump_json()
                )
        if refused:
            raise ValueRefusedError(refused)
        console.print(f"{module}: {fault.kind.value} begins in {fault.at_s:g} s")
        wait(fault.at_s + fault.for_s)
    console.print(f"{module}: {fault.kind.value} is over")
