import pytest
from pydantic import ValidationError

from reflexarc.control.redundancy.members import Redundancy, member_name, write_out

JOB = {
    "kind": "estimation",
    "trigger": ["joint_states"],
    "inputs": {"detection": "perception.detection", "joint_states": "plant.joint_states"},
    "outputs": {"odometry": {"type": "nav_msgs/Odometry", "topic": "ball/odometry", "rate_hz": 100}},
    "parameters": {"a": 1, "b": 2},
}


def redundancy(**approaches):
    return Redundancy(approaches=approaches, patience_s=0.004, deadline_s=0.03, parameters={"hold_s": 0.1})


@pytest.fixture
def modules():
    learned = {
        "replicas": 3,
        "training": {"trainer": "sequence", "needs": ["perception"]},
        "parameters": {"b": 3},
    }
    classical = {"replicas": 2, "kind": "mine:Classical", "inputs": {"detection": "second.detection"}}
    return write_out("estimation", JOB, redundancy(learned=learned, classical=classical))


def test_members_and_a_voter_stand_in_the_place_of_the_job(modules):
    members = ["estimation_learned", "estimation_learned_2", "estimation_learned_3"]
    assert [*modules] == [*members, "estimation_classical", "estimation_classical_2", "estimation"]
    assert modules["estimation"] == {
        "kind": "voter",
        "trigger": ["learned_1", "learned_2", "learned_3", "classical_1", "classical_2"],
        "patience_s": 0.004,
        "deadline_s": 0.03,
        "inputs": {
            "learned_1": "estimation_learned.odometry",
            "learned_2": "estimation_learned_2.odometry",
            "learned_3": "estimation_learned_3.odometry",
            "classical_1": "estimation_classical.odometry",
            "classical_2": "estimation_classical_2.odometry",
        },
        "outputs": JOB["outputs"],
        "parameters": {"hold_s": 0.1, "approaches": {"learned": 3, "classical": 2}},
    }


def test_replicas_run_one_artifact_that_is_trained_once(modules):
    names = ("estimation_learned", "estimation_learned_2", "estimation_learned_3")
    assert [("training" in modules[name]) for name in names] == [True, False, False]
    assert [modules[name].get("artifact", name) for name in names] == ["estimation_learned"] * 3
    assert "artifact" not in modules["estimation_classical_2"]


def test_each_member_has_a_topic_of_its_own(modules):
    topics = [module["outputs"]["odometry"]["topic"] for module in modules.values()]
    assert topics[:2] == ["ball/odometry/learned", "ball/odometry/learned_2"]
    assert topics[-1] == "ball/odometry"
    assert len({*topics}) == len(topics)


def test_an_approach_may_differ_in_kind_inputs_and_parameters(modules):
    classical = modules["estimation_classical_2"]
    assert classical["kind"] == "mine:Classical"
    assert classical["inputs"] == {"detection": "second.detection", "joint_states": "plant.joint_states"}
    assert modules["estimation_learned"]["parameters"] == {"a": 1, "b": 3}
    assert modules["estimation_learned"]["inputs"] == JOB["inputs"]


@pytest.mark.parametrize(
    "approaches", [{}, {"a": {"replicas": 0}}, {"a": {"replicas": 4}}, {n: {} for n in "abcd"}]
)
def test_one_to_three_approaches_of_one_to_three_replicas(approaches):
    with pytest.raises(ValidationError):
        redundancy(**approaches)


def test_the_first_replica_has_the_name_of_its_approach():
    assert [member_name("job", "fast", r) for r in (1, 2)] == ["job_fast", "job_fast_2"]
