from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.errors import SchemaMismatchError, TableError
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.layout import PartKind
from vae_anomaly.table.schema import Schema


@pytest.fixture(scope="module")
def frame():
    return pd.DataFrame(
        {
            "key": pd.Series([5, 3, 9, 4, 8, 7]),
            "shop": list("aabbcc"),
            "when": pd.to_datetime(
                ["2024-01-01 09:00", "2024-02-01", "2024-03-01", "2024-04-01", "2024-05-01", None], format="ISO8601"
            ),
            "online": [True, False, None, True, True, False],
            "amount": [0.1, 5, 1e9, np.nan, 2, 3],
            "currency": ["EUR"] * 6,
            "empty": [None] * 6,
        }
    )


@pytest.fixture(scope="module")
def schema(frame):
    return Schema.infer(frame, kinds={"key": "identifier"}, max_categories=2)


def test_json_round_trip_is_exact(schema):
    assert Schema.from_json(json.loads(json.dumps(schema.to_json(), allow_nan=False))) == schema


def test_layout_lists_parts_by_kind_then_column_and_leaves_identifiers_out(schema):
    layout = schema.layout()
    assert layout.columns == schema.modelled == ("shop", "when", "online", "amount", "currency", "empty")
    category, angle = PartKind.CATEGORY, PartKind.ANGLE
    assert [(part.kind, part.column) for part in layout.parts] == [
        (PartKind.VALUE, 3),
        (angle, 1),
        (angle, 1),
        (PartKind.BINARY, 2),
        (category, 0),
        (category, 1),
        (category, 4),
        (category, 5),
    ]
    assert [part.n_levels for part in layout.parts] == [0, 0, 0, 2, 2, 7, 1, 0]


def _set(data, path, value):
    data = copy.deepcopy(data)
    *parents, last = path
    target = data
    for key in parents:
        target = target[key]
    if value is ...:
        del target[last]
    else:
        target[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("columns",), {}, "schema.columns: expected a list"),
        (("n_rows",), ..., "At schema: expected the keys"),
        (("n_rows",), float("nan"), "schema.n_rows: expected a finite number above 0"),
        (("n_rows",), True, "schema.n_rows"),
        (("named",), 1, "schema.named: expected true or false, found 1"),
        (("columns", 4), [], r"schema.columns\[4\]: expected an object"),
        (("columns", 4, "kind"), "float", r"schema.columns\[4\].kind: expected 'numeric' or"),
        (("columns", 4, "scale"), "1", r"schema.columns\[4\].scale: expected a finite number, found '1'"),
        (("columns", 4, "scale"), float("inf"), "expected a finite number, found inf"),
        (("columns", 4, "scale"), 10**400, "expected a finite number"),
        (("columns", 4, "scale"), 0.0, r"At schema.columns\[4\]: expected a scale above 0"),
        (("columns", 4, "scale"), ..., r"At schema.columns\[4\]: expected the keys"),
        (("columns", 4, "extra"), 1, r"At schema.columns\[4\]: expected the keys"),
        (("columns", 4, "integer"), 0, "integer: expected true or false, found 0"),
        (("columns", 4, "reading"), "eval", "reading: expected 'number' or"),
        (("columns", 4, "dtype"), "object", "expected the name of a column type"),
        (("columns", 4, "name"), "shop", "expected every name once"),
        (("columns", 4, "n_missing"), -1.0, "n_missing to be at least 0"),
        (("columns", 1, "levels"), ["a", 1], r"schema.columns\[1\].levels\[1\]: expected text, found 1"),
        (("columns", 1, "levels"), ["a", "a"], "distinct levels"),
        (("columns", 1, "rare"), ["a"], "rare ones that are no levels"),
        (("columns", 1, "unseen_probability"), 0.9, r"unseen_probability in \(0, 0.5\]"),
        (("columns", 3, "words"), ["no"], "words: expected a list of 2"),
        (("columns", 0, "n_distinct"), 1.5, "n_distinct: expected an integer, found 1.5"),
    ],
)
def test_damaged_json_is_refused_with_its_path(schema, path, value, message):
    with pytest.raises(ValueError, match=message):
        Schema.from_json(_set(schema.to_json(), path, value))


def test_diff_lists_missing_new_and_changed_columns_and_ignores_their_order(schema, frame):
    assert schema.diff(frame[frame.columns[::-1]]) == ""
    changed = frame.drop(columns="shop").assign(amuont=1.0, amount="x")
    assert schema.diff(changed).splitlines() == [
        "  - shop (string): missing",
        "  ~ amount: float64 in fit, string now",
        "  + amuont (float64): not seen in fit (near: 'amount')",
    ]
    assert Schema.infer(np.eye(4)).diff(np.eye(3)) == "  expected 4 columns, found 3"


def test_diff_leaves_out_what_hinders_nobody(schema, frame):
    numbers = frame.assign(amount=frame["amount"].astype("float32"), when=frame["when"].dt.date, shop=[None] * 6)
    assert schema.diff(numbers.drop(columns="key")) == ""
    assert schema.diff(numbers.assign(key="5", shop=frame["shop"].astype("category"))) == ""
    as_text = frame.drop(columns="empty").astype(str)
    from_text = Schema.infer(as_text, kinds=dict.fromkeys(["amount", "key"], "numeric") | {"online": "boolean"})
    assert from_text.diff(frame.drop(columns="empty")) == ""
    assert from_text.diff(frame.assign(amount=frame["when"])).splitlines() == [
        "  ~ amount: string in fit, timestamp[us] now",
        "  + empty (null): not seen in fit",
    ]
    assert "~ when" in schema.diff(frame.assign(when=frame["when"].dt.tz_localize("UTC")))


def test_what_is_counted_as_missing_is_what_is_listed(schema, frame):
    with pytest.raises(SchemaMismatchError) as told:
        TableEncoder(schema).encode(frame[["online", "currency"]])
    assert "4 missing, 0 new" in str(told.value)
    assert str(told.value).count(": missing") == 4


def test_diff_can_describe_a_column_of_mixed_types(schema, frame):
    mixed = frame.assign(shop=pd.Series([1, "a", 2, "b", 3, "c"], dtype=object))
    with pytest.raises(TableError, match="mixes types"):
        Schema.infer(mixed)
    assert schema.diff(mixed) == "  ~ shop: string in fit, object now"
