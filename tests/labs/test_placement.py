"""Where a lab is to run, against a model that tries everything: the pure part of placement."""

from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from labs.placement import USEFUL, Candidate, in_order, ranked, refusing

C = 1_000_000
REASONS = ("CENTER_MAINTENANCE", "CENTER_UNREACHABLE", "BUDGET_EXHAUSTED", "TERMS_NOT_ACCEPTED", "SOMETHING_NEW")

candidates = st.lists(
    st.builds(
        Candidate,
        center=st.sampled_from(["east", "north", "south", "west"]),
        flavor=st.sampled_from(["a", "b"]),
        price_micro=st.integers(0, 4).map(lambda n: n * C // 2) | st.integers(0, 50 * C),
        wait_seconds=st.sampled_from([0, 1, 599, 600, 601, 1800]) | st.integers(0, 20_000),
        is_home=st.booleans(),
        reason=st.none() | st.sampled_from(REASONS),
    ),
    max_size=6,
    unique_by=lambda one: (one.center, one.flavor),
)


def burden(one, possible):
    """In seconds of waiting, exactly."""
    cheapest = min(other.price_micro for other in possible)
    dearer = Fraction(one.price_micro - cheapest, max(cheapest, C)) * 1800
    return one.wait_seconds + dearer - (600 if one.is_home else 0)


def is_better(one, other, possible):
    mine, its = burden(one, possible), burden(other, possible)
    if mine != its:
        return mine < its
    return (one.wait_seconds, one.price_micro, one.center, one.flavor) < (
        other.wait_seconds,
        other.price_micro,
        other.center,
        other.flavor,
    )


@given(candidates)
def test_the_first_is_better_than_each_other_that_is_possible(all_of_them):
    possible = [one for one in all_of_them if one.reason is None]

    order = ranked(all_of_them)

    assert sorted(order, key=repr) == sorted(possible, key=repr)
    for place, one in enumerate(order):
        assert all(is_better(one, worse, possible) for worse in order[place + 1 :])


@given(candidates, st.randoms())
def test_the_order_in_which_they_are_given_changes_nothing(all_of_them, random):
    shuffled = list(all_of_them)
    random.shuffle(shuffled)

    assert in_order(shuffled) == in_order(all_of_them)


@given(candidates)
def test_those_that_refuse_come_last_and_the_most_useful_refusal_first_of_them(all_of_them):
    order = in_order(all_of_them)

    assert sorted(order, key=repr) == sorted(all_of_them, key=repr)
    reasons = [one.reason for one in order]
    assert reasons == [None] * reasons.count(None) + [reason for reason in reasons if reason is not None]
    ranks = [USEFUL.index(r) if r in USEFUL else len(USEFUL) for r in reasons if r is not None]
    assert ranks == sorted(ranks)
    assert refusing(all_of_them) == order[reasons.count(None) :]


@given(candidates, st.integers(1, 10_000))
def test_waiting_longer_never_moves_a_center_forward(all_of_them, seconds):
    for one in ranked(all_of_them):
        worse = [replace(c, wait_seconds=c.wait_seconds + seconds) if c is one else c for c in all_of_them]

        names = [(c.center, c.flavor) for c in ranked(worse)]
        assert names.index((one.center, one.flavor)) >= ranked(all_of_them).index(one)


def one(center, **values):
    return Candidate(**{"center": center, "flavor": "small", "price_micro": C, "wait_seconds": 0} | values)


def first(*several):
    return ranked(several)[0].center


def test_ties_go_to_the_home_then_by_name():
    assert first(one("b"), one("a")) == "a"
    assert first(one("b", is_home=True), one("a")) == "b"


def test_the_home_is_worth_ten_minutes_and_no_more():
    assert first(one("b", is_home=True, wait_seconds=600), one("a", wait_seconds=1)) == "b"
    assert first(one("b", is_home=True, wait_seconds=602), one("a", wait_seconds=1)) == "a"


def test_double_the_price_is_worth_half_an_hour():
    assert first(one("cheap", wait_seconds=1799), one("dear", price_micro=2 * C)) == "cheap"
    assert first(one("cheap", wait_seconds=1801), one("dear", price_micro=2 * C)) == "dear"


def test_what_is_free_is_preferred_and_what_costs_little_is_not_waited_for():
    assert first(one("free", price_micro=0), one("paid", price_micro=C)) == "free"
    assert first(one("free", price_micro=0, wait_seconds=60), one("paid", price_micro=C // 100)) == "paid"
