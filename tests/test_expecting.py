"""What is expected, in words: the usual 80 % of what the members say together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from vae_anomaly._expecting import (
    _CYCLES,
    _digits,
    _of_angle,
    _of_code,
    _of_weekday,
    expected,
    mixture_quantile,
    number_edges,
    number_text,
)
from vae_anomaly.model.explaining import Outlook
from vae_anomaly.table.cells import Reading
from vae_anomaly.table.columns import CategoricalColumn, DatetimeColumn, NumericColumn
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, UNSEEN, EncodedTable, Layout


def table(values=(), angles=(), codes=(), n_rows=1):
    blocks = ((values, np.float32), (angles, np.float32), (codes, np.int32))
    return EncodedTable(*(np.array(cells, dtype).reshape(n_rows, -1) for cells, dtype in blocks))


@given(st.integers(0, 500), st.floats(0.01, 0.99), st.floats(2, 30) | st.just(3.0))
def test_so_much_of_the_mixture_lies_below_its_quantile(seed, probability, dof):
    rng = np.random.default_rng(seed)
    location, scale = rng.normal(0, 3, (5, 3)), rng.gamma(2, 1, (5, 3)) + 0.05
    median, found = mixture_quantile(location, scale, dof, [0.5, probability])
    for quantile, wanted in ((median, 0.5), (found, probability)):
        below = stats.t.cdf(quantile[:, None], dof, location, scale).mean(axis=1)
        np.testing.assert_allclose(below, wanted, atol=1e-8)


def test_numbers_have_their_edges_whatever_is_asked_about_beside_them():
    rng = np.random.default_rng(0)
    layout = Layout(("a", "b"), number("a").parts(0) + number("b").parts(1))
    sizes = (4, 2)
    parts = [Outlook(i, np.arange(n), (rng.normal(size=(n, 3)), rng.gamma(2, 1, (n, 3)))) for i, n in enumerate(sizes)]
    together = number_edges(parts, layout, 3.0)
    for part in parts:
        np.testing.assert_array_equal(together[part.part], number_edges([part], layout, 3.0)[part.part])
        assert together[part.part].shape == (3, len(part.rows))


def of_symbols(probability, symbols):
    """What an outlook says of one code in rows that have these symbols."""
    rows = np.tile(probability, (len(symbols), 1))
    own = np.take_along_axis(rows, np.maximum(symbols, 0)[:, None], axis=1)
    top = np.argsort(-rows, axis=1)[:, :3]
    return np.take_along_axis(rows, top, axis=1), top, own, np.where(rows > own, rows, 0).sum(1, keepdims=True)


@given(st.integers(0, 500))
def test_the_usual_levels_are_the_fewest_that_have_four_in_five(seed):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.full(6, 0.5))
    symbols = np.arange(6, dtype=np.int32)
    within = _of_code("abcdef", of_symbols(probability, symbols), symbols + FIRST_LEVEL, has_rare=False).within
    assert probability[within].sum() >= 0.8 - 1e-9
    assert probability[within].sum() - probability[within].min() < 0.8
    assert not within.all()
    assert probability[within].min() >= probability[~within].max()


def test_unseen_levels_are_never_usual_and_rare_ones_have_a_name():
    codes = np.array([UNSEEN, MISSING, FIRST_LEVEL - 1, FIRST_LEVEL], dtype=np.int32)
    numbers = of_symbols([0.85, 0.149, 0.001], codes - (FIRST_LEVEL - 1))
    found = _of_code(["chip", "online"], numbers, codes, has_rare=True)
    assert found.within.tolist() == [False, False, True, False]
    assert found.text[0] == "a rare value (85 %), chip (15 %)"


@pytest.mark.parametrize(("kappa", "mean"), [(0.5, 0.1), (4.0, 6.2), (40.0, 3.0)])
def test_four_in_five_draws_lie_on_the_usual_arc(kappa, mean):
    draws = stats.vonmises.rvs(kappa, mean, size=4_000, random_state=np.random.default_rng(0))
    eta = np.full((len(draws), 2), kappa * np.exp(1j * mean))
    found = _of_angle(_CYCLES[0], (eta.real, eta.imag), draws)
    np.testing.assert_allclose(found.within.mean(), 0.8, atol=0.02)


def test_the_hours_around_midnight_are_one_arc():
    eta = np.array([[30.0 * np.exp(0.0j)]])
    found = _of_angle(_CYCLES[0], (eta.real, eta.imag), np.array([2 * np.pi - 0.05]))
    assert found.within.all()
    assert found.text == ["23:06 to 00:53"]


@pytest.mark.parametrize("hour", np.linspace(0, 6, 7))
def test_no_hour_is_expected_and_none_is_unusual_where_all_are_alike(hour):
    nothing = np.full((1, 3), 1e-6)
    found = _of_angle(_CYCLES[0], (nothing, nothing), np.array([hour]))
    assert found.text == ["any time of the day"]
    assert found.within.all()


def of_weekday(weight):
    """What is expected of a Sunday, which is less likely than any other day by this factor."""
    probability = np.array([*np.linspace(1.001, 1.0, 6), weight])
    codes = np.array([6 + FIRST_LEVEL], dtype=np.int32)
    return _of_weekday(of_symbols(probability / probability.sum(), codes - FIRST_LEVEL), codes)


def test_no_weekday_is_unusual_where_all_are_alike():
    assert (of_weekday(0.9).text, of_weekday(0.9).usual) == (["any day of the week"], ["any day of the week"])
    assert of_weekday(0.9).within.all()


def test_a_weekday_is_unusual_where_few_others_are_likely():
    weekdays = np.array([[0.5, 0.3, 0.1, 0.05, 0.03, 0.015, 0.005]])
    codes = np.array([6 + FIRST_LEVEL], dtype=np.int32)
    found = _of_weekday(of_symbols(weekdays[0], codes - FIRST_LEVEL), codes)
    assert not found.within.any()
    assert found.usual == ["Monday (50 %), Tuesday (30 %)"]


@given(st.integers(0, 500))
def test_a_level_that_is_named_as_usual_is_no_unusual_one(seed):
    rng = np.random.default_rng(seed)
    codes = np.arange(6, dtype=np.int32) + FIRST_LEVEL
    numbers = of_symbols(rng.dirichlet(np.full(6, 0.5)), codes - FIRST_LEVEL)
    found = _of_code("abcdef", numbers, codes, has_rare=False)
    for level, within, usual in zip("abcdef", found.within, found.usual, strict=True):
        assert within == (f"{level} (" in usual or usual.endswith(" and others"))


def test_a_long_level_is_told_by_its_beginning_and_a_comma_in_one_parts_nothing():
    codes = np.array([FIRST_LEVEL], dtype=np.int32)
    levels = ["x, median y", "z" * 100_000]
    found = _of_code(levels, of_symbols(np.array([0.6, 0.4]), codes - FIRST_LEVEL), codes, has_rare=False)
    assert found.usual[0].startswith("x, median y (60 %), zzz")
    assert len(found.text[0]) < 200


@given(st.floats(-1e12, 1e12), st.floats(1e-6, 1e6))
def test_the_ends_of_a_range_are_told_apart_and_to_a_tenth_of_it(middle, width):
    low, high = np.array([middle - width / 2]), np.array([middle + width / 2])
    assume(high - low > 1e-7 * max(1e-7, abs(middle)))
    told = [float(number_text(number[0], int(_digits(low, high)[0]))) for number in (low, high)]
    np.testing.assert_allclose(told, [low[0], high[0]], atol=0.1 * float(high[0] - low[0]) + 0.5 * (abs(middle) >= 1e9))


def number(name="amount", **options):
    described = {"location": 50.0, "scale": 20.0, "minimum": 0.0, "maximum": 900.0, "integer": False}
    return NumericColumn(name, "float64", 0.0, Reading.NUMBER, **{**described, **options})


def of_number(column, z, location=0.0, scale=1.0):
    outlook = Outlook(0, np.arange(1), (np.full((1, 3), location), np.full((1, 3), scale)))
    layout = Layout(("amount",), column.parts(0))
    return expected(column, [outlook], table(values=[z]), layout, number_edges([outlook], layout, 3.0))


def test_a_number_lies_above_below_or_within():
    sides = [int(of_number(number(), z).side[0]) for z in (-3.0, 0.0, 3.0)]
    assert sides == [-1, 0, 1]
    assert of_number(number(), 0.0).text == ["17.2 to 82.8, median 50"]
    assert of_number(number(integer=True), 0.0).text == ["17 to 83, median 50"]


def test_nothing_is_expected_that_training_never_had():
    assert of_number(number(), 0.0, scale=8.0).text == ["0 to 312, median 50"]
    assert of_number(number(), 0.0, location=-9.0).text == ["0 to 0, median 0"]


def test_a_moment_is_expected_as_a_date():
    column = NumericColumn("when", "timestamp[us]", 0.0, Reading.MOMENT, 1.7e9, 86_400.0, 1.6e9, 1.8e9, True)
    assert of_number(column, 0.0).text[0].startswith("2023-11-13 06:54 to 2023-11-16 13:31")


def test_levels_and_dates_are_told_in_the_words_of_the_table():
    channel = CategoricalColumn("channel", "string", 0.0, Reading.TEXT, ("chip", "online"), (9.0, 1.0), 0.01)
    outlook = Outlook(0, np.arange(1), of_symbols([0.9, 0.1], np.array([0])))
    layout = Layout(("channel",), channel.parts(0))
    assert expected(channel, [outlook], table(codes=[FIRST_LEVEL]), layout, {}).text == ["chip (90 %), online (10 %)"]
    when = DatetimeColumn("when", "date32", 0.0, "2024-01-01", "2024-09-01", False, True, True, True, False, 0.01)
    of_week = of_symbols([0.0, 0.0, 0.97, 0.0, 0.0, 0.0, 0.03], np.array([2]))
    of_month = (np.full((1, 3), 30 * np.cos(1.0)), np.full((1, 3), 30 * np.sin(1.0)))
    parts = [Outlook(0, np.arange(1), of_month), Outlook(1, np.arange(1), of_week)]
    layout = Layout(("when",), when.parts(0))
    found = expected(when, parts, table(angles=[1.0], codes=[FIRST_LEVEL + 2]), layout, {})
    assert found.text == ["day 4 to day 7; Wednesday (97 %), Sunday (3 %)"]
    assert found.within.all()
    assert found.usual == ["day 4 to day 7; Wednesday (97 %)"]
    late = expected(when, parts, table(angles=[4.0], codes=[FIRST_LEVEL + 2]), layout, {})
    assert not late.within.any()
    assert late.usual == ["day 4 to day 7"]  # the weekday is as expected, and nothing to tell of
