import numpy as np
import pytest

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.redundancy import use_case_store
from reflexarc.control.redundancy.use_case_store import UseCaseStore, read_case, stored_cases
from reflexarc.control.values import PoseWithCovariance

HERE = np.array([1.25, -0.34, 0.85])


def detections(*stamps, offset=0.0):
    return [
        PoseWithCovariance(stamp_ns=s, frame_id="base_link", position=HERE + offset, covariance=np.eye(6))
        for s in stamps
    ]


def keep(store, *, approach="depth", position=HERE, offset=0.0):
    return store.keep("perception", approach, position, {"agreed": detections(1, 2, offset=offset)})


def test_what_was_kept_is_read_back_column_by_column(tmp_path):
    assert keep(UseCaseStore(tmp_path / "new", 10**6)) == ""
    (case,) = stored_cases(tmp_path / "new")
    assert (case.job, case.approach, case.situation) == ("perception", "depth", "12_-4_8")
    columns = read_case(case.path)
    assert columns["agreed/stamp_ns"].tolist() == [1, 2]
    assert np.array_equal(columns["agreed/position"], [HERE, HERE])
    assert columns["agreed/covariance"].shape == (2, 6, 6)


def test_the_same_is_kept_once_and_of_one_situation_there_are_eight(tmp_path):
    store = UseCaseStore(tmp_path, 10**6)
    assert [keep(store), keep(store)] == ["", "known already"]
    more = [keep(store, offset=0.001 * n) for n in range(1, 10)]
    assert more == [""] * 7 + ["known already"] * 2
    assert store.wants("perception", "depth", HERE) == "known already"
    assert store.wants("perception", "depth", HERE + 0.1) == ""
    assert keep(store, position=None) == ""
    assert UseCaseStore(tmp_path, 10**6).wants("perception", "depth", HERE) == "known already", "opened again"


def test_without_room_nothing_more_is_kept_and_what_there_is_stays(tmp_path):
    first = UseCaseStore(tmp_path, 10**6)
    keep(first)
    size = stored_cases(tmp_path)[0].size
    store = UseCaseStore(tmp_path, size + 10)
    assert keep(store, approach="color") == "no room left"
    assert store.wants("perception", "color", HERE) == "no room left"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_store_without_room_from_the_beginning_is_an_error(tmp_path):
    keep(UseCaseStore(tmp_path, 10**6))
    with pytest.raises(ReflexarcError, match=r"holds 0\.0 MB of use cases, and may hold 1e-05 MB"):
        UseCaseStore(tmp_path, 10)


def test_a_full_disk_is_a_reason_and_leaves_nothing(tmp_path, monkeypatch):
    store = UseCaseStore(tmp_path, 10**6)

    def full(descriptor, mode):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(use_case_store.os, "fdopen", full)
    assert keep(store) == "No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ReflexarcError, match="no use cases can be kept there"):
        UseCaseStore(tmp_path / "file", 10**6)
    with pytest.raises(ReflexarcError, match="no use cases can be read there"):
        stored_cases(tmp_path / "nowhere")


def test_a_damaged_use_case_is_named(tmp_path):
    keep(UseCaseStore(tmp_path, 10**6))
    (case,) = stored_cases(tmp_path)
    case.path.write_bytes(case.path.read_bytes()[:100])
    with pytest.raises(ReflexarcError, match=f"{case.path.name}: not a use case"):
        read_case(case.path)
