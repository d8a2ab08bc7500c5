import numpy as np
import pytest
from rclpy.parameter import Parameter

from reflexarc.control.nodes.injected_fault import PARAMETER, InjectedFault
from reflexarc.control.nodes.module_client import guest
from reflexarc.control.values import Float64Array

pytestmark = pytest.mark.ros

OUTPUTS = {"command": Float64Array(data=np.array([1.0, 2.0]))}


@pytest.fixture
def node(nodes):
    with guest("brake") as (node, _):
        yield node


def asked(node, value):
    (result,) = node.set_parameters([Parameter(PARAMETER, value=value)])
    return result.successful, result.reason


def test_a_fault_begins_at_its_time_after_it_was_asked_for_and_ends(node):
    injected = InjectedFault(node)
    injected.activate(is_guard=False)
    assert injected.apply(OUTPUTS, 0) is OUTPUTS
    assert asked(node, '{"kind": "flip", "at_s": 0.02, "for_s": 0.03}') == (True, "")
    signs = [
        float(injected.apply(OUTPUTS, 1_000_000_000 + tick * 10_000_000)["command"].data[0])
        for tick in range(7)
    ]
    assert signs == [1, 1, -1, -1, -1, 1, 1]


def test_it_ends_at_once_when_the_parameter_is_emptied(node):
    injected = InjectedFault(node)
    injected.activate(is_guard=False)
    asked(node, '{"kind": "flip", "for_s": 100}')
    assert injected.apply(OUTPUTS, 0)["command"].data[0] == -1.0
    assert asked(node, "") == (True, "")
    assert injected.apply(OUTPUTS, 1) is OUTPUTS


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"kind": "kill"}', "kill is done to a process: send SIGKILL, as `reflexarc inject` does."),
        ('{"kind": "freeze"}', "freeze is done to a process: send SIGSTOP, as `reflexarc inject` does."),
        ('{"kind": "burn"}', "kind: Input should be 'kill', "),
        ('{"kind": "nan", "for_s": -1}', "for_s: Input should be greater than 0."),
        ("nan", "fault: Invalid JSON"),
    ],
)
def test_what_is_no_fault_is_refused_with_a_reason(node, value, reason):
    injected = InjectedFault(node)
    injected.activate(is_guard=False)
    is_taken, said = asked(node, value)
    assert not is_taken
    assert said.startswith(f"brake: {reason}")
    assert injected.apply(OUTPUTS, 0) is OUTPUTS


def test_what_keeps_the_robot_safe_cannot_be_made_to_fail(node):
    injected = InjectedFault(node)
    assert asked(node, '{"kind": "nan"}') == (False, "brake: it is not active. Activate it first.")
    injected.activate(is_guard=True)
    is_taken, said = asked(node, '{"kind": "nan"}')
    assert (is_taken, said.startswith("brake: it is what keeps the robot safe.")) == (False, True)
