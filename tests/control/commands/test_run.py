from pathlib import Path

import pytest

from reflexarc.control.commands.run import Run, require_writable
from reflexarc.control.errors import ArtifactError, FlowError, ReflexarcError, ValueRefusedError


def test_everything_is_checked_before_anything_starts(tmp_path: Path) -> None:
    run = Run.prepare("arm_catch", 3, "lockstep", 2, tmp_path / "report.json", None)
    assert run.flow.name == "arm_catch"
    assert run.seeds == (1_002_000_000, 1_002_000_001, 1_002_000_002)
    assert set(run.artifacts) == {name for name, spec in run.flow.modules.items() if spec.artifact}


@pytest.mark.parametrize(
    ("flow", "episodes", "seed", "error", "message"),
    [
        ("arm_cach", 1, 0, FlowError, r"Did you mean 'arm_catch'\?"),
        ("arm_catch", 0, 0, ValueRefusedError, r"episodes is 0\. Give a whole number"),
        ("arm_catch", 1, -1, ValueRefusedError, r"seed is -1\. Give a whole number"),
    ],
)
def test_a_wrong_option_is_refused(
    flow: str, episodes: int, seed: int, error: type[ReflexarcError], message: str
) -> None:
    with pytest.raises(error, match=message):
        Run.prepare(flow, episodes, "lockstep", seed, None, None)


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"perception: no artifact 'perception' in .*Train it with"):
        Run.prepare("arm_catch", 1, "lockstep", 0, None, tmp_path)


@pytest.mark.parametrize("place", ["folder", "nowhere/report.json"])
def test_a_report_needs_a_place(tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(ReflexarcError, match="nothing can be written there"):
        require_writable(tmp_path / place)
    require_writable(tmp_path / "folder" / "report.json")
