"""Flow: modules joined by ports, and, apart from it, the training graph over the same modules.

Plain data and its checks; `flow_file` reads it from YAML and adds file and line to every problem.
"""

from collections.abc import Mapping
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import FlowError
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.redundancy.members import VOTER
from reflexarc.control.robot import Robot

__all__ = ["PLANT", "Flow", "ModuleSpec", "PlantSpec", "Source", "TrainingSpec"]

PLANT = "plant"
"""Name of the plant among the nodes of a flow."""


class Source(BaseModel):
    """Where an input comes from, and what its reader takes for granted there.

    Args:
        node: Module name, or `plant`.
        port: One of its outputs.
        expect: What the reader assumes of the port (`type`, `shape`, `unit`, `frame`); empty for nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node: str
    port: str
    expect: dict[str, Any] = Field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.node}.{self.port}"


class TrainingSpec(BaseModel):
    """What a module's training needs.

    Args:
        trainer: Kind of trainer.
        needs: Modules that have to be trained before, and are frozen meanwhile.
        parameters: Settings of the trainer that differ from its defaults.
        budget_s: Ends the training after so long, with what it has learned by then; None for no end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trainer: Literal["supervised", "sequence", "reinforcement"]
    needs: tuple[str, ...] = ()
    parameters: dict[str, Any] = Field(default_factory=dict)
    budget_s: float | None = Field(default=None, gt=0)


class PlantSpec(BaseModel):
    """What closes the loop.

    Args:
        env: Gymnasium id of the environment that the twin simulates.
        rate_hz: Ticks per second: the rate of commands.
        outputs: Its sensors.
        inputs: Its actuators, each with the source of its commands.
        parameters: For the twin: how it departs from its environment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str
    rate_hz: float = Field(gt=0)
    outputs: dict[str, Port]
    inputs: dict[str, Source]
    parameters: dict[str, Any] = Field(default_factory=dict)


class ModuleSpec(BaseModel):
    """One module's place in a flow.

    Args:
        name: Unique in the flow, and the name of its node.
        kind: A kind of `control.modules.MODULE_KINDS`, or `package.module:Class`.
        artifact: Name of its artifact in the lock; None for a classical module.
        trigger: Inputs that make it step; several are paired by stamp.
        patience_s: Of several triggers, in real time, the longest time from the first value of a stamp until the module
            steps without those that have not come; None where it needs all of them.
        deadline_s: So long after a step it steps without its trigger, and then at the trigger's rate; None for never.
        latency_s: Declared latency from trigger to output; whole ticks.
        inputs: Source per input port.
        outputs: Output ports.
        parameters: For its code.
        training: What its training needs; None for a classical module.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: str
    artifact: str | None = None
    trigger: tuple[str, ...] = Field(min_length=1)
    patience_s: float | None = Field(default=None, gt=0)
    deadline_s: float | None = Field(default=None, gt=0)
    latency_s: float = Field(default=0.0, ge=0)
    inputs: dict[str, Source]
    outputs: dict[str, Port]
    parameters: dict[str, Any] = Field(default_factory=dict)
    training: TrainingSpec | None = None


class Flow(BaseModel):
    """A flow, as a flow file declares it, and the robot that it is deployed to, if any.

    Args:
        name: Its name.
        plant: What closes the loop.
        modules: By name.
        robot: What the plant's drivers really give and take; None where the twin is the plant. It is no part of the
            plant, whose declaration trainings depend on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    plant: PlantSpec
    modules: dict[str, ModuleSpec] = Field(min_length=1)
    deployment: Deployment | None = None
    robot: Robot | None = None

    @property
    def tick_ns(self) -> int:
        """Length of a tick, in ns."""
        return round(1e9 / self.plant.rate_hz)

    @property
    def namespace(self) -> str:
        """ROS namespace of its nodes: that of its robot; empty for none."""
        return "" if self.robot is None else self.robot.namespace

    @property
    def commanders(self) -> tuple[str, ...]:
        """The modules that command the plant: its guards."""
        return tuple(dict.fromkeys(source.node for source in self.plant.inputs.values()))

    def latency_ticks(self, node: str) -> int:
        """Declared latency of a node's outputs, in ticks; the plant senses without any."""
        return 0 if node == PLANT else round(self.modules[node].latency_s * self.plant.rate_hz)

    def port(self, source: Source) -> Port:
        """The output port that a source names."""
        outputs = self.plant.outputs if source.node == PLANT else self.modules[source.node].outputs
        return outputs[source.port]

    def inputs(self, node: str) -> Mapping[str, Source]:
        """Source per input port of a node."""
        return self.plant.inputs if node == PLANT else self.modules[node].inputs

    def outputs(self, node: str) -> Mapping[str, Port]:
        """Output ports of a node."""
        return self.plant.outputs if node == PLANT else self.modules[node].outputs

    @cached_property
    def _consumers(self) -> dict[tuple[str, str], tuple[tuple[str, str], ...]]:
        consumers: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for node in (*self.modules, PLANT):
            for port, source in self.inputs(node).items():
                consumers.setdefault((source.node, source.port), []).append((node, port))
        return {key: tuple(value) for key, value in consumers.items()}

    def consumers(self, node: str, port: str) -> tuple[tuple[str, str], ...]:
        """(consumer, input port) of everything that reads an output."""
        return self._consumers.get((node, port), ())

    def producers(self, source: Source) -> tuple[Source, ...]:
        """Who makes what a source gives: the source itself, or behind a voter each of its members."""
        if source.node == PLANT or self.modules[source.node].kind != VOTER:
            return (source,)
        members = self.modules[source.node].inputs.values()
        return tuple(found for member in members for found in self.producers(member))

    def readers(self, node: str, port: str) -> tuple[tuple[str, str], ...]:
        """(reader, input port) of everything that reads an output, directly or behind a voter."""
        found: list[tuple[str, str]] = []
        for name, input_port in self.consumers(node, port):
            if name != PLANT and self.modules[name].kind == VOTER:
                found += (reader for out in self.modules[name].outputs for reader in self.readers(name, out))
            else:
                found.append((name, input_port))
        return tuple(found)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Modules in the order data passes in one tick, sensor side first.

        Raises:
            FlowError: A cycle has no latency, so no order exists.
        """
        # No sets, whose order differs from process to process.
        graph = {
            name: [
                source.node
                for source in spec.inputs.values()
                if source.node != PLANT and self.latency_ticks(source.node) == 0
            ]
            for name, spec in self.modules.items()
        }
        try:
            ranks = {name: rank for rank, name in enumerate(TopologicalSorter(graph).static_order())}
        except CycleError as error:
            raise FlowError(
                f"{' -> '.join(reversed(error.args[1]))}: a cycle without latency. "
                "Give one of them a latency_s of at least one tick."
            ) from None
        # Modules with latency come first where they can: they work while the others do.
        depth = {name: self._depth(name, frozenset()) for name in self.modules}
        order = sorted(self.modules, key=lambda name: (depth[name], ranks[name]))
        position = {name: index for index, name in enumerate(order)}
        if all(position[before] < position[name] for name, befores in graph.items() for before in befores):
            return tuple(order)
        return tuple(sorted(self.modules, key=lambda name: ranks[name]))

    def _depth(self, name: str, above: frozenset[str]) -> int:
        """How many modules data has passed before it, loops left out."""
        sources = {s.node for s in self.modules[name].inputs.values()} - {PLANT} - above - {name}
        known = [s for s in sources if s in self.modules]
        return 1 + max((self._depth(source, above | {name}) for source in known), default=0)

    @cached_property
    def path_to_camera(self) -> tuple[tuple[str, str], ...]:
        """(module, input port) from the module that commands the plant back to the one that sees a camera.

        Empty where no camera leads to the plant.
        """
        for source in self.plant.inputs.values():
            path = self._path_to_camera(source.node, frozenset())
            if path:
                return path
        return ()

    def _path_to_camera(self, node: str, seen: frozenset[str]) -> tuple[tuple[str, str], ...]:
        if node == PLANT or node in seen:
            return ()
        for port, source in self.modules[node].inputs.items():
            if source.node == PLANT:
                if self.port(source).type is MessageType.IMAGE:
                    return ((node, port),)
                continue
            rest = self._path_to_camera(source.node, seen | {node})
            if rest:
                return ((node, port), *rest)
        return ()

    @cached_property
    def training_order(self) -> tuple[str, ...]:
        """Modules that are trained, each after what its training needs.

        Raises:
            FlowError: The needs form a cycle.
        """
        graph = {name: spec.training.needs for name, spec in self.modules.items() if spec.training}
        try:
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise FlowError(
                f"{' -> '.join(reversed(error.args[1]))}: a cycle of training needs. "
                "One of them has to be trained without the other."
            ) from None
