"""ArtifactSwap: the parameter `artifact` of a node: what runs there, and, when it is set, what is to run.

Setting it starts a swap: the artifact is verified before the answer, made into a module by a thread of its
own, and given to the node's `Succession`. When a swap has failed the parameter says again what runs.

A thread, since the largest of our networks takes 34 ms to make, and a tick is 10 ms. onnxruntime does not hold Python's
lock meanwhile: on two busy cores another thread stood still for 2.6 ms at most in half of 30 such times and 6.3 ms in
nine of ten, and for 3.0 and 5.5 ms where nothing was made.
"""

import threading
from collections.abc import Callable
from pathlib import Path

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.artifacts.store import SHIPPED_STORE, find_artifact, load_pinned
from reflexarc.control.contracts import Assumption
from reflexarc.control.errors import ArtifactError, ReflexarcError
from reflexarc.control.flow import PLANT, Flow, ModuleSpec
from reflexarc.control.module import Module
from reflexarc.control.modules import make_module
from reflexarc.control.nodes.parameters import NodeParameters
from reflexarc.control.succession import Phase, Succession

__all__ = ["PARAMETER", "ArtifactSwap"]

PARAMETER = "artifact"

_NOT_ACTIVE = "it is not active. Activate it first."


class ArtifactSwap:
    """The swaps of one node.

    Args:
        node: It gets the parameter.
        on_change: Called when the swap under way has come to something new.
    """

    def __init__(self, node: Node, on_change: Callable[[], None]) -> None:
        self._node = node
        self._on_change = on_change
        self._artifact: Artifact | None = None
        self._coming: Artifact | None = None
        self._making: _Making | None = None
        self._failure = ""
        self._told = ""
        self._swaps = 0
        self._refuses: str | None = _NOT_ACTIVE
        self._is_own_change = False
        node.declare_parameter(PARAMETER, "")
        node.add_on_set_parameters_callback(self._on_set)

    @property
    def artifact(self) -> Artifact | None:
        """What runs, or None where it is not trained."""
        return self._artifact

    @property
    def serving(self) -> str | None:
        """Digest of what made the outputs of the step before `settle`; None where it is not trained."""
        is_new = self._succession.phase is Phase.WATCHING and self._coming is not None
        served = self._coming if is_new else self._artifact
        return None if served is None else served.digest

    # --- what the node tells

    def configure(
        self, flow: Flow, parameters: NodeParameters, succession: Succession, artifact: Artifact | None
    ) -> None:
        """Take over a node that has just loaded.

        Args:
            flow: The node's flow.
            parameters: The node's own.
            succession: Its module.
            artifact: What that runs, or None where it is not trained.
        """
        self._flow, self._parameters = flow, parameters
        self._succession, self._artifact = succession, artifact
        self._told = self._stand()
        self._show()

    def activate(self) -> None:
        """From now on a swap may be asked for, where there can be one."""
        if self._artifact is None:
            self._refuses = "it is not a trained module, so there is nothing to swap."
        elif self._parameters.clock == "lockstep":
            # A swap would come at any tick, and two runs of one seed would no longer be the same.
            self._refuses = "in lock step a run is the same bit for bit. Swap in real time: --clock realtime."
        else:
            self._refuses = None

    def deactivate(self) -> None:
        """End a swap that is under way: what ran before is what runs again."""
        self._refuses = _NOT_ACTIVE
        reason = "the node was deactivated before the swap was over"
        if self._making is not None:
            self._making, self._failure = None, reason
        self._succession.abandon(reason)
        self.poll()

    def poll(self) -> None:
        """Hand over what the thread has made, and report what is new; to be called between two steps."""
        if self._coming is not None:
            self._advance(self._coming)
        self._show()
        if self._stand() != self._told:
            self._told = self._stand()
            self._on_change()

    def figures(self) -> dict[str, str]:
        """For the health report: what runs, how the last swap stands, and how many have begun."""
        if self._artifact is None:
            return {}
        return {"artifact": self._artifact.digest, "swap": self._stand(), "swaps": str(self._swaps)}

    # --- a swap

    def _on_set(self, parameters: "list[Parameter[str]]") -> SetParametersResult:
        wanted = [parameter.value for parameter in parameters if parameter.name == PARAMETER]
        if wanted and not self._is_own_change:
            try:
                self._request(str(wanted[0]))
            except ReflexarcError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _request(self, digest: str) -> None:
        name = self._node.get_name()
        if self._refuses is not None:
            raise ArtifactError(f"{name}: {self._refuses}")
        if self._coming is not None:
            raise ArtifactError(
                f"{name}: a swap to {self._coming.digest[:12]} is under way. Wait until it is over."
            )
        artifact = find_artifact(self._flow, name, digest, self._parameters.store or SHIPPED_STORE)
        assert self._artifact is not None
        if artifact.digest == self._artifact.digest:
            return
        self._coming, self._failure = artifact, ""
        self._swaps += 1
        self._making = _Making(
            self._flow, self._flow.modules[name], artifact, self._parameters.store or SHIPPED_STORE
        )
        self._making.start()
        self._told = self._stand()
        self._on_change()

    def _advance(self, coming: Artifact) -> None:
        if self._making is not None:
            if self._making.is_alive():
                return
            if self._making.made is not None:
                self._succession.begin(self._making.made, self._making.readers)
            self._failure, self._making = self._making.failure, None
        if not self._succession.is_under_way:
            if not self._failure and self._succession.phase is Phase.DONE:
                self._artifact = coming
            self._coming = None

    def _stand(self) -> str:
        if self._making is not None:
            return "loading"
        if self._failure:
            return f"{Phase.REFUSED.value}: {self._failure}"
        phase, reason = self._succession.phase, self._succession.reason
        return f"{phase.value}: {reason}" if reason else phase.value

    def _show(self) -> None:
        """Make the parameter say what runs, unless a swap is under way."""
        runs = "" if self._artifact is None else self._artifact.digest
        if self._coming is None and self._node.get_parameter(PARAMETER).value != runs:
            self._is_own_change = True
            try:
                self._node.set_parameters([Parameter(PARAMETER, value=runs)])
            finally:
                self._is_own_change = False


class _Making(threading.Thread):
    """Makes a module of an artifact, and reads what those assume who read its outputs.

    Args:
        flow: The flow.
        spec: The module's part of it.
        artifact: The artifact.
        store: Where the readers' artifacts are.
    """

    def __init__(self, flow: Flow, spec: ModuleSpec, artifact: Artifact, store: Path) -> None:
        super().__init__(daemon=True)
        self._flow, self._spec, self._artifact, self._store = flow, spec, artifact, store
        self.made: Module | None = None
        self.readers: dict[str, dict[str, Assumption]] = {}
        self.failure = ""

    def run(self) -> None:
        """Leave the module, or the reason why there is none."""
        try:
            self.readers = {port: self._assumed(port) for port in self._spec.outputs}
            self.made = make_module(self._spec, self._artifact)
        except ReflexarcError as error:
            self.failure = str(error)
        except Exception as error:  # whatever the code of a module raises on constants that are not its own
            self.failure = f"{type(error).__name__}: {error}"

    def _assumed(self, port: str) -> dict[str, Assumption]:
        assumed = {}
        for name, reader_port in self._flow.readers(self._spec.name, port):
            if name != PLANT and self._flow.modules[name].artifact is not None:
                assumes = load_pinned(self._flow, name, self._store).manifest.assumes
                if reader_port in assumes:
                    assumed[name] = assumes[reader_port]
        return assumed
