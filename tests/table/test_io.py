"""Files come in as they are, go out as they came, and say what is wrong where it is wrong."""

from __future__ import annotations

import bz2
import csv
import datetime
import gzip
import io
import os
import resource
import signal
import subprocess
import sys
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vae_anomaly.errors import FileFormatError, OutputError, ParameterError, TableError
from vae_anomaly.table import io as table_io
from vae_anomaly.table.csv_file import CsvFile
from vae_anomaly.table.csv_text import CsvDialect
from vae_anomaly.table.io import check_target, read_table, read_tables, with_decimal_points, write_table

PAYMENTS = 'card,amount,note\n0042,12.50,\n0043,1e3,"a, b"\n'
ROWS = [{"card": "0042", "amount": "12.50", "note": None}, {"card": "0043", "amount": "1e3", "note": "a, b"}]

names = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), min_size=1, max_size=5)
cells = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=8)


@st.composite
def text_tables(draw):
    columns = draw(st.lists(names, min_size=2, max_size=4, unique=True))
    n_rows = draw(st.integers(1, 5))
    row = st.lists(cells, min_size=len(columns), max_size=len(columns))
    rows = draw(st.lists(row, min_size=n_rows, max_size=n_rows))
    return pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names=columns)


@pytest.fixture
def write(tmp_path):
    def written(content, name="payments.csv"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


@given(text_tables())
def test_what_is_written_is_read_back(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("there_and_back") / "table.csv"
    write_table(table, path)
    assert read_table(path, delimiter=",").equals(table)


@given(text_tables())
def test_any_csv_reader_reads_what_is_written(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("standard") / "table.csv"
    write_table(table, path)
    with path.open(newline="", encoding="utf-8") as file:
        records = list(csv.reader(file))
    expected = [table.column_names, *([cell or "" for cell in row.values()] for row in table.to_pylist())]
    assert records == expected


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_the_delimiter_and_line_end_are_found(write, delimiter, line_end):
    text = f'card{delimiter}"a,;b"{delimiter}note{line_end}0042{delimiter}1{delimiter}x{line_end}'
    assert read_table(write(text)).to_pylist() == [{"card": "0042", "a,;b": "1", "note": "x"}]


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("blank", [b"", b"\n"])
def test_byte_order_mark_and_blank_lines_are_no_data(write, bom, blank):
    assert read_table(write(bom + PAYMENTS.encode() + blank)).to_pylist() == ROWS


def test_leading_blank_lines_are_no_header(write):
    assert read_table(write("\n\r\n" + PAYMENTS)).to_pylist() == ROWS


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(write, encoding):
    assert read_table(write(PAYMENTS.encode(encoding))).to_pylist() == ROWS


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8"])
def test_encodings(write, encoding):
    table = read_table(write("straße,betrag\nMüllerweg,1\n".encode(encoding)), encoding=encoding)
    assert table.to_pylist() == [{"straße": "Müllerweg", "betrag": "1"}]


@pytest.mark.parametrize(("ending", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", pa.compress)])
def test_compression_by_extension(write, ending, compress):
    raw = PAYMENTS.encode()
    data = compress(raw, codec="zstd", asbytes=True) if compress is pa.compress else compress(raw)
    assert read_table(write(data, f"payments.csv.{ending}")).to_pylist() == ROWS


def test_several_gzip_members_are_one_file(write):
    head, tail = PAYMENTS[:20].encode(), PAYMENTS[20:].encode()
    assert read_table(write(gzip.compress(head, mtime=0) + gzip.compress(tail), "p.csv.gz")).to_pylist() == ROWS


def test_without_a_header_columns_are_numbered(write):
    table = read_table(write("0,tcp\n1,udp\n"), header=False)
    assert table.to_pylist() == [{"column_1": "0", "column_2": "tcp"}, {"column_1": "1", "column_2": "udp"}]


def test_a_single_column_keeps_its_missing_cells(write):
    assert read_table(write("amount\n1\n\n3\n"))["amount"].to_pylist() == ["1", None, "3"]


def test_line_breaks_in_quotes_stay_in_the_cell(write):
    assert read_table(write('a,b\n"1\n2",3\n')).to_pylist() == [{"a": "1\n2", "b": "3"}]


def test_a_decimal_comma_is_no_delimiter_and_stays_as_written(write):
    table = read_table(write("1,5;2,5\n3,5;4,5\n"), decimal=",", header=False)
    assert table.column_names == ["column_1", "column_2"]
    assert table["column_1"].to_pylist() == ["1,5", "3,5"]
    assert with_decimal_points(table)["column_1"].to_pylist() == ["1.5", "3.5"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_survives_the_decimal_comma(number):
    table = pa.table({"x": [repr(number).replace(".", ",")], "n": [1]})
    assert float(with_decimal_points(table)["x"][0].as_py()) == number


def test_only_asked_columns_in_that_order(write):
    path = write(PAYMENTS)
    assert read_table(path, columns=["note", "card"]).column_names == ["note", "card"]
    with pytest.raises(TableError, match=r"expected columns \['place'\], found only \['card', 'amount', 'note'\]"):
        read_table(path, columns=["place"])


def test_parquet_keeps_its_types(tmp_path):
    table = pa.table({"id": [1, 2], "amount": [1.5, None]})
    path = tmp_path / "table.parquet"
    write_table(table, path)
    assert read_table(path).equals(table)
    assert pq.read_table(path).equals(table)


def test_standard_streams(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PAYMENTS.encode())))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO()))
    write_table(read_table("-"), "-")
    assert sys.stdout.buffer.getvalue().decode() == PAYMENTS


def test_several_files_are_one_table(write):
    paths = [write(PAYMENTS, "first.csv"), write(PAYMENTS, "second.csv")]
    assert read_tables(paths).to_pylist() == ROWS * 2
    with pytest.raises(FileFormatError, match=r"third.csv: .* it lacks \['note'\]; it adds \['place'\]"):
        read_tables([*paths, write("card,amount,place\n1,2,3\n", "third.csv")])
    with pytest.raises(FileFormatError, match="their order differs"):
        read_tables([*paths, write("amount,card,note\n1,2,3\n", "third.csv")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file"),
        (b" \n\n", "found an empty file"),
        (b"a,b\n", "expected rows below the header line, found none"),
        (b"a,b", "expected rows below the header line, found none"),
        (b"a,b,a\n1,2,3\n", "expected every column name once, found 'a' at columns 1, 3"),
        (b"a,b\n1,2\n\n3\n", r"line 4 \(record 3\): expected 2 cells, found 1, in the row that begins '3'"),
        (b'a,b\n"1\n2",2\n3,4,5\n', r"line 4 \(record 3\): expected 2 cells, found 3, in the row that begins '3,4,5'"),
        (b'a,b\n"1,2\n3,4\n', r"line 2 \(record 2\): expected 2 cells, found 1.*quotation mark"),
        (b"a,b\n1,caf\xe9\n", r"line 2 .*: expected utf-8 text, found byte 0xe9 near.*--encoding latin-1"),
        (b"a,b\n1,\x00\n", "line 2 .*: expected CSV text, found a NUL byte"),
        (b"PAR1....", "found a Parquet file"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "found gzip data"),
        ("a,b\n1,2\n".encode("utf-16-le"), "found a NUL byte.*--encoding utf-16"),
        (b'a,b\n1,"2\n3,4\n', "line 2 .*expected a quotation mark to be closed, found the end"),
    ],
)
def test_bad_csv_says_what_is_wrong_and_where(write, content, message):
    with pytest.raises(FileFormatError, match=f"payments.csv.*{message}"):
        read_table(write(content))


def test_a_byte_that_another_encoding_lacks_is_placed(write):
    with pytest.raises(FileFormatError, match=r"line 3 .*: expected cp1252 text, found byte 0x81"):
        read_table(write(b"a,b\n1,2\n\x81,2\n"), encoding="cp1252")


def test_a_workbook_is_no_csv(write):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    with pytest.raises(FileFormatError, match=r"a zip archive \(an .xlsx workbook is one\)"):
        read_table(write(buffer.getvalue()))


def test_ragged_rows_are_found_beyond_the_first_block(write, monkeypatch):
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 64)
    with pytest.raises(FileFormatError, match=r"line 402 .*expected 2 cells, found 3"):
        read_table(write("a,b\n" + "1,2\n" * 400 + "1,2,3\n" + "1,2\n" * 400))


@pytest.mark.parametrize("name", ["missing.csv", "missing.csv.gz", "missing.parquet"])
def test_a_missing_file(tmp_path, name):
    with pytest.raises(FileFormatError, match="expected a file, found none of that name"):
        read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["folder", "folder.parquet"])
def test_a_folder(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(FileFormatError, match="expected a file, found a folder"):
        read_table(tmp_path / name)


def test_damaged_files(write, tmp_path):
    with pytest.raises(FileFormatError, match="cut short"):
        read_table(write(gzip.compress(PAYMENTS.encode() * 100)[:-12], "cut.csv.gz"))
    with pytest.raises(FileFormatError, match="expected a Parquet file"):
        read_table(write(PAYMENTS, "text.parquet"))
    write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "empty.parquet")
    with pytest.raises(FileFormatError, match="expected rows, found none"):
        read_table(tmp_path / "empty.parquet")


@pytest.mark.parametrize(
    ("parameter", "value"), [("delimiter", "ab"), ("encoding", "utf-9"), ("decimal", ":"), ("header", None)]
)
def test_parameters_outside_their_domain(parameter, value):
    with pytest.raises(ParameterError, match=f"The '{parameter}' parameter of a CSV file must be .* Got {value!r}"):
        CsvDialect(**{parameter: value})


@given(st.binary(max_size=60))
@example(b"\xef\xbb\xbf\n")
@example(b"\xef\xbb\xbf\na\n1")
@example(b"a" * 200_000)
def test_any_bytes_are_a_table_or_a_clear_error(data):
    try:
        n_rows = sum(chunk.table.num_rows for chunk in CsvFile(io.BytesIO(data), CsvDialect()).chunks(1 << 20))
    except FileFormatError as error:
        n_rows = str(error).startswith("standard stream")
    assert n_rows > 0


def test_other_types_have_one_way_to_be_written(tmp_path):
    moment = datetime.datetime(2024, 2, 29, 12, 30)
    table = pa.table({"score": [0.1, 1e-300], "alert": [True, None], "t": [moment, None], "n": [2**60, None]})
    write_table(table, tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[1].startswith("0.1,true,2024-02-29 12:30:00")
    assert lines[1].endswith(str(2**60))
    assert lines[2] == "1e-300,,,"
    with pytest.raises(OutputError, match=r"column 'pair' of type list.*Parquet"):
        write_table(pa.table({"pair": [[1, 2]]}), tmp_path / "pair.csv")


def test_compressed_output(tmp_path):
    table = pa.table(pa.Table.from_pylist(ROWS))
    for ending in ("gz", "bz2", "zst"):
        write_table(table, tmp_path / f"t.csv.{ending}")
        assert read_table(tmp_path / f"t.csv.{ending}").equals(table)
    assert gzip.decompress((tmp_path / "t.csv.gz").read_bytes()).decode() == PAYMENTS


def test_an_existing_file_is_replaced_only_by_force(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    table = pa.table({"a": ["1"]})
    with pytest.raises(OutputError, match=r"exists already.*--force"):
        write_table(table, path)
    assert path.read_text() == "mine"
    write_table(table, path, force=True)
    assert path.read_text() == "a\n1\n"


def test_targets_that_cannot_be(tmp_path):
    with pytest.raises(OutputError, match="found a folder"):
        check_target(tmp_path)
    with pytest.raises(OutputError, match=r"Create .*absent first"):
        check_target(tmp_path / "absent" / "out.csv")
    with pytest.raises(OutputError, match="name to write to"):
        check_target(tmp_path / ("long" * 100))
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(OutputError, match="exists already"):
        check_target(tmp_path / "link")
    check_target("-")


def test_a_folder_that_may_not_be_written_to_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="may be written to"):
        check_target(tmp_path / "out.csv")


def test_the_longest_name_can_be_written(tmp_path):
    write_table(pa.table({"a": ["1"]}), tmp_path / ("a" * 251 + ".csv"))
    assert [len(name) for name in os.listdir(tmp_path)] == [255]


@pytest.mark.parametrize(("raised", "seen"), [(KeyboardInterrupt, KeyboardInterrupt), (OSError("no"), OutputError)])
def test_an_interruption_leaves_what_was_there(tmp_path, monkeypatch, raised, seen):
    path = tmp_path / "out.csv"
    path.write_text("whole")

    def lines(table):
        yield "a\n"
        raise raised

    monkeypatch.setattr(table_io, "_csv_lines", lines)
    with pytest.raises(seen):
        write_table(pa.table({"a": ["1"]}), path, force=True)
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == ["out.csv"]


def _limit_file_size():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "parquet"])
def test_a_full_disk_leaves_no_half_file(tmp_path, ending):
    code = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from vae_anomaly.table.io import write_table\n"
        "write_table(pa.table({'x': np.random.default_rng(0).random(200_000)}), sys.argv[1])\n"
    )
    target = tmp_path / f"out.{ending}"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, target], capture_output=True, text=True, preexec_fn=_limit_file_size, check=False
    )
    assert "OutputError" in done.stderr
    assert "could not be written" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_device_is_written_in_place():
    with pytest.raises(OutputError, match="could not be written"):
        write_table(pa.table({"a": ["1"]}), "/dev/full")
    write_table(pa.table({"a": ["1"]}), "/dev/null")


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write_table(pa.table({"a": ["1"]}), tmp_path / "link.csv", force=True)
    assert (tmp_path / "real.csv").read_text() == "a\n1\n"
    assert (tmp_path / "link.csv").is_symlink()
