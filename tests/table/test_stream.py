"""Any cut of the files gives the rows of the whole, and every row is the text that it was."""

from __future__ import annotations

import csv
import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly import Schema
from vae_anomaly.errors import FileFormatError, TableError
from vae_anomaly.table import records as table_records
from vae_anomaly.table.bad_cells import bad_cells, emptied
from vae_anomaly.table.csv_file import CsvFile
from vae_anomaly.table.csv_text import CsvDialect, parse
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.io import read_table
from vae_anomaly.table.records import count_cells, cut
from vae_anomaly.table.stream import Stream, expanded

pieces = st.lists(st.sampled_from(['"', ",", "\n", "\r", "\r\n", "a", "é", '"b"', '""', ' "', "\n\n"]), max_size=24)
texts = pieces.map("".join)
cells = st.text(st.sampled_from('ab", \n\ré'), max_size=5)


def chunks_of(data, size, **how):
    file = CsvFile(io.BytesIO(data), CsvDialect(**how))
    return list(file.chunks(size))


def as_csv(rows, line_end="\n"):
    stream = io.StringIO(newline="")
    csv.writer(stream, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
    return stream.getvalue()


@given(texts, st.booleans())
@settings(max_examples=250)
def test_both_ways_to_cut_agree_wherever_the_fast_one_is_taken(text, final):
    data = text.encode()
    characters = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(characters == ord('"'))
    if table_records._all_at_cell_edges(characters, quotes, ord(",")):
        fast = table_records._ends_by_parity(characters, quotes, final=final)
        slow = table_records._ends_by_grammar(data, ",", final=final)
        assert all(np.array_equal(one, other) for one, other in zip(fast, slow, strict=True))


@given(texts)
@settings(max_examples=250)
def test_records_are_those_of_pyarrow_and_of_python(text):
    records = cut(text.encode(), ",", final=True)
    python = [cells for cells in csv.reader(io.StringIO(text, newline="")) if cells]
    assert [count_cells(records[number], ",") for number in range(len(records))] == [len(cells) for cells in python]
    if python and len({len(cells) for cells in python}) == 1:
        names = [f"c{number}" for number in range(len(python[0]))]
        if len(names) > 1:
            table = parse(text.encode(), names, ",")
            assert [[cell or "" for cell in row.values()] for row in table.to_pylist()] == python


@given(texts, st.integers(0, 30))
@settings(max_examples=250)
def test_what_is_cut_before_the_end_is_what_would_have_been_cut(text, size):
    data = text.encode()
    whole, part = cut(data, ",", final=True), cut(data[:size], ",", final=False)
    n_records = len(part)
    assert np.array_equal(part.ends, whole.ends[:n_records])
    rest = cut(data[part.size :], ",", final=True)
    assert [rest[n] for n in range(len(rest))] == [whole[n] for n in range(n_records, len(whole))]


@given(st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12), st.integers(1, 60), st.sampled_from("\n\r"))
@settings(max_examples=200)
def test_any_chunks_are_the_whole_and_any_place_is_one_to_go_on_from(rows, size, line_end):
    data = as_csv([("card", "amount", "note"), *rows], line_end).encode()
    whole = chunks_of(data, 1 << 20)
    parts = chunks_of(data, size)
    assert pa.concat_tables(part.table for part in parts).equals(pa.concat_tables(part.table for part in whole))
    assert b"".join(part.records.data[: part.records.size] for part in parts) == whole[0].records.data
    assert np.concatenate([part.index for part in parts]).tolist() == list(range(len(rows)))
    for number, part in enumerate(parts[:-1]):
        rest = list(CsvFile(io.BytesIO(data), CsvDialect()).chunks(size, part.end))
        assert [(other.start, other.end) for other in rest] == [(p.start, p.end) for p in parts[number + 1 :]]
        assert pa.concat_tables(other.table for other in rest).equals(
            pa.concat_tables(p.table for p in parts[number + 1 :])
        )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("name", ["payments.csv", "payments.csv.gz"])
def test_files_go_on_at_any_place_however_they_are_written(tmp_path, encoding, name):
    rows = [("card", "straße"), *[(f"{n:04}", "Müller\nweg" if n % 3 else 'x,"y"') for n in range(40)]]
    data = as_csv(rows).encode(encoding)
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    dialect = CsvDialect(encoding="latin-1" if encoding == "latin-1" else "utf-8")
    parts = list(Stream([path, path], dialect, chunk_bytes=100).chunks())
    whole = pa.concat_tables(part.table for part in parts)
    assert whole.num_rows == 80
    assert whole.slice(0, 40).to_pylist() == [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    for part in parts:
        rest = [other.table for other in Stream([path, path], dialect, chunk_bytes=100).chunks(part.end)]
        n_rest = sum(table.num_rows for table in rest)
        assert n_rest == 80 - part.end.total
        assert not rest or pa.concat_tables(rest).equals(whole.slice(part.end.total))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(1, 50), st.integers(0, 3))
@settings(max_examples=40)
def test_parquet_comes_in_equal_chunks_whatever_its_row_groups(tmp_path_factory, groups, size, which):
    path = tmp_path_factory.mktemp("groups") / "t.parquet"
    table = pa.table(
        {"n": range(sum(groups)), "day": pa.array([f"{n}" for n in range(sum(groups))]).dictionary_encode()}
    )
    with pq.ParquetWriter(path, table.schema) as writer:
        start = 0
        for n_rows in groups:
            writer.write_table(table.slice(start, n_rows))
            start += n_rows
    parts = list(Stream([path], CsvDialect(), chunk_rows=size).chunks())
    assert all(part.table.num_rows == size for part in parts[:-1])
    assert pa.concat_tables(part.table for part in parts)["n"].to_pylist() == list(range(sum(groups)))
    at = parts[min(which, len(parts) - 1)].end
    rest = [n for part in Stream([path], CsvDialect(), chunk_rows=size).chunks(at) for n in part.table["n"].to_pylist()]
    assert rest == list(range(at.total, sum(groups)))


def test_text_that_changed_before_the_place_is_not_gone_on_with():
    data = b"a,b\n" + b"1,2\n" * 50
    place = chunks_of(data, 40)[2].end
    changed = data.replace(b"1,2\n", b"1,3\n", 1)
    with pytest.raises(FileFormatError, match="expected the same text as before"):
        list(CsvFile(io.BytesIO(changed), CsvDialect()).chunks(40, place))
    with pytest.raises(FileFormatError, match="expected the same text as before"):
        list(CsvFile(io.BytesIO(data[:60]), CsvDialect()).chunks(40, place))


@given(
    st.lists(st.sampled_from(["1,2", "3", "4,5,6", "\udcff,1", '"x\ny",2', "0\0,1"]), min_size=1, max_size=30),
    st.integers(8, 60),
)
@settings(max_examples=150)
def test_bad_rows_are_told_by_their_line_and_the_others_are_read(rows, size):
    data = "\n".join(["a,b", *rows, ""]).encode("utf-8", "surrogateescape")
    file = CsvFile(io.BytesIO(data), CsvDialect())
    parts = list(file.chunks(size, keep_bad=True))
    lines = np.cumsum([2, *(row.count("\n") + 1 for row in rows)])
    good = ("1,2", '"x\ny",2')
    bad = [(int(line), row) for line, row in zip(lines, rows, strict=False) if row not in good]
    found = [(row.line, row.text.decode("utf-8", "surrogateescape")) for part in parts for row in part.bad]
    assert found == bad
    read = [tuple(row.values()) for part in parts for row in part.table.to_pylist()]
    assert read == [("1", "2") if row == "1,2" else ("x\ny", "2") for row in rows if row in good]
    if bad:
        with pytest.raises(FileFormatError, match=rf"line {bad[0][0]} \(record "):
            chunks_of(data, size)


def test_a_quotation_mark_that_is_never_closed_is_told_before_it_fills_the_memory(monkeypatch):
    monkeypatch.setattr("vae_anomaly.table.csv_file._LONGEST_RECORD", 1 << 12)
    data = b'a,b\n1,2\n3,"4\n' + b"5,6\n" * 10_000
    with pytest.raises(FileFormatError, match=r"line 3: expected a row of at most .* never closed"):
        chunks_of(data, 8)


def test_a_cell_of_ten_megabytes_is_a_cell(tmp_path):
    path = tmp_path / "long.csv"
    long = "x" * 10_000_000
    path.write_text(f'a,b\n1,"{long}\n"\n2,y\n')
    parts = list(Stream([path], CsvDialect(), chunk_bytes=1000).chunks())
    assert [len(cell) for part in parts for cell in part.table["b"].to_pylist()] == [10_000_001, 1]


def test_folders_and_patterns_are_their_files_by_name(tmp_path):
    for name in ("b.csv", "a.csv", "c.csv.part", "c.csv.part.json", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    both = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    assert expanded([str(tmp_path)]) == both
    assert expanded([str(tmp_path / "*.csv"), "-"]) == [*both, "-"]
    assert expanded(["no_such_file.csv"]) == ["no_such_file.csv"]
    with pytest.raises(FileFormatError, match="files whose names match, found none"):
        expanded([str(tmp_path / "*.parquet")])
    (tmp_path / "within").mkdir()
    with pytest.raises(FileFormatError, match="found the folder 'within' in it"):
        expanded([str(tmp_path)])
    with pytest.raises(FileFormatError, match="folder of files, found none"):
        expanded([str(tmp_path / "within")])


def test_a_name_like_a_pattern_is_the_file_of_that_name(tmp_path):
    path = tmp_path / "a[1].csv"
    path.write_text("x,y\n1,2\n")
    assert expanded([str(path)]) == [str(path)]
    assert read_table(path).num_rows == 1


odd = st.sampled_from(
    ["1", "2.5", "", "NA", "n/k", "inf", "-inf", "1e999", "2024-05-01", "2024-13-01", "x" * 30, "1,5", None]
)


@given(st.lists(st.tuples(odd, odd, odd), min_size=1, max_size=12))
@settings(max_examples=150)
def test_bad_cells_are_those_that_the_encoder_refuses(rows):
    fitted = pa.table(
        {
            "amount": [1.5, 2.25, 3.0],
            "day": ["2024-05-01 10:00", "2024-05-02 11:30", "2024-07-03 09:15"],
            "shop": ["a", "b", "a"],
        }
    )
    schema = Schema.infer(fitted, kinds={"shop": "categorical"})
    columns = dict(zip(fitted.column_names, zip(*rows, strict=True), strict=True))
    table = pa.table({name: pa.array(column, pa.string()) for name, column in columns.items()})
    encoder, found = TableEncoder(schema), bad_cells(schema, table)
    for number in range(table.num_rows):
        here = [cell for cell in found if cell.row == number]
        try:
            encoder.encode(table.slice(number, 1))
        except TableError:
            assert here
        else:
            assert not here
    encoder.encode(emptied(table, found))
