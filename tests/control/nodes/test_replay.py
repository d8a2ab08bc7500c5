import numpy as np
import pytest
from replayed import EPISODE, STEPS, Recording

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.bag_reader import open_bag
from reflexarc.control.nodes.replay import first_difference, replay
from reflexarc.control.nodes.steps import artifact_number, mark_of
from reflexarc.control.values import Float64Array, JointState

pytestmark = pytest.mark.ros

UNKNOWN = "what the module remembered when the recording began is not known"
AFTER_GAP = "it follows a step that could not be replayed"


@pytest.fixture
def recording():
    return Recording()


@pytest.fixture
def result_of(tmp_path):
    def run(recording):
        return replay(open_bag(recording.write(tmp_path / "bag")), recording.flow, "brake", None)

    return run


def test_all_steps_from_the_first_beginning_on_are_equal(recording, result_of):
    result = result_of(recording)
    assert (result.steps, result.judged, result.equal) == (STEPS, STEPS - 70, STEPS - 70)
    assert result.not_judged == {UNKNOWN: 70}
    assert result.equal_anyway == 0  # the brake counts its steps, and nobody can know from where
    assert (result.first, result.foreign) == ("", 0)
    assert result.is_good
    assert result.differences == {"command.data": (0.0, 0.0)}


def test_a_module_that_gives_something_else_is_found(recording, result_of):
    other = Float64Array(data=recording.outputs[200].data * 1.000001)
    recording.recorded[200] = other
    recording.change(200, outputs={"command": mark_of(other)})
    result = result_of(recording)
    assert (result.judged - result.equal, result.foreign) == (1, 0)
    made, recorded = recording.outputs[200].data[0], other.data[0]
    assert result.first == f"at 2.000 s, command.data[0] is {made}, recorded is {recorded}"
    assert not result.is_good


def test_an_altered_message_is_found(recording, result_of):
    recording.recorded[200] = Float64Array(data=np.nextafter(recording.outputs[200].data, 9.0))
    result = result_of(recording)
    assert (result.judged - result.equal, result.foreign) == (0, 1)
    assert result.first.startswith("a message on command that brake did not publish")
    assert not result.is_good


def test_a_lost_output_is_judged_by_its_mark(recording, result_of):
    recording.recorded[200] = None
    assert result_of(recording).is_good


def test_after_a_lost_input_nothing_is_known_until_the_module_forgets(recording, result_of):
    recording.inputs[150] = None  # step 80 of an episode of 100
    result = result_of(recording)
    assert result.not_judged == {UNKNOWN: 70, AFTER_GAP: 19, "its joint_states was not recorded": 1}
    assert result.equal == result.judged == STEPS - 90
    assert result.is_good


def test_steps_that_nobody_told_are_noticed(recording, result_of):
    del recording.steps[150:160]
    result = result_of(recording)
    assert result.not_judged == {UNKNOWN: 70, AFTER_GAP: 10}
    assert (result.steps, result.equal, result.foreign) == (STEPS - 10, STEPS - 90, 0)
    assert result.is_good


def test_what_follows_a_swap_is_not_judged(recording, result_of):
    for index in range(150, STEPS):
        recording.change(index, artifact=artifact_number("ab" * 32))
    result = result_of(recording)
    swapped = "it follows a swap, and what the newcomer remembered is not known"
    assert result.not_judged == {UNKNOWN: 70, swapped: 20}
    assert result.is_same is False


def test_an_injected_fault_is_not_the_modules(recording, result_of):
    recording.recorded[200] = Float64Array(data=np.full(2, np.nan))
    recording.change(200, outputs={"command": mark_of(recording.recorded[200])}, is_altered=True)
    result = result_of(recording)
    assert result.not_judged["an injected fault altered its outputs"] == 1
    assert result.is_good


def test_a_recording_without_a_beginning_judges_nothing_and_is_not_good(tmp_path):
    recording = Recording()
    recording.steps = recording.steps[: EPISODE - 30]
    result = replay(open_bag(recording.write(tmp_path / "bag")), recording.flow, "brake", None)
    assert (result.judged, result.is_good) == (0, False)


def test_a_bag_without_the_modules_topics_is_one_line(recording, tmp_path):
    folder = recording.write(tmp_path / "bag")
    brake = recording.flow.modules["brake"]
    renamed = brake.model_copy(
        update={
            "outputs": {"command": brake.outputs["command"].model_copy(update={"topic": "other/command"})}
        }
    )
    flow = recording.flow.model_copy(update={"modules": {"brake": renamed}})
    with pytest.raises(
        ReflexarcError, match=r"no topic other/command, which brake has in flow small\. Record"
    ):
        replay(open_bag(folder), flow, "brake", None)


def test_steps_of_another_flow_are_one_line(recording, tmp_path):
    folder = recording.write(tmp_path / "bag")
    brake = recording.flow.modules["brake"]
    more = brake.model_copy(update={"outputs": {**brake.outputs, "more": brake.outputs["command"]}})
    flow = recording.flow.model_copy(update={"modules": {"brake": more}})
    with pytest.raises(ReflexarcError, match="steps of brake are of another flow"):
        replay(open_bag(folder), flow, "brake", None)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"position": np.array([1.0, np.nan])}, ""),
        ({"names": ("a", "c")}, "names is ('a', 'c'), recorded is ('a', 'b')"),
        ({"position": np.array([1.0, 2.0])}, "position[1] is 2.0, recorded is nan"),
        ({"velocity": np.array([-0.0, 0.0])}, "velocity[0] is -0.0, recorded is 0.0"),
        ({"effort": np.ones(1)}, "effort has shape (1,), recorded is (0,)"),
    ],
)
def test_the_first_field_that_differs_is_named(changes, told):
    same = {
        "stamp_ns": 1,
        "names": ("a", "b"),
        "position": np.array([1.0, np.nan]),
        "velocity": np.zeros(2),
    }
    assert first_difference(JointState(**same), JointState(**{**same, **changes})) == told
