"""Campaigns on nine estimators and a voter, and on the plain flow beside them."""

from pathlib import Path

import pytest

from reflexarc.control.artifacts.store import resolve_artifacts
from reflexarc.control.campaign import plan_injections, run_campaign
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.modules import make_module
from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.seeds import evaluation_seeds
from reflexarc.envs.twin import make_plant

FLOW = load_flow(str(Path(__file__).parent / "redundancy" / "nine_estimators.yaml"))
PLAIN = load_flow("arm_catch")


def outcomes_of(flow, injections):
    artifacts = resolve_artifacts(flow)
    return run_campaign(
        flow,
        {name: make_module(spec, artifacts.get(name)) for name, spec in flow.modules.items()},
        make_plant(flow.plant.env, flow.plant.outputs),
        injections,
    )


def test_every_kind_hits_every_sort_of_target_and_a_seed_decides_all():
    injections = plan_injections(FLOW, evaluation_seeds(0, 200), 0)
    assert injections == plan_injections(FLOW, evaluation_seeds(0, 200), 0)
    assert injections != plan_injections(FLOW, evaluation_seeds(0, 200), 1)
    assert {injection.fault.kind for injection in injections} == {*FaultKind}
    replicas = {i.target for i in injections if len(i.modules) == 1}
    approaches = {i.target for i in injections if len(i.modules) == 3}
    assert len(replicas) == 9
    assert approaches == {f"estimation.{name}" for name in ("first", "second", "third")}


def test_a_plain_flow_is_hit_anywhere_but_in_its_guard():
    injections = plan_injections(PLAIN, evaluation_seeds(0, 60), 0)
    assert {injection.target for injection in injections} == {"perception", "estimation", "policy"}
    assert {injection.told_as for injection in injections} == {None}


@pytest.mark.parametrize(
    ("module", "complaint"),
    [("gard", "no module 'gard' to hit"), ("guard", "guard: is what keeps the robot safe")],
)
def test_what_cannot_be_hit_is_said(module, complaint):
    with pytest.raises(ValueRefusedError, match=complaint):
        plan_injections(PLAIN, evaluation_seeds(0, 1), 0, [module])


def test_a_replica_that_goes_wrong_is_named_and_nobody_notices():
    injections = plan_injections(FLOW, evaluation_seeds(0, 10), 0, ["estimation_second_2"])
    assert {injection.modules for injection in injections} == {("estimation_second_2",)}
    outcomes = outcomes_of(FLOW, injections)
    assert {outcome.injection.fault.kind for outcome in outcomes} == {*FaultKind}
    assert all(outcome.is_masked for outcome in outcomes)
    assert [o.injection.fault.kind for o in outcomes if not o.is_named] == []
    assert all(outcome.detected_after_s < 0.3 for outcome in outcomes)


def test_without_a_second_one_a_fault_is_not_masked():
    injections = plan_injections(PLAIN, evaluation_seeds(0, 4), 0, ["estimation"])
    outcomes = outcomes_of(PLAIN, injections)
    assert not all(outcome.is_masked for outcome in outcomes)
    assert all(outcome.is_named is None for outcome in outcomes)
    assert all(outcome.recovered_after_s is None for outcome in outcomes)
    assert sum(outcome.score["unsafe_commands"] for outcome in outcomes) == 0


def test_of_one_replica_nobody_can_tell_a_fault_from_a_use_case():
    flow = load_flow("arm_catch_3x3")
    seeds = evaluation_seeds(0, 300)
    targets = {(i.target, i.told_as) for i in plan_injections(flow, seeds, 0)}
    assert ("perception_depth", "perception: depth: use case") in targets
    assert ("estimation_kalman_2", "estimation: kalman_2: fault") in targets
    assert ("estimation.kalman", "estimation: kalman: use case") in targets
    assert len(targets) == 3 + 9 + 3
