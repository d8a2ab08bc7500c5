import json

import pytest

from reflexarc.control.commands.status import run_status
from reflexarc.control.errors import ArtifactError


def test_data_are_what_the_table_says(trained, store, capsys):
    (model,) = store.glob("estimation-*/model.onnx")
    model.write_bytes(model.read_bytes() + b"x")
    run_status("arm_track", store, as_json=True)
    found = {status["module"]: status for status in json.loads(capsys.readouterr().out)}
    assert {name: status["state"] for name, status in found.items()} == {
        "perception": "up to date",
        "estimation": "altered",
        "policy": "stale",
    }
    assert {name: status["digest"] for name, status in found.items()} == trained.digests
    assert found["policy"]["causes"] == ["upstream: estimation"]


def test_the_table_names_every_module(trained, reflexarc):
    done = reflexarc("status", "--flow", "arm_track", "--store", str(trained.store))
    assert done.returncode == 0, done.stderr
    for name, digest in trained.digests.items():
        (row,) = (line for line in done.stdout.splitlines() if digest[:12] in line)
        assert name in row
        assert "up to date" in row


def test_it_needs_no_torch(trained, reflexarc, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nfor name in ('torch', 'stable_baselines3', 'onnx'):\n    sys.modules[name] = None\n"
    )
    done = reflexarc(
        "status", "--flow", "arm_track", "--store", str(trained.store), "--json", PYTHONPATH=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert all(status["state"] == "up to date" for status in json.loads(done.stdout))


def test_what_was_never_trained_is_no_error(tmp_path, capsys):
    run_status("arm_catch", tmp_path, as_json=False)
    assert capsys.readouterr().out.count("not trained") == 3


def test_a_lock_that_is_none_is_named(tmp_path):
    (tmp_path / "arm_catch.lock.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"arm_catch\.lock\.json: not a lock file"):
        run_status("arm_catch", tmp_path, as_json=True)
