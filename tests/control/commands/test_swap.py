import shutil
from pathlib import Path

import pytest

from reflexarc.control.artifacts.store import SHIPPED_STORE, lock_path
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.running import FLOW_FILE, announce


@pytest.fixture
def swap(reflexarc, tmp_path: Path):
    """`reflexarc swap` beside a flow that is said to be up; gives exit code and complaint."""
    directory = tmp_path / "reflexarc-x"

    def run(*arguments: str, is_up: bool = True) -> tuple[int, str]:
        if is_up:
            directory.mkdir()
            (directory / FLOW_FILE).write_text(load_flow("arm_catch").model_dump_json())
            store = tmp_path / "store"
            store.mkdir()
            shutil.copy(lock_path(SHIPPED_STORE, "arm_track"), lock_path(store, "other_flow"))
            announce(directory, "arm_catch", "realtime", store)
        done = reflexarc("swap", *arguments, TMPDIR=str(tmp_path))
        assert done.stdout == ""
        return done.returncode, done.stderr

    return run


def test_without_a_running_flow_it_says_how_to_start_one(swap) -> None:
    complaint = "reflexarc: no flow is running. Start one with `reflexarc sim --clock realtime`.\n"
    assert swap("policy", is_up=False) == (1, complaint)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["polcy"], "flow arm_catch has no module 'polcy'. Did you mean 'policy'?"),
        (["guard"], "guard: it is not a trained module, so there is nothing to swap."),
        (["policy", "--flow", "arm_track"], "no flow 'arm_track' is running. Known: arm_catch."),
        (
            ["policy", "--store", "elsewhere"],
            "flow arm_catch runs from {store}, not from elsewhere. Start it",
        ),
        (["policy"], "policy: no artifact 'policy' in {store}/arm_catch.lock.json."),
    ],
)
def test_what_is_wrong_is_one_line(swap, tmp_path: Path, arguments: list[str], complaint: str) -> None:
    code, said = swap(*arguments)
    assert code == 1
    assert said.startswith(f"reflexarc: {complaint.format(store=tmp_path / 'store')}")
    assert said.count("\n") == 1
