"""BagWriter: messages into a bag folder as rosbag2 has it: MCAP files and `metadata.yaml`.

A chunk is closed and handed to the operating system at each `flush`, so that a recorder that is killed loses what came
since the last one. Where the bag would grow beyond its bounds, its oldest file is dropped, as a flight recorder does.
"""

import fcntl
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

from mcap.writer import CompressionType, Writer

from reflexarc.control.nodes.bag_metadata import BagFile, Channel, write_metadata

__all__ = ["PROFILE", "BagWriter", "Message"]

PROFILE = "ros2"
_CHUNK_BYTES = 1 << 20
_PARTS = 8
"""A bounded bag has so many files, and one more while the oldest is still to be dropped."""


class Message(NamedTuple):
    """One message as it came, in CDR.

    Attributes:
        channel: Its topic.
        log_time_ns: When it was received, since the epoch.
        publish_time_ns: When it was sent.
        data: The message.
    """

    channel: Channel
    log_time_ns: int
    publish_time_ns: int
    data: bytes


class BagWriter:
    """Writes one bag.

    Args:
        folder: An empty folder.
        metadata: Records of each file, name to entries.
        max_bytes: For all files together; None for no bound.
        max_s: How far back messages are kept; None for no bound.

    Raises:
        OSError: It cannot be written; so with all else that writes.
    """

    def __init__(
        self,
        folder: Path,
        metadata: Mapping[str, Mapping[str, str]],
        max_bytes: int | None = None,
        max_s: float | None = None,
    ) -> None:
        self.folder = folder
        self._metadata = {name: dict(entries) for name, entries in metadata.items()}
        self._max_bytes, self._max_s = max_bytes, max_s
        self._files: list[BagFile] = []
        self._bytes: dict[str, int] = {}
        self._number = 0
        self.dropped_files = 0
        """How many old ones had to go."""
        self._open()

    @property
    def messages(self) -> int:
        """How many are kept."""
        return sum(file.messages for file in self._files)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self._bytes.values()) + (0 if self._stream.closed else self._stream.tell())

    @property
    def duration_s(self) -> float:
        """From the first message that is kept to the last."""
        full = [file for file in self._files if file.messages]
        return (full[-1].end_ns - full[0].start_ns) * 1e-9 if full else 0.0

    def write(self, message: Message) -> None:
        """Take a message into the chunk that is open."""
        if self._is_full(message.log_time_ns):
            self._next(message.log_time_ns)
        channel = message.channel
        if channel not in self._ids:
            self._ids[channel] = self._register(channel)
        self._writer.add_message(
            self._ids[channel],
            log_time=message.log_time_ns,
            data=message.data,
            publish_time=message.publish_time_ns,
        )
        self._files[-1].add(channel, message.log_time_ns)

    def add_metadata(self, name: str, entries: Mapping[str, str]) -> None:
        """Add a record, to this file and to all that follow."""
        self._metadata[name] = dict(entries)
        self._writer.add_metadata(name, dict(entries))

    def flush(self) -> None:
        """Close the chunk and hand it to the operating system."""
        self._writer.flush()
        self._safe_end = self._stream.tell()

    def close(self) -> None:
        """Complete the last file and write `metadata.yaml`."""
        self._finish()
        self._tell()

    def abandon(self) -> None:
        """After an error: leave what was written, cut after the last whole chunk, for who opens it to complete it."""
        with suppress(OSError):
            self._stream.close()
        with suppress(OSError):
            os.truncate(self.folder / self._files[-1].name, self._safe_end)

    def _open(self) -> None:
        name = f"{self.folder.name}_{self._number}.mcap"
        self._number += 1
        self._stream: IO[bytes] = (self.folder / name).open("xb")
        # As long as this process lives, who opens the bag knows that it is being written.
        fcntl.flock(self._stream, fcntl.LOCK_EX)
        self._files.append(BagFile(name))
        self._ids: dict[Channel, int] = {}
        self._schemas: dict[str, int] = {}
        self._writer = Writer(self._stream, chunk_size=_CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start(profile=PROFILE, library="reflexarc")
        for record, entries in self._metadata.items():
            self._writer.add_metadata(record, entries)
        self.flush()
        self._tell()

    def _register(self, channel: Channel) -> int:
        if channel.type not in self._schemas:
            self._schemas[channel.type] = self._writer.register_schema(
                channel.type, "ros2msg", channel.definition.encode()
            )
        about = {"offered_qos_profiles": channel.qos, "topic_type_hash": channel.type_hash}
        return self._writer.register_channel(channel.topic, "cdr", self._schemas[channel.type], about)

    def _is_full(self, now_ns: int) -> bool:
        file = self._files[-1]
        if not file.messages:
            return False
        if self._max_s is not None and now_ns - file.start_ns > self._max_s * 1e9 / _PARTS:
            return True
        return self._max_bytes is not None and self._stream.tell() > self._max_bytes / _PARTS

    def _next(self, now_ns: int) -> None:
        self._finish()
        while len(self._files) > 1 and self._is_beyond_bounds(now_ns):
            (self.folder / self._files[0].name).unlink()
            del self._bytes[self._files.pop(0).name]
            self.dropped_files += 1
        self._open()

    def _is_beyond_bounds(self, now_ns: int) -> bool:
        if self._max_s is not None and now_ns - self._files[0].end_ns > self._max_s * 1e9 * (1 - 1 / _PARTS):
            return True
        total = sum(self._bytes.values())
        # Room for the next file, which may be larger by its last chunk and its summary.
        return self._max_bytes is not None and total > self._max_bytes * (1 - 1.5 / _PARTS)

    def _finish(self) -> None:
        self.flush()
        self._writer.finish()
        self._stream.flush()
        self._bytes[self._files[-1].name] = self._stream.tell()
        self._stream.close()

    def _tell(self) -> None:
        write_metadata(self.folder, self._files, self._metadata)
