"""Flow file: YAML to a checked `Flow`. Every problem is said with file and line, all of them at once."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import FlowError, ReflexarcError, did_you_mean
from reflexarc.control.fallback import SEPARATOR, fallback_port
from reflexarc.control.flow import PLANT, Flow, ModuleSpec, PlantSpec, Source, TrainingSpec
from reflexarc.control.flow_checks import Problem, check_flow
from reflexarc.control.module import Module
from reflexarc.control.modules import module_class
from reflexarc.control.ports import Port
from reflexarc.control.redundancy.members import Redundancy, member_name, write_out

__all__ = ["FLOWS", "known_flows", "load_flow"]

FLOWS = Path(__file__).parents[1] / "launch" / "flows"
"""The flows that come with the project."""

_FLOW_NAME = r"[a-z][a-z0-9_]*"
"""What `Flow` demands of its name, which files and folders are named by."""

_NOT_OF_A_JOB = ("name", "artifact", "training", "patience_s")
"""What the approaches of a job have, each its own, or the voter."""

_Model = TypeVar("_Model", bound=BaseModel)
_Keys = tuple[str, ...]


def known_flows() -> list[str]:
    """Names of the flows that come with the project."""
    return sorted(path.stem for path in FLOWS.glob("*.yaml"))


def load_flow(name_or_path: str) -> Flow:
    """A flow by its name, or from a file.

    Args:
        name_or_path: `arm_catch` for a flow that comes with the project, or a path that ends in .yaml.

    Raises:
        FlowError: There is no such file, or something in it is wrong: one line per problem.
    """
    path = Path(name_or_path) if name_or_path.endswith((".yaml", ".yml")) else FLOWS / f"{name_or_path}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        hint = did_you_mean(path.stem, known_flows())
        raise FlowError(f"{name_or_path}: no such flow ({error.strerror}: {path}). {hint}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise FlowError(f"{path}:{line}: not UTF-8. Save the file as text in that encoding.") from None
    return _Reader(path, text).flow()


class _Reader:
    """Reads one file and remembers on which line each key stands."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines: dict[_Keys, int] = {(): 1}
        self._problems: list[Problem] = []
        self._written_in: dict[str, tuple[_Keys, ...]] = {}
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if root is None:
                raise FlowError(f"{path}:1: the file is empty. `reflexarc graph` draws one that is not.")
            if not isinstance(root, yaml.MappingNode):
                raise FlowError(f"{path}:1: a flow file is a mapping with the keys flow, plant and modules.")
            self._remember(root, ())
            self._data = yaml.safe_load(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            context = f"{error.context}, " if error.context else ""
            raise FlowError(f"{path}:{line}: not YAML: {context}{error.problem}.") from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise FlowError(f"{path}:{line}: not YAML: {error.reason} (U+{error.character:04X}).") from None
        except RecursionError:
            raise FlowError(f"{path}:1: nested too deep, or an anchor that holds itself.") from None

    def flow(self) -> Flow:
        """The flow, or one error with all problems."""
        top = self._mapping(self._data, (), ("flow", "plant", "modules", "deployment"))
        name = top.get("flow")
        if "flow" not in top:
            self._problem((), "flow file: key 'flow' is missing.")
        elif not isinstance(name, str) or not re.fullmatch(_FLOW_NAME, name):
            self._problem(
                ("flow",), f"flow is {name!r}, expected a name in lower snake case, as in arm_catch."
            )
        plant = self._plant(top.get("plant"))
        modules = {
            name: self._module(name, content)
            for name, content in self._written_out(self._mapping(top.get("modules"), ("modules",))).items()
        }
        if not modules and not self._problems:
            self._problem(("modules",), "modules: there is none.")
        deployment = None
        if "deployment" in top:
            deployment = self._model(Deployment, top["deployment"], ("deployment",), "deployment")
        self._raise_if_any()
        assert plant is not None
        complete = {name: spec for name, spec in modules.items() if spec is not None}
        flow = Flow(name=str(name), plant=plant, modules=complete, deployment=deployment)
        self._problems += check_flow(flow)
        self._raise_if_any()
        return flow

    def _plant(self, content: Any) -> PlantSpec | None:
        keys = ("plant",)
        plant = self._mapping(content, keys, ("env", "rate_hz", "outputs", "inputs", "parameters"))
        return self._model(PlantSpec, {**plant, **self._ports(plant, keys, PLANT)}, keys, PLANT)

    def _written_out(self, contents: Mapping[str, Any]) -> dict[str, Any]:
        """The modules, with the members and voters of jobs that are done in parallel in their place."""
        found: dict[str, Any] = {}
        for job, content in contents.items():
            if not isinstance(content, Mapping) or "redundancy" not in content:
                found[job] = content
                continue
            for name, module in self._members(job, content).items():
                if name != job and name in contents:
                    self._problem(("modules", name), f"{name}: is also the name of a member of {job}.")
                found[name] = module
        return found

    def _members(self, job: str, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        keys = ("modules", job)
        allowed = [field for field in ModuleSpec.model_fields if field not in _NOT_OF_A_JOB]
        declared = self._mapping(content, keys, ("redundancy", *allowed))
        redundancy = self._model(Redundancy, declared["redundancy"], (*keys, "redundancy"), job)
        outputs = self._mapping(declared.get("outputs"), (*keys, "outputs"))
        if len(outputs) != 1 or not all("topic" in self._mapping(port, keys) for port in outputs.values()):
            self._problem(keys, f"{job}: a job that is done in parallel has one output, with a topic.")
            return {}
        if redundancy is None:
            return {}
        self._written_in[job] = ((*keys, "redundancy"),)
        for approach, spec in redundancy.approaches.items():
            for replica in range(1, spec.replicas + 1):
                at = (*keys, "redundancy", "approaches", approach)
                self._written_in[member_name(job, approach, replica)] = (at, keys)
        return write_out(job, declared, redundancy)

    def _module(self, name: str, content: Any) -> ModuleSpec | None:
        keys = ("modules", name)
        allowed = [field for field in ModuleSpec.model_fields if field != "name"]
        module = self._mapping(content, keys, tuple(allowed))
        given: dict[str, Any] = {**module, **self._ports(module, keys, name), "name": name}
        if "training" in module:
            training = self._mapping(
                module["training"], (*keys, "training"), tuple(TrainingSpec.model_fields)
            )
            given["training"] = self._model(TrainingSpec, training, (*keys, "training"), name)
        found = self._class(module["kind"], keys, name) if isinstance(module.get("kind"), str) else None
        if "artifact" not in module and found is not None and found.needs_artifact:
            given["artifact"] = name
        return self._model(ModuleSpec, given, keys, name)

    def _class(self, kind: str, keys: _Keys, name: str) -> type[Module] | None:
        try:
            found = module_class(kind)
        except ReflexarcError as error:
            self._problem((*keys, "kind"), f"{name}: {error}")
        except Exception as error:  # whatever someone's module raises while it is imported
            self._problem((*keys, "kind"), f"{name}: kind '{kind}' cannot be imported ({error!r}).")
        else:
            if hasattr(found, "input_needs") and hasattr(found, "output_needs"):
                return found
            self._problem(
                (*keys, "kind"),
                f"{name}: kind '{kind}' does not say what its ports need: input_needs and output_needs.",
            )
        return None

    def _ports(self, content: Mapping[str, Any], keys: _Keys, node: str) -> dict[str, Any]:
        outputs = {
            str(name): self._model(Port, port, (*keys, "outputs", str(name)), f"{node}.{name}")
            for name, port in self._mapping(content.get("outputs"), (*keys, "outputs")).items()
        }
        inputs: dict[str, Source | None] = {}
        for name, source in self._mapping(content.get("inputs"), (*keys, "inputs")).items():
            inputs |= self._sources(str(name), source, (*keys, "inputs", str(name)), node)
        return {
            "outputs": {name: port for name, port in outputs.items() if port is not None},
            "inputs": {name: source for name, source in inputs.items() if source is not None},
        }

    def _sources(self, port: str, content: Any, keys: _Keys, node: str) -> dict[str, Source | None]:
        """The sources of one input, by the ports at which they are connected: its own, and those to fall back to."""
        who = f"{node}.{port}"
        if SEPARATOR in port:
            self._problem(keys, f"{who}: no port can have a '{SEPARATOR}' in its name.")
            return {}
        more: Any = []
        if isinstance(content, Mapping) and "fallback" in content:
            more = content["fallback"]
            content = {key: value for key, value in content.items() if key != "fallback"}
            if not isinstance(more, list) or not more:
                self._problem(
                    (*keys, "fallback"), f"{who}: fallback is {more!r}, expected a list of sources."
                )
                more = []
            elif node == PLANT:
                self._problem((*keys, "fallback"), f"{who}: only the guard commands the plant. Leave it out.")
                more = []
        first = self._source(content, keys, who)
        expect = {} if first is None else first.expect
        others = [self._source(source, (*keys, "fallback"), who) for source in more]
        return {port: first} | {
            fallback_port(port, number): other and other.model_copy(update={"expect": expect})
            for number, other in enumerate(others, start=1)
        }

    def _source(self, content: Any, keys: _Keys, who: str) -> Source | None:
        expect: dict[str, Any] = {}
        if isinstance(content, Mapping):
            expect = self._mapping(content, keys, ("source", "type", "shape", "unit", "frame"))
            content = expect.pop("source", None)
        node, _, port = str(content).partition(".")
        if not isinstance(content, str) or not node or not port:
            self._problem(keys, f"{who}: source {content!r}, expected node.port, as in plant.color.")
            return None
        return Source(node=node, port=port, expect=expect)

    def _mapping(self, content: Any, keys: _Keys, allowed: tuple[str, ...] | None = None) -> dict[str, Any]:
        """A mapping whose keys are all known."""
        who = ".".join(keys) or "flow file"
        if content is None:
            content = {}
        if not isinstance(content, Mapping):
            self._problem(keys, f"{who}: {content!r}, expected a mapping.")
            return {}
        for key in content:
            if allowed is not None and key not in allowed:
                self._problem(
                    (*keys, str(key)), f"{who}: unknown key '{key}'. {did_you_mean(str(key), allowed)}"
                )
        return {str(key): value for key, value in content.items() if allowed is None or key in allowed}

    def _model(self, model: type[_Model], content: Any, keys: _Keys, who: str) -> _Model | None:
        try:
            return model.model_validate(content)
        except ValidationError as error:
            for entry in error.errors():
                where = tuple(str(part) for part in entry["loc"])
                if entry["type"] == "extra_forbidden":
                    hint = f" {did_you_mean(where[0], model.model_fields)}" if len(where) == 1 else ""
                    message = f"{who}: unknown key '{'.'.join(where)}'.{hint}"
                elif not where:
                    message = f"{who}: {entry['input']!r}, expected a mapping."
                elif entry["type"] == "missing":
                    message = f"{who}: key '{'.'.join(where)}' is missing."
                else:
                    message = f"{who}: {'.'.join(where)} is {entry['input']!r}: {entry['msg']}."
                self._problem((*keys, *where), message)
            return None

    def _remember(self, node: yaml.Node, keys: _Keys) -> None:
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue  # which YAML allows and `safe_load` refuses
                self._try(key)
                line = key.start_mark.line + 1
                if key.value in seen:
                    self._lines[(*keys, key.value)] = line
                    self._problem(
                        (*keys, key.value),
                        f"{'.'.join((*keys, key.value))}: named twice, first on line {seen[key.value]}.",
                    )
                seen[key.value] = line
                self._lines[(*keys, key.value)] = line
                self._remember(value, (*keys, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._lines[(*keys, str(index))] = value.start_mark.line + 1
                self._remember(value, (*keys, str(index)))
        else:
            self._try(node)

    def _try(self, node: yaml.Node) -> None:
        """Refuse, with its line, what `safe_load` would raise errors of Python's own for: a 13th month, `!!int x`."""
        try:
            SafeConstructor().construct_object(node)
        except (ValueError, LookupError, AttributeError):
            line, kind = node.start_mark.line + 1, node.tag.rpartition(":")[2]
            raise FlowError(f"{self._path}:{line}: {node.value!r} is not a {kind}.") from None

    def _problem(self, keys: _Keys, message: str) -> None:
        self._problems.append(Problem(keys, message))

    def _raise_if_any(self) -> None:
        if self._problems:
            raise FlowError("\n".join(self._said()))

    def _said(self) -> Iterator[str]:
        for problem in sorted(self._problems, key=lambda problem: self._line(problem.keys)):
            message = " ".join(problem.message.splitlines())  # a key may have more than one
            yield f"{self._path}:{self._line(problem.keys)}: {message}"

    def _line(self, keys: _Keys) -> int:
        """Line of the longest known part of a key path; of a member that of its approach, then that of its job."""
        places = self._written_in.get(keys[1], ()) if keys[:1] == ("modules",) and len(keys) > 1 else ()
        for length in range(len(keys), 2, -1):
            for place in places:
                if (*place, *keys[2:length]) in self._lines:
                    return self._lines[(*place, *keys[2:length])]
        if keys not in self._lines and places:
            return self._lines[places[0]]
        while keys not in self._lines:
            keys = keys[:-1]
        return self._lines[keys]
