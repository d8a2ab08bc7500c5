"""Trace: when each module stepped, on what, and how long each hop took.

Both runtimes write `StepRecord`s; the report joins them by stamp, from the command back to the camera frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reflexarc.control.values import FloatArray, Value

__all__ = ["StepRecord", "frame_ages_s", "hop_latencies_s", "newest_stamps", "output_stamp"]


@dataclass(frozen=True)
class StepRecord:
    """One step of one module.

    Args:
        now_ns: Flow time of the step.
        output_stamp_ns: Stamp of what it published, or `now_ns` where the message has no stamp.
        input_stamps_ns: Per input port that had something new, the newest stamp.
        received_ns: Monotonic clock when its trigger was complete.
        published_ns: Monotonic clock when its outputs were out.
    """

    now_ns: int
    output_stamp_ns: int
    input_stamps_ns: Mapping[str, int]
    received_ns: int
    published_ns: int


def newest_stamps(inputs: Mapping[str, tuple[Value, ...]]) -> dict[str, int]:
    """Per port that has values with stamps, the newest stamp."""
    stamped = {
        name: [v.stamp_ns for v in values if hasattr(v, "stamp_ns")] for name, values in inputs.items()
    }
    return {name: max(stamps) for name, stamps in stamped.items() if stamps}


def output_stamp(outputs: Mapping[str, Value], now_ns: int) -> int:
    """Stamp of the first output that has one, else `now_ns`."""
    return next((value.stamp_ns for value in outputs.values() if hasattr(value, "stamp_ns")), now_ns)


def hop_latencies_s(records: Sequence[StepRecord]) -> FloatArray:
    """Seconds from a complete trigger to published outputs, one per step."""
    return np.array([(r.published_ns - r.received_ns) * 1e-9 for r in records])


def frame_ages_s(
    path: Sequence[tuple[str, str]],
    records: Mapping[str, Sequence[StepRecord]],
    clock_at: Mapping[int, int] | None = None,
) -> FloatArray:
    """Age of each camera frame when the first command that used it was published.

    Args:
        path: (module, input port) from the module that commands the plant back to the one that sees the
            camera, as `Flow.path_to_camera` gives it.
        records: Step records per module.
        clock_at: Monotonic ns at which the plant passed each flow time (real time); None to measure
            in flow time, to the moment that the command takes effect (lock step).

    Returns:
        Shape (frames that reached a command,), in seconds.
    """
    if not path:  # no camera leads to the plant
        return np.empty(0)
    by_stamp = {module: {r.output_stamp_ns: r for r in records.get(module, ())} for module, _ in path}
    (last, _), *_ = path
    ages: list[float] = []
    newest_frame = -1
    for command in records.get(last, ()):
        record: StepRecord | None = command
        stamp: int | None = None
        for position, (_, port) in enumerate(path):
            if record is None or port not in record.input_stamps_ns:
                record = stamp = None
                break
            stamp = record.input_stamps_ns[port]
            if position + 1 < len(path):
                record = by_stamp[path[position + 1][0]].get(stamp)
        if stamp is None or stamp <= newest_frame:
            continue
        newest_frame = stamp
        if clock_at is None:
            ages.append((command.now_ns - stamp) * 1e-9)
        elif stamp in clock_at:
            ages.append((command.published_ns - clock_at[stamp]) * 1e-9)
    return np.array(ages)
