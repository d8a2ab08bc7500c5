"""The modules that a node can host, in the order data passes, and the one place that makes them."""

from importlib import import_module

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import FlowError, did_you_mean
from reflexarc.control.flow import ModuleSpec
from reflexarc.control.module import Module

__all__ = ["MODULE_KINDS", "make_module", "module_class"]

MODULE_KINDS = {
    "perception": "reflexarc.control.modules.perception:Perception",
    "estimation": "reflexarc.control.modules.estimation:Estimation",
    "policy": "reflexarc.control.modules.policy:Policy",
    "voter": "reflexarc.control.modules.voter:Voter",
    "guard": "reflexarc.control.modules.guard:Guard",
}
"""Short names of the kinds that come with the project; any other kind is written `package.module:Class`."""


def module_class(kind: str) -> type[Module]:
    """The class of a module kind.

    Raises:
        FlowError: There is no such kind, or it is not a module.
    """
    path = MODULE_KINDS.get(kind, kind)
    package, _, name = path.partition(":")
    if not name:
        raise FlowError(
            f"kind '{kind}' is unknown. {did_you_mean(kind, MODULE_KINDS)} Your own is written package.module:Class."
        )
    try:
        found = getattr(import_module(package), name)
    except (ImportError, AttributeError) as error:
        raise FlowError(f"kind '{kind}' cannot be imported ({error}).") from error
    if not (isinstance(found, type) and issubclass(found, Module)):
        raise FlowError(f"kind '{kind}' is not a Module (reflexarc.control.module).")
    return found


def make_module(spec: ModuleSpec, artifact: Artifact | None) -> Module:
    """A module as the flow declares it.

    Args:
        spec: Its part of the flow.
        artifact: Its trained artifact, or None for a classical module.

    Raises:
        FlowError: Its kind is unknown.
        ArtifactError: It is a trained kind and has no artifact, or one that does not fit.
        ValueRefusedError: A parameter cannot be right.
    """
    return module_class(spec.kind)(spec.parameters, spec.outputs, artifact)
