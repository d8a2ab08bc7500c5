"""Kinds of faults; apart from what they do, so that the command line need not load numpy to list them."""

from enum import Enum

__all__ = ["FaultKind"]


class FaultKind(str, Enum):
    """What goes wrong."""

    KILL = "kill"
    """Silence, and then a module that has forgotten everything."""
    FREEZE = "freeze"
    """Silence, and then it goes on where it stood."""
    DELAY = "delay"
    """Everything comes later."""
    DROP = "drop"
    """Some of it never comes."""
    NAN = "nan"
    BIAS = "bias"
    NOISE = "noise"
    CORRUPT = "corrupt"
    """Bits of the payload flip."""
    FLIP = "flip"
    """The payload has the wrong sign."""
    STUCK = "stuck"
    """The last payload again and again, with new stamps."""
