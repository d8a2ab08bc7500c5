"""Status: for each module of a flow, whether its artifact is what a training now would make, and its contract."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from reflexarc.control.artifacts.agreement import flow_violations
from reflexarc.control.artifacts.artifact import Manifest
from reflexarc.control.artifacts.store import read_lock
from reflexarc.control.contracts import Violation
from reflexarc.control.errors import ArtifactError, TrainingError
from reflexarc.control.flow import Flow
from reflexarc.control.training.digests import departures
from reflexarc.control.training.draft import draft_manifest, pinned_manifest

__all__ = ["ModuleStatus", "flow_status"]


class ModuleStatus(BaseModel):
    """How one module stands.

    Args:
        module: Its name.
        digest: What the lock pins, or None.
        state: `up to date`; `stale`: a training now would start from something else; `not trained`; or
            `altered`: the artifact is not what the lock pins.
        causes: Why: `code`, `environment`, `config`, `data`, `upstream: NAME`, `budget`, or what is altered.
        contract: Whether every guarantee that reaches it lies inside what it assumes; `unknown` where a
            neighbour has no artifact.
        violations: Where it does not.
    """

    model_config = ConfigDict(frozen=True)

    module: str
    digest: str | None
    state: Literal["up to date", "stale", "not trained", "altered"]
    causes: tuple[str, ...] = ()
    contract: Literal["kept", "broken", "unknown"]
    violations: tuple[Violation, ...] = ()


def flow_status(flow: Flow, store: Path) -> list[ModuleStatus]:
    """How every trained module of a flow stands, in the order of training.

    Raises:
        ArtifactError: The lock cannot be read.
    """
    lock = read_lock(store, flow.name)
    manifests: dict[str, Manifest] = {}
    altered: dict[str, str] = {}
    for name in flow.training_order:
        try:
            manifest = pinned_manifest(store, flow, flow.modules[name].artifact or name)
        except ArtifactError as error:
            altered[name] = str(error)
            continue
        if manifest is not None:
            manifests[name] = manifest
    violations = flow_violations(flow, manifests)
    found: list[ModuleStatus] = []
    for name in flow.training_order:
        digest = lock.get(flow.modules[name].artifact or name)
        about = tuple(v for v in violations if v.consumer.partition(".")[0] == name)
        sources = {source.node for source in flow.modules[name].inputs.values()} & set(flow.training_order)
        contract: Literal["kept", "broken", "unknown"] = "broken" if about else "kept"
        if name not in manifests or not sources <= set(manifests):
            contract = "unknown"
        not_current = [status.module for status in found if status.state != "up to date"]
        state, causes = _state(flow, name, store, manifests.get(name), altered.get(name), not_current)
        found.append(
            ModuleStatus(
                module=name,
                digest=digest,
                state=state,
                causes=tuple(causes),
                contract=contract,
                violations=about,
            )
        )
    return found


def _state(
    flow: Flow,
    name: str,
    store: Path,
    pinned: Manifest | None,
    altered: str | None,
    not_current: list[str],
) -> tuple[Literal["up to date", "stale", "not trained", "altered"], list[str]]:
    if altered is not None:
        return "altered", [altered]
    if pinned is None:
        return "not trained", []
    try:
        causes = departures(pinned, draft_manifest(flow, name, None, None, store))
    except TrainingError as error:  # what it needs is gone
        return "stale", [str(error)]
    training = flow.modules[name].training
    assert training is not None
    named = {cause.removeprefix("upstream: ") for cause in causes}
    causes += [f"upstream: {need}" for need in training.needs if need in not_current and need not in named]
    return ("stale", causes) if causes else ("up to date", [])
