from __future__ import annotations

import decimal
import io

import numpy as np
import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pytest

from vae_anomaly.errors import SchemaMismatchError, TableError
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.layout import MISSING, RARE, UNSEEN
from vae_anomaly.table.schema import Schema


def make_frame(n_rows=200, seed=0):
    rng = np.random.default_rng(seed)
    moments = pd.to_datetime("2021-01-01") + pd.to_timedelta(rng.integers(0, 10**8, n_rows), unit="s")
    return pd.DataFrame(
        {
            "row": np.arange(n_rows),
            "amount": np.round(rng.lognormal(3, 1, n_rows), 2),
            "items": pd.array(rng.integers(0, 9, n_rows), "Int64"),
            "shop": rng.choice(["a", "b", "c d", "é"], n_rows),
            "online": rng.choice([True, False], n_rows),
            "zip": rng.integers(100, 130, n_rows),
            "when": moments,
        }
    ).mask(rng.random((n_rows, 7)) < [0, 0.1, 0.1, 0.1, 0, 0, 0.1])


@pytest.fixture(scope="module")
def frame():
    return make_frame().astype({"online": "bool", "zip": "int64", "row": "int64"})


@pytest.fixture(scope="module")
def encoder(frame):
    return TableEncoder(Schema.infer(frame, kinds={"row": "identifier"}))


def same(left, right):
    return all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip((left.values, left.angles, left.codes), (right.values, right.angles, right.codes), strict=True)
    )


def as_csv_text(frame, **options):
    return pd.read_csv(io.StringIO(frame.to_csv(index=False, **options)), dtype=str, keep_default_na=False)


@pytest.mark.parametrize(
    "convert", [pl.from_pandas, pa.Table.from_pandas, as_csv_text, lambda f: pl.from_pandas(as_csv_text(f))]
)
def test_a_table_is_the_same_in_every_library_and_as_text(frame, encoder, convert):
    other = convert(frame)
    schema = Schema.infer(other, kinds={"row": "identifier"})
    assert schema.layout() == encoder.schema.layout()
    assert same(TableEncoder(schema).encode(other), encoder.encode(frame))
    assert same(encoder.encode(other), encoder.encode(frame))


@pytest.mark.parametrize("convert", [lambda f: f, pl.from_pandas, pa.Table.from_pandas])
def test_decoding_inverts_encoding_in_the_library_and_types_of_the_table(frame, encoder, convert):
    X = convert(frame)
    back = encoder.decode(encoder.encode(X), X)
    assert type(back) is type(X)
    if isinstance(X, pd.DataFrame):
        pd.testing.assert_frame_equal(back, X, rtol=1e-5, atol=1e-5)
    elif isinstance(X, pl.DataFrame):
        pl.testing.assert_frame_equal(back, X, rel_tol=1e-5, abs_tol=1e-5)
    else:
        assert back.schema.equals(X.schema)
        pd.testing.assert_frame_equal(
            pl.from_arrow(back).to_pandas(), pl.from_arrow(X).to_pandas(), rtol=1e-5, atol=1e-5
        )


def test_decoding_keeps_the_index_and_the_spelling_of_text():
    frame = pd.DataFrame(
        {"n": ["1", "2.5", "7"], "b": ["No", "Yes", "NA"], "d": ["2024-01-01", "", "2024-02-01"]}, index=[7, 5, 3]
    )
    encoder = TableEncoder(Schema.infer(frame))
    back = encoder.decode(encoder.encode(frame), frame)
    assert list(back.index) == [7, 5, 3]
    assert back.to_dict("list")["n"] == ["1", "2.5", "7"]
    assert back["b"].isna().tolist() == [False, False, True]
    assert back["b"].tolist()[:2] == ["No", "Yes"]
    assert (back["d"][7], back["d"][3]) == ("2024-01-01", "2024-02-01")
    assert back["d"].isna()[5]


def test_missing_unseen_and_rare_are_three_codes():
    fit = pd.DataFrame({"shop": list("aabbc"), "flag": [0, 1, 0, 1, 1], "same": ["x"] * 5, "none": [None] * 5})
    encoder = TableEncoder(Schema.infer(fit, max_categories=2))
    codes = encoder.encode(
        pd.DataFrame({"shop": ["a", "b", "c", "z", None], "flag": [0, 1, 2, None, 1]}).assign(
            same=["x", "y", "", " x", "x"], none=[None, "v", None, None, None]
        )
    ).codes
    assert codes.T.tolist() == [
        [3, 4, UNSEEN, MISSING, 4],
        [3, 4, RARE, UNSEEN, MISSING],
        [3, UNSEEN, MISSING, 3, 3],
        [MISSING, UNSEEN, MISSING, MISSING, MISSING],
    ]
    assert encoder.decode(encoder.encode(fit), fit)["shop"].isna().tolist() == [False] * 4 + [True]


@pytest.mark.parametrize("spelling", [["1", "5", "5.0"], [1, 5, 5], [1.0, 5.0, 5.0], ["1.00", "+5", "5e0"]])
def test_a_number_is_one_level_however_it_is_written(spelling):
    encoder = TableEncoder(Schema.infer(pd.DataFrame({"mcc": [1, 5, 5, 9], "a": [1.0, 2.0, 3.0, 5.0]})))
    codes = encoder.encode(pd.DataFrame({"mcc": spelling, "a": 1.0})).codes
    assert codes.ravel().tolist() == [4, 3, 3]


def test_text_that_is_no_number_is_an_unseen_level_of_a_numeric_code():
    encoder = TableEncoder(Schema.infer(pd.DataFrame({"zip": [1, 5, 5, 9], "a": [1.0, 2.0, 3.0, 5.0]})))
    assert encoder.encode(pd.DataFrame({"zip": ["5", "K1A 0B1"], "a": 1.0})).codes.ravel().tolist() == [3, UNSEEN]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"amount": ["1.5"] * 199 + ["n.a."]}, r"'amount', row 200: expected a number, as in fit, found 'n\.a\.'"),
        ({"amount": pd.Series([1.0] * 199 + ["x"], dtype=object)}, "'amount', row 200"),
        ({"amount": pd.Timestamp("2024-01-01")}, r"expected numbers \(float64 in fit\), found timestamp"),
        ({"when": 5.0}, "'when', row 1: expected an ISO date"),
        ({"when": "2024-05-32"}, "'when', row 1: expected an ISO date"),
    ],
)
def test_a_cell_that_cannot_be_read_is_named(frame, encoder, change, message):
    with pytest.raises(SchemaMismatchError, match=message):
        encoder.encode(frame.assign(**change))


def test_infinite_numbers_are_never_clipped(frame, encoder):
    X = frame.assign(amount=[1.0] * 150 + [np.inf] * 50)
    with pytest.raises(TableError, match=r"'amount' holds 50 infinite number\(s\), the first in row 151"):
        encoder.encode(X)
    array = np.zeros((70_000, 2)) + np.arange(70_000)[:, None]
    encoder = TableEncoder(Schema.infer(array))
    array[69_999, 1] = -np.inf
    with pytest.raises(TableError, match=r"'x1' holds 1 infinite number\(s\), the first in row 70000"):
        encoder.encode(array)


def test_columns_are_matched_by_name_and_identifiers_are_not_needed(frame, encoder):
    reordered = frame[frame.columns[::-1]].drop(columns="row")
    assert same(encoder.encode(reordered), encoder.encode(frame))
    assert "row" not in encoder.decode(encoder.encode(reordered), reordered)


def test_missing_and_new_columns_are_shown_in_a_diff(frame, encoder):
    with pytest.raises(SchemaMismatchError, match=r"(?s)1 missing, 1 new.*- shop.*missing.*\+ shops .*near: 'shop'"):
        encoder.encode(frame.rename(columns={"shop": "shops"}))


def test_an_array_needs_as_many_columns_as_in_fit():
    encoder = TableEncoder(Schema.infer(np.eye(5)), owner="VAEDetector")
    with pytest.raises(SchemaMismatchError, match="X has 3 features, but VAEDetector is expecting 5 features as input"):
        encoder.encode(np.eye(3))


def test_changed_types_are_converted_where_nothing_is_lost(frame, encoder):
    X = frame.assign(
        items=frame["items"].astype("float64"),
        zip=frame["zip"].astype(str),
        online=frame["online"].astype(int),
        shop=frame["shop"].astype("category"),
        amount=frame["amount"].map(lambda v: None if pd.isna(v) else decimal.Decimal(str(v))),
    )
    assert same(encoder.encode(X), encoder.encode(frame))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, bool, object])
def test_arrays_round_trip(dtype):
    rng = np.random.default_rng(0)
    array = (rng.normal(size=(100, 4)) * 50).astype(dtype)
    if dtype is object:
        array[:, 0] = rng.choice(["a", "b", None], 100)
    encoder = TableEncoder(Schema.infer(array))
    back = encoder.decode(encoder.encode(array), array)
    assert back.dtype == array.dtype
    if dtype is object:
        assert (back[:, 0] == array[:, 0]).all()
        array, back = array[:, 1:].astype(float), back[:, 1:].astype(float)
    np.testing.assert_allclose(back.astype(float), array.astype(float), rtol=1e-5, atol=1e-4)


def test_arrays_and_frames_encode_alike_chunk_by_chunk():
    array = np.random.default_rng(0).normal(size=(70_000, 3)).astype(np.float32)
    array[::7, 1] = np.nan
    array[:, 2] = array[:, 2] > 0
    frame = pd.DataFrame(array, columns=["x0", "x1", "x2"])
    by_array, by_frame = TableEncoder(Schema.infer(array)), TableEncoder(Schema.infer(frame))
    assert by_array.schema.columns == by_frame.schema.columns
    assert same(by_array.encode(array), by_frame.encode(frame))
    assert same(by_array.encode(np.asfortranarray(array[:50])), by_array.encode(array)[:50])


def test_times_lie_on_the_circle_and_weekdays_have_fixed_codes():
    X = pd.DataFrame(
        {
            "t": pd.to_datetime(
                ["2024-01-01 00:00", "2024-01-07 23:59:59.999999", "2024-01-17 06:00", None], format="ISO8601"
            )
        }
    )
    encoder = TableEncoder(Schema.infer(X))
    encoded = encoder.encode(X)
    assert encoded.codes.ravel().tolist() == [3, 9, 5, MISSING]
    np.testing.assert_allclose(encoded.angles[[0, 2], 0], [0, np.pi / 2], atol=1e-6)
    assert ((encoded.angles[:3] >= 0) & (encoded.angles[:3] < 2 * np.pi)).all()
    assert np.isnan(encoded.angles[3]).all()
    later = encoder.encode(X + pd.Timedelta(weeks=500))
    assert same(later, encoded)  # no elapsed time: a week later is the same


def test_a_date_keeps_its_day_and_gets_the_decoded_time():
    X = pd.DataFrame({"t": pd.to_datetime(["2024-01-01 06:00", "2024-01-17 18:00", None])})
    encoder = TableEncoder(Schema.infer(X))
    encoded = encoder.encode(X)
    encoded.angles[:, 0] = np.pi
    noon = pd.Series(pd.to_datetime(["2024-01-01 12:00", "2024-01-17 12:00", None]), name="t")
    pd.testing.assert_series_equal(encoder.decode(encoded, X)["t"], noon)


def test_time_zones_count_by_their_wall_clock():
    local = pd.Series(pd.to_datetime(["2024-01-01 06:00", "2024-07-17 18:00", "2024-05-02 09:30"]))
    zoned = local.dt.tz_localize("Europe/Berlin")
    encoder = TableEncoder(Schema.infer(pd.DataFrame({"t": zoned})))
    reference = TableEncoder(Schema.infer(pd.DataFrame({"t": local}))).encode(pd.DataFrame({"t": local}))
    for other in (zoned, zoned.dt.tz_convert("UTC"), local, zoned.map(lambda t: t.isoformat())):
        assert same(encoder.encode(pd.DataFrame({"t": other})), reference)
    back = encoder.decode(reference, pd.DataFrame({"t": zoned}))
    assert back["t"].tolist() == zoned.tolist()


def test_categories_and_decimals_come_back_in_their_types():
    X = pl.DataFrame(
        {
            "c": pl.Series(["a", "b", None, "a"], dtype=pl.Categorical),
            "e": pl.Series(["x", "y", "x", "x"], dtype=pl.Enum(["y", "x"])),
            "d": pl.Series([decimal.Decimal("1.25"), decimal.Decimal("2.50"), None, decimal.Decimal("9.99")]),
        }
    )
    encoder = TableEncoder(Schema.infer(X))
    back = encoder.decode(encoder.encode(X), X)
    assert back.schema == X.schema
    assert back["c"].to_list() == ["a", "b", None, "a"]
    assert back["d"].to_list() == X["d"].to_list()
    P = pd.DataFrame({"c": pd.Categorical(["a", None, "b"], categories=["b", "a", "z"]), "x": [1.0, 2.0, 3.5]})
    encoder = TableEncoder(Schema.infer(P))
    pd.testing.assert_frame_equal(encoder.decode(encoder.encode(P), P), P)


def test_no_rows_encode_to_no_rows_and_decode_checks_the_number_of_rows(frame, encoder):
    encoded = encoder.encode(frame[:0])
    assert len(encoded) == 0
    with pytest.raises(TableError, match="as many encoded rows"):
        encoder.decode(encoded, frame)


def test_a_schema_of_an_array_takes_a_frame_by_place():
    array = np.random.default_rng(0).normal(size=(20, 2))
    encoder = TableEncoder(Schema.infer(array))
    assert same(encoder.encode(pd.DataFrame(array, columns=["p", "q"])), encoder.encode(array))


@pytest.mark.parametrize(
    ("X", "kinds"),
    [
        (np.array([[True, False], [False, False], [True, True]]), {}),
        (np.array([["2024-01-01", "2024-02-01"], ["2024-01-01T10", "NaT"]], dtype="M8[s]"), {}),
        (np.array([["1", "a"], ["2", "b"], ["5", "a"]], dtype=object), {}),
        (np.full((3, 2), np.nan), {}),
        (np.array([[0.5, 7], [1.5, 7], [9, 7]], dtype=">f8"), {}),
        (np.array([[1.7e308], [-1.7e308], [1e308], [0]]), {}),
        (np.array([[0.5, 7], [1.5, 7], [9, 7]], dtype=np.longdouble), {"x0": "categorical"}),
        (
            pd.DataFrame({"n": pd.array([1, None, 5, 9], "Int8"), "b": pd.array([True, None, False, True], "boolean")}),
            {},
        ),
        (pd.DataFrame({"d": pd.to_datetime(["2024-01-01", "2024-01-03"]).astype("M8[us]")}), {"d": "numeric"}),
        (
            pd.DataFrame({"d": pd.to_datetime(["2024-01-01", "2024-01-03", None]).astype("M8[us]")}),
            {"d": "categorical"},
        ),
        (pd.DataFrame({"t": ["1970-01-02", "1970-01-05"]}), {"t": "numeric"}),
        (pd.DataFrame({"b": [True, False, True]}), {"b": "numeric"}),
        (pd.DataFrame({("a", "b"): [1.0, 2, 4], ("a", "c"): [2.0, 5, 4]}), {}),
        (pl.DataFrame({"c": pl.Series(["7", "7"], dtype=pl.Categorical), "e": [None, None]}), {}),
        (pl.DataFrame({"d": [decimal.Decimal("1.5"), decimal.Decimal("2.5")]}), {}),
        (pa.table({"c": pa.array([7, 8, 9]).dictionary_encode(), "d": [2.0, 4.0, 7.0]}), {}),
        (pa.table({"c": pa.chunked_array([pa.array(list("ab")).dictionary_encode()] * 2), "d": [2, 4, 7, 8]}), {}),
    ],
)
def test_every_type_comes_back_as_it_was(X, kinds):
    encoder = TableEncoder(Schema.infer(X, kinds=kinds))
    back = encoder.decode(encoder.encode(X), X)
    if isinstance(X, np.ndarray):
        assert back.dtype == X.dtype
        if X.dtype.kind == "f":
            np.testing.assert_allclose(back, X, rtol=1e-6, atol=1e300 if np.nanmax(np.abs(X), initial=0) > 1e300 else 0)
        else:
            np.testing.assert_array_equal(back, X)
    elif isinstance(X, pd.DataFrame):
        pd.testing.assert_frame_equal(back, X)
    else:
        assert back.equals(X)
        assert back.schema == X.schema


def test_masked_cells_are_missing():
    masked = np.ma.masked_array([[1.0, 2], [3, 4], [9, 6]], mask=[[0, 1], [0, 0], [0, 0]])
    schema = Schema.infer(masked)
    assert [column.n_missing for column in schema.columns] == [0, 1]


def test_decoded_numbers_carry_no_float_noise():
    X = pd.DataFrame({"amount": [0.0, 2.69, 12.5, 149.62, 378.66]})
    encoder = TableEncoder(Schema.infer(X))
    assert encoder.decode(encoder.encode(X), X)["amount"].tolist() == X["amount"].tolist()
