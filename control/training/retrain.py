"""Retrain: one module anew, its neighbours frozen; judged by contracts and by closed loop, then promoted or not."""

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reflexarc.control.artifacts.agreement import flow_violations
from reflexarc.control.artifacts.artifact import Artifact, Manifest
from reflexarc.control.artifacts.history import promote, read_times, record_time
from reflexarc.control.artifacts.store import load_pinned, read_lock
from reflexarc.control.contracts import Violation
from reflexarc.control.errors import TrainingError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.training.data import check_data, data_path
from reflexarc.control.training.digests import departures
from reflexarc.control.training.draft import draft_manifest
from reflexarc.control.training.paired import Comparison, compare_in_closed_loop
from reflexarc.control.training.plan import train_to_artifact

__all__ = ["Intent", "Outcome", "Retraining", "plan_retraining", "retrain"]


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What a retraining would do.

    Args:
        module: What is trained.
        causes: Why the pinned artifact is not what a training now would make.
        neighbours: Trained modules that read its outputs or feed it, and stay frozen.
        seconds: What it would take, by the last training; None where none was timed.
        manifest: Of the artifact before it is trained.
    """

    module: str
    causes: tuple[str, ...]
    neighbours: tuple[str, ...]
    seconds: float | None
    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """How to retrain.

    Args:
        settings: Settings of the trainer to change, beside those of the pinned artifact.
        data: Recorded data to add, or None.
        budget_s: Ends the training after so long, or None.
        seed: Of the training; None for that of the pinned artifact.
        episodes: Pairs in closed loop at most.
        evaluation_seed: Of these.
        force: Promote whatever comes out, and train even what is up to date.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    data: Path | None = None
    budget_s: float | None = None
    seed: int | None = None
    episodes: int = 400
    evaluation_seed: int = 0
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a retraining came to.

    Args:
        intent: What was wanted.
        old: The artifact that was pinned.
        new: The one that was trained.
        neighbour_manifests: Per trained neighbour, that of its pinned artifact.
        violations: Edges of the flow that would not be covered with the new one.
        valid: Neighbours that stay valid.
        invalid: Neighbours that do not, with what retraining them would cost in s, if known.
        comparison: The paired episodes; None where the contract left nothing to compare.
        is_promoted: Whether the lock pins the new one now.
        reason: Why, or why not.
        seconds: Wall time of each part: `training`, `closed loop`.
        log_dir: TensorBoard's folder of this training.
    """

    intent: Intent
    old: Artifact
    new: Artifact
    neighbour_manifests: Mapping[str, Manifest]
    violations: tuple[Violation, ...]
    valid: tuple[str, ...]
    invalid: Mapping[str, float | None]
    comparison: Comparison | None
    is_promoted: bool
    reason: str
    seconds: Mapping[str, float]
    log_dir: Path


def plan_retraining(flow: Flow, module: str, wanted: Retraining, store: Path) -> Intent:
    """What would be trained, and from what.

    Raises:
        TrainingError: The module is unknown, not trained yet, or takes no such data.
    """
    if module not in flow.training_order:
        known = did_you_mean(module, flow.training_order)
        raise TrainingError(f"{flow.name}: no trained module '{module}'. {known}")
    spec = flow.modules[module]
    if (spec.artifact or module) not in read_lock(store, flow.name):
        raise TrainingError(
            f"{module}: nothing to compare with, it was never trained. "
            f"Run: reflexarc train --flow {flow.name} --module {module}"
        )
    pinned = load_pinned(flow, module, store).manifest
    settings = {**pinned.settings, **wanted.settings}
    manifest = draft_manifest(flow, module, wanted.seed, settings, store)
    if wanted.data is not None:
        assert spec.training is not None
        check_data(module, spec.training.trainer, wanted.data)
        manifest = manifest.model_copy(update={"data": hashlib.sha256(wanted.data.read_bytes()).hexdigest()})
    causes = departures(pinned, manifest)
    if wanted.budget_s is not None:
        causes.append(f"a budget of {wanted.budget_s:g} s")
    return Intent(
        module=module,
        causes=tuple(causes),
        neighbours=_neighbours(flow, module),
        seconds=read_times(store, flow.name).get(module),
        manifest=manifest,
    )


def retrain(
    flow: Flow,
    intent: Intent,
    wanted: Retraining,
    store: Path,
    log_dir: Path,
    say: Callable[[str], None],
    on_pairs: Callable[[int, int], None],
) -> Outcome:
    """Train one module, judge it, and promote it if it is not worse.

    Args:
        flow: The flow, as it is now.
        intent: From `plan_retraining`.
        wanted: The same as there.
        store: Folder of artifacts and lock.
        log_dir: For TensorBoard.
        say: Told each finding as it comes.
        on_pairs: Called with (pairs done, pairs at most).

    Raises:
        ReflexarcError: It cannot be trained; the lock is as it was.
    """
    module, name = intent.module, intent.manifest.module
    if wanted.data is not None:
        kept = data_path(store, intent.manifest.data)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(wanted.data, kept)
    old = load_pinned(flow, module, store)
    begin = time.monotonic()
    digest = train_to_artifact(flow, module, intent.manifest, store, log_dir, wanted.budget_s)
    seconds = {"training": time.monotonic() - begin}
    if wanted.budget_s is None:
        record_time(store, flow.name, module, seconds["training"])
    before = read_lock(store, flow.name)
    after = {**before, name: digest}
    if digest == old.digest:
        say(f"{module}: the same digest as before, {digest[:12]}")
    artifacts = {
        n: load_pinned(flow, n, store, after) for n in flow.training_order if _artifact(flow, n) in after
    }
    manifests = {n: artifact.manifest for n, artifact in artifacts.items()}
    already = _about(module, flow_violations(flow, {**manifests, module: old.manifest}))
    violations = _about(module, flow_violations(flow, manifests))
    for violation in violations:
        say(f"contract: {violation}{'' if _is_worse(violation, already) else ' (as before)'}")
    broken = [violation for violation in violations if _is_worse(violation, already)]
    consumers = {violation.consumer.partition(".")[0] for violation in broken}
    times = read_times(store, flow.name)
    invalid = {n: times.get(n) for n in intent.neighbours if n in consumers}
    valid = tuple(n for n in intent.neighbours if n not in consumers)
    if valid:
        say(f"neighbours that stay valid: {', '.join(valid)}")
    if module in consumers:
        say(f"{module} itself is not covered by what its neighbours guarantee")
    for neighbour, cost in invalid.items():
        say(f"{neighbour} is not covered any more; retraining it would take {_duration(cost)}")

    begin = time.monotonic()
    comparison = compare_in_closed_loop(
        flow, store, before, after, wanted.evaluation_seed, wanted.episodes, on_pairs
    )
    seconds["closed loop"] = time.monotonic() - begin
    is_promoted, reason = _verdict(comparison, broken, wanted.force)
    if is_promoted:
        promote(store, flow.name, name, digest, f"retrain: {reason}")
    return Outcome(
        intent=intent,
        old=old,
        new=artifacts[module],
        neighbour_manifests={n: artifacts[n].manifest for n in intent.neighbours if n in artifacts},
        violations=tuple(violations),
        valid=valid,
        invalid=invalid,
        comparison=comparison,
        is_promoted=is_promoted,
        reason=reason,
        seconds=seconds,
        log_dir=log_dir / flow.name / module,
    )


def _verdict(comparison: Comparison, violations: Sequence[Violation], force: bool) -> tuple[bool, str]:
    """Whether to promote, and why."""
    found = (
        f"{comparison.figure} {comparison.verdict} by {len(comparison.new)} pairs "
        f"(gain {comparison.gain:+.4g}, 95 % {comparison.low:+.4g} to {comparison.high:+.4g}, "
        f"margin {comparison.margin:g})"
    )
    if force:
        return True, f"forced; {found}"
    if comparison.verdict != "not worse":
        return False, found
    if violations:
        return False, f"a contract is broken ({violations[0].figure} of {violations[0].producer}); {found}"
    return True, found


def _about(module: str, violations: Sequence[Violation]) -> list[Violation]:
    return [v for v in violations if module in (v.producer.partition(".")[0], v.consumer.partition(".")[0])]


def _is_worse(violation: Violation, already: Sequence[Violation]) -> bool:
    """Whether it was not there with the old artifact, or not as bad."""
    for before in already:
        if (before.producer, before.consumer, before.figure) == (
            violation.producer,
            violation.consumer,
            violation.figure,
        ):
            # NaN is worse than any value, so the comparison is written to fail with it.
            return before.value is not None and (
                violation.value is None or not violation.value <= before.value
            )
    return True


def _neighbours(flow: Flow, module: str) -> tuple[str, ...]:
    """Trained modules on the edges of a module."""
    sources = flow.modules[module].inputs.values()
    found = {producer.node for source in sources for producer in flow.producers(source)}
    for port in flow.modules[module].outputs:
        found |= {reader for reader, _ in flow.readers(module, port)}
    return tuple(name for name in flow.training_order if name in found and name != module)


def _artifact(flow: Flow, module: str) -> str:
    return flow.modules[module].artifact or module


def _duration(seconds: float | None) -> str:
    return "as long as it did the first time" if seconds is None else f"some {max(seconds / 60, 0.1):.1f} min"
