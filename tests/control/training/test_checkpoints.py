import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.errors import TrainingError
from reflexarc.control.training.checkpoints import Checkpoints, segment_seed

STATE = {"network": {"weight": torch.arange(6.0).reshape(2, 3)}, "epochs": 3, "parts": [1, 2.5, "x"]}


def test_what_is_saved_is_loaded_and_the_last_one_counts(checkpoints):
    assert checkpoints.load("network") is None
    checkpoints.save("network", {"epochs": 1})
    checkpoints.save("other", {"epochs": 7})
    checkpoints.save("network", STATE)
    loaded = checkpoints.load("network")
    assert torch.equal(loaded["network"].pop("weight"), STATE["network"]["weight"])
    assert loaded == {"network": {}, "epochs": 3, "parts": [1, 2.5, "x"]}
    assert checkpoints.load("other") == {"epochs": 7}


@pytest.mark.parametrize("kept", [0, 1, 63, 64, 65, 66, 200, -1])
def test_a_file_that_was_cut_off_is_named(checkpoints, tmp_path, kept):
    checkpoints.save("network", STATE)
    path = tmp_path / "checkpoints" / "network.pt"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(TrainingError) as refused:
        checkpoints.load("network")
    assert str(refused.value) == (
        f"{path}: the checkpoint is corrupted. Remove it, and this training starts anew."
    )


@pytest.mark.parametrize("place", [0, 64, 65, 500, -1])
def test_one_wrong_byte_is_found(checkpoints, tmp_path, place):
    checkpoints.save("network", STATE)
    path = tmp_path / "checkpoints" / "network.pt"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"network\.pt: the checkpoint is corrupted"):
        checkpoints.load("network")


def test_a_file_that_cannot_be_read_is_named(checkpoints, tmp_path):
    (tmp_path / "checkpoints" / "network.pt").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"network\.pt: the checkpoint cannot be read \(Is a directory\)"):
        checkpoints.load("network")


def test_nothing_is_ever_unpickled(checkpoints, tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    checkpoints.save("network", {"evil": Evil()})
    with pytest.raises(Exception, match="Weights only load failed"):
        checkpoints.load("network")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_keeps_the_last_state_and_nothing_else(checkpoints, tmp_path):
    checkpoints.save("network", {"epochs": 1})
    code = (
        "import resource, sys, torch\nfrom pathlib import Path\n"
        "from reflexarc.control.training.checkpoints import Checkpoints\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "Checkpoints(Path(sys.argv[1])).save('network', {'weight': torch.zeros(4096)})\n"
    )
    folder = tmp_path / "checkpoints"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False
    )
    assert "TrainingError" in done.stderr
    assert f"{folder / 'network.pt'}: the checkpoint cannot be written (File too large)" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["network.pt"]
    assert checkpoints.load("network") == {"epochs": 1}


def test_what_was_made_once_is_not_made_again(checkpoints, tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"count": len(made)}

    assert checkpoints.once("images", make) == {"count": 1}
    assert Checkpoints(tmp_path / "checkpoints").once("images", make) == {"count": 1}
    assert made == [0]


def test_what_failed_while_it_was_made_is_made_again(checkpoints, crash):
    def fail():
        raise crash

    with pytest.raises(crash):
        checkpoints.once("images", fail)
    assert checkpoints.once("images", lambda: {"count": 1}) == {"count": 1}


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_every_segment_has_random_numbers_of_its_own(seed, segment):
    found = segment_seed(seed, segment)
    assert 0 <= found < 2**32
    assert found == segment_seed(seed, segment)
    assert found not in (segment_seed(seed, segment + 1), segment_seed(seed + 1, segment))
