from dataclasses import replace

import numpy as np
import pytest

from reflexarc.control.artifacts.artifact import write_artifact
from reflexarc.control.artifacts.history import promote, rollback
from reflexarc.control.artifacts.store import load_pinned, read_lock
from reflexarc.control.contracts import Assumption, Violation
from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.training.paired import Comparison
from reflexarc.control.training.retrain import (
    Retraining,
    _is_worse,
    _verdict,
    plan_retraining,
    retrain,
)

FLOW = load_flow("arm_track")
FEW = Retraining(settings={"hidden": 8, "iterations": 1}, episodes=2)


def run(store, wanted, said=None):
    intent = plan_retraining(FLOW, "estimation", wanted, store)
    say = (lambda _: None) if said is None else said.append
    return retrain(FLOW, intent, wanted, store, store / "logs", say, lambda *_: None)


def changed(store, module, **contract):
    """Pins an artifact of a module with another contract."""
    old = load_pinned(FLOW, module, store)
    files = {name: (old.folder / name).read_bytes() for name in old.manifest.files}
    new = write_artifact(store, old.manifest.model_copy(update=contract), files)
    promote(store, FLOW.name, module, new.digest, "test")


def test_what_would_be_done_is_said_and_nothing_is_changed(trained, store):
    before = sorted(path.relative_to(store) for path in store.rglob("*"))
    intent = plan_retraining(FLOW, "estimation", Retraining(settings={"hidden": 8}, budget_s=5), store)
    assert intent.causes == ("config", "a budget of 5 s")
    assert intent.neighbours == ("perception", "policy")
    assert intent.seconds == 90.0
    assert intent.manifest.settings == {**trained.settings["estimation"], "hidden": 8}
    assert intent.manifest.seed == 0
    assert sorted(path.relative_to(store) for path in store.rglob("*")) == before


def test_what_is_up_to_date_has_no_cause(store):
    assert plan_retraining(FLOW, "estimation", Retraining(), store).causes == ()


def test_an_unknown_module_and_one_that_was_never_trained_are_named(tmp_path):
    with pytest.raises(TrainingError, match=r"no trained module 'estimaton'\. Did you mean 'estimation'"):
        plan_retraining(FLOW, "estimaton", FEW, tmp_path)
    with pytest.raises(TrainingError) as refused:
        plan_retraining(FLOW, "estimation", FEW, tmp_path)
    assert str(refused.value) == (
        "estimation: nothing to compare with, it was never trained. "
        "Run: reflexarc train --flow arm_track --module estimation"
    )


def test_data_that_do_not_fit_are_refused_before_anything_is_trained(store, tmp_path):
    np.savez(tmp_path / "data.npz", seen=np.zeros((2, 5, 3)))
    with pytest.raises(TrainingError, match="array 'sigma' is missing"):
        plan_retraining(FLOW, "estimation", Retraining(data=tmp_path / "data.npz"), store)


@pytest.mark.slow
def test_a_module_is_trained_judged_promoted_and_taken_back(trained, store):
    said = []
    outcome = run(store, replace(FEW, force=True), said)
    lock = read_lock(store, FLOW.name)
    assert outcome.is_promoted
    assert outcome.reason.startswith("forced; tracking_rmse_m ")
    assert lock == {**trained.digests, "estimation": outcome.new.digest} != trained.digests
    assert outcome.old.digest == trained.digests["estimation"]
    assert len(outcome.comparison.old) == len(outcome.comparison.new) == 2
    assert set(outcome.valid) | set(outcome.invalid) == {"perception", "policy"}
    assert outcome.new.manifest.settings["hidden"] == 8
    assert set(outcome.seconds) == {"training", "closed loop"}
    assert rollback(store, FLOW.name, "estimation").after == trained.digests["estimation"]
    assert read_lock(store, FLOW.name) == trained.digests


@pytest.mark.slow
def test_a_contract_that_breaks_is_named_with_its_cost_and_keeps_the_old_one(store):
    # The policy was trained under an estimator that is better than any.
    changed(store, "policy", assumes={"odometry": Assumption(bounds={"rmse_m": 1e-9})})
    changed(store, "estimation", guarantees={"odometry": {"rmse_m": 1e-9}}, assumes={})
    before = read_lock(store, FLOW.name)
    said = []
    outcome = run(store, FEW, said)
    assert not outcome.is_promoted
    assert read_lock(store, FLOW.name) == before
    assert [v.figure for v in outcome.violations if v.consumer == "policy.odometry"] == ["rmse_m"]
    assert outcome.invalid == {"policy": 90.0}
    assert "policy is not covered any more; retraining it would take some 1.5 min" in said
    assert any(line.startswith("contract: estimation.odometry -> policy.odometry: rmse_m: ") for line in said)


@pytest.mark.slow
def test_recorded_data_are_trained_on_kept_in_the_store_and_said(store, tmp_path):
    rng = np.random.default_rng(0)
    position = rng.uniform(0.3, 0.7, (2, 50, 3))
    np.savez(
        tmp_path / "data.npz",
        seen=position.astype(np.float32),
        sigma=np.full_like(position, 0.01),
        position=position,
        velocity=np.zeros_like(position),
        is_valid=np.ones((2, 50), bool),
    )
    wanted = replace(FEW, data=tmp_path / "data.npz")
    assert plan_retraining(FLOW, "estimation", wanted, store).causes == ("config", "data")
    outcome = run(store, wanted)
    (tmp_path / "data.npz").unlink()
    assert (store / "data" / f"{outcome.new.manifest.data[:12]}.npz").exists()
    promote(store, FLOW.name, "estimation", outcome.new.digest, "test")
    assert plan_retraining(FLOW, "estimation", Retraining(), store).causes == ()


def violation(value, figure="rmse_m", consumer="policy.odometry"):
    return Violation(producer="estimation.odometry", consumer=consumer, figure=figure, value=value, bound=0.1)


@pytest.mark.parametrize(
    ("before", "after", "is_worse"),
    [
        (0.2, 0.3, True),
        (0.2, 0.2, False),
        (0.2, 0.15, False),
        (0.2, None, True),
        (None, None, False),
        (None, 0.2, False),
        (0.2, float("nan"), True),
    ],
)
def test_a_violation_that_was_there_before_counts_only_when_it_gets_worse(before, after, is_worse):
    assert _is_worse(violation(after), [violation(before)]) is is_worse
    assert _is_worse(violation(after), [violation(before, figure="bias_m")])
    assert _is_worse(violation(after), [violation(before, consumer="guard.odometry")])
    assert _is_worse(violation(after), [])


def comparison(verdict):
    return Comparison(
        figure="catch_rate",
        old=(1.0, 0.0),
        new=(1.0, 1.0),
        gain=0.5,
        low=-0.01,
        high=1.0,
        margin=0.03,
        verdict=verdict,
    )


@pytest.mark.parametrize("verdict", ["not worse", "worse", "undecided"])
@pytest.mark.parametrize("violations", [[], [violation(0.2)]])
def test_only_what_is_not_worse_and_breaks_no_contract_is_promoted(verdict, violations):
    is_promoted, reason = _verdict(comparison(verdict), violations, force=False)
    assert is_promoted == (verdict == "not worse" and not violations)
    assert "catch_rate " + verdict in reason
    assert _verdict(comparison(verdict), violations, force=True)[0]
