"""Members: a job that is done in parallel, written out as ordinary modules and the voter between them and its readers.

In the flow file a job says which approaches it has and how many replicas each. Nothing behind the flow file knows
of that: members are modules like any other, each in a process of its own, and the voter is one, too.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["VOTER", "Approach", "Redundancy", "member_name", "write_out"]

VOTER = "voter"
"""Kind of the module that stands between members and readers, and whose guarantee is that of each member."""

_Content = dict[str, Any]

_OF_MEMBERS = ("kind", "trigger", "deadline_s", "latency_s", "inputs", "parameters")
"""Keys of a job that its members take over."""


class Approach(BaseModel):
    """One way to do a job.

    Args:
        replicas: How many run side by side.
        kind: Kind of module, if not the job's.
        inputs: Sources that differ from the job's: an approach may see through other sensors.
        parameters: Parameters that differ from the job's.
        artifact: Name of its artifact in the lock, if not that of its first replica.
        training: What its training needs; None for a classical one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    replicas: int = Field(default=1, ge=1, le=3)
    kind: str | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    artifact: str | None = None
    training: dict[str, Any] | None = None


class Redundancy(BaseModel):
    """The `redundancy` of a job.

    Args:
        approaches: By name.
        patience_s: How long the voter waits for the others, in real time, once one has spoken.
        deadline_s: Longest time between two votes.
        parameters: The voter's own, beside the approaches.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approaches: dict[str, Approach] = Field(min_length=1, max_length=3)
    patience_s: float = Field(gt=0)
    deadline_s: float = Field(gt=0)
    parameters: dict[str, Any] = Field(default_factory=dict)


def member_name(job: str, approach: str, replica: int) -> str:
    """Name of a member's module; the first replica has its approach's, which is also that of the artifact.

    Args:
        job: Name of the job.
        approach: Name of the approach.
        replica: From 1 on.
    """
    return f"{job}_{approach}" if replica == 1 else f"{job}_{approach}_{replica}"


def write_out(job: str, content: Mapping[str, Any], redundancy: Redundancy) -> dict[str, _Content]:
    """Modules, as a flow file would have them: the members, and under the job's own name the voter.

    Replicas of an approach run the same artifact, which is trained once, under the first one's name.

    Args:
        job: Name of the job.
        content: What the flow file says of it.
        redundancy: Its `redundancy`, checked.
    """
    port, declared = next(iter(content["outputs"].items()))
    modules: dict[str, _Content] = {}
    inputs: dict[str, str] = {}
    for name, approach in redundancy.approaches.items():
        common = {key: content[key] for key in _OF_MEMBERS if key in content}
        if approach.kind is not None:
            common["kind"] = approach.kind
        common["inputs"] = {**common.get("inputs", {}), **approach.inputs}
        common["parameters"] = {**common.get("parameters", {}), **approach.parameters}
        for replica in range(1, approach.replicas + 1):
            member = member_name(job, name, replica)
            topic = f"{declared['topic']}/{name}" + (f"_{replica}" if replica > 1 else "")
            modules[member] = {**common, "outputs": {port: {**declared, "topic": topic}}}
            if approach.artifact is not None or (approach.training is not None and replica > 1):
                modules[member]["artifact"] = approach.artifact or member_name(job, name, 1)
            if approach.training is not None and replica == 1:
                modules[member]["training"] = approach.training
            inputs[f"{name}_{replica}"] = f"{member}.{port}"
    replicas = {name: approach.replicas for name, approach in redundancy.approaches.items()}
    modules[job] = {
        "kind": VOTER,
        "trigger": list(inputs),
        "patience_s": redundancy.patience_s,
        "deadline_s": redundancy.deadline_s,
        "inputs": inputs,
        "outputs": content["outputs"],
        "parameters": {**redundancy.parameters, "approaches": replicas},
    }
    return modules
