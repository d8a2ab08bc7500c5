import json

import pytest

from reflexarc.control.artifacts.artifact import Manifest, write_artifact
from reflexarc.control.artifacts.history import promote, rollback
from reflexarc.control.artifacts.store import read_lock, write_lock
from reflexarc.control.commands.artifacts import run_gc, run_list, run_show, run_verify
from reflexarc.control.errors import ArtifactError

FLOW = "arm_catch"


def artifact(store, seed):
    manifest = Manifest(
        module="policy",
        kind="policy",
        flow=FLOW,
        trainer="reinforcement",
        ports={},
        constants={},
        code_digest="c",
        environment_digest="e",
        config_digest="d",
        upstream={},
        seed=seed,
        libraries={},
    )
    return write_artifact(store, manifest, {"model.onnx": b"model", "metrics.json": b'{"catch_rate": 0.5}'})


@pytest.fixture
def made(tmp_path):
    """Four artifacts; the second is pinned, the first was before, the third is of another flow."""
    artifacts = [artifact(tmp_path, seed) for seed in range(4)]
    promote(tmp_path, FLOW, "policy", artifacts[0].digest, "train")
    promote(tmp_path, FLOW, "policy", artifacts[1].digest, "retrain")
    write_lock(tmp_path, "other_flow", {"policy": artifacts[2].digest})
    return artifacts


def test_a_list_has_every_artifact_and_who_pins_it(made, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    (made[3].folder / "model.onnx").write_bytes(b"other")
    run_list(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    rows = [next(line for line in lines if artifact.folder.name in line) for artifact in made]
    assert ["arm_catch" in row.rpartition("kB")[2] for row in rows] == [False, True, False, False]
    assert "other_flow" in rows[2]
    assert ["altered" in row for row in rows] == [False, False, False, True]


def test_one_is_shown_by_its_name_or_the_beginning_of_its_digest(made, tmp_path, capsys):
    for name in (made[0].folder.name, made[0].digest, made[0].digest[:8]):
        run_show(name, tmp_path)
        shown = json.loads(capsys.readouterr().out)
        assert shown["digest"] == made[0].digest
        assert shown["metrics"] == {"catch_rate": 0.5}
        assert shown["seed"] == 0


@pytest.mark.parametrize(("name", "fit"), [("", 4), ("nothing", 0)])
def test_what_fits_none_or_several_is_refused(made, tmp_path, name, fit):
    with pytest.raises(ArtifactError, match=f"'{name}': {fit} artifacts fit. In .*: policy-"):
        run_show(name, tmp_path)


def test_a_store_that_is_as_it_was_written_is_verified(made, tmp_path, capsys):
    run_verify(tmp_path)
    assert capsys.readouterr().out == "4 artifacts verified\n"


def test_everything_that_is_wrong_is_named_in_one_go(made, tmp_path):
    (made[0].folder / "model.onnx").write_bytes(b"other")
    manifest = made[2].folder / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    (made[3].folder / "metrics.json").unlink()
    write_lock(tmp_path, FLOW, {"policy": 64 * "0"})
    with pytest.raises(ArtifactError) as refused:
        run_verify(tmp_path)
    lines = sorted(str(refused.value).splitlines())
    assert len(lines) == 4
    for artifact, said in ((0, "model.onnx: altered"), (2, "manifest.json: altered"), (3, "metrics.json: ")):
        assert any(f"{made[artifact].folder.name}/{said}" in line for line in lines)
    assert f"{FLOW}: pins 000000000000, which is not in {tmp_path}. Restore it." in lines


def test_what_no_lock_pins_and_no_rollback_leads_to_is_removed(made, tmp_path, capsys):
    run_gc(tmp_path, dry_run=True)
    assert capsys.readouterr().out == f"would remove {made[3].folder.name}\n"
    assert made[3].folder.exists()
    run_gc(tmp_path, dry_run=False)
    assert capsys.readouterr().out == f"removed {made[3].folder.name}\n"
    assert [artifact.folder.exists() for artifact in made] == [True, True, True, False]
    run_gc(tmp_path, dry_run=False)
    assert capsys.readouterr().out == "nothing to remove\n"
    assert rollback(tmp_path, FLOW, "policy").after == made[0].digest
    run_verify(tmp_path)


def test_a_pinned_artifact_that_is_altered_is_not_removed(made, tmp_path, capsys):
    manifest = made[1].folder / "manifest.json"
    manifest.write_text(manifest.read_text() + " ")
    run_gc(tmp_path, dry_run=False)
    assert made[1].folder.exists()
    assert made[1].folder.name not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["arm_catch.lock.json", "arm_catch.history.jsonl"])
def test_nothing_is_removed_when_it_is_not_clear_what_is_needed(made, tmp_path, name):
    (tmp_path / name).write_text("{")
    with pytest.raises(ArtifactError, match=name):
        run_gc(tmp_path, dry_run=False)
    assert all(artifact.folder.exists() for artifact in made)


def test_unfinished_artifacts_and_checkpoints_are_no_artifacts(made, tmp_path, capsys):
    for name in (".policy-abc", ".work"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    run_verify(tmp_path)
    assert capsys.readouterr().out == "4 artifacts verified\n"


@pytest.mark.parametrize("run", [run_list, run_verify, lambda store: run_gc(store, dry_run=True)])
def test_a_store_that_is_not_there_is_named(tmp_path, run):
    with pytest.raises(ArtifactError, match="none: no such store"):
        run(tmp_path / "none")
    assert read_lock(tmp_path, FLOW) == {}
