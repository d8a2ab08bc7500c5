"""What tests of training share: checkpoints in a temporary folder, and a crash at a moment of one's choice."""

import pytest
import torch

from reflexarc.control.training.checkpoints import Checkpoints


class CrashError(Exception):
    """Stands for a power cut."""


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


@pytest.fixture
def crashing_after():
    """Makes a progress callback that crashes the training once so much is done."""

    def make(limit):
        def on_progress(done, total, *_):
            if done > limit:
                raise CrashError
            return True

        return on_progress

    return make


@pytest.fixture
def crash():
    return CrashError


@pytest.fixture
def goes_on():
    """A progress callback that never asks for an end."""
    return lambda *_: True
