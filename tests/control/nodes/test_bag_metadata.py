from collections import Counter

import yaml
from bags import BEGIN_NS, FLOAT, LATCHED
from rosbags.rosbag2 import Reader

from reflexarc.control.nodes.bag_metadata import BagFile, write_metadata


def test_counts_and_times_are_those_of_all_files(tmp_path):
    first, second, empty = BagFile("a_0.mcap"), BagFile("a_1.mcap"), BagFile("a_2.mcap")
    for time_ns in (5, 3):
        first.add(FLOAT, time_ns)
    second.add(LATCHED, 9)
    write_metadata(tmp_path, [first, second, empty], {"flow": {"name": "x"}})
    told = yaml.safe_load((tmp_path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert told["starting_time"] == {"nanoseconds_since_epoch": 3}
    assert told["duration"] == {"nanoseconds": 6}
    assert told["message_count"] == 3
    assert told["relative_file_paths"] == ["a_0.mcap", "a_1.mcap", "a_2.mcap"]
    assert [file["message_count"] for file in told["files"]] == [2, 1, 0]
    assert told["custom_data"] == {"flow.name": "x"}
    counts = {t["topic_metadata"]["name"]: t["message_count"] for t in told["topics_with_message_count"]}
    assert counts == {"/number": 2, "/latched": 1}


def test_rosbags_reads_the_quality_of_service(tmp_path):
    from bags import write

    write(tmp_path / "bag", 2)
    with Reader(tmp_path / "bag") as reader:
        (connection,) = reader.connections
        assert connection.digest == FLOAT.type_hash
        (qos,) = connection.ext.offered_qos_profiles
        assert (qos.depth, qos.reliability.name) == (10, "RELIABLE")
        assert reader.start_time == BEGIN_NS


def test_a_file_counts_per_channel():
    file = BagFile("a")
    file.add(FLOAT, 1)
    file.add(FLOAT, 2)
    assert (file.counts, file.messages, file.start_ns, file.end_ns) == (Counter({FLOAT: 2}), 2, 1, 2)
