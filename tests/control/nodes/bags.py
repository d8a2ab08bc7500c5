"""Bags for tests: messages of two topics, and readers that are not ours."""

import struct
from collections import Counter
from pathlib import Path

from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from reflexarc.control.nodes.bag_metadata import Channel
from reflexarc.control.nodes.bag_writer import BagWriter, Message

FLOAT = Channel(
    topic="/number",
    type="std_msgs/msg/Float64",
    definition="float64 data\n",
    type_hash="RIHS01_705ba9c3d1a09df43737eb67095534de36fd426c0587779bda2bc51fe790182a",
    qos="- {history: keep_last, depth: 10, reliability: reliable, durability: volatile, deadline: {sec: 0, nsec: 0}, "
    "lifespan: {sec: 0, nsec: 0}, liveliness: automatic, liveliness_lease_duration: {sec: 0, nsec: 0}, "
    "avoid_ros_namespace_conventions: false}\n",
)
LATCHED = Channel(topic="/latched", type="std_msgs/msg/Float64", definition="float64 data\n", is_latched=True)

BEGIN_NS = 1_700_000_000_000_000_000


def message(number: int, channel: Channel = FLOAT) -> Message:
    """The number-th of 100 per second, in CDR."""
    data = b"\0\1\0\0" + struct.pack("<d", float(number))
    came_ns = BEGIN_NS + number * 10_000_000
    return Message(channel, came_ns, came_ns, data)


def write(folder: Path, count: int, **limits) -> BagWriter:
    folder.mkdir()
    bag = BagWriter(folder, {"about": {"what": "a test"}}, **limits)
    for number in range(count):
        bag.write(message(number))
        if number % 20 == 0:
            bag.flush()
    bag.close()
    return bag


def read_by_rosbags(folder: Path) -> list[float]:
    with AnyReader([folder]) as reader:
        return [reader.deserialize(data, c.msgtype).data for c, _, data in reader.messages()]


def counted_by_mcap(folder: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for path in sorted(folder.glob("*.mcap")):
        with path.open("rb") as stream:
            counts.update(channel.topic for _, channel, _ in make_reader(stream).iter_messages())
    return counts
