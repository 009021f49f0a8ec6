"""Laws of the table layer, on tables that hypothesis makes."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly.errors import SchemaWarning
from vae_anomaly.table.cells import MISSING_TEXTS
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.schema import Schema

N_ROWS = 12
numbers = st.floats(-1e6, 1e6, width=32) | st.floats(allow_infinity=False)
words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)
moments = st.datetimes(pd.Timestamp("1970-01-02").to_pydatetime(), pd.Timestamp("2100-01-01").to_pydatetime())
cells = {
    "number": st.none() | numbers,
    "whole": st.integers(-(2**40), 2**40),
    "few": st.sampled_from([0, 1, None]),
    "truth": st.booleans() | st.none(),
    "word": st.none() | words,
    "when": st.none() | moments,
}
tables = st.fixed_dictionaries(
    {name: st.lists(cell, min_size=N_ROWS, max_size=N_ROWS) for name, cell in cells.items()}
).map(lambda columns: pd.DataFrame(columns).astype({"when": "datetime64[us]", "number": float}))
laws = settings(max_examples=40, deadline=None, derandomize=True)


def infer(frame, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)
        return Schema.infer(frame, kinds={"word": "categorical"}, **options)


@laws
@given(tables)
def test_json_holds_everything(frame):
    schema = infer(frame)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


@laws
@given(tables)
def test_encoding_is_bounded_and_missing_exactly_where_the_table_is(frame):
    schema = infer(frame)
    encoded, layout = TableEncoder(schema).encode(frame), schema.layout()
    assert not (np.abs(encoded.values) > 30).any()
    assert not ((encoded.angles < 0) | (encoded.angles >= 2 * np.pi)).any()
    assert encoded.observed.shape == (N_ROWS, layout.n_parts)
    for column, name in enumerate(layout.columns):
        blank = frame[name].map(lambda cell: isinstance(cell, str) and cell.strip() in MISSING_TEXTS)
        observed = encoded.observed[:, layout.column_of_part == column]
        assert (observed == ~(frame[name].isna() | blank).to_numpy(dtype=bool)[:, None]).all()


@laws
@given(tables)
def test_encoding_again_what_was_decoded_changes_nothing(frame):
    encoder = TableEncoder(infer(frame))
    encoded = encoder.encode(frame)
    again = encoder.encode(encoder.decode(encoded, frame))
    np.testing.assert_array_equal(again.codes, encoded.codes)
    np.testing.assert_allclose(again.angles, encoded.angles, atol=2e-6)
    inside = ~(np.abs(encoded.values) >= 30)  # what was clipped comes back as the bound, and may be rounded
    np.testing.assert_allclose(again.values[inside], encoded.values[inside], rtol=1e-4, atol=1e-5)


@laws
@given(tables, st.permutations(range(N_ROWS)))
def test_statistics_do_not_depend_on_the_order_of_rows(frame, order):
    kinds = {"whole": "numeric"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SchemaWarning)
        schemas = [Schema.infer(f, kinds=kinds | {"word": "categorical"}) for f in (frame, frame.iloc[list(order)])]
    assert schemas[0] == schemas[1]


@laws
@given(tables, st.lists(st.integers(0, 3), min_size=N_ROWS, max_size=N_ROWS).filter(any))
def test_a_weight_is_a_number_of_copies(frame, weights):
    copies = frame.loc[frame.index.repeat(weights)].reset_index(drop=True)
    assert infer(frame, sample_weight=np.array(weights)) == infer(copies)


@pytest.mark.parametrize("n_levels", [200_000])
def test_a_column_of_very_many_texts_stays_bounded(n_levels):
    texts = pd.DataFrame({"text": np.char.add("t", np.arange(n_levels).astype(str))})
    schema = Schema.infer(texts, kinds={"text": "categorical"}, max_categories=100)
    column = schema.columns[0]
    assert (len(column.levels), len(column.rare), column.rare_count) == (100, 65_536, n_levels - 100)
    assert TableEncoder(schema).encode(texts).codes.shape == (n_levels, 1)
