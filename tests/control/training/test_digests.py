import ast
import shutil
from pathlib import Path

import pytest

from reflexarc.control.flow_file import load_flow
from reflexarc.control.training import digests
from reflexarc.control.training.digests import (
    _CODE,
    _SHARED,
    code_digest,
    config_digest,
    departures,
    environment_digest,
)

ROOT = Path(digests.__file__).parents[2]
FLOW = load_flow("arm_track")
TRAINERS = ("supervised", "sequence", "reinforcement")

CANNOT_CHANGE_A_RESULT = {
    "artifacts/artifact": "reads and writes what was trained",
    "contracts": "plain data, and a comparison after the training",
    "deployment": "plain data: where modules run",
    "errors": "ends a training, or does nothing",
    "flow": "plain data; what of it counts is in the digest of the configuration",
    "frames": "one right answer, which tests/control/test_frames.py holds it to",
    "kinematics": "the fields of a table; what is computed of it in training is in policy_network",
    "module": "a protocol",
    "modules/network": "runs an ONNX model; the options of its session do not change a result",
    "robot": "plain data: what a robot's drivers give, which no training sees",
    "redundancy/members": "writes out what a flow file says; what of it counts is in the digest of the configuration",
    "ports": "plain data; they are in the digest of the configuration",
    "values": "plain data",
}
"""What recipes import and the digests leave out, with why it may be left out."""

ONLY_ITS_DATA = {
    ("sequence", "training/network_classical"): "a network of training/supervised",
    ("sequence", "training/supervised"): "dataset makes LabelledImages, which no filter is trained on",
    ("supervised", "modules/estimation"): "recording.deliver makes its rows, which no heat map is trained on",
}


def imports(path):
    """Our own files that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            for end in range(len(parts), 1, -1):
                found = ROOT / ("/".join(parts[1:end]) + ".py")
                if parts[0] == "reflexarc" and found.exists():
                    yield found
                    break


@pytest.mark.parametrize("trainer", TRAINERS)
def test_all_code_that_can_change_a_result_counts_and_nothing_else(trainer):
    todo, found = [ROOT / f"control/training/recipe_{trainer}.py"], set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += imports(path)
    control = {
        path.relative_to(ROOT / "control").with_suffix("").as_posix()
        for path in found
        if path.is_relative_to(ROOT / "control")
    }
    left_out = set(CANNOT_CHANGE_A_RESULT) | {name for t, name in ONLY_ITS_DATA if t == trainer}
    assert control - left_out == {*_CODE[trainer], *_SHARED}


def test_no_reason_is_given_for_what_counts():
    counted = {name for names in _CODE.values() for name in names} | set(_SHARED)
    assert counted.isdisjoint(CANNOT_CHANGE_A_RESULT)
    assert all((ROOT / "control" / f"{name}.py").exists() for name in CANNOT_CHANGE_A_RESULT)


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the code, whose digests are taken."""
    for folder in ("control", "envs"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(digests, "_ROOT", tmp_path)
    return tmp_path


def changed(copy, path, old, new):
    """Trainers and flows whose digest changes with a file."""
    flows = {name: load_flow(name) for name in ("arm_track", "arm_catch")}

    def taken():
        codes = {trainer: code_digest(trainer) for trainer in TRAINERS}
        return {**codes, **{name: environment_digest(flow) for name, flow in flows.items()}}

    before, text = taken(), (copy / path).read_text()
    assert old in text
    (copy / path).write_text(text.replace(old, new, 1))
    return {name for name, digest in taken().items() if digest != before[name]}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import numpy as np\n", "import numpy as np  # arrays\n\n\n"),
        ('"""Train a filter by', '"""Make a filter by'),
        ('"""Iterations between', '"""Steps between'),
    ],
)
def test_comments_and_docstrings_do_not_count(copy, old, new):
    assert changed(copy, "control/training/sequence.py", old, new) == set()


@pytest.mark.parametrize(
    ("path", "old", "new", "whose"),
    [
        ("training/sequence.py", "clamp(max=50.0)", "clamp(max=60.0)", {"sequence"}),
        ("training/supervised.py", "epochs: int = 5", "epochs: int = 6", {"supervised"}),
        ("training/reinforcement.py", "discount: float = 0.99", "discount: float = 0.9", {"reinforcement"}),
        ("training/dataset.py", "_SMOOTHING = 0.9", "_SMOOTHING = 0.8", {"supervised", "sequence"}),
        ("training/figures.py", "_QUANTILE = 0.95", "_QUANTILE = 0.9", set(TRAINERS)),
        ("training/worker.py", "_LOCK_WITHIN_S = 3.0", "_LOCK_WITHIN_S = 4.0", set()),
        ("training/plan.py", "import time", "import time, math", set()),
    ],
)
def test_code_counts_for_the_trainers_that_run_it(copy, path, old, new, whose):
    assert changed(copy, f"control/{path}", old, new) == whose


@pytest.mark.parametrize(
    ("path", "whose"),
    [
        ("envs/task.py", {"arm_track", "arm_catch"}),
        ("envs/camera.py", {"arm_track", "arm_catch"}),
        ("envs/tasks/arm_track.py", {"arm_track"}),
        ("envs/tasks/arm_catch.py", {"arm_catch"}),
        ("envs/twin.py", set()),
        ("envs/throughput.py", set()),
    ],
)
def test_an_environment_counts_for_the_flows_that_train_in_it(copy, path, whose):
    assert changed(copy, path, "import numpy as np\n", "import numpy as np\nONE_MORE = 1\n") == whose


def test_the_model_of_the_robot_counts(copy):
    for path in (copy / "envs/models").glob("*.xml"):
        assert changed(copy, path.relative_to(copy), "<", "\n<"), path


def test_the_parameters_of_the_plant_count():
    parameters = {**FLOW.plant.parameters, "camera": {"depth_noise": 2.0}}
    noisy = FLOW.model_copy(update={"plant": FLOW.plant.model_copy(update={"parameters": parameters})})
    assert environment_digest(noisy) != environment_digest(FLOW)


def test_the_configuration_counts_and_the_order_of_settings_does_not():
    assert config_digest(FLOW, "policy", {}) != config_digest(FLOW, "policy", {"steps": 1})
    assert config_digest(FLOW, "policy", {}) != config_digest(FLOW, "estimation", {})
    one, other = ({"steps": 1, "batch": 2}, {"batch": 2, "steps": 1})
    assert config_digest(FLOW, "policy", one) == config_digest(FLOW, "policy", other)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({}, []),
        ({"code_digest": "x"}, ["code"]),
        ({"trainer": "x"}, ["code"]),
        ({"environment_digest": "x"}, ["environment"]),
        ({"config_digest": "x"}, ["config"]),
        ({"data": "x"}, ["data"]),
        ({"seed": 9}, ["seed"]),
        ({"upstream": {"perception": "x"}}, ["upstream: perception"]),
        ({"upstream": {}}, ["upstream: perception"]),
        ({"libraries": {"torch": "0"}, "guarantees": {}}, []),
    ],
)
def test_each_departure_has_its_cause(trained, change, cause):
    from reflexarc.control.artifacts.store import load_pinned

    pinned = load_pinned(trained.flow, "estimation", trained.store).manifest
    assert departures(pinned, pinned.model_copy(update=change)) == cause


def test_a_training_that_a_budget_ended_is_not_up_to_date(trained):
    from reflexarc.control.artifacts.store import load_pinned

    pinned = load_pinned(trained.flow, "estimation", trained.store).manifest
    short = pinned.model_copy(update={"completed": 0.4})
    assert departures(short, pinned) == ["budget: 40 % of its training was done"]
