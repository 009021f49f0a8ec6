"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vae_anomaly.errors import OutputError, ParameterError

if TYPE_CHECKING:
    import pyarrow as pa

    from vae_anomaly.table.stream import Stream

ERROR, SKIP, MISSING = BAD_ROWS = ("error", "skip", "missing")
_READING = "Reading files"
_BAD_ROWS = "Rows that cannot be read"

Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="CSV (also .gz, .bz2, .zst) or Parquet files of one layout, one below the other; a folder or a pattern in"
        " quotes means the files in it, by name; - is standard input.",
        show_default=False,
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model file that fit wrote.", show_default=False)]
Delimiter = Annotated[
    str | None,
    typer.Option(
        metavar="CHAR",
        help="Between cells; found in the header line if not given. 'tab' is a tab.",
        rich_help_panel=_READING,
    ),
]
Encoding = Annotated[
    str, typer.Option(metavar="NAME", help="Of CSV text, such as latin-1 or cp1252.", rich_help_panel=_READING)
]
Decimal = Annotated[
    str, typer.Option(metavar="CHAR", help="Decimal mark of CSV numbers: . or ,", rich_help_panel=_READING)
]
NoHeader = Annotated[
    bool,
    typer.Option(
        "--no-header",
        help="The first line is data; columns are called column_1, column_2, ...",
        rich_help_panel=_READING,
    ),
]
BadRows = Annotated[
    str,
    typer.Option(
        metavar="error|skip|missing",
        help="A row that cannot be read is an error; or goes to the rejects; or only where it has too many or too few"
        " cells, other cells that cannot be read counting as missing.",
        rich_help_panel=_BAD_ROWS,
    ),
]
Rejects = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Where rejected rows go, as CSV: file, line, reason, text (OUT.rejects.csv if not given).",
        rich_help_panel=_BAD_ROWS,
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Go on with what an interrupted run of the same command left, if it left anything."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace an existing output file, and what an interrupted run left.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
SpreadsheetSafe = Annotated[
    bool,
    typer.Option(
        "--spreadsheet-safe",
        help="Put an apostrophe in front of text and column names in OUT that a spreadsheet would run as a formula"
        " (=, +, -, @, tab). Without it cells come out as they went in, and identifiers stay what they are.",
    ),
]
Device = Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda or mps.")]


@dataclass(frozen=True)
class Reading:
    """How the input files are written.

    Parameters
    ----------
    delimiter : str or None
        As given in the shell, so that ``tab`` and a backslash followed by t are a tab.
    encoding, decimal : str
        As for `vae_anomaly.table.io.read_table`.
    no_header : bool
        Whether the first line is data.
    """

    delimiter: str | None = None
    encoding: str = "utf-8"
    decimal: str = "."
    no_header: bool = False

    def tables(self, files: Sequence[str]) -> pa.Table:
        """The rows of all files, every CSV cell as it is written."""
        import pyarrow as pa

        return pa.concat_tables([chunk.table for chunk in self.stream(files).chunks()])

    def stream(self, files: Sequence[str], *, keep_bad: bool = False) -> Stream:
        """The same rows, some at a time; `keep_bad` as in `vae_anomaly.table.stream.Stream`."""
        from vae_anomaly.table.csv_text import CsvDialect
        from vae_anomaly.table.stream import Stream, expanded

        delimiter = "\t" if self.delimiter in ("tab", r"\t") else self.delimiter
        dialect = CsvDialect(delimiter, self.encoding, self.decimal, not self.no_header)
        return Stream(expanded(files), dialect, keep_bad=keep_bad)

    def for_model(self, table: pa.Table) -> pa.Table:
        """The same rows as the detector is to see them."""
        from vae_anomaly.table.io import with_decimal_points

        return with_decimal_points(table) if self.decimal == "," else table


def check_model_target(output: Path, files: Sequence[str]) -> None:
    """Raise an `OutputError` if a model cannot be kept there, or would take the place of the rows that it is made of.

    Examples
    --------
    >>> check_model_target(Path(os.devnull), [])
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.OutputError: /dev/null: expected the name of a file for the model, found a device or a pipe. \
Name a file.
    """
    if str(output) == "-" or (output.exists() and not output.is_file()):
        raise OutputError(
            f"{output}: expected the name of a file for the model, found a device or a pipe. Name a file."
        )
    check_apart(output, files, "an input file")


def check_spreadsheet_safe(wanted: bool, output: str | None) -> None:
    """Raise a `ParameterError` if nothing is written that a spreadsheet could open."""
    if wanted and output is None:
        raise ParameterError("--spreadsheet-safe says how to write rows: it goes with -o OUT. Give both, or neither.")


def check_apart(output: str | os.PathLike[str], sources: Sequence[str | os.PathLike[str]], what: str) -> None:
    """Raise an `OutputError` if `output` is one of the files that a command reads: --force is not meant for those."""
    for source in sources:
        if os.path.exists(output) and os.path.exists(source) and os.path.samefile(output, source):
            raise OutputError(
                f"{output}: expected a file that may be replaced, found {what} of this command. Name another."
            )


def parse_contamination(text: str) -> str | float:
    """``auto`` or a share of the rows.

    Examples
    --------
    >>> parse_contamination("auto"), parse_contamination("0.01")
    ('auto', 0.01)
    """
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"--contamination must be 'auto' or a number in [0, 0.5]. Got {text!r} instead.") from None


def parse_kinds(pairs: Sequence[str], identifiers: Sequence[str]) -> dict[str, str]:
    """``COL=KIND`` pairs and identifier columns as one mapping of column to kind.

    Examples
    --------
    >>> parse_kinds(["zip=categorical"], ["card"])
    {'zip': 'categorical', 'card': 'identifier'}
    """
    kinds = {}
    for pair in pairs:
        column, equals, kind = pair.rpartition("=")
        if not (column and equals and kind):
            raise ParameterError(f"--kind must be COL=KIND, such as zip=categorical. Got {pair!r} instead.")
        kinds[column] = kind
    return kinds | dict.fromkeys(identifiers, "identifier")
