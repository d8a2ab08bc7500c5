from reflexarc.control.flow_file import load_flow
from reflexarc.control.training.digests import _CODE
from reflexarc.control.training.recipes import RECIPES


def test_there_is_a_recipe_and_a_digest_for_every_trainer_of_the_flows():
    for name in ("arm_catch", "arm_track"):
        modules = load_flow(name).modules.values()
        assert {spec.training.trainer for spec in modules if spec.training} == set(RECIPES)
    assert set(_CODE) == set(RECIPES)
