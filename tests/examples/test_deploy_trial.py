import pytest

pytestmark = pytest.mark.ros


@pytest.fixture
def trial(import_example):
    return import_example("deploy_trial")


def throw(caught, **more):
    score = {"catch_rate": float(caught), "miss_distance_m": 0.1, "unsafe_commands": 0.0}
    return {"seed": 1, "ticks": 90, "score": score, "passed_s": 1.0, **more}


def test_figures_of_a_robot_and_of_a_twin(trial):
    robot = [throw(True, late_commands=2, unsafe_while_held=1), throw(False, late_commands=0)]
    found = trial.figures(robot)
    assert (found["count"], found["caught"], found["catch_rate"]) == (2, 1, 0.5)
    assert (found["unsafe_commands"], found["unsafe_while_held"], found["late_commands"]) == (0, 1, 2)
    assert found["simulated_share"] == pytest.approx(0.9)
    assert trial.line("plain", found) == (
        "plain: caught 1 of 2 (50.0 %), 0 unsafe commands and 1 more between throws, 2 commands late, "
        "0.900 of the time simulated"
    )
    assert trial.line("twin", trial.figures([throw(True)])) == (
        "twin: caught 1 of 1 (100.0 %), 0 unsafe commands, 0.900 of the time simulated"
    )
