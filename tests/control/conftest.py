"""What tests of training and of its commands share: one small flow that was trained from nothing."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from reflexarc.control.artifacts.store import read_lock
from reflexarc.control.flow_file import load_flow

SMALL = {
    "perception": {"images": 512, "epochs": 6},
    "estimation": {"episodes": 8, "ticks": 40, "iterations": 2, "batch": 8},
    "policy": {"steps": 512, "environments": 8, "rollout": 16, "batch": 64, "epochs": 1},
}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A flow, its settings, and the store that it was trained into. Nobody changes it."""
    import torch

    from reflexarc.control.artifacts.history import promote, record_time
    from reflexarc.control.training import recipe_reinforcement, recipe_supervised
    from reflexarc.control.training.draft import draft_manifest
    from reflexarc.control.training.worker import Request, train_one

    flow = load_flow("arm_track")
    folder = tmp_path_factory.mktemp("trained")
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        # Contracts are measured on thousands of frames; here they only have to be there.
        patch.setattr(recipe_supervised, "_EPISODES", 16)
        patch.setattr(recipe_supervised, "_TICKS", 60)
        patch.setattr(recipe_reinforcement, "_MEASURED_ON", 4)
        for name in flow.training_order:
            request = Request(
                module=name,
                flow=flow.model_dump_json(),
                manifest=draft_manifest(flow, name, 0, SMALL[name], folder).model_dump_json(),
                store=str(folder),
                log_dir=str(folder / "logs" / name),
            )
            promote(folder, flow.name, name, train_one(request, lambda *_: None), "train")
            record_time(folder, flow.name, name, 90.0)
    torch.set_num_threads(threads)
    return SimpleNamespace(flow=flow, settings=SMALL, store=folder, digests=read_lock(folder, flow.name))


@pytest.fixture
def store(trained, tmp_path) -> Path:
    """A copy of that store, to be changed."""
    return Path(shutil.copytree(trained.store, tmp_path / "store", ignore=shutil.ignore_patterns("logs")))
