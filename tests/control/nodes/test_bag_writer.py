import pytest
import yaml
from bags import FLOAT, counted_by_mcap, message, read_by_rosbags, write
from mcap.reader import make_reader

from reflexarc.control.nodes.bag_writer import BagWriter


def test_other_readers_read_the_whole_bag(tmp_path):
    bag = write(tmp_path / "bag", 500)
    assert read_by_rosbags(tmp_path / "bag") == list(range(500))
    assert counted_by_mcap(tmp_path / "bag") == {"/number": 500}
    assert bag.messages == 500
    assert bag.size == (tmp_path / "bag" / "bag_0.mcap").stat().st_size
    assert bag.duration_s == pytest.approx(4.99)


def test_the_file_is_as_rosbag2_writes_it(tmp_path):
    write(tmp_path / "bag", 3)
    with (tmp_path / "bag" / "bag_0.mcap").open("rb") as stream:
        reader = make_reader(stream)
        summary = reader.get_summary()
        assert reader.get_header().profile == "ros2"
        assert [(m.name, m.metadata) for m in reader.iter_metadata()] == [("about", {"what": "a test"})]
    (channel,), (schema,) = summary.channels.values(), summary.schemas.values()
    assert (channel.topic, channel.message_encoding) == ("/number", "cdr")
    assert channel.metadata == {"offered_qos_profiles": FLOAT.qos, "topic_type_hash": FLOAT.type_hash}
    assert (schema.name, schema.encoding, schema.data) == (FLOAT.type, "ros2msg", FLOAT.definition.encode())


def test_what_was_flushed_is_in_the_file(tmp_path):
    (tmp_path / "bag").mkdir()
    bag = BagWriter(tmp_path / "bag", {})
    path = tmp_path / "bag" / "bag_0.mcap"
    empty = path.stat().st_size
    bag.write(message(0))
    assert path.stat().st_size == empty
    bag.flush()
    assert path.stat().st_size > empty
    bag.close()


def test_a_bag_that_is_bounded_by_size_keeps_the_newest(tmp_path):
    bag = write(tmp_path / "bag", 2000, max_bytes=80_000)
    kept = read_by_rosbags(tmp_path / "bag")
    assert kept == list(range(2000 - len(kept), 2000))
    assert 0.65 * 80_000 < bag.size <= 80_000
    assert bag.dropped_files > 0
    assert bag.messages == len(kept)


def test_a_bag_that_is_bounded_by_time_keeps_the_newest(tmp_path):
    write(tmp_path / "bag", 400, max_s=2.0)
    kept = read_by_rosbags(tmp_path / "bag")
    assert kept[-1] == 399
    assert 170 <= len(kept) <= 201


def test_what_is_said_later_is_in_all_files_that_follow(tmp_path):
    (tmp_path / "bag").mkdir()
    bag = BagWriter(tmp_path / "bag", {}, max_s=0.1)
    bag.add_metadata("artifacts", {"policy": "abc"})
    for number in range(20):
        bag.write(message(number))
    bag.close()
    last = sorted((tmp_path / "bag").glob("*.mcap"), key=lambda path: path.stat().st_mtime_ns)[-1]
    with last.open("rb") as stream:
        assert [(m.name, m.metadata) for m in make_reader(stream).iter_metadata()] == [
            ("artifacts", {"policy": "abc"})
        ]
    told = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert told["custom_data"] == {"artifacts.policy": "abc"}


def test_when_there_is_no_room_what_was_flushed_stays(tmp_path):
    (tmp_path / "bag").mkdir()
    bag = BagWriter(tmp_path / "bag", {})
    bag.write(message(0))
    bag.flush()
    whole = (tmp_path / "bag" / "bag_0.mcap").stat().st_size
    bag.write(message(1))
    bag._stream.write(b"half a chunk")
    bag._stream.flush()
    bag.abandon()
    assert (tmp_path / "bag" / "bag_0.mcap").stat().st_size == whole
