"""YAML files that people write: every problem is said with file and line, all of them at once."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from yaml.constructor import SafeConstructor

from reflexarc.control.errors import FlowError, did_you_mean

__all__ = ["Keys", "Problem", "YamlReader", "known_names", "read_yaml"]

_Model = TypeVar("_Model", bound=BaseModel)
Keys = tuple[str, ...]
"""The keys of a file that lead to something in it."""


class Problem(NamedTuple):
    """Something wrong, and the keys of the file that lead to it."""

    keys: Keys
    message: str


def known_names(folder: Path) -> list[str]:
    """Names of the files that come with the project in one of its folders."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def read_yaml(name_or_path: str, folder: Path, kind: str) -> tuple[Path, str]:
    """Path and text of a file.

    Args:
        name_or_path: The name of one that comes with the project, or a path that ends in .yaml.
        folder: Where those are that come with the project.
        kind: What it is called.

    Raises:
        FlowError: There is no such file, or it is no text.
    """
    path = Path(name_or_path) if name_or_path.endswith((".yaml", ".yml")) else folder / f"{name_or_path}.yaml"
    try:
        return path, path.read_text(encoding="utf-8")
    except OSError as error:
        hint = did_you_mean(path.stem, known_names(folder))
        raise FlowError(f"{name_or_path}: no such {kind} ({error.strerror}: {path}). {hint}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise FlowError(f"{path}:{line}: not UTF-8. Save the file as text in that encoding.") from None


class YamlReader:
    """Reads one file and remembers on which line each key stands.

    Args:
        path: Its path, for messages.
        text: What is in it.
        kind: What such a file is called.
        keys: The keys that it has, in words.
        hint: What to do about an empty one, in words.
    """

    def __init__(self, path: Path, text: str, kind: str, keys: str, hint: str) -> None:
        self._path = path
        self._kind = kind
        self._lines: dict[Keys, int] = {(): 1}
        self._problems: list[Problem] = []
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if root is None:
                raise FlowError(f"{path}:1: the file is empty. {hint}.")
            if not isinstance(root, yaml.MappingNode):
                raise FlowError(f"{path}:1: a {kind} is a mapping with the keys {keys}.")
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

    def _mapping(self, content: Any, keys: Keys, allowed: tuple[str, ...] | None = None) -> dict[str, Any]:
        """A mapping whose keys are all known."""
        who = ".".join(keys) or self._kind
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

    def _model(self, model: type[_Model], content: Any, keys: Keys, who: str) -> _Model | None:
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

    def _remember(self, node: yaml.Node, keys: Keys) -> None:
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

    def _problem(self, keys: Keys, message: str) -> None:
        self._problems.append(Problem(keys, message))

    def _raise_if_any(self) -> None:
        if self._problems:
            raise FlowError("\n".join(self._said()))

    def _said(self) -> Iterator[str]:
        for problem in sorted(self._problems, key=lambda problem: self._line(problem.keys)):
            message = " ".join(problem.message.splitlines())  # a key may have more than one
            yield f"{self._path}:{self._line(problem.keys)}: {message}"

    def _places(self, keys: Keys) -> tuple[Keys, ...]:
        """Where what these keys lead to is really written, where it is not there."""
        return ()

    def _line(self, keys: Keys) -> int:
        """Line of the longest known part of a key path; of what is written elsewhere, there."""
        places = self._places(keys)
        for length in range(len(keys), 2, -1):
            for place in places:
                if (*place, *keys[2:length]) in self._lines:
                    return self._lines[(*place, *keys[2:length])]
        if keys not in self._lines and places:
            return self._lines[places[0]]
        while keys not in self._lines:
            keys = keys[:-1]
        return self._lines[keys]
