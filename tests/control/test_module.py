import pytest

from reflexarc.control.module import Module
from reflexarc.control.modules import MODULE_KINDS, module_class
from reflexarc.control.redundancy.members import VOTER


@pytest.mark.parametrize("kind", MODULE_KINDS)
def test_every_kind_says_what_it_reads_and_makes(kind):
    found = module_class(kind)
    assert issubclass(found, Module)
    assert found.input_needs or kind == VOTER, "a voter's inputs are its members, see modules/test_voter.py"
    assert found.output_needs


class Quiet(Module):
    input_needs, output_needs, needs_artifact = {}, {}, False

    def __init__(self, parameters, outputs, artifact):
        pass

    def reset(self):
        pass

    def step(self, inputs, now_ns):
        return {}


def test_what_a_module_refuses_is_counted_per_module():
    one, other = Quiet({}, {}, None), Quiet({}, {}, None)
    one.rejections["command: too late"] += 1
    assert one.rejections == {"command: too late": 1}
    assert not other.rejections
