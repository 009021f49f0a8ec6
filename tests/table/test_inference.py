from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from vae_anomaly.errors import ParameterError, SchemaWarning, TableError
from vae_anomaly.table import inference
from vae_anomaly.table.cells import Reading, canonical_text
from vae_anomaly.table.columns import ColumnKind
from vae_anomaly.table.layout import PartKind
from vae_anomaly.table.schema import Schema


def column_of(values, name="c", **options):
    frame = values if isinstance(values, pd.DataFrame) else pd.DataFrame({name: values})
    return Schema.infer(frame.assign(other_amount=np.linspace(0, 1, len(frame)) ** 2), **options).columns[0]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", " 2.5", "-3e4", "NA"], ColumnKind.NUMERIC),
        (["0.5", "0", "-0.25"], ColumnKind.NUMERIC),
        (["00123", "04711", "99999"], ColumnKind.CATEGORICAL),
        (["1", "2", "three"], ColumnKind.CATEGORICAL),
        (["yes", "no", "YES"], ColumnKind.BOOLEAN),
        (["t", "f", ""], ColumnKind.BOOLEAN),
        (["y", "n", "x"], ColumnKind.CATEGORICAL),
        (["y", "", "y"], ColumnKind.CONSTANT),
        (["M", "F", "M"], ColumnKind.CATEGORICAL),
        (["2024-05-01", "2024-05-03", "?"], ColumnKind.DATETIME),
        (["2024-05-01T10:00:00.5Z", "2024-05-01 11:00+02:00", "null"], ColumnKind.DATETIME),
        (["2024-05-01", "2024-13-01"], ColumnKind.CATEGORICAL),
        (["same", "same ", "N/A"], ColumnKind.CONSTANT),
        (["", "NaN", "<NA>"], ColumnKind.CONSTANT),
        ([3, 1, 3], ColumnKind.BOOLEAN),
        ([3.5, 3.5, np.nan], ColumnKind.CONSTANT),
        ([True, None, False], ColumnKind.BOOLEAN),
        ([dt.date(2024, 5, 1), dt.date(2024, 5, 2)], ColumnKind.DATETIME),
        (pd.Categorical([1, 2, 3]), ColumnKind.CATEGORICAL),
    ],
)
def test_a_column_is_what_its_present_cells_read_as(cells, kind):
    assert column_of(cells).kind is kind


def test_missing_texts_are_missing_and_spaces_do_not_count():
    column = column_of(["a ", " a", "", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "<NA>", "?", "b"])
    assert (column.levels, column.counts, column.n_missing) == (("a", "b"), (2.0, 1.0), 10.0)


def test_levels_are_sorted_by_frequency_then_text_and_the_rest_is_rare():
    column = column_of(list("ddccbbbae"), max_categories=2)
    assert (column.levels, column.rare, column.rare_count) == (("b", "c"), ("d", "a", "e"), 4.0)
    assert column.unseen_probability == pytest.approx(2 / 9)  # a and e were seen once
    assert column.parts(0)[0].has_rare
    assert not column_of(list("aabb")).parts(0)[0].has_rare


def test_rare_levels_beyond_the_bound_are_forgotten_and_count_as_unseen(monkeypatch):
    monkeypatch.setattr(inference, "MAX_RARE", 1)
    column = column_of(list("aaabbccdd"), max_categories=1)
    assert (column.levels, column.rare) == (("a",), ("b",))
    assert column.unseen_probability == pytest.approx(4 / 9)


def test_unseen_probability_stays_within_its_bounds():
    assert column_of(list("aabb")).unseen_probability == pytest.approx(1 / 6)
    assert column_of(list("abcd")).unseen_probability == 0.5
    assert column_of([7, 7, 7]).unseen_probability == pytest.approx(1 / 5)
    assert column_of([1, 2, None]).unseen_probability == pytest.approx(1 / 4)
    assert column_of([None, None]).parts(0)[0].n_levels == 0


def test_identifiers_are_set_aside_with_one_warning_that_says_how_to_keep_them():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "row": np.arange(80),
            "reference": [f"r{i}" for i in range(80)],
            "cc_num": rng.permutation(80),
            "AccountNo": rng.permutation(np.repeat(np.arange(40), 2)),
            "mcc": rng.integers(0, 5, 80),
            "count": rng.integers(0, 5, 80),
            "amount": rng.normal(size=80),
        }
    )
    with pytest.warns(
        SchemaWarning, match="'row', 'reference', 'cc_num', 'AccountNo'.*kinds={'row': 'categorical'}"
    ) as w:
        schema = Schema.infer(frame, max_categories=20)
    assert len(w) == 1
    assert schema.modelled == ("mcc", "count", "amount")
    assert [column.kind for column in schema.columns[4:]] == ["categorical", "numeric", "numeric"]
    kept = Schema.infer(frame, kinds=dict.fromkeys(frame.columns[:4], "categorical"))
    assert kept.modelled == kept.names


def test_integers_of_an_array_are_never_identifiers():
    schema = Schema.infer(np.column_stack([np.arange(50), np.arange(50) % 7]))
    assert [column.kind for column in schema.columns] == ["numeric", "numeric"]


def test_integers_with_gaps_are_integers_whatever_the_library():
    values = [float(i) for i in (3, 1, 2, 3)] + [np.nan]
    assert column_of(values, "zip").kind is column_of(pd.array([3, 1, 2, 3, None], "Int64"), "zip").kind
    assert column_of(values, "zip").levels == ("3", "1", "2")


@pytest.mark.parametrize("name", ["Class", "is_fraud", "FraudFound_P", "TX_FRAUD", "isFraud", "y"])
def test_a_column_named_like_a_label_is_kept_with_a_warning(name):
    with pytest.warns(SchemaWarning, match=f"Named like labels.*'{name}'.*drop it"):
        assert column_of([0, 1, 1], name).kind is ColumnKind.BOOLEAN


def test_dates_give_the_parts_that_their_range_can_teach():
    def parts(*moments):
        return [part.kind for part in column_of(pd.to_datetime(list(moments), format="ISO8601")).parts(0)]

    angle, week = PartKind.ANGLE, PartKind.CATEGORY
    assert parts("2024-01-01", "2024-01-02") == [week]
    assert parts("2024-01-01 10:00", "2024-01-02") == [angle]
    assert parts("2024-01-01 10:00", "2024-01-09") == [angle, week]
    assert parts("2024-01-01", "2024-05-01") == [angle, week]
    assert parts("2021-01-01 10:00", "2024-05-01") == [angle, angle, angle, week]


def test_scale_is_the_deviation_unless_a_few_huge_values_blow_it_up():
    values = np.random.default_rng(0).normal(5, 2, 2000)
    plain = column_of(values)
    assert (plain.location, plain.scale) == (np.float32(values.mean()), np.float32(values.std()))
    values[0] = 1e9
    robust = column_of(values)
    assert robust.location == pytest.approx(5, abs=0.2)
    assert robust.scale == pytest.approx(2, rel=0.1)
    assert robust.maximum == 1e9


def test_numbers_near_the_limit_of_floats_have_a_finite_location_and_scale():
    column = column_of([1.7e308, -1.7e308, 1.6e308, 0.0])
    assert np.isfinite([column.location, column.scale]).all()
    assert column_of([5e-324, 1e-323, 0.0]).scale > 0


@pytest.mark.parametrize(
    ("cells", "kind", "wanted"),
    [
        (["1", "x", "3"], "numeric", "row 2: expected a number, found 'x'"),
        (["2024-01-01", "soon"], "datetime", "row 2: expected an ISO date"),
        ([1, 2, 3], "datetime", "row 1: expected an ISO date"),
        (["a", "b", "b", "c"], "boolean", "row 4: expected two values at most, found 'c'"),
    ],
)
def test_an_impossible_override_names_the_first_cell_in_the_way(cells, kind, wanted):
    with pytest.raises(TableError, match=wanted):
        column_of(cells, kinds={"c": kind})


def test_overrides_win():
    assert column_of([1, 2, 1], kinds={"c": "numeric"}).kind is ColumnKind.NUMERIC
    assert column_of([1.5, 2, 1], kinds={"c": "categorical"}).levels == ("1", "1.5", "2")
    assert column_of(["007", "08", "9"], kinds={"c": "numeric"}).maximum == 9
    assert column_of(["m", "f", "f"], kinds={"c": "boolean"}).levels == ("f", "m")
    assert column_of([1, 5, 3], kinds={"c": "identifier"}).kind is ColumnKind.IDENTIFIER
    for dates in (["1970-01-02", "1970-01-03"], pd.to_datetime(["1970-01-02", "1970-01-03"])):
        assert column_of(dates, kinds={"c": "numeric"}).minimum == 86_400


def test_override_errors_name_near_columns_and_the_kinds_there_are():
    frame = pd.DataFrame({"amount": [1.0, 2.0, 4.0]})
    with pytest.raises(ParameterError, match=r"near: 'amount'.*Got 'amonut'"):
        Schema.infer(frame, kinds={"amonut": "numeric"})
    with pytest.raises(ParameterError, match=r"'numeric' or .*Got 'number'"):
        Schema.infer(frame, kinds={"amount": "number"})
    with pytest.raises(ParameterError, match=r"'max_categories' parameter of Schema\.infer"):
        Schema.infer(frame, max_categories=0)


def test_mixed_types_are_an_error_unless_taken_as_text():
    cells = pd.Series([1, "a", 2.0, None, "b", True], dtype=object)
    with pytest.raises(TableError, match=r"2 of number \(first in row 1: 1\); 2 of text \(first in row 2: 'a'\)"):
        column_of(cells)
    assert set(column_of(cells, kinds={"c": "categorical"}).levels) == {"1", "a", "2", "b", "true"}


@pytest.mark.parametrize("cells", [[1.0, np.inf, 2.0, -np.inf], ["1", "inf", "2", "-Infinity"]])
def test_infinite_numbers_are_named_and_never_clipped(cells):
    with pytest.raises(TableError, match=r"'c' holds 2 infinite number\(s\), the first in row 2"):
        column_of(cells)


@pytest.mark.parametrize("seed", range(8))
def test_fractional_weights_leave_no_trace_of_rounding(seed):
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.1, 2, 50)
    whole = rng.permutation(50).astype(
        float
    )  # floats that are all whole count as integers only where cells are missing
    for cells in (whole, rng.choice(["x", "y", "z"], 50)):
        assert column_of(cells, sample_weight=weights).n_missing == 0
    assert column_of([1.0, None, 2.0, 3.0], sample_weight=[0.1, 0.2, 0.3, 0.4]).n_missing == pytest.approx(0.2)


def test_rows_of_weight_zero_are_not_there():
    weights = [1, 0, 1, 1]
    assert column_of([1.0, np.inf, 2.0, 3.0], sample_weight=weights).maximum == 3
    with pytest.raises(TableError, match="row 3"):
        column_of([1.0, np.inf, np.inf, 3.0], sample_weight=weights)
    for bad in ([1, 2], [0, 0, 0, 0], [1, 1, 1, -1], [1, 1, 1, np.nan]):
        with pytest.raises(ParameterError, match="sample_weight"):
            column_of([1.0, 2.0, 3.0, 4.0], sample_weight=bad)


def test_decimal_commas_tell_how_to_read_the_file():
    with pytest.raises(TableError, match=r"decimal=','"):
        column_of(["12,5", "3,25", "1.234,00", "x"])


def test_a_few_texts_among_distinct_numbers_are_an_error_and_no_identifier():
    cells = [str(i + 0.5) for i in range(100)]
    cells[41] = "n.a."
    with pytest.raises(TableError, match=r"row 42: expected a number, found 'n\.a\.'"):
        column_of(cells)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[1, 2]], "found list"),
        (pd.Series([1, 2]), "found Series"),
        (pl.LazyFrame({"a": [1]}), "collect"),
        (np.arange(3.0), r"shape \(3,\)"),
        (np.zeros((2, 2), complex), "complex128"),
        (pd.DataFrame(index=[0, 1]), "at least one column"),
        (np.empty((3, 0)), "at least one column"),
        (pd.DataFrame({"a": []}), "at least one row"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), r"several columns named \['a'\]"),
        (pa.table([[1], [2]], names=["a", "a"]), r"several columns named \['a'\]"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), r"several columns named \['1'\]"),
        (pl.DataFrame({"a": [[1], [2]]}), "'a' holds large_list"),
        (pl.DataFrame({"a": [dt.timedelta(1)]}), "'a' holds duration"),
        (pl.DataFrame({"a": [b"x"]}), "'a' holds large_binary"),
        (pa.table({"a": [{"b": 1}]}), "'a' holds struct"),
        (pd.DataFrame({"key": [5, 3, 9, 4]}), "Every column looks like an identifier"),
    ],
)
def test_what_is_no_usable_table_is_refused_with_a_reason(X, message):
    with pytest.raises(TableError, match=message):
        Schema.infer(X)


def test_one_row_can_be_inferred():
    assert {column.kind for column in Schema.infer(pd.DataFrame({"a": [1], "b": ["x"]})).columns} == {"constant"}


def test_no_warning_without_a_reason():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Schema.infer(pd.DataFrame({"amount": [1.5, 2.5, 9.0], "paid": ["a", "b", "c"]}))


@pytest.mark.parametrize(("stray", "what"), [("abc", "numbers"), ("12/31/2024", "dates")])
def test_a_few_texts_among_numbers_or_dates_are_told(stray, what):
    if what == "numbers":
        cells = [f"{number / 10}" for number in range(100)] * 2
    else:
        cells = [str(day) for day in np.arange("2024-01-01", "2024-04-10", dtype="datetime64[D]")] * 2
    with pytest.warns(SchemaWarning, match=rf"nearly all of its values are {what}: 'a', because of '{stray}'"):
        schema = Schema.infer(pd.DataFrame({"a": [*cells, stray]}))
    assert schema.columns[0].kind == "categorical"


def test_codes_with_leading_zeros_are_text_without_a_word_about_it():
    frame = pd.DataFrame({"zip": [f"{i:05d}" for i in range(300)] * 4, "x": np.arange(1200.0) % 7})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Schema.infer(frame).columns[0].kind is ColumnKind.CATEGORICAL


@pytest.mark.parametrize(
    ("reading", "cells"),
    [
        (
            Reading.NUMBER,
            ["5.0", "5", "+5", "-0", "1e999", "9007199254740993", "0.1", "9223372036854775808", "x", None],
        ),
        (Reading.MOMENT, ["2024-05-01", "2024-99-99", "2024-05-01 09:30", "soon", None]),
    ],
)
def test_what_a_text_means_does_not_depend_on_its_neighbours(reading, cells):
    together = canonical_text(pa.array(cells), reading).to_pylist()
    assert together == [canonical_text(pa.array([cell], pa.string()), reading)[0].as_py() for cell in cells]
    assert together[:2] != cells[:2]  # something was rewritten, although a neighbour cannot be


def test_equal_numbers_are_equal_texts():
    spellings = ["5", "5.0", "+5", "05", "5e0", ".5e1"]
    assert canonical_text(pa.array([*spellings, "1e999"]), Reading.NUMBER).to_pylist() == ["5"] * 6 + ["inf"]
