from pathlib import Path

import pytest

from reflexarc.control.artifacts.agreement import flow_violations
from reflexarc.control.artifacts.artifact import Manifest
from reflexarc.control.contracts import Assumption
from reflexarc.control.flow_file import load_flow

FLOW = load_flow("arm_catch")


def manifest(module, **contract):
    return Manifest(
        module=module,
        kind=module,
        flow=FLOW.name,
        trainer="supervised",
        ports={},
        constants={},
        code_digest="",
        environment_digest="",
        config_digest="",
        upstream={},
        seed=0,
        libraries={},
        **contract,
    )


@pytest.fixture
def manifests():
    """Contracts that are kept on both edges of the flow."""
    return {
        "perception": manifest("perception", guarantees={"detection": {"bias_m": 0.01}}),
        "estimation": manifest(
            "estimation",
            guarantees={"odometry": {"lag_s": 0.01}},
            assumes={"detection": Assumption(bounds={"bias_m": 0.02})},
        ),
        "policy": manifest("policy", assumes={"odometry": Assumption(bounds={"lag_s": 0.02})}),
    }


def test_contracts_that_are_kept_are_no_violation(manifests):
    assert flow_violations(FLOW, manifests) == []


def test_the_edge_that_is_broken_is_named(manifests):
    worse = manifest("perception", guarantees={"detection": {"bias_m": 0.03}})
    (found,) = flow_violations(FLOW, {**manifests, "perception": worse})
    assert (found.producer, found.consumer) == ("perception.detection", "estimation.detection")
    assert (found.figure, found.value, found.bound) == ("bias_m", 0.03, 0.02)


def test_who_guarantees_nothing_covers_nobody(manifests):
    found = flow_violations(FLOW, {**manifests, "estimation": manifest("estimation")})
    assert [(v.producer, v.value) for v in found] == [("estimation.odometry", None)]


def test_inputs_that_no_trained_module_makes_are_left_out(manifests):
    color = manifest("perception", assumes={"color": Assumption(bounds={"bias_m": 0.0})})
    assert flow_violations(FLOW, {"perception": color}) == []
    del manifests["perception"]
    assert flow_violations(FLOW, manifests) == []


def test_an_assumption_of_an_input_that_the_module_does_not_have_is_left_out(manifests):
    # As of an artifact of another kind under this name, which the run time refuses.
    strange = manifest("policy", assumes={"detection": Assumption(bounds={"bias_m": 0.0})})
    assert flow_violations(FLOW, {**manifests, "policy": strange}) == []


def test_behind_a_voter_each_approach_has_to_keep_the_contract():
    flow = load_flow(str(Path(__file__).parents[1] / "redundancy" / "nine_estimators.yaml"))
    manifests = {
        "policy": manifest("policy", assumes={"odometry": Assumption(bounds={"lag_s": 0.02})}),
        **{
            name: manifest("estimation", guarantees={"odometry": {"lag_s": lag_s}})
            for name, lag_s in {"estimation_first": 0.01, "estimation_second": 0.03}.items()
        },
    }
    (found,) = flow_violations(flow, manifests)
    assert (found.producer, found.consumer) == ("estimation_second.odometry", "policy.odometry")
