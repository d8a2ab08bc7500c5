"""The order of imports, who may import what, and that every source file has its test."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("control", "envs")
    for path in (ROOT / folder).rglob("*.py")
)

LAYERS = (
    ("control/__init__.py", "control/errors.py", "control/redundancy/__init__.py", "control/values.py"),
    (
        "control/deployment.py",
        "control/fallback.py",
        "control/files.py",
        "control/frames.py",
        "control/kinematics.py",
        "control/seeds.py",
        "control/ports.py",
        "control/robot.py",
        "control/yaml_file.py",
    ),
    ("control/contracts.py", "control/quantities.py", "control/redundancy/"),
    (
        "control/artifacts/__init__.py",
        "control/artifacts/artifact.py",
        "control/module.py",
        "control/plant.py",
        "control/watch.py",
    ),
    ("control/flow.py",),
    ("control/artifacts/store.py", "control/drawing.py"),
    ("control/artifacts/agreement.py", "control/artifacts/history.py"),
    ("control/modules/",),
    (
        "control/flow_checks.py",
        "control/flow_file.py",
        "control/robot_adapter.py",
        "control/robot_checks.py",
        "control/robot_file.py",
        "control/security/",
    ),
    ("control/inbox.py", "control/succession.py", "control/trace.py", "control/run_result.py"),
    ("control/local.py", "control/report.py"),
    ("control/campaign.py",),
    ("envs/",),
    ("control/nodes/", "control/training/"),
    ("control/commands/",),
    ("control/cli.py",),
)
"""From the bottom up: a file imports from its own layer or one below."""

BELOW_ENVS = {
    "control/errors.py",
    "control/values.py",
    "control/ports.py",
    "control/frames.py",
    "control/plant.py",
}
"""All that an environment may know of control."""

NO_TEST_OF_ITS_OWN = {
    "control/run_result.py": "plain data; tests/control/test_local.py reads every field",
    "control/redundancy/fault_kind.py": "names; tests/control/redundancy/test_faults.py goes through all of them",
    "control/plant.py": "a protocol; tests/envs/test_twin.py drives the one that implements it",
}

_TRAINS = {f"control/commands/{verb}.py" for verb in ("train", "status", "retrain")}
"""Verbs that are about trainings."""

RUN_TIME = [
    source
    for source in SOURCES
    if source.startswith("control/") and not source.startswith("control/training/") and source not in _TRAINS
]


def layer(source: str) -> int:
    """Rank of a file; a longer match is a nearer one."""
    matches = [
        (len(entry), rank)
        for rank, entries in enumerate(LAYERS)
        for entry in entries
        if source == entry or (entry.endswith("/") and source.startswith(entry))
    ]
    assert matches, f"{source} has no layer: give it one in LAYERS"
    return max(matches)[1]


def imported(source: str) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of everything that a file imports, inside of functions too."""
    for node in ast.walk(ast.parse((ROOT / source).read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}:{node.lineno}: a relative import; write it out"
            assert node.module is not None
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def own(name: str) -> str | None:
    """The source file behind a dotted name of ours, or None for someone else's."""
    parts = name.split(".")
    if parts[0] != "reflexarc":
        return None
    for end in range(len(parts), 1, -1):
        path = "/".join(parts[1:end])
        for candidate in (f"{path}.py", f"{path}/__init__.py"):
            if candidate in SOURCES:
                return candidate
    raise AssertionError(f"{name} is imported but does not exist")


@pytest.mark.parametrize("source", SOURCES)
def test_imports_go_down(source: str) -> None:
    for line, name in imported(source):
        target = own(name)
        if target is not None:
            assert layer(target) <= layer(source), f"{source}:{line} imports {target}, which lies above it"


@pytest.mark.parametrize("source", [source for source in SOURCES if source.startswith("envs/")])
def test_environments_know_little_of_control(source: str) -> None:
    for line, name in imported(source):
        target = own(name)
        if target is not None and target.startswith("control/"):
            assert target in BELOW_ENVS, f"{source}:{line} imports {target}"


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("rclpy", ("control/nodes/",)),
        ("mcap", ("control/nodes/",)),
        ("cryptography", ("control/security/",)),
        ("torch", ("control/training/",)),
        ("stable_baselines3", ("control/training/", "envs/batched.py", "envs/throughput.py")),
    ],
)
def test_library_stays_in_its_folder(library: str, homes: tuple[str, ...]) -> None:
    strangers = [
        f"{source}:{line}"
        for source in SOURCES
        for line, name in imported(source)
        if name.split(".")[0] == library and not source.startswith(homes)
    ]
    assert strangers == []


@pytest.mark.parametrize("source", RUN_TIME)
def test_run_time_does_not_know_training(source: str) -> None:
    for line, name in imported(source):
        target = own(name)
        assert target is None or not target.startswith("control/training/"), (
            f"{source}:{line} imports {target}"
        )


@pytest.mark.parametrize("source", [source for source in SOURCES if source.startswith("control/")])
def test_no_robot_is_named_in_control(source: str) -> None:
    named = re.findall(r"ur5|crazyflie|quadrotor", (ROOT / source).read_text(), re.IGNORECASE)
    assert named == []


def test_launch_is_no_package() -> None:
    # It would shadow ROS 2's own `launch`.
    assert not (ROOT / "launch" / "__init__.py").exists()


@pytest.mark.parametrize("source", [source for source in SOURCES if not source.endswith("__init__.py")])
def test_every_source_has_its_test(source: str) -> None:
    path = Path(source)
    has_test = (ROOT / "tests" / path.parent / f"test_{path.name}").exists()
    if source in NO_TEST_OF_ITS_OWN:
        assert not has_test, f"{source} has a test now: take it off the list"
    else:
        assert has_test, f"{source} has no tests/{path.parent}/test_{path.name}"
