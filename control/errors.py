"""Every error that a user of reflexarc can cause.

ReflexarcError
├── ValueRefusedError       a number, shape, frame or unit that cannot be right
├── FlowError               a flow file, or the graph in it, is wrong
├── ArtifactError           a trained module is missing, altered or does not fit
├── TrainingError           a training cannot start or go on
├── SecurityError           key material is missing, wrong, foreign, expired or altered
└── RuntimeUnavailableError something that must be installed is not (ROS 2, GL, torch)

Each message names the thing, what came, what would fit, and what to do. The command line prints the
message as one line and exits with code 1; nothing else catches them.
"""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ArtifactError",
    "FlowError",
    "ReflexarcError",
    "RuntimeUnavailableError",
    "SecurityError",
    "TrainingError",
    "ValueRefusedError",
    "did_you_mean",
]


class ReflexarcError(Exception):
    """Base of all errors that a user can cause."""


class ValueRefusedError(ReflexarcError, ValueError):
    """A number, shape, frame or unit cannot be right."""


class FlowError(ReflexarcError):
    """A flow file, or the graph in it, is wrong."""


class ArtifactError(ReflexarcError):
    """A trained module is missing, altered or does not fit its place in the flow."""


class TrainingError(ReflexarcError):
    """A training cannot start or cannot go on."""


class SecurityError(ReflexarcError):
    """Key material is missing, wrong, foreign, expired or altered, or something is open that should be closed."""


class RuntimeUnavailableError(ReflexarcError):
    """Something that must be installed on this machine is not."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest right choice, or all of them if none is near.

    Args:
        word: What the user wrote.
        known: What would have been right.

    Returns:
        ``Did you mean 'x'?`` or ``Known: a, b, c.``
    """
    choices = sorted(known)
    near = get_close_matches(word, choices, n=1)
    return f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(choices) or 'none'}."
