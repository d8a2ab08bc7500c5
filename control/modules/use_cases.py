"""Use-case recorder: stands beside a job that is done in parallel, and keeps what the approaches disagreed on.

It reads what the members read, what they say, and what the voter came to; nobody reads it. When one approach departs
from what at least two others agreed on, for some stamps in a row, the window around that goes to a store, for `retrain`
to learn from.
"""

from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow import PLANT, Flow, ModuleSpec, Source
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules.voter import VoterParameters, output_of
from reflexarc.control.ports import Port
from reflexarc.control.redundancy.members import VOTER
from reflexarc.control.redundancy.use_case_store import UseCaseStore
from reflexarc.control.redundancy.voter import Member, Output, distance_squared
from reflexarc.control.values import FloatArray, Value

__all__ = ["AGREED", "UseCaseRecorder", "with_recorders"]

AGREED = "agreed"
"""Its port for what the voter came to."""

_MEGABYTE = 1_000_000


class RecorderParameters(BaseModel):
    """What to record, and where to.

    Args:
        job: Name of the job.
        voter: The parameters of its voter.
        folder: Of the store.
        limit_mb: For all use cases of the store together.
        before_s: Length of the window before an approach departs.
        after_s: And after that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    voter: VoterParameters
    folder: Path
    limit_mb: float = Field(gt=0, allow_inf_nan=False)
    before_s: float = Field(default=0.4, ge=0, allow_inf_nan=False)
    after_s: float = Field(default=0.1, ge=0, allow_inf_nan=False)


class UseCaseRecorder(Module):
    """Records what one approach made of what the others agreed on.

    Inputs: `agreed`, the voter's output; `approach_replica` of each member; and the members' own inputs. No output.
    """

    needs_artifact: ClassVar = False
    input_needs: ClassVar = {}
    output_needs: ClassVar = {}

    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None:
        try:
            self._parameters = RecorderParameters.model_validate(parameters)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "parameters"
            raise ValueRefusedError(f"use cases: parameter {where}: {first['msg']}.") from None
        self._store = _store(self._parameters.folder, self._parameters.limit_mb)
        voter = self._parameters.voter
        self._members = {
            approach: [str(Member(approach, n)) for n in range(1, count + 1)]
            for approach, count in voter.approaches.items()
        }
        self._begun: dict[str, tuple[int, FloatArray | None]] = {}
        """Per approach that departs, since when, and where the others saw what it did not."""
        self.reset()

    def reset(self) -> None:
        """An episode is over: what was begun is kept as it is."""
        for approach in list(self._begun):
            self._keep(approach)
        self._window: dict[str, deque[Value]] = {}
        self._once: dict[str, Value] = {}
        self._streak: Counter[str] = Counter()

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """Look at what was agreed on, and keep what is over."""
        for port, values in inputs.items():
            window = self._window.setdefault(port, deque())
            window.extend(values)
        for value in inputs[AGREED]:
            stamp_ns: int = value.stamp_ns  # type: ignore[union-attr]
            self._judge(stamp_ns, output_of(value, self._parameters.voter))
            self._forget(stamp_ns)
            for approach, (begun_ns, _) in list(self._begun.items()):
                if stamp_ns >= begun_ns + self._parameters.after_s * 1e9:
                    self._keep(approach)
        return {}

    def _judge(self, stamp_ns: int, agreed: Output) -> None:
        """Count who departs from what was agreed on; without two who agree there is nothing to depart from."""
        voter = self._parameters.voter
        tolerance = voter.approach_tolerance
        agree: list[str] = []
        depart: list[str] = []
        for approach, members in self._members.items():
            said = [
                output_of(v, voter) for m in members for v in self._window.get(m, ()) if _stamp(v) == stamp_ns
            ]
            if said:
                is_near = any(distance_squared(output, agreed) <= tolerance for output in said)
                (agree if is_near else depart).append(approach)
        for approach in self._members:
            is_departing = len(agree) >= 2 and approach in depart
            self._streak[approach] = self._streak[approach] + 1 if is_departing else 0
            if self._streak[approach] == voter.report_after:
                self._begin(approach, stamp_ns, agreed)

    def _begin(self, approach: str, stamp_ns: int, agreed: Output) -> None:
        if approach in self._begun:
            return
        position = agreed.mean[:3] if agreed.is_known else None
        if reason := self._store.wants(self._parameters.job, approach, position):
            self.rejections[f"{approach}: use case not kept: {reason}"] += 1
            return
        self._begun[approach] = stamp_ns, position

    def _keep(self, approach: str) -> None:
        _, position = self._begun.pop(approach)
        ports = {
            **{port: [value] for port, value in self._once.items()},
            **{port: list(values) for port, values in self._window.items() if values},
        }
        reason = self._store.keep(self._parameters.job, approach, position, ports)
        said = f"use case not kept: {reason}" if reason else "use case kept"
        self.rejections[f"{approach}: {said}"] += 1
        # What follows is a use case of its own if it lasts as long again.
        self._streak[approach] = 0

    def _forget(self, stamp_ns: int) -> None:
        oldest_ns = stamp_ns - (self._parameters.before_s + self._parameters.after_s) * 1e9
        for port, window in self._window.items():
            while window and _stamp(window[0]) < oldest_ns:
                self._once[port] = window.popleft()  # what comes once per episode is needed to the end of it


def with_recorders(flow: Flow, folder: Path, limit_mb: float) -> Flow:
    """A flow with a recorder beside each job that at least three approaches do.

    Args:
        flow: The flow.
        folder: Of the store.
        limit_mb: For all use cases of the store together.

    Raises:
        ValueRefusedError: No job is done so.
        ReflexarcError: Nothing can be kept in the folder, see `UseCaseStore`: better said now than by a node.
    """
    recorders = {}
    for job, voter in flow.modules.items():
        if voter.kind == VOTER and len(voter.parameters["approaches"]) > 2:
            spec = _recorder(flow, job, voter, folder, limit_mb)
            recorders[spec.name] = spec
    if not recorders:
        raise ValueRefusedError(
            f"{flow.name}: no job is done by three approaches, so there are no use cases."
        )
    _store(folder, limit_mb)
    return Flow(
        name=flow.name, plant=flow.plant, modules={**flow.modules, **recorders}, deployment=flow.deployment
    )


def _recorder(flow: Flow, job: str, voter: ModuleSpec, folder: Path, limit_mb: float) -> ModuleSpec:
    (port,) = voter.outputs
    inputs = {AGREED: Source(node=job, port=port), **voter.inputs}
    for member in voter.inputs.values():
        if member.node != PLANT:
            inputs |= {
                name: source
                for name, source in flow.modules[member.node].inputs.items()
                if source not in inputs.values()
            }
    return ModuleSpec(
        name=f"{job}_use_cases",
        kind=f"{UseCaseRecorder.__module__}:{UseCaseRecorder.__name__}",
        trigger=(AGREED,),
        inputs=inputs,
        outputs={},
        parameters={
            "job": job,
            "voter": dict(voter.parameters),
            "folder": str(folder.absolute()),
            "limit_mb": limit_mb,
        },
    )


def _store(folder: Path, limit_mb: float) -> UseCaseStore:
    return UseCaseStore(folder, round(limit_mb * _MEGABYTE))


def _stamp(value: Value) -> int:
    return int(getattr(value, "stamp_ns", 0))
