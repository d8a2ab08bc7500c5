"""All combinations of what 3 x 3 members can do: right, wrong, silent, not finite."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.redundancy.voter import (
    Member,
    Output,
    Status,
    Tolerances,
    VoterState,
    vote,
)

TOLERANCES = Tolerances(replica=np.full(3, 0.001), approach=16.3, heal_after=3)
SPREAD = 0.01**2 * np.eye(3)
TRUTH = np.array([1.0, 2.0, 3.0])
NONE = VoterState()

DOES = ("right", "wrong", "silent", "nan")
REASON = {"wrong": "differs", "silent": "silent", "nan": "not finite"}


def says(what, offset=0.0, place=0):
    """An output: the truth with its approach's own small offset, or something else, each place another."""
    if what == "silent":
        return None
    if what == "unknown":
        return Output(np.full(3, np.nan), np.eye(3), is_known=False)
    mean = TRUTH + offset + (1.0 + place if what == "wrong" else 0.0)
    return Output(np.full(3, np.nan) if what == "nan" else mean, SPREAD)


def outputs_of(table):
    return {
        name: [says(what, 0.002 * index, 3 * index + place) for place, what in enumerate(row)]
        for index, (name, row) in enumerate(table.items())
    }


def approach_of(row):
    """What an approach gives: right, wrong or nothing, and which of its replicas are outvoted."""
    right = [p for p, what in enumerate(row) if what == "right"]
    wrong = [p for p, what in enumerate(row) if what == "wrong"]
    outvoted = {
        p: what
        for p, what in enumerate(row)
        if what in ("silent", "nan") or (what == "wrong" and len(right) > 1)
    }
    if len(right) > 1 or (right and not wrong):
        return "right", outvoted
    # Two that are wrong are wrong in different ways here, so they never agree.
    return ("wrong" if len(wrong) == 1 and not right else None), outvoted


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("approaches", [1, 2, 3])
def test_every_combination_is_judged_as_it_is_said(approaches, replicas):
    rows = sorted({tuple(sorted(row)) for row in product(DOES, repeat=replicas)})
    for table in product(rows, repeat=approaches):
        named = dict(zip("abc", table, strict=False))
        verdict = vote(outputs_of(named), TOLERANCES, NONE)
        expected = {name: approach_of(row) for name, row in named.items()}
        faults = {(d.member, d.reason) for d in verdict.faults if d.is_attributed}
        assert faults == {
            (Member(name, place + 1), REASON[what])
            for name, (_, outvoted) in expected.items()
            for place, what in outvoted.items()
        }, named
        right = [name for name, (gives, _) in expected.items() if gives == "right"]
        wrong = [name for name, (gives, _) in expected.items() if gives == "wrong"]
        dissent = {d.member.approach for d in verdict.use_cases if d.is_attributed}
        if len(right) > 1:
            assert dissent == {*wrong}, named
            assert {member.approach for member in verdict.sources} == {*right}
            assert np.abs(verdict.output.mean - TRUTH).max() < 0.005
            assert verdict.status is (Status.AGREED if len(right) == approaches else Status.DISSENT)
        elif len(right) + len(wrong) == 1:
            assert verdict.status is (Status.AGREED if approaches == 1 else Status.UNCONFIRMED)
            assert not dissent
        else:
            assert verdict.output is None, named
            assert verdict.status is Status.NO_MAJORITY
            assert not dissent


@given(
    st.lists(st.lists(st.sampled_from((*DOES, "unknown")), min_size=1, max_size=3), min_size=1, max_size=3),
    st.randoms(use_true_random=False),
)
def test_who_stands_where_changes_only_names(rows, random):
    table = dict(zip("abc", rows, strict=False))
    places = {name: random.sample(range(len(row)), len(row)) for name, row in table.items()}
    outputs = outputs_of(table)
    turned = {
        name: [outputs[name][p] for p in places[name]] for name in random.sample(list(table), len(table))
    }
    before, after = vote(outputs, TOLERANCES, NONE), vote(turned, TOLERANCES, NONE)
    assert before.status is after.status
    names = {
        Member(name, new + 1): Member(name, old + 1) for name in table for new, old in enumerate(places[name])
    }
    assert {(d.member, d.reason) for d in before.faults} == {
        (names.get(d.member, d.member), d.reason) for d in after.faults
    }
    assert {d.member for d in before.use_cases} == {d.member for d in after.use_cases}
    if before.output is not None and before.output.is_known:
        assert after.output.mean == pytest.approx(before.output.mean)
        assert np.linalg.eigvalsh(after.output.covariance).min() > 0


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(
    st.lists(
        st.lists(
            st.none()
            | st.builds(
                Output,
                st.lists(NUMBERS, min_size=3, max_size=3).map(np.array),
                st.lists(NUMBERS, min_size=9, max_size=9).map(lambda x: np.array(x).reshape(3, 3)),
                st.booleans(),
            ),
            min_size=1,
            max_size=3,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_it_never_raises_and_what_it_gives_is_finite(rows):
    verdict = vote(dict(zip("abc", rows, strict=False)), TOLERANCES, NONE)
    if verdict.output is not None and verdict.output.is_known:
        assert np.isfinite(verdict.output.mean).all()
    assert (verdict.output is None) == (verdict.status is Status.NO_MAJORITY)


def test_who_is_beyond_all_numbers_is_outvoted_without_a_word_on_the_terminal():
    verdict = vote(
        {"a": [says("right")], "b": [says("right")], "c": [Output(np.full(3, 1e308), SPREAD)]},
        TOLERANCES,
        NONE,
    )
    assert [d.member for d in verdict.use_cases] == [Member("c")]
    assert np.abs(verdict.output.mean - TRUTH).max() < 0.001


@given(st.floats(-100, 100), st.integers(0, 8))
def test_one_replica_moves_nothing(error, who):
    rows = [["right"] * 3 for _ in range(3)]
    outputs = outputs_of(dict(zip("abc", rows, strict=True)))
    before = vote(outputs, TOLERANCES, NONE)
    name, place = "abc"[who // 3], who % 3
    said = outputs[name][place]
    outputs[name][place] = said._replace(mean=said.mean + error)
    after = vote(outputs, TOLERANCES, NONE)
    assert np.abs(after.output.mean - before.output.mean).max() <= 0.001
    assert [d.member for d in after.faults] == ([Member(name, place + 1)] if abs(error) > 0.001 else [])


def test_what_is_equal_to_a_third_is_equal():
    row = [Output(TRUTH + shift, SPREAD) for shift in (0.0, 0.0008, 0.0016)]
    verdict = vote({"a": row}, TOLERANCES, NONE)
    assert verdict.faults == ()
    assert verdict.sources == (Member("a", 1),)


def test_a_covariance_that_differs_is_a_difference():
    row = [Output(TRUTH, SPREAD), Output(TRUTH, SPREAD), Output(TRUTH, 100 * SPREAD)]
    assert [d.member for d in vote({"a": row}, TOLERANCES, NONE).faults] == [Member("a", 3)]


def test_unknown_is_an_answer():
    table = {"a": ["unknown"] * 3, "b": ["unknown", "unknown", "right"], "c": ["right"] * 3}
    verdict = vote(outputs_of(table), TOLERANCES, NONE)
    assert not verdict.output.is_known
    assert [d.member for d in verdict.faults] == [Member("b", 3)]
    assert [d.member for d in verdict.use_cases] == [Member("c")]


def test_two_that_disagree_are_told_and_neither_is_named_as_wrong():
    verdict = vote(outputs_of({"a": ["right"], "b": ["wrong"]}), TOLERANCES, NONE)
    assert verdict.output is None
    assert [(d.member, d.is_attributed) for d in verdict.use_cases] == [
        (Member("a"), False),
        (Member("b"), False),
    ]


def test_the_source_stays_and_who_was_wrong_has_to_prove_itself():
    first = vote(outputs_of({"a": ["wrong", "right", "right"]}), TOLERANCES, NONE)
    assert first.sources == (Member("a", 2),)
    state, sources = first.state, []
    for _ in range(5):
        verdict = vote(outputs_of({"a": ["right", "right", "right"]}), TOLERANCES, state)
        state = verdict.state
        sources.append(verdict.sources[0].replica)
    assert sources == [2] * 5
    lost = vote(outputs_of({"a": ["right", "silent", "right"]}), TOLERANCES, first.state)
    assert lost.sources == (Member("a", 3),), "the first one was wrong a moment ago"


def test_an_approach_that_dissented_is_merged_again_only_when_it_has_healed():
    good = {"a": ["right"], "b": ["right"], "c": ["right"]}
    verdict = vote(outputs_of({**good, "c": ["wrong"]}), TOLERANCES, NONE)
    merged = []
    for _ in range(5):
        verdict = vote(outputs_of(good), TOLERANCES, verdict.state)
        merged.append(len(verdict.sources))
        assert verdict.use_cases == ()
    assert merged == [2, 2, 2, 3, 3]
