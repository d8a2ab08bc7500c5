"""A flow of three replicas runs in real time, and its processes are really killed and frozen."""

import pytest

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.campaign import Injection
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.live_campaign import run_live_campaign
from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.redundancy.faults import Fault
from reflexarc.control.seeds import evaluation_seeds

pytestmark = pytest.mark.ros

SECOND = "estimation_filter_2"


@pytest.fixture
def flow(three_estimators, tmp_path):
    """Three replicas of the shipped estimator."""
    path = tmp_path / "three.yaml"
    path.write_text(three_estimators.replace("first: {", "filter: {"), encoding="utf-8")
    return load_flow(str(path))


def injection(kind, seed, target=SECOND):
    # From its very beginning on: a moment earlier nobody would miss who dies, since the twin waits for it.
    fault = Fault(kind=kind, at_s=0.0, for_s=0.4)
    told_as = "estimation: filter_2: fault" if target == SECOND else None
    return Injection(seed=seed, target=target, modules=(target,), told_as=told_as, fault=fault)


def test_each_kind_of_fault_is_told_and_over(flow, ros_domain):
    kinds = [FaultKind.KILL, FaultKind.FREEZE, FaultKind.BIAS]
    seeds = evaluation_seeds(0, len(kinds))
    told = []
    outcomes = run_live_campaign(
        flow,
        [injection(kind, seed) for kind, seed in zip(kinds, seeds, strict=True)],
        SHIPPED_STORE,
        on_outcome=told.append,
    )
    assert told == outcomes
    assert [outcome.injection.fault.kind for outcome in outcomes] == kinds
    for outcome in outcomes:
        # A busy machine may have others be late, too, so it is not asked that nobody else is accused.
        assert any(line.startswith("estimation: filter_2: fault") for line in outcome.told), outcome
        assert outcome.detected_after_s is not None
        assert {"catch_rate", "unsafe_commands"} <= set(outcome.score)
    (killed,) = [o for o in outcomes if o.injection.fault.kind is FaultKind.KILL]
    assert "estimation: filter_2: fault: silent" in killed.told


def test_a_fault_that_a_node_refuses_ends_it_with_the_reason(flow, ros_domain):
    (seed,) = evaluation_seeds(0, 1)
    with pytest.raises(ValueRefusedError, match="guard: it is what keeps the robot safe"):
        run_live_campaign(flow, [injection(FaultKind.NAN, seed, "guard")], SHIPPED_STORE)
