"""Deployment: which modules share a process, and which process runs on which host.

Data, process and hardware are three topologies over the same modules: `flow` has the first, this the other two. It
decides nothing of what a module does, so no training depends on it.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Deployment", "Host", "Process"]


class Host(BaseModel):
    """A machine.

    Args:
        address: Where the others reach it. All that its nodes say goes out from there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: IPv4Address


class Process(BaseModel):
    """Modules whose nodes share a process, and so a core: a hop among them costs half as much.

    Args:
        modules: Names; `twin`, alone in its process, for where the plant is simulated.
        host: Where it runs; None where there is one host only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    modules: tuple[str, ...] = Field(min_length=1)
    host: str | None = None


class Deployment(BaseModel):
    """Where everything runs.

    Args:
        processes: By name; each module is in one of them.
        hosts: By name; empty for this one alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    processes: dict[str, Process] = Field(min_length=1)
    hosts: dict[str, Host] = Field(default_factory=dict)

    def process_of(self, module: str) -> str | None:
        """The process that has a module; None for one that the flow file does not know, as a recorder of use cases."""
        return next((name for name, process in self.processes.items() if module in process.modules), None)

    def host_of(self, module: str) -> str | None:
        """The host that has a module; None if it is in no process, or where there are no hosts."""
        process = self.process_of(module)
        return None if process is None else self.processes[process].host

    def peers_of(self, host: str) -> Iterator[IPv4Address]:
        """Addresses of the other hosts."""
        return (other.address for name, other in self.hosts.items() if name != host)
