"""Message definitions: what a recording says of its message types, so that who reads it needs no ROS 2.

Read from `share/<package>/msg`, which every installation of a message package has. Not by the ament index, whose
variable AMENT_PREFIX_PATH nobody sets where ROS 2 comes as wheels.
"""

import json
import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

__all__ = ["definition_of", "message_class_of", "type_hash_of"]

_SEPARATOR = "=" * 80
"""Between the definitions of one schema, as rosbag2 writes it and the MCAP registry names it (`ros2msg`)."""

_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+")

_BUILTIN = {
    *("bool", "byte", "char", "float32", "float64", "string", "wstring"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
}


def message_class_of(type_name: str) -> type | None:
    """The generated class of `package/msg/Name`, or None where that package is not installed here."""
    package, _, name = type_name.partition("/msg/")
    try:
        found: type = getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        return None
    return found


@cache
def definition_of(type_name: str) -> str:
    """The text of a message definition, followed by those of all that it is made of; empty where there is none."""
    texts: dict[str, str] = {}
    pending = [type_name]
    while pending:
        name = pending.pop(0)
        path = _file(name, "msg")
        if name in texts or path is None:
            continue
        texts[name] = path.read_text(encoding="utf-8")
        pending += _parts(name, texts[name])
    first, *others = texts or {type_name: ""}
    told = [texts.get(first, "")]
    told += [f"{_SEPARATOR}\nMSG: {name.replace('/msg/', '/')}\n{texts[name]}" for name in others]
    return "\n".join(text.rstrip("\n") + "\n" for text in told)


@cache
def type_hash_of(type_name: str) -> str:
    """Hash of a message type (REP 2016), or empty where there is none."""
    path = _file(type_name, "json")
    if path is None:
        return ""
    hashes = json.loads(path.read_text(encoding="utf-8"))["type_hashes"]
    return next((str(entry["hash_string"]) for entry in hashes if entry["type_name"] == type_name), "")


def _file(type_name: str, suffix: str) -> Path | None:
    """`<prefix>/share/<package>/msg/<Name>.<suffix>` of the prefix that the package's Python code lies in."""
    package, _, name = type_name.partition("/msg/")
    found = find_spec(package) if package and name else None
    if found is None or found.origin is None:
        return None
    candidates = (
        folder / "share" / package / "msg" / f"{name}.{suffix}" for folder in Path(found.origin).parents
    )
    return next((path for path in candidates if path.is_file()), None)


def _parts(type_name: str, text: str) -> list[str]:
    """Full names of the message types among the fields."""
    package = type_name.partition("/")[0]
    found = []
    for line in text.splitlines():
        match = _FIELD.match(line.partition("#")[0])
        if match is None or match[1] in _BUILTIN:
            continue
        owner, _, name = match[1].rpartition("/")
        found.append(f"{(owner or package).removesuffix('/msg')}/msg/{name}")
    return found
