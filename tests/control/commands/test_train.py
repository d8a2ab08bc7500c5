from pathlib import Path

import pytest

from reflexarc.control.commands.train import parse_settings, run_train
from reflexarc.control.errors import TrainingError, ValueRefusedError


def test_settings_are_read_by_module_and_key() -> None:
    assert parse_settings(["policy.steps=1000", "policy.gamma=0.9", "perception.network=small"]) == {
        "policy": {"steps": 1000, "gamma": 0.9},
        "perception": {"network": "small"},
    }


@pytest.mark.parametrize(
    "text",
    [
        "policy",
        "policy.steps",
        "steps=3",
        ".steps=3",
        "policy.=3",
        "policy.steps=",
        "policy.steps=[1",
        "a.b=[1]",
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(TrainingError, match=r"write it as MODULE\.KEY=VALUE"):
        parse_settings([text])


@pytest.mark.parametrize("seed", [-1, 500_000_000])
def test_a_seed_near_those_of_evaluation_is_refused(seed: int, tmp_path: Path) -> None:
    with pytest.raises(
        ValueRefusedError, match=rf"seed is {seed}\. Give a whole number from 0 to 499999999\."
    ):
        run_train("arm_catch", None, seed, tmp_path, tmp_path, (), "local")


def test_a_module_that_is_not_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no trained module 'polcy'\. Did you mean 'policy'"):
        run_train("arm_catch", ["polcy"], 0, tmp_path, tmp_path, (), "local")


def test_without_torch_it_says_how_to_get_it(reflexarc, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    done = reflexarc("train", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == "reflexarc: training needs torch. Run: pip install 'reflexarc[train]'.\n"
