"""What tests of training and of its commands share: one small flow that was trained from nothing."""

import contextlib
import io
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from reflexarc.control.flow_file import load_flow

SMALL = {
    "perception": {"images": 768, "epochs": 4},
    "estimation": {"episodes": 8, "ticks": 40, "iterations": 2, "batch": 8},
    "policy": {"steps": 512, "environments": 8, "rollout": 16, "batch": 64, "epochs": 1},
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A flow, its settings, the store that it was trained into, and what was printed. Nobody changes it."""
    from reflexarc.control.training.plan import train_flow

    flow = load_flow("arm_track")
    folder = tmp_path_factory.mktemp("trained")
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        digests = train_flow(flow, None, 0, folder, folder / "logs", SMALL)
    return SimpleNamespace(
        flow=flow, settings=SMALL, store=folder, digests=digests, printed=printed.getvalue()
    )


@pytest.fixture
def store(trained, tmp_path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(trained.store, tmp_path / "store", ignore=shutil.ignore_patterns("logs")))
