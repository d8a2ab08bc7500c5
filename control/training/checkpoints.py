"""Checkpoints: where a training that was interrupted goes on.

A training is cut into segments, each a function of the state before it and of its own number, with random
numbers of its own. So a training that was killed and goes on from its last checkpoint ends with the same
bits as one that was not disturbed.
"""

import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from reflexarc.control.errors import TrainingError

__all__ = ["Checkpoints", "segment_seed"]

State = dict[str, Any]
"""Tensors, numbers, strings, and lists and dictionaries of them: what torch loads without unpickling code."""


def segment_seed(seed: int, segment: int) -> int:
    """The seed of one segment of a training, 0 to 2^32 - 1."""
    return int(np.random.SeedSequence([seed, segment]).generate_state(1)[0])


class Checkpoints:
    """The states of one training, kept until it is done.

    Args:
        folder: Of this training alone: its name is to say all that decides the result.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str) -> State | None:
        """The last state that was saved under a name, or None.

        Raises:
            TrainingError: The file is corrupted.
        """
        path = self._folder / f"{name}.pt"
        try:
            checksum, _, content = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TrainingError(f"{path}: the checkpoint cannot be read ({error.strerror}).") from None
        if hashlib.sha256(content).hexdigest().encode() != checksum:
            raise TrainingError(
                f"{path}: the checkpoint is corrupted. Remove it, and this training starts anew."
            )
        state: State = torch.load(io.BytesIO(content), weights_only=True)
        return state

    def save(self, name: str, state: State) -> None:
        """Replace the state of a name, whole or not at all.

        Raises:
            TrainingError: It cannot be written; the last one is still there.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        path = self._folder / f"{name}.pt"
        temporary = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
            os.replace(temporary, path)
        except OSError as error:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
            raise TrainingError(
                f"{path}: the checkpoint cannot be written ({error.strerror}). What was saved before is kept: "
                "make room, and train again to go on."
            ) from None

    def once(self, name: str, make: Callable[[], State]) -> State:
        """What was made under a name before the interruption, or is made now."""
        state = self.load(name)
        if state is None:
            state = make()
            self.save(name, state)
        return state
