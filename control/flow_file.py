"""Flow file: YAML to a checked `Flow`. Every problem is said with file and line, all of them at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.fallback import SEPARATOR, fallback_port
from reflexarc.control.flow import PLANT, Flow, ModuleSpec, PlantSpec, Source, TrainingSpec
from reflexarc.control.flow_checks import check_flow
from reflexarc.control.module import Module
from reflexarc.control.modules import module_class
from reflexarc.control.ports import Port
from reflexarc.control.redundancy.members import Redundancy, member_name, write_out
from reflexarc.control.yaml_file import Keys, YamlReader, known_names, read_yaml

__all__ = ["FLOWS", "known_flows", "load_flow"]

FLOWS = Path(__file__).parents[1] / "launch" / "flows"
"""The flows that come with the project."""

_FLOW_NAME = r"[a-z][a-z0-9_]*"
"""What `Flow` demands of its name, which files and folders are named by."""

_NOT_OF_A_JOB = ("name", "artifact", "training", "patience_s")
"""What the approaches of a job have, each its own, or the voter."""


def known_flows() -> list[str]:
    """Names of the flows that come with the project."""
    return known_names(FLOWS)


def load_flow(name_or_path: str) -> Flow:
    """A flow by its name, or from a file.

    Args:
        name_or_path: `arm_catch` for a flow that comes with the project, or a path that ends in .yaml.

    Raises:
        FlowError: There is no such file, or something in it is wrong: one line per problem.
    """
    path, text = read_yaml(name_or_path, FLOWS, "flow")
    return _Reader(path, text).flow()


class _Reader(YamlReader):
    """Reads one flow file."""

    def __init__(self, path: Path, text: str) -> None:
        self._written_in: dict[str, tuple[Keys, ...]] = {}
        super().__init__(
            path,
            text,
            "flow file",
            "flow, plant and modules",
            hint="`reflexarc graph` draws one that is not",
        )

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

    def _class(self, kind: str, keys: Keys, name: str) -> type[Module] | None:
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

    def _ports(self, content: Mapping[str, Any], keys: Keys, node: str) -> dict[str, Any]:
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

    def _sources(self, port: str, content: Any, keys: Keys, node: str) -> dict[str, Source | None]:
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

    def _source(self, content: Any, keys: Keys, who: str) -> Source | None:
        expect: dict[str, Any] = {}
        if isinstance(content, Mapping):
            expect = self._mapping(content, keys, ("source", "type", "shape", "unit", "frame"))
            content = expect.pop("source", None)
        node, _, port = str(content).partition(".")
        if not isinstance(content, str) or not node or not port:
            self._problem(keys, f"{who}: source {content!r}, expected node.port, as in plant.color.")
            return None
        return Source(node=node, port=port, expect=expect)

    def _places(self, keys: Keys) -> tuple[Keys, ...]:
        """A member of a job stands in its approach, and in the job."""
        return self._written_in.get(keys[1], ()) if keys[:1] == ("modules",) and len(keys) > 1 else ()
