import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.artifacts.history import promote, read_history, read_times, record_time, rollback
from reflexarc.control.artifacts.store import read_lock
from reflexarc.control.errors import ArtifactError

DIGESTS = st.sampled_from(["a", "b", "c"])


def pinned(store, name="policy"):
    return read_lock(store, "some_flow").get(name)


@given(st.lists(st.tuples(st.sampled_from(["policy", "perception"]), DIGESTS | st.none()), max_size=12))
def test_a_rollback_takes_back_the_last_promotion_that_is_left(tmp_path_factory, steps):
    store = tmp_path_factory.mktemp("store")
    stacks = {"policy": [], "perception": []}
    for name, digest in steps:
        stack = stacks[name]
        if digest is not None:
            promote(store, "some_flow", name, digest, "train")
            if not stack or stack[-1] != digest:
                stack.append(digest)
        elif len(stack) > 1:
            stack.pop()
            assert rollback(store, "some_flow", name).after == stack[-1]
        else:
            with pytest.raises(ArtifactError, match=f"{name}: nothing was pinned before"):
                rollback(store, "some_flow", name)
        assert {n: s[-1] for n, s in stacks.items() if s} == read_lock(store, "some_flow")


def test_every_change_has_its_line_and_its_reason(tmp_path):
    promote(tmp_path, "some_flow", "policy", "a", "train")
    promote(tmp_path, "some_flow", "policy", "a", "again")
    promote(tmp_path, "some_flow", "policy", "b", "retrain: better")
    rollback(tmp_path, "some_flow", "policy")
    found = [(change.before, change.after, change.reason) for change in read_history(tmp_path, "some_flow")]
    assert found == [(None, "a", "train"), ("a", "b", "retrain: better"), ("b", "a", "rollback")]


def test_a_promotion_whose_pin_was_never_written_is_passed_over(tmp_path):
    promote(tmp_path, "some_flow", "policy", "a", "train")
    promote(tmp_path, "some_flow", "policy", "b", "train")
    path = tmp_path / "some_flow.history.jsonl"
    lost = path.read_text().splitlines()[-1].replace('"a"', '"b"').replace('"after":"b"', '"after":"c"')
    path.write_text(path.read_text() + lost + "\n")  # the line comes first, then the power went
    assert rollback(tmp_path, "some_flow", "policy").after == "a"
    assert pinned(tmp_path) == "a"


def test_what_is_no_history_is_named(tmp_path):
    promote(tmp_path, "some_flow", "policy", "a", "train")
    (tmp_path / "some_flow.history.jsonl").write_text("{\n")
    with pytest.raises(ArtifactError, match=r"some_flow\.history\.jsonl: not a history of pins"):
        rollback(tmp_path, "some_flow", "policy")
    assert pinned(tmp_path) == "a"


def test_a_full_disk_leaves_pin_and_history_as_they_were(tmp_path):
    promote(tmp_path, "some_flow", "policy", "a", "train")
    before = (tmp_path / "some_flow.history.jsonl").read_bytes()
    code = (
        "import resource, sys\nfrom pathlib import Path\n"
        "from reflexarc.control.artifacts.history import promote\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 20}, {len(before) + 20}))\n"
        "promote(Path(sys.argv[1]), 'some_flow', 'policy', 'b', 'train')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "cannot be written (File too large). Nothing was changed." in done.stderr
    assert (tmp_path / "some_flow.history.jsonl").read_bytes() == before
    assert pinned(tmp_path) == "a"


def test_times_are_those_of_the_last_training_and_a_broken_file_only_loses_them(tmp_path):
    record_time(tmp_path, "some_flow", "policy", 12.34)
    record_time(tmp_path, "some_flow", "perception", 3.0)
    record_time(tmp_path, "some_flow", "policy", 7.0)
    assert read_times(tmp_path, "some_flow") == {"perception": 3.0, "policy": 7.0}
    (tmp_path / "some_flow.times.json").write_text("[]")
    assert read_times(tmp_path, "some_flow") == {}
