import numpy as np
import pytest
from small_flow import small_flow
from std_msgs.msg import Int64MultiArray

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.nodes.messages import to_message
from reflexarc.control.nodes.steps import (
    WITHOUT_STEP,
    Step,
    StepTeller,
    artifact_number,
    decode_steps,
    encode_step,
    mark_of,
    step_ports,
)
from reflexarc.control.values import Float64Array, JointState

pytestmark = pytest.mark.ros

IN, OUT = ("joint_states", "more"), ("command", "other")


def state(stamp_ns: int) -> JointState:
    return JointState(
        stamp_ns=stamp_ns, names=("left", "right"), position=np.array([0.1, 0.2]), velocity=np.zeros(2)
    )


def test_steps_come_back_as_they_were():
    given = mark_of(state(1)), mark_of(state(2))
    made = mark_of(Float64Array(data=np.ones(2)))
    steps = [
        Step(
            7, 0, 10, artifact_number("f" * 64), False, {"joint_states": given, "more": ()}, {"other": made}
        ),
        Step(8, 1, 20, 0, True, {"joint_states": (), "more": given[:1]}, {}),
        Step(
            9, WITHOUT_STEP, 30, 0, False, {"joint_states": (), "more": ()}, {"command": made, "other": made}
        ),
    ]
    data = [7, *(number for step in steps for number in encode_step(step, IN, OUT))]
    assert list(decode_steps(data, IN, OUT)) == steps
    assert all(-(2**63) <= number < 2**63 for number in data)


@pytest.mark.parametrize("data", [[], [0, 1], [0, 0, 5, 0, 0, 99], [0, 0, 5, 0, 0, -1, 0, 0, 0], [0] * 8])
def test_what_is_no_step_is_refused(data):
    with pytest.raises(ValueRefusedError, match="are no steps of 2 inputs and 2 outputs"):
        list(decode_steps(data, IN, OUT))


def test_a_mark_tells_values_apart():
    assert mark_of(state(1)) == mark_of(state(1))
    assert mark_of(state(1)) != mark_of(state(2))
    assert mark_of(Float64Array(data=np.zeros(2))) != mark_of(Float64Array(data=np.array([0.0, -0.0])))


def test_fallback_sources_are_one_input():
    spec = small_flow().modules["brake"]
    source = spec.inputs["joint_states"]
    with_fallback = spec.model_copy(update={"inputs": {"joint_states": source, "joint_states~1": source}})
    assert step_ports(with_fallback) == (("joint_states",), ("command",))


def test_steps_are_told_together_while_somebody_listens(nodes):
    nodes.start([])
    import rclpy

    node = nodes.add(rclpy.create_node("brake"))
    spec = small_flow().modules["brake"]
    teller = StepTeller(node, spec)
    message = to_message(Float64Array(data=np.ones(2)))

    def step(now_ns: int) -> None:
        teller.tell({"joint_states": (state(now_ns),)}, now_ns, {"command": message}, None, is_altered=False)

    step(1)  # nobody listens
    heard = []
    node.create_subscription(Int64MultiArray, "brake/steps", heard.append, 10)
    nodes.spin_until(
        lambda: node.count_publishers("brake/steps") and teller._publisher.get_subscription_count()
    )
    step(2)
    teller.forgot()
    step(3)
    teller.tell_published(4, {"command": message})
    teller.flush()

    def told() -> list[Step]:
        return [s for m in heard for s in decode_steps(m.data, *step_ports(spec))]

    nodes.spin_until(lambda: len(told()) == 3)
    assert [(s.serial, s.number, s.now_ns) for s in told()] == [(1, 1, 2), (2, 0, 3), (3, WITHOUT_STEP, 4)]
    assert told()[1].inputs == {"joint_states": (mark_of(state(3)),)}
    assert told()[1].outputs == {"command": mark_of(Float64Array(data=np.ones(2)))}
    assert len(heard) <= 2
