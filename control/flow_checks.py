"""What has to hold in a flow: edges that agree, rates that are feasible, one way to the actuators."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import FlowError, ValueRefusedError, did_you_mean
from reflexarc.control.fallback import base_port
from reflexarc.control.flow import PLANT, Flow, ModuleSpec, Source
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.modules import module_class
from reflexarc.control.modules.guard import Guard, GuardParameters, Workspace
from reflexarc.control.ports import MessageType, Port, PortNeed
from reflexarc.control.yaml_file import Problem

__all__ = ["check_flow"]

_WHOLE = 1e-6
"""How far a ratio of rates may be from a whole number: rates are written with a few digits."""

_NODES = {PLANT: "what closes the loop", "twin": "the node that simulates the plant"}
"""Names that are taken."""

_TOPICS = {
    "clock": "the time of a simulation",
    "diagnostics": "the health of all nodes",
    "rosout": "the log of all nodes",
    "parameter_events": "ROS 2 itself",
}
"""Topics that are taken."""

_GUARD_PARAMETERS: Mapping[tuple[str, ...], type[BaseModel]] = {
    (): GuardParameters,
    ("workspace",): Workspace,
    ("workspace", "kinematics"): DenavitHartenberg,
}

_JOINT_TYPES = (MessageType.JOINT_STATE, MessageType.JOINT_TRAJECTORY, MessageType.FLOAT64_ARRAY)


def check_flow(flow: Flow) -> list[Problem]:
    """Everything that is wrong with a flow whose parts are well formed; empty if it can run."""
    problems = [*_names(flow), *_numbers(flow), *_deployment(flow)]
    if PLANT not in flow.modules:
        problems += _sources(flow)
    if problems:  # the rest follows edges, which have to lead somewhere, and counts in ticks
        return problems
    for spec in flow.modules.values():
        problems += [*_ports(flow, spec), *_timing(flow, spec), *_training(flow, spec)]
        if issubclass(module_class(spec.kind), Guard):
            problems += _guard(flow, spec)
    return [*problems, *_plant(flow), *_graphs(flow)]


def _keys(node: str, *rest: str) -> tuple[str, ...]:
    return (PLANT, *rest) if node == PLANT else ("modules", node, *rest)


def _names(flow: Flow) -> Iterator[Problem]:
    for name in flow.modules:
        if name in _NODES:
            yield Problem(("modules", name), f"a module cannot be named '{name}': that is {_NODES[name]}.")
        if name == PLANT:
            return  # whose ports are meant could not be told
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            yield Problem(
                _keys(name), f"{name}: a module's name is lower snake case, since a node is named by it."
            )
    outputs = [(node, port) for node in (PLANT, *flow.modules) for port in flow.outputs(node)]
    count = Counter(flow.outputs(node)[port].topic for node, port in outputs)
    for node, port in outputs:
        topic = flow.outputs(node)[port].topic
        keys = _keys(node, "outputs", port, "topic")
        if count[topic] > 1:
            yield Problem(
                keys, f"{node}.{port}: topic '{topic}' has {count[topic]} publishers. Give each its own."
            )
        if topic in _TOPICS:
            yield Problem(
                keys, f"{node}.{port}: topic '{topic}' is taken, by {_TOPICS[topic]}. Give it another."
            )
        if "__" in topic:  # design.ros2.org, Topic and Service name mapping to DDS
            yield Problem(keys, f"{node}.{port}: topic '{topic}': ROS 2 allows no two underscores in a row.")


def _numbers(flow: Flow) -> Iterator[Problem]:
    """YAML can write infinity, and every time is counted in whole ns."""
    numbers: list[tuple[tuple[str, ...], float | None]] = []
    for node in (PLANT, *flow.modules):
        for name, port in flow.outputs(node).items():
            keys = _keys(node, "outputs", name)
            numbers.append(((*keys, "rate_hz"), port.rate_hz))
            if any(length < 1 for length in port.shape):
                yield Problem(
                    (*keys, "shape"),
                    f"{node}.{name}: shape is {list(port.shape)}; each axis has at least one element.",
                )
            if port.rate_hz is None and port.stream != "description":
                yield Problem(
                    keys,
                    f"{node}.{name}: key 'rate_hz' is missing; "
                    "nobody would notice silence. Only a stream 'description' has none.",
                )
    for name, spec in flow.modules.items():
        times = ("patience_s", "deadline_s", "latency_s")
        numbers += [(_keys(name, key), getattr(spec, key)) for key in times]
    for keys, number in numbers:
        if number is not None and not math.isfinite(number * 1e9):
            yield Problem(keys, f"{'.'.join(keys)} is {number:g}, which is too large.")
    if flow.tick_ns < 1:
        yield Problem(
            _keys(PLANT, "rate_hz"),
            f"plant.rate_hz is {flow.plant.rate_hz:g}: a tick would be less than 1 ns.",
        )


def _sources(flow: Flow) -> Iterator[Problem]:
    nodes = (PLANT, *flow.modules)
    for node in nodes:
        for port, source in flow.inputs(node).items():
            keys = _keys(node, "inputs", port)
            if source.node not in nodes:
                hint = did_you_mean(source.node, nodes)
                yield Problem(keys, f"{node}.{port}: source '{source}': there is no '{source.node}'. {hint}")
            elif source.port not in flow.outputs(source.node):
                hint = did_you_mean(source.port, flow.outputs(source.node))
                yield Problem(
                    keys,
                    f"{node}.{port}: source '{source}': {source.node} has no output '{source.port}'. {hint}",
                )


def _ports(flow: Flow, spec: ModuleSpec) -> Iterator[Problem]:
    declared_inputs = {name: flow.port(source) for name, source in spec.inputs.items()}
    try:
        input_needs, output_needs = module_class(spec.kind).needs(spec.parameters, spec.outputs)
    except ValueRefusedError as error:
        yield Problem(_keys(spec.name, "parameters"), f"{spec.name}: {error}")
        return
    yield from _against(spec, "inputs", declared_inputs, input_needs)
    yield from _against(spec, "outputs", spec.outputs, output_needs)
    for name, source in spec.inputs.items():
        yield from _expectations(flow, spec, name, source)
    frames = {name: flow.port(spec.inputs[name]).frame for name in spec.trigger if name in spec.inputs}
    if len(set(frames.values())) > 1:
        listed = ", ".join(f"{name} in '{frame}'" for name, frame in frames.items())
        yield Problem(
            _keys(spec.name, "trigger"),
            f"{spec.name}: inputs that are paired have different frames ({listed}). Register them to one camera.",
        )


def _against(
    spec: ModuleSpec, side: str, ports: Mapping[str, Port], needs: Mapping[str, PortNeed]
) -> Iterator[Problem]:
    for name, need in needs.items():
        if name not in ports and not need.optional:
            yield Problem(
                _keys(spec.name, side), f"{spec.name}: {side[:-1]} '{name}' ({need.type.value}) is missing."
            )
    for name, port in ports.items():
        keys = _keys(spec.name, side, name)
        if (base := base_port(name)) not in needs:
            yield Problem(
                keys,
                f"{spec.name}: kind '{spec.kind}' has no {side[:-1]} '{name}'. {did_you_mean(name, needs)}",
            )
            continue
        wanted = needs[base]
        came = f"{spec.inputs[name]} is" if side == "inputs" else "is declared"
        for what, has, wants in (
            ("type", port.type.value, wanted.type.value),
            ("unit", port.unit, wanted.unit),
            ("number of axes", len(port.shape), wanted.ndim),
        ):
            if wants is not None and has != wants:
                yield Problem(
                    keys, f"{spec.name}.{name}: {what}: {came} '{has}', kind '{spec.kind}' needs '{wants}'."
                )


def _expectations(flow: Flow, spec: ModuleSpec, name: str, source: Source) -> Iterator[Problem]:
    port = flow.port(source)
    for what, wants in source.expect.items():
        has = getattr(port, what)
        has = has.value if isinstance(has, MessageType) else list(has) if isinstance(has, tuple) else has
        if has != wants:
            yield Problem(
                _keys(spec.name, "inputs", name),
                f"{spec.name}.{name}: {what}: {source} is {has!r}, {spec.name} expects {wants!r}.",
            )


def _timing(flow: Flow, spec: ModuleSpec) -> Iterator[Problem]:
    rate = flow.plant.rate_hz
    ticks = spec.latency_s * rate
    if abs(ticks - round(ticks)) > _WHOLE:
        yield Problem(
            _keys(spec.name, "latency_s"),
            f"{spec.name}: latency_s {spec.latency_s} is {ticks:g} ticks of {1 / rate:g} s; it has to be whole.",
        )
    for name in spec.trigger:
        if name not in spec.inputs:
            hint = did_you_mean(name, spec.inputs)
            yield Problem(_keys(spec.name, "trigger"), f"{spec.name}: trigger '{name}' is no input. {hint}")
            return
        if flow.port(spec.inputs[name]).rate_hz is None:
            yield Problem(
                _keys(spec.name, "trigger"),
                f"{spec.name}: trigger '{name}' comes once ({spec.inputs[name]} has no rate_hz). "
                "Give one that goes on.",
            )
            return
    pace = min((flow.port(spec.inputs[name]).rate_hz or rate) for name in spec.trigger)
    if spec.deadline_s is not None and spec.deadline_s * pace < 1 + _WHOLE:
        yield Problem(
            _keys(spec.name, "deadline_s"),
            f"{spec.name}: deadline_s {spec.deadline_s:g} passes at every step: "
            f"its trigger comes every {1 / pace:g} s. Give it more than that.",
        )
    if spec.patience_s is not None and spec.patience_s * pace > 1 + _WHOLE:
        yield Problem(
            _keys(spec.name, "patience_s"),
            f"{spec.name}: patience_s {spec.patience_s:g} is longer than the {1 / pace:g} s from step to step.",
        )
    for name, port in spec.outputs.items():
        if port.rate_hz is not None and abs(port.rate_hz - pace) > _WHOLE:
            yield Problem(
                _keys(spec.name, "outputs", name, "rate_hz"),
                f"{spec.name}.{name}: {port.rate_hz:g} Hz cannot be: its trigger comes at {pace:g} Hz.",
            )


def _guard(flow: Flow, spec: ModuleSpec) -> Iterator[Problem]:
    """A guard's limits, which have to be those of the joints that it commands, at its pace."""
    keys = _keys(spec.name, "parameters")
    try:
        limits = GuardParameters.model_validate(spec.parameters)
    except ValidationError as error:
        for entry in error.errors():
            where = tuple(str(part) for part in entry["loc"])
            message = f"{'.'.join(where) or 'parameters'}: {entry['msg'].removeprefix('Value error, ')}."
            if entry["type"] == "extra_forbidden":
                known = _GUARD_PARAMETERS[where[:-1]].model_fields
                message = f"unknown parameter '{'.'.join(where)}'. {did_you_mean(where[-1], known)}"
            elif entry["type"] == "missing":
                message = f"parameter '{'.'.join(where)}' is missing."
            yield Problem((*keys, *where), f"{spec.name}: {message}")
        return
    joints = len(limits.joints)
    ports = {("inputs", name): flow.port(source) for name, source in spec.inputs.items()}
    ports |= {("outputs", name): port for name, port in spec.outputs.items()}
    for (side, name), port in ports.items():
        if port.type in _JOINT_TYPES and len(port.shape) == 1 and port.shape != (joints,):
            yield Problem(
                _keys(spec.name, side, name),
                f"{spec.name}.{name}: shape is {list(port.shape)}, and {spec.name} has {joints} joints.",
            )
    paces = [flow.port(spec.inputs[name]).rate_hz for name in spec.trigger if name in spec.inputs]
    pace = min((pace for pace in paces if pace is not None), default=None)
    if pace is not None and abs(limits.rate_hz - pace) > _WHOLE:
        yield Problem(
            (*keys, "rate_hz"),
            f"{spec.name}: parameter rate_hz is {limits.rate_hz:g}, and its trigger comes at {pace:g} Hz: "
            "accelerations would be limited wrongly.",
        )


def _training(flow: Flow, spec: ModuleSpec) -> Iterator[Problem]:
    if spec.training is not None and not module_class(spec.kind).needs_artifact:
        yield Problem(
            _keys(spec.name, "training"),
            f"{spec.name}: kind '{spec.kind}' is not trained. Leave 'training' out.",
        )
    for need in spec.training.needs if spec.training else ():
        if need not in flow.modules:
            yield Problem(
                _keys(spec.name, "training", "needs"),
                f"{spec.name}: its training needs '{need}', which is no module. {did_you_mean(need, flow.modules)}",
            )
        elif flow.modules[need].training is None:
            yield Problem(
                _keys(spec.name, "training", "needs"),
                f"{spec.name}: its training needs '{need}', which is not trained: leave it out.",
            )


def _plant(flow: Flow) -> Iterator[Problem]:
    rate = flow.plant.rate_hz
    for name, port in flow.plant.outputs.items():
        every = rate / (port.rate_hz or rate)
        if every < 1 - _WHOLE or abs(every - round(every)) > _WHOLE:
            yield Problem(
                _keys(PLANT, "outputs", name, "rate_hz"),
                f"plant.{name}: {port.rate_hz:g} Hz is no whole part of the plant's {rate:g} Hz.",
            )
    if not flow.plant.inputs:
        yield Problem(
            _keys(PLANT, "inputs"), "plant: nothing commands it. Add the guard's command to its inputs."
        )
    for name, source in flow.plant.inputs.items():
        keys = _keys(PLANT, "inputs", name)
        if source.node == PLANT or not issubclass(module_class(flow.modules[source.node].kind), Guard):
            yield Problem(
                keys,
                f"plant.{name}: commanded by {source}; only a module of kind 'guard' may command the actuators.",
            )
        elif flow.latency_ticks(source.node) < 1:
            yield Problem(
                keys,
                f"plant.{name}: {source.node} answers within its tick, as no machine can. "
                f"Give it a latency_s of at least {1 / rate:g}.",
            )


def _deployment(flow: Flow) -> Iterator[Problem]:
    if flow.deployment is None:
        return
    yield from _hosts(flow.deployment)
    keys = ("deployment", "processes")
    placed = [name for process in flow.deployment.processes.values() for name in process.modules]
    for name, process in flow.deployment.processes.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            yield Problem(
                (*keys, name), f"process {name}: its name is lower snake case: files are named by it."
            )
        if name in {*_NODES, *flow.modules} - {*process.modules}:
            yield Problem((*keys, name), f"process {name}: has the name of a node that it does not host.")
        yield from _host_of(flow.deployment, name)
        for number, module in enumerate(process.modules):
            at = (*keys, name, "modules", str(number))
            if module == "twin" and len(process.modules) == 1:
                continue
            if module == "twin":
                yield Problem(at, f"process {name}: the twin shares its process with no module.")
            elif module not in flow.modules:
                hint = did_you_mean(module, flow.modules)
                yield Problem(at, f"process {name}: there is no module '{module}'. {hint}")
            elif placed.count(module) > 1:
                yield Problem(
                    at, f"process {name}: module '{module}' is placed {placed.count(module)} times."
                )
    for module in flow.modules:
        if module not in placed:
            yield Problem(keys, f"deployment: module '{module}' is in no process. Add it to one.")


def _hosts(deployment: Deployment) -> Iterator[Problem]:
    addresses = [host.address for host in deployment.hosts.values()]
    for name, host in deployment.hosts.items():
        keys = ("deployment", "hosts", name, "address")
        address = host.address
        if address.packed[0] == 0 or address.is_multicast or address.is_reserved:
            yield Problem(keys, f"host {name}: {address} is not the address of a host.")
        if address.is_loopback and len(addresses) > 1:
            yield Problem(
                keys, f"host {name}: {address} is each host's own; the others do not reach it there."
            )
        elif addresses.count(address) > 1:
            yield Problem(keys, f"host {name}: {address} is given to {addresses.count(address)} hosts.")


def _host_of(deployment: Deployment, process: str) -> Iterator[Problem]:
    host = deployment.processes[process].host
    keys = ("deployment", "processes", process)
    if host is None and deployment.hosts:
        yield Problem(
            keys, f"process {process}: key 'host' is missing. Known: {', '.join(deployment.hosts)}."
        )
    elif host is not None and host not in deployment.hosts:
        hint = (
            did_you_mean(host, deployment.hosts) if deployment.hosts else "There is none in deployment.hosts."
        )
        yield Problem((*keys, "host"), f"process {process}: there is no host '{host}'. {hint}")


def _graphs(flow: Flow) -> Iterator[Problem]:
    for graph in ("order", "training_order"):
        try:
            getattr(flow, graph)
        except FlowError as error:
            yield Problem(("modules",), str(error))
        except KeyError:
            pass  # a need that is no module, which is told already
