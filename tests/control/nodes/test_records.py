import json

import pytest

from reflexarc.control.nodes.records import StepLog, read_steps, write_json
from reflexarc.control.trace import StepRecord

pytestmark = pytest.mark.ros


def record(now_ns: int, **stamps: int) -> StepRecord:
    return StepRecord(
        now_ns=now_ns,
        output_stamp_ns=now_ns - 1,
        input_stamps_ns=stamps,
        received_ns=2**62,
        published_ns=2**62 + 1,
    )


def test_what_a_node_wrote_is_read_back(tmp_path):
    log = StepLog(("color", "depth"))
    records = [record(10, color=1, depth=2), record(20), record(30, depth=0)]
    for each in records:
        log.append(each)
    log.write(tmp_path / "node.npz", {"color: shape": 3})
    assert read_steps(tmp_path / "node.npz") == (records, {"color: shape": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["node.npz"]


def test_a_node_that_never_stepped_leaves_an_empty_record(tmp_path):
    StepLog(()).write(tmp_path / "node.npz", {})
    assert read_steps(tmp_path / "node.npz") == ([], {})


def test_json_appears_whole(tmp_path):
    write_json(tmp_path / "result.json", {"a": [1, 2]})
    assert json.loads((tmp_path / "result.json").read_text()) == {"a": [1, 2]}
    assert len(list(tmp_path.iterdir())) == 1
