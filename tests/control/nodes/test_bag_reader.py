import fcntl
import os

import pytest
from bags import BEGIN_NS, counted_by_mcap, read_by_rosbags, write

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.bag_reader import open_bag


@pytest.fixture
def bag(tmp_path):
    write(tmp_path / "bag", 300)
    return tmp_path / "bag"


@pytest.fixture
def cut_off(bag):
    """As a recorder leaves it that is killed: no footer, and half of the last chunk."""
    (bag / "metadata.yaml").unlink()
    path = bag / "bag_0.mcap"
    from mcap.reader import make_reader

    with path.open("rb") as stream:
        chunk = make_reader(stream).get_summary().chunk_indexes[-1]
    os.truncate(path, chunk.chunk_start_offset + chunk.chunk_length // 2)
    return bag


def test_messages_come_in_their_order(tmp_path):
    write(tmp_path / "bag", 300, max_s=1.0)
    assert len(list((tmp_path / "bag").glob("*.mcap"))) > 5
    found = list(open_bag(tmp_path / "bag").messages())
    times = [(m.log_time_ns - BEGIN_NS) // 10_000_000 for m in found]
    assert times == list(range(times[0], 300))
    assert {m.topic for m in found} == {"/number"}


def test_a_whole_bag_says_what_it_is(bag):
    opened = open_bag(bag)
    assert opened.types == {"/number": "std_msgs/msg/Float64"}
    assert opened.metadata == {"about": {"what": "a test"}}
    assert opened.recovered == {}
    assert list(opened.messages({"/other"})) == []


def test_one_file_is_enough(bag):
    assert len(list(open_bag(bag / "bag_0.mcap").messages())) == 300


def test_a_bag_that_was_cut_off_is_completed_for_everyone(tmp_path):
    import io

    from mcap.stream_reader import StreamReader

    whole = tmp_path / "bag"
    write(whole, 3000)
    path = whole / "bag_0.mcap"
    kept = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(kept)
    (whole / "metadata.yaml").unlink()
    opened = open_bag(whole)
    (count,) = opened.recovered.values()
    assert 0 < count < 3000
    assert opened.metadata == {"about": {"what": "a test"}}
    assert len(list(opened.messages())) == count
    assert read_by_rosbags(whole) == list(range(count))
    assert counted_by_mcap(whole) == {"/number": count}
    assert open_bag(whole).recovered == {}
    assert list(StreamReader(io.BytesIO(path.read_bytes())).records)


def test_without_room_to_complete_it_it_is_read_all_the_same(cut_off):
    # Root may write anywhere, so permissions would not do: what would be the new file is on a full device.
    before = (cut_off / "bag_0.mcap").read_bytes()
    (cut_off / ".bag_0.mcap.partial").symlink_to("/dev/full")
    opened = open_bag(cut_off)
    assert opened.recovered == {"bag_0.mcap": 281}
    assert len(list(opened.messages())) == 281
    assert (cut_off / "bag_0.mcap").read_bytes() == before


def test_a_bag_that_is_being_recorded_is_left_alone(cut_off):
    with (cut_off / "bag_0.mcap").open("rb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(ReflexarcError, match=r"bag_0.mcap: is still being recorded"):
            open_bag(cut_off)


def test_damage_in_a_whole_file_is_told(bag):
    path = bag / "bag_0.mcap"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReflexarcError, match=r"bag_0.mcap: damaged \(crc"):
        list(open_bag(bag).messages())


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(None, "no such bag"), ({}, "no bag here"), ({"x.mcap": b"nothing"}, "x.mcap: not an MCAP file")],
)
def test_what_is_no_bag_is_one_line(tmp_path, content, complaint):
    folder = tmp_path / "it"
    if content is not None:
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
    with pytest.raises(ReflexarcError, match=complaint) as raised:
        open_bag(folder)
    assert "\n" not in str(raised.value)
