"""Hostile CSV files: each is scored rightly, row by row, or refused with a clear error."""

from __future__ import annotations

import csv
import io
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from vae_anomaly.benchmark.table import say

PIECES = ('"', '""', "\n", "\r", "\r\n", ",", ";", "\0", "\ufeff", "\udce9", " ", "é", "\t", "0,", ',"', '",', "\u2028")
NOTES = ("", "a, b", 'say "hi"', "two\nlines", "semi;colon", "Müller 🎉", "مرحبا")
ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16")
_LONGEST = 60  # seconds for a file of some rows: more is a hang
_REFUSED, _REJECTED, _DONE = 3, 7, 0


def odd_payments(n_rows: int, seed: int = 0) -> pd.DataFrame:
    """Rows with what CSV finds hard: leading zeros, and delimiters, quotes and line ends in cells.

    Examples
    --------
    >>> odd_payments(2).columns.tolist()
    ['card', 'amount', 'shop', 'at', 'note']
    """
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "card": [f"{number:06d}" for number in rng.integers(0, 10**6, n_rows)],
            "amount": [f"{value:.2f}" for value in rng.lognormal(3, 1, n_rows)],
            "shop": rng.choice(["web", "pos", "phone"], n_rows),
            "at": pd.Series(pd.date_range("2024-05-01", periods=n_rows, freq="7min")).dt.strftime("%Y-%m-%d %H:%M"),
            "note": rng.choice(np.array(NOTES, dtype=object), n_rows),
        }
    )


def mutated(text: str, rng: np.random.Generator) -> str:
    r"""The text with a few hostile pieces put in, taken out, doubled or cut.

    Examples
    --------
    >>> mutated("a,b\n1,2\n", np.random.default_rng(0)) != "a,b\n1,2\n"
    True
    """
    for _ in range(rng.integers(1, 4)):
        place, length = int(rng.integers(0, len(text) + 1)), int(rng.integers(0, 12))
        piece = PIECES[rng.integers(0, len(PIECES))]
        middle = (piece, "", text[place : place + length] * 2, piece)[(change := int(rng.integers(0, 4)))]
        text = text[:place] + middle + text[place + (length if change else 0) :]
    return text


def problem(code: int, said: str, data: bytes, out: Path, detector: Any) -> str | None:
    """What is wrong with how a run with ``--bad-rows skip`` ended; None if nothing is.

    Parameters
    ----------
    code : int
        How it ended.
    said : str
        On standard error.
    data : bytes
        What was read.
    out : Path
        What was written; rejected rows beside it.
    detector : VAEDetector
        By which rows were scored.
    """
    if code == _REFUSED:
        clear = "error: " in said and "Traceback" not in said
        return (None if not out.exists() else "a file in spite of an error") if clear else f"no clear error: {said!r}"
    if code not in (_DONE, _REJECTED):
        return f"exit code {code}: {said!r}"
    came, went, aside = _records(data), _rows(out), _rows(out.with_name(f"{out.name}.rejects.csv"))[1:]
    refused = [next(csv.reader(io.StringIO(row[-1], newline="")), []) for row in aside]
    if (code == _REJECTED) != bool(refused):
        return f"exit code {code} with {len(refused)} rejected rows"
    return _lost(came[1:], [row[:-2] for row in went[1:]], refused) or _wrong(went, detector)


def _records(data: bytes) -> list[list[str]]:
    """What the standard library reads, as text that rejects spell the same."""
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    utf8 = data.decode("utf-16", "surrogateescape").encode("utf-8", "surrogatepass") if utf16 else data
    text = utf8.decode("utf-8-sig", "backslashreplace").replace("\0", "\\0")
    return [cells for cells in csv.reader(io.StringIO(text, newline="")) if cells]


def _rows(path: Path) -> list[list[str]]:
    return _records(path.read_bytes())


def _lost(came: Sequence[list[str]], scored: Sequence[list[str]], refused: Sequence[list[str]]) -> str | None:
    """Whether every row that came was either scored or refused, in order, and no other was."""
    n_scored = n_refused = 0
    for cells in came:
        if n_scored < len(scored) and scored[n_scored] == cells:
            n_scored += 1
        elif n_refused < len(refused) and refused[n_refused] == cells:
            n_refused += 1
        else:
            return f"a row is neither scored nor rejected as it is: {cells!r}"
    return None if (n_scored, n_refused) == (len(scored), len(refused)) else "rows that never came"


def _wrong(went: Sequence[list[str]], detector: Any) -> str | None:
    """Whether a score is not the one of the row by itself."""
    if len(went) < 2:
        return None
    known = [(place, name) for place, name in enumerate(went[0][:-2]) if name in detector.schema_.names]
    table = pa.table({name: [row[place] or None for row in went[1:]] for place, name in known})
    expected = detector.anomaly_score(table).tolist()
    return None if [float(row[-2]) for row in went[1:]] == expected else "a score that is not the row's"


def run_hostile(n_files: int, seed: int = 0) -> dict[str, int]:
    """Score so many hostile files in this process; how many ended how, and how many wrongly.

    Parameters
    ----------
    n_files : int
        How many.
    seed : int
        The same seed makes the same files.

    Returns
    -------
    dict of str to int
        ``files``, ``scored``, ``rejected`` (some rows), ``refused`` and ``wrong``.
    """
    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter(files=n_files, scored=0, rejected=0, refused=0, wrong=0)
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.vaea")
        detector = fitted(model)
        for number in range(n_files):
            data = _file(rng)
            code, said, wrong = _score(model, data, Path(folder, f"{number}"), rng, detector)
            counts[{_DONE: "scored", _REJECTED: "rejected", _REFUSED: "refused"}.get(code, "failed")] += 1
            if wrong is not None:
                counts["wrong"] += 1
                say(f"file {number}: {wrong}; it was {data!r} and it said {said!r}")
    return dict(counts)


def fitted(model: Path) -> Any:
    """A small detector of odd payments, kept in a file."""
    import warnings

    from vae_anomaly.detector import VAEDetector

    kinds = {"card": "identifier", "note": "identifier", "shop": "categorical"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the columns are independent, and scores are scores
        detector = VAEDetector(max_steps=40, n_members=1, kinds=kinds, device="cpu").fit(odd_payments(500, 1))
    detector.save(model)
    return detector


def installed_command() -> Callable[[list[str]], None]:
    """What ``vae-anomaly`` in a shell calls, to be called in this process."""
    (script,) = entry_points(group="console_scripts", name="vae-anomaly")
    command: Callable[[list[str]], None] = script.load()
    return command


def _file(rng: np.random.Generator) -> bytes:
    frame = odd_payments(int(rng.integers(1, 14)), int(rng.integers(0, 1000)))
    stream = io.StringIO(newline="")
    line_end = str(rng.choice(["\n", "\r\n"]))
    plain, quoted = csv.writer(stream, lineterminator=line_end), csv.writer(stream, "unix", lineterminator=line_end)
    writer = plain if rng.integers(0, 2) else quoted
    writer.writerows([frame.columns, *frame.itertuples(index=False)])
    encoding = str(rng.choice(np.array(ENCODINGS)))
    hostile = mutated(stream.getvalue(), rng)
    return hostile.encode(encoding, "surrogatepass" if encoding == "utf-16" else "surrogateescape")


def _score(
    model: Path, data: bytes, folder: Path, rng: np.random.Generator, detector: Any
) -> tuple[int, str, str | None]:
    from vae_anomaly.table import stream

    folder.mkdir()
    source, out, said = folder / "in.csv", folder / "out.csv", io.StringIO()
    source.write_bytes(data)
    usual, stream.CHUNK_BYTES = stream.CHUNK_BYTES, int(rng.integers(50, 2_000))
    signal.alarm(_LONGEST)
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()):
            installed_command()(
                ["score", str(model), str(source), "-o", str(out), "--bad-rows", "skip", "--delimiter", ","]
            )
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
        return code, said.getvalue(), problem(code, said.getvalue(), data, out, detector)
    except Exception as error:  # a traceback is what there must be none of
        return 1, said.getvalue(), f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        stream.CHUNK_BYTES = usual
    return _DONE, said.getvalue(), problem(_DONE, said.getvalue(), data, out, detector)
