"""BagMetadata: `metadata.yaml` of a bag folder, as rosbag2 of Jazzy and later writes it (version 9)."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from reflexarc.control.files import write_whole

__all__ = ["METADATA_FILE", "BagFile", "Channel", "write_metadata"]

METADATA_FILE = "metadata.yaml"


@dataclass(frozen=True)
class Channel:
    """One topic of a recording.

    Args:
        topic: Its full name.
        type: `package/msg/Name`.
        definition: Text of the message definition.
        type_hash: Hash of the message type, or empty.
        qos: What its publishers offered, as YAML.
        is_latched: Whether who comes late is sent what was published before.
    """

    topic: str
    type: str
    definition: str = ""
    type_hash: str = ""
    qos: str = "[]"
    is_latched: bool = False


@dataclass
class BagFile:
    """What is in one file of a bag.

    Args:
        name: Its name in the folder.
        counts: Messages per channel.
        start_ns: When the first came.
        end_ns: When the last came.
    """

    name: str
    counts: Counter[Channel] = field(default_factory=Counter)
    start_ns: int = 0
    end_ns: int = 0

    def add(self, channel: Channel, log_time_ns: int) -> None:
        """Count a message."""
        if not self.counts:
            self.start_ns = self.end_ns = log_time_ns
        self.start_ns, self.end_ns = min(self.start_ns, log_time_ns), max(self.end_ns, log_time_ns)
        self.counts[channel] += 1

    @property
    def messages(self) -> int:
        """How many there are."""
        return self.counts.total()


def write_metadata(folder: Path, files: Sequence[BagFile], records: Mapping[str, Mapping[str, str]]) -> None:
    """Write it whole or not at all.

    Args:
        folder: Folder of the bag.
        files: Its files, oldest first.
        records: The metadata records of its files, by name.

    Raises:
        OSError: It cannot be written.
    """
    counts: Counter[Channel] = sum((file.counts for file in files), Counter())
    full = [file for file in files if file.messages]
    start_ns = min((file.start_ns for file in full), default=0)
    end_ns = max((file.end_ns for file in full), default=0)
    content = {
        "version": 9,
        "storage_identifier": "mcap",
        "duration": {"nanoseconds": end_ns - start_ns},
        "starting_time": {"nanoseconds_since_epoch": start_ns},
        "message_count": counts.total(),
        "topics_with_message_count": [_topic(channel, count) for channel, count in counts.items()],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [_file(file) for file in files],
        "custom_data": {
            f"{name}.{k}": value for name, entries in records.items() for k, value in entries.items()
        },
        "ros_distro": os.environ.get("ROS_DISTRO", ""),
    }
    text = yaml.safe_dump({"rosbag2_bagfile_information": content}, sort_keys=False)
    write_whole(folder / METADATA_FILE, text)


def _topic(channel: Channel, count: int) -> dict[str, Any]:
    return {
        "topic_metadata": {
            "name": channel.topic,
            "type": channel.type,
            "serialization_format": "cdr",
            "offered_qos_profiles": yaml.safe_load(channel.qos),
            "type_description_hash": channel.type_hash,
        },
        "message_count": count,
    }


def _file(file: BagFile) -> dict[str, Any]:
    return {
        "path": file.name,
        "starting_time": {"nanoseconds_since_epoch": file.start_ns},
        "duration": {"nanoseconds": file.end_ns - file.start_ns},
        "message_count": file.messages,
    }
