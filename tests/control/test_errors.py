from reflexarc.control.errors import did_you_mean


def test_nearest_name_is_suggested():
    assert did_you_mean("percepton", ["perception", "policy"]) == "Did you mean 'perception'?"


def test_all_names_are_listed_where_none_is_near():
    assert did_you_mean("x", ["policy", "guard"]) == "Known: guard, policy."


def test_an_empty_choice_is_said():
    assert did_you_mean("x", []) == "Known: none."
