import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.artifacts.store import read_lock
from reflexarc.control.commands.retrain import parse_duration, run_rollback
from reflexarc.control.errors import ArtifactError, TrainingError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.sampled_from(["", ".5", ".0"]))
def test_a_duration_is_a_number_and_a_unit(number, unit, rest):
    assert parse_duration(f"{number}{rest}{unit}") == pytest.approx(float(f"{number}{rest}") * UNITS[unit])


@pytest.mark.parametrize(
    "text", ["", "5", "m", "0s", "-5m", "5 m", "5min", "1h30m", "1e3s", "infs", "nans", ".5m"]
)
def test_any_other_duration_is_refused(text):
    with pytest.raises(TrainingError, match=r"write a time as 90s, 5m or 1\.5h"):
        parse_duration(text)


@pytest.fixture
def retrain(reflexarc, store):
    def run(*arguments):
        return reflexarc(
            "retrain",
            "estimation",
            "--flow",
            "arm_track",
            "--store",
            str(store),
            "--set",
            "hidden=8",
            "--set",
            "iterations=1",
            *arguments,
            within_s=600.0,
        )

    return run


def test_a_dry_run_says_what_would_be_done_and_does_nothing(retrain, store):
    before = sorted(path.relative_to(store) for path in store.rglob("*"))
    done = retrain("--dry-run")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "estimation: to be trained because of config, some 1.5 min",
        "frozen: perception, policy",
    ]
    assert sorted(path.relative_to(store) for path in store.rglob("*")) == before


@pytest.mark.slow
def test_a_retraining_is_promoted_reported_and_taken_back(retrain, trained, store, tmp_path, capsys):
    done = retrain("--force", "--episodes", "2")
    assert done.returncode == 0, done.stderr
    new = read_lock(store, "arm_track")["estimation"]
    assert f"{trained.digests['estimation'][:12]} -> {new[:12]}" in done.stdout
    assert "estimation: promoted: forced; tracking_rmse_m " in done.stdout
    (report,) = (tmp_path / "runs").rglob("retrain-*.html")
    assert new[:12] in report.name
    run_rollback("estimation", "arm_track", store)
    assert capsys.readouterr().out == f"estimation: {new[:12]} -> {trained.digests['estimation'][:12]}\n"
    assert read_lock(store, "arm_track") == trained.digests
    with pytest.raises(ArtifactError, match="estimation: nothing was pinned before"):
        run_rollback("estimation", "arm_track", store)


@pytest.mark.slow
def test_what_is_up_to_date_is_left_alone(reflexarc, trained):
    done = reflexarc("retrain", "estimation", "--flow", "arm_track", "--store", str(trained.store))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "estimation: up to date, nothing to retrain. --force does it anyway.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--episodes", "1"], "--episodes 1: a comparison takes at least 2 pairs."),
        (["--budget", "soon"], "--budget soon: write a time as 90s, 5m or 1.5h."),
        (["--set", "iterations"], "--set estimation.iterations: write it as MODULE.KEY=VALUE"),
        (["--data", "none.npz"], "none.npz: data cannot be read (No such file or directory)."),
    ],
)
def test_what_cannot_be_is_one_line_before_anything_is_trained(retrain, arguments, message):
    done = retrain(*arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"reflexarc: {message}")
    assert done.stderr.count("\n") == 1


def test_a_module_that_is_not_trained_cannot_be_rolled_back(tmp_path):
    with pytest.raises(TrainingError, match=r"no trained module 'polcy'\. Did you mean 'policy'"):
        run_rollback("polcy", "arm_track", tmp_path)
