import pytest

pytestmark = pytest.mark.ros


@pytest.fixture
def faults(import_example):
    return import_example("driver_faults")


@pytest.mark.parametrize(
    ("speeds", "stands_after_s"),
    [
        ([1.0] * 10 + [0.5, 0.0] + [0.0] * 20, 0.11),
        ([1.0, 0.0, 0.5] + [0.0] * 20, 0.03),
        ([1.0] * 30, None),
        ([0.0] * 30, 0.0),
        ([1.0] * 20 + [0.0] * 5, None),
    ],
    ids=["a ramp", "it twitches", "it goes on", "it stood", "it stops for a moment at the end"],
)
def test_when_the_arm_was_told_to_stand(faults, speeds, stands_after_s):
    told = [(0.01 * index, speed) for index, speed in enumerate(speeds)]
    assert faults._stands_after(told) == (None if stands_after_s is None else pytest.approx(stands_after_s))


def test_every_fault_has_its_case(faults):
    assert {fault for fault, _ in faults.CASES} == set(faults.FAULTS) - {"none"}
