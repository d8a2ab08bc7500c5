import pytest

from reflexarc.control.files import write_whole


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "lock.json"
    write_whole(path, "old")
    write_whole(path, "new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock.json"]


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path):
    (tmp_path / "lock.json" / "folder").mkdir(parents=True)
    with pytest.raises(OSError, match=r"lock\.json"):
        write_whole(tmp_path / "lock.json", "new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock.json"]
