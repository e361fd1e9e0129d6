"""The forecast on series that are known, and what holds for every series."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from labs.forecast import Lot, carry_on, forecast, pace

TODAY = date(2026, 3, 2)
END = TODAY + timedelta(days=100)


def lot(amount: int, until: date = END, since: date = TODAY) -> Lot:
    return Lot(amount, since, until)


def test_without_use_nothing_runs_out_and_all_is_left():
    found = forecast([lot(100)], [0, 0, 0, 0], TODAY, END)

    assert found.pace.per_day == 0
    assert found.outcome.runs_out_on is None
    assert found.outcome.left == 100


def test_an_even_series_goes_on_evenly():
    found = forecast([lot(100)], [10] * 14, TODAY, END)

    assert (found.pace.low, found.pace.per_day, found.pace.high) == (10, 10, 10)
    assert found.outcome.runs_out_on == found.earliest == found.latest == TODAY + timedelta(days=10)


def test_what_lasts_to_the_end_says_how_much_is_left():
    found = forecast([lot(1500)], [10] * 14, TODAY, END)

    assert found.outcome.runs_out_on is None
    assert found.outcome.left == 500


def test_to_the_last_credit_on_the_last_day_is_not_too_little():
    assert carry_on([lot(1000)], 10, TODAY, END).runs_out_on is None
    assert carry_on([lot(999)], 10, TODAY, END).runs_out_on == END - timedelta(days=1)


def test_recent_days_count_more():
    rising, falling = pace([0] * 14 + [10] * 7), pace([10] * 14 + [0] * 7)

    assert rising.per_day > 5 > falling.per_day
    assert rising.low < rising.per_day < rising.high


def test_little_known_means_a_wide_range():
    found = pace([10])

    assert (found.low, found.per_day, found.high) == (5, 10, 20)


def test_days_long_ago_do_not_count():
    assert pace([1000] * 30 + [10] * 28).per_day == 10


def test_the_first_to_expire_is_spent_first_and_the_rest_of_it_expires():
    soon = lot(100, until=TODAY + timedelta(days=5))

    found = carry_on([lot(400), soon], 10, TODAY, END)

    assert found.expires == 50
    assert found.runs_out_on == TODAY + timedelta(days=45)


def test_credits_that_are_not_valid_yet_help_nobody_now():
    later = lot(1000, since=TODAY + timedelta(days=10))

    assert carry_on([lot(50), later], 10, TODAY, END).runs_out_on == TODAY + timedelta(days=5)


def test_an_empty_budget_has_run_out():
    assert carry_on([], 10, TODAY, END).runs_out_on == TODAY
    assert carry_on([], 0, TODAY, END).runs_out_on is None


def test_after_the_end_there_is_nothing_to_foretell():
    assert carry_on([lot(10)], 10, END, TODAY).runs_out_on is None


AMOUNTS = st.integers(min_value=0, max_value=10**15)
DAYS = st.integers(min_value=-5, max_value=120).map(lambda n: TODAY + timedelta(days=n))
LOTS = st.lists(st.tuples(AMOUNTS, DAYS, DAYS).map(lambda t: Lot(t[0], min(t[1:]), max(t[1:]))), max_size=5)
SERIES = st.lists(AMOUNTS, max_size=40)


@given(LOTS, SERIES)
def test_nothing_is_ever_negative(lots, used):
    found = forecast(lots, used, TODAY, END)

    assert 0 <= found.pace.low <= found.pace.per_day <= found.pace.high
    for outcome in (found.outcome, found.at_high, found.at_low):
        assert outcome.left >= 0
        assert outcome.expires >= 0
        assert outcome.unused <= sum(each.amount for each in lots)
        assert outcome.runs_out_on is None or TODAY <= outcome.runs_out_on < END


@given(LOTS, SERIES.filter(len), st.integers(min_value=0), AMOUNTS)
def test_who_used_more_has_less_and_for_a_shorter_time(lots, used, place, more):
    raised = list(used)
    raised[place % len(used)] += more

    before, after = forecast(lots, used, TODAY, END).outcome, forecast(lots, raised, TODAY, END).outcome

    assert after.unused <= before.unused
    assert (after.runs_out_on or END) <= (before.runs_out_on or END)


@given(LOTS, SERIES)
def test_the_range_is_around_the_figure(lots, used):
    found = forecast(lots, used, TODAY, END)

    assert (found.earliest or END) <= (found.outcome.runs_out_on or END) <= (found.latest or END)
