"""BagReader: a bag folder with MCAP files, read from its beginning to its end.

A file without its footer is what a recorder left that was killed, or had no room. Whoever opens such a bag here gets
all whole chunks of it, and the bag is completed, so that other readers can read it, too.
"""

import fcntl
import os
import re
import struct
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.records import Channel as ChannelRecord
from mcap.records import Message, Metadata, Schema
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC, CompressionType, Writer

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.bag_metadata import BagFile, Channel, write_metadata
from reflexarc.control.nodes.bag_writer import PROFILE

__all__ = ["Bag", "Recorded", "open_bag"]

_CUT_OFF = (McapError, struct.error, ValueError)
"""What the reader of the format says where a file ends in the middle of a record."""


class Recorded(NamedTuple):
    """One message of a bag.

    Attributes:
        topic: Its full name.
        log_time_ns: When it was received.
        data: The message, in CDR.
    """

    topic: str
    log_time_ns: int
    data: bytes


class Bag:
    """A bag that can be read.

    Args:
        path: Its folder, or one of its files.
        files: Its files, oldest first.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self._files = files
        self.recovered: dict[str, int] = {}
        """Files that were cut off, and how many messages they still hold."""
        self.metadata: dict[str, dict[str, str]] = {}
        """Records of the files, by name; the newest of each name."""
        self.types: dict[str, str] = {}
        """`package/msg/Name` per topic."""

    def messages(self, topics: Collection[str] | None = None) -> Iterator[Recorded]:
        """All messages in the order in which they were received.

        Args:
            topics: Only of these; None for all.
        """
        for path in self._files:
            names: dict[int, str] = {}
            for record in _records(path):
                if isinstance(record, ChannelRecord):
                    if topics is None or record.topic in topics:
                        names[record.id] = record.topic
                elif isinstance(record, Message) and record.channel_id in names:
                    yield Recorded(names[record.channel_id], record.log_time, record.data)


def open_bag(path: Path) -> Bag:
    """A bag, completed if its recorder could not do it.

    Args:
        path: Its folder, or one MCAP file.

    Raises:
        ReflexarcError: There is none, it is not MCAP, or it is being recorded.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.mcap"), key=_number)
    if not files:
        what = "no bag here" if path.is_dir() else "no such bag"
        raise ReflexarcError(
            f"{path}: {what}. Give the folder that `reflexarc record` or rosbag2 (mcap) made."
        )
    bag = Bag(path, files)
    try:
        kept = [_look_into(bag, file) for file in files]
    except OSError as error:
        raise ReflexarcError(f"{path}: cannot be read ({error.strerror}).") from None
    if bag.recovered and path.is_dir():
        with suppress(OSError):  # where there is no room, it can still be read here
            write_metadata(path, kept, bag.metadata)
    return bag


def _number(path: Path) -> tuple[int, str]:
    match = re.search(r"_(\d+)\.mcap$", path.name)
    return (int(match[1]) if match else 0, path.name)


def _records(path: Path) -> Iterator[object]:
    """All whole records of a file.

    Raises:
        ReflexarcError: It is complete and yet damaged.
    """
    with path.open("rb") as stream:
        try:
            yield from StreamReader(stream, validate_crcs=True).records
        except _CUT_OFF as error:
            if _is_complete(stream):
                raise ReflexarcError(f"{path}: damaged ({error}).") from None


def _is_complete(stream: IO[bytes]) -> bool:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - len(MCAP0_MAGIC)))
    return size > len(MCAP0_MAGIC) and stream.read() == MCAP0_MAGIC


def _look_into(bag: Bag, path: Path) -> BagFile:
    """What a file holds; it is completed where it has to be."""
    with path.open("rb") as stream:
        if stream.read(len(MCAP0_MAGIC)) != MCAP0_MAGIC:
            raise ReflexarcError(f"{path}: not an MCAP file.")
        if not _is_complete(stream):
            found = _completed(bag, path, stream)
            bag.recovered[path.name] = found.messages
            return found
        try:
            stream.seek(0)
            reader = make_reader(stream)
            summary = reader.get_summary()
            bag.metadata |= {record.name: dict(record.metadata) for record in reader.iter_metadata()}
        except _CUT_OFF as error:
            raise ReflexarcError(f"{path}: damaged ({error}).") from None
    if summary is None or summary.statistics is None:
        raise ReflexarcError(f"{path}: has no summary. Complete it with `mcap recover`.")
    file = BagFile(path.name)
    file.start_ns = summary.statistics.message_start_time
    file.end_ns = summary.statistics.message_end_time
    for number, record in summary.channels.items():
        schema = summary.schemas.get(record.schema_id)
        bag.types[record.topic] = "" if schema is None else schema.name
        if count := summary.statistics.channel_message_counts.get(number, 0):
            file.counts[_channel(record, schema)] = count
    return file


def _completed(bag: Bag, path: Path, stream: IO[bytes]) -> BagFile:
    """Rewrite a file that is cut off, if there is room, and count what it holds."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ReflexarcError(f"{path}: is still being recorded. End the recorder first.") from None
    temporary = path.with_name(f".{path.name}.partial")
    try:
        with temporary.open("wb") as target:
            file = _copied(bag, path, target)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        with open(os.devnull, "wb") as nowhere:  # no room: then it is read as it is
            file = _copied(bag, path, nowhere)
    return file


def _copied(bag: Bag, path: Path, target: IO[bytes]) -> BagFile:
    """Copy every whole record into a complete file, and count."""
    file = BagFile(path.name)
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    new_ids: dict[int, int] = {}
    writer = Writer(target, compression=CompressionType.NONE)
    writer.start(profile=PROFILE, library="reflexarc")
    for record in _records(path):
        if isinstance(record, Metadata):
            bag.metadata[record.name] = dict(record.metadata)
            writer.add_metadata(record.name, record.metadata)
        elif isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, ChannelRecord) and record.id not in channels:
            schema = schemas[record.schema_id]
            channels[record.id] = _channel(record, schema)
            bag.types[record.topic] = schema.name
            schema_id = writer.register_schema(schema.name, schema.encoding, schema.data)
            new_ids[record.id] = writer.register_channel(
                record.topic, record.message_encoding, schema_id, record.metadata
            )
        elif isinstance(record, Message):
            file.add(channels[record.channel_id], record.log_time)
            writer.add_message(
                new_ids[record.channel_id],
                log_time=record.log_time,
                data=record.data,
                publish_time=record.publish_time,
                sequence=record.sequence,
            )
    writer.finish()
    return file


def _channel(record: ChannelRecord, schema: Schema | None) -> Channel:
    return Channel(
        topic=record.topic,
        type="" if schema is None else schema.name,
        definition="" if schema is None else schema.data.decode(errors="replace"),
        type_hash=record.metadata.get("topic_type_hash", ""),
        qos=record.metadata.get("offered_qos_profiles", "") or "[]",
    )
