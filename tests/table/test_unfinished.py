"""Whatever stops a run, and at whatever moment, the next one makes of it what one run would have made."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pytest

from vae_anomaly.errors import OutputError
from vae_anomaly.table.chunk import Chunk, Place
from vae_anomaly.table.csv_text import BadRow
from vae_anomaly.table.passing import Passing
from vae_anomaly.table.rows_out import ArrowRows, rejected_rows, rejects_header, to_parquet
from vae_anomaly.table.unfinished import Unfinished, beside

RUN = {"inputs": ["a.csv"], "model": "m"}
CHUNKS = [b"first\n", b"second,\n" * 9, b"", b"last\n"]
CALLS = ("write", "fsync", "replace", "unlink", "ftruncate")


class Killed(BaseException):
    """As SIGKILL is: nothing that comes after it has an effect."""


@pytest.fixture
def killed_at(monkeypatch):
    """Stop the process at the nth call that changes anything on the disk, half done where that can be."""

    def stop(number):
        left = [number]

        def until_dead(name, call):
            def counted(*arguments, **keywords):
                left[0] -= 1
                if left[0] > 0:
                    return call(*arguments, **keywords)
                if left[0] == 0 and name == "write":
                    call(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])
                raise Killed

            return counted

        for name in CALLS:
            monkeypatch.setattr(os, name, until_dead(name, getattr(os, name)))
        return left

    return stop


def write(path, *, rejects=None, convert=None, **how):
    with Unfinished(path, RUN, rejects=rejects, convert=convert, **how) as output:
        done = 0 if output.earlier is None else output.earlier.progress["rows"]
        if not output.is_whole:
            for number in range(done, len(CHUNKS)):
                output.append(CHUNKS[number], b"rejected\n" if number % 2 == 0 else b"", {"rows": number + 1})
        output.finish()


def convert(part, whole):
    with open(whole, "wb") as file:
        os.write(file.fileno(), part.read_bytes()[::-1])


@pytest.mark.parametrize("how", [{}, {"rejects": "rejects.csv"}, {"rejects": "rejects.csv", "convert": convert}])
def test_a_run_killed_at_any_moment_is_gone_on_with_to_the_same_bytes(tmp_path, monkeypatch, killed_at, how):
    def run(folder, **more):
        folder.mkdir(exist_ok=True)
        given = {**how, "rejects": folder / how["rejects"]} if "rejects" in how else how
        write(folder / "out.csv", **given, **more)

    left = killed_at(1 << 30)
    run(tmp_path / "whole")
    monkeypatch.undo()
    n_moments = (1 << 30) - left[0]
    assert n_moments > 20
    expected = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    for moment in range(1, n_moments + 1):
        folder = tmp_path / str(moment)
        killed_at(moment)
        with pytest.raises(Killed):
            run(folder)
        monkeypatch.undo()
        try:
            run(folder, resume=True)
        except OutputError as error:  # killed after the last name was given: nothing is left to go on with
            assert "exists already" in str(error)  # noqa: PT017
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == expected, moment


def test_a_run_killed_again_and_again_ends(tmp_path, monkeypatch, killed_at):
    for moment in range(3, 200):
        killed_at(moment % 40 + 1)
        try:
            write(tmp_path / "out.csv", resume=True)
        except Killed:
            continue
        finally:
            monkeypatch.undo()
        break
    assert (tmp_path / "out.csv").read_bytes() == b"".join(CHUNKS)
    assert os.listdir(tmp_path) == ["out.csv"]


def break_off(path, n_chunks=1, **how):
    with suppress(KeyboardInterrupt), Unfinished(path, RUN, **how) as output:
        for number in range(n_chunks):
            output.append(CHUNKS[number], b"", {"rows": number + 1})
        raise KeyboardInterrupt


def test_what_is_left_is_gone_on_with_or_discarded_only_if_asked(tmp_path):
    path = tmp_path / "out.csv"
    break_off(path, 2)
    with pytest.raises(OutputError, match=r"broke off here after 2 rows.*--resume.*--force"):
        write(path)
    assert not path.exists()
    with Unfinished(path, RUN, force=True) as output:
        assert output.earlier is None
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("run", "differs"), [({**RUN, "model": "n"}, "its model differ"), ({**RUN, "inputs": []}, "inputs")]
)
def test_another_run_does_not_go_on(tmp_path, run, differs):
    path = tmp_path / "out.csv"
    break_off(path)
    with pytest.raises(OutputError, match=differs):
        Unfinished(path, run, resume=True)
    write(path, resume=True)
    assert path.read_bytes() == b"".join(CHUNKS)


def test_two_runs_do_not_write_one_output(tmp_path):
    path = tmp_path / "out.csv"
    with Unfinished(path, RUN) as output:
        output.append(b"mine\n", b"", {"rows": 1})
        for how in ({}, {"resume": True}, {"force": True}):
            with pytest.raises(OutputError, match="another run that writes it"):
                Unfinished(path, RUN, **how)
        output.finish()
    assert path.read_bytes() == b"mine\n"


def test_an_output_that_is_there_is_replaced_only_by_force(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write(path)
    assert os.listdir(tmp_path) == ["out.csv"]
    write(path, force=True)
    assert path.read_bytes() == b"".join(CHUNKS)


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "out.csv"
    with Unfinished(path, RUN) as output:
        output.append(b"rows\n", b"", {"rows": 1})
        path.write_text("mine")
        with pytest.raises(OutputError, match="exists already"):
            output.finish()
    assert path.read_text() == "mine"
    write(path, resume=True, force=True)
    assert path.read_bytes() == b"rows\n"


def test_nothing_is_left_of_a_run_that_got_nowhere(tmp_path):
    break_off(tmp_path / "out.csv", 0, rejects=tmp_path / "rejects.csv")
    assert os.listdir(tmp_path) == []
    with pytest.raises(OutputError, match="Create"):
        Unfinished(tmp_path / "absent" / "out.csv", RUN)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', json.dumps({"format": 9, "run": {}, "progress": {}})])
def test_a_journal_that_says_nothing_is_none(tmp_path, text):
    (tmp_path / "out.csv.part.json").write_text(text)
    (tmp_path / "out.csv.part").write_text("half")
    write(tmp_path / "out.csv", resume=True)
    assert (tmp_path / "out.csv").read_bytes() == b"".join(CHUNKS)


def test_a_part_that_was_cut_is_told(tmp_path):
    break_off(tmp_path / "out.csv", 2)
    os.truncate(tmp_path / "out.csv.part", 3)
    with pytest.raises(OutputError, match=r"expected .* bytes of the run that broke off, found 3"):
        write(tmp_path / "out.csv", resume=True)


def test_the_longest_names_have_parts_of_their_own(tmp_path):
    names = ["a" * 251 + ".csv", "a" * 250 + "b.csv"]
    assert len({beside(Path(name), ending) for name in names for ending in (".part", ".part.json")}) == 4
    write(tmp_path / names[0])
    assert os.listdir(tmp_path) == [names[0]]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    write(tmp_path / "link.csv", force=True)
    assert (tmp_path / "real.csv").read_bytes() == b"".join(CHUNKS)
    assert (tmp_path / "link.csv").is_symlink()


def test_streams_are_put_together_as_parquet(tmp_path):
    import pyarrow.parquet as pq

    tables = [pa.table({"n": pa.array(ns, pa.int8())}) for ns in ([1, 2], [], [3])]
    parts = [ArrowRows().rows(chunk_of(table), pa.table({"s": table["n"].cast(pa.float64())})) for table in tables]
    (tmp_path / "part").write_bytes(b"".join(parts))
    to_parquet(tmp_path / "part", tmp_path / "whole")
    assert pq.read_table(tmp_path / "whole").to_pydict() == {"n": [1, 2, 3], "s": [1.0, 2.0, 3.0]}


def chunk_of(table, bad=()):
    import numpy as np

    return Chunk("t.csv", table, np.arange(table.num_rows), bad, Place(), Place())


def test_rejected_rows_are_csv_whatever_is_in_them():
    import csv
    import io

    rows = (BadRow("a,b.csv", 7, 'found "x"', "", b'1,"\n\xff\x00'), BadRow("a,b.csv", 9, "no", "", "é".encode()))
    text = (rejects_header() + rejected_rows(chunk_of(pa.table({}), rows))).decode()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["file", "line", "reason", "text"],
        ["a,b.csv", "7", 'found "x"', '1,"\n\\xff\\0'],
        ["a,b.csv", "9", "no", "é"],
    ]


def test_rejects_of_a_stream_get_their_name_at_the_end(tmp_path):
    path = tmp_path / "rejects.csv"
    with suppress(KeyboardInterrupt), Passing(None, rejects=str(path)) as output:
        output.append(b"", b"row\n", {})
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []
    with Passing(None, rejects=str(path)) as output:
        output.append(b"", b"row\n", {})
        output.finish()
    assert path.read_bytes() == b"row\n"
    with pytest.raises(OutputError, match="exists already"):
        Passing(None, rejects=str(path))
