"""What sampled rows are worth, measured beside files of real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from vae_anomaly.cli._options import Reading, check_apart
from vae_anomaly.cli._print import json_text, note
from vae_anomaly.cli._sample import sampled
from vae_anomaly.cli._sample_run import Sampling, tables
from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.table.columns import ColumnKind
from vae_anomaly.table.io import check_target, write_lines
from vae_anomaly.table.stream import expanded

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.synthetic import SyntheticQuality
    from vae_anomaly.table.schema import Schema

MOST_ROWS = 50_000
"""Rows of each sort that are compared at most: those of files are drawn, of sampled ones it is the first."""

_TOLD = (ColumnKind.NUMERIC, ColumnKind.CATEGORICAL, ColumnKind.DATETIME)
_FEWEST = 5


@dataclass(frozen=True)
class Comparison:
    """With what to compare sampled rows, and where to write what comes of it.

    Parameters
    ----------
    real, held_out : tuple of str
        Files of rows that the model was fitted to, and that it was not.
    target : str or None
        As for `vae_anomaly.synthetic_quality`.
    report : Path or None
        Where to write.
    """

    real: tuple[str, ...]
    held_out: tuple[str, ...]
    target: str | None
    report: Path | None

    def check(self, model: Path, wanted: Sampling) -> None:
        """Raise an error, before rows are made, if they could not be compared, or the report not be written."""
        for option, given in (("held-out", self.held_out), ("target", self.target), ("quality-report", self.report)):
            if given and not self.real:
                raise ParameterError(
                    f"--{option} needs --real FILE: the rows that the model was fitted to, to compare with. Found none."
                )
        if self.target is not None and not self.held_out:
            raise ParameterError("--target needs --held-out FILE: real rows to test on. Found none.")
        if self.real and wanted.n_rows < _FEWEST:
            raise ParameterError(f"--real needs -n {_FEWEST} or more, to compare with. Got {wanted.n_rows}.")
        if self.report is not None:
            self._check_report(model, wanted)
        if self.real and wanted.output != "-":
            check_apart(wanted.output, [*expanded([*self.real, *self.held_out])], "an input file")

    def check_columns(self, schema: Schema, reading: Reading) -> None:
        """Raise a `TableError` if a file has not the columns of the model, or cannot be read."""
        for files in filter(None, (self.real, self.held_out)):
            found = reading.stream(files).schema.names
            absent = [name for name in schema.modelled if name not in found]
            if absent:
                raise TableError(f"{', '.join(files)}: expected the columns of the model, found none named {absent}.")

    def measured(self, detector: VAEDetector, wanted: Sampling, reading: Reading) -> SyntheticQuality:
        """Compare, and write the report.

        Raises
        ------
        TableError
            A cell of a file cannot be read as one of its column.
        """
        from vae_anomaly.synthetic import synthetic_quality

        if wanted.conditions:
            note("these rows have cells that were fixed, and are compared with all real rows")
        schema = detector.schema_
        real, held_out = (self._rows(files, schema, reading) for files in (self.real, self.held_out))
        few = replace(wanted, n_rows=min(wanted.n_rows, MOST_ROWS))  # made anew: they are those of the file
        found = synthetic_quality(
            real,
            pa.concat_tables(tables(detector, few)).select(list(schema.modelled)),
            held_out=held_out,
            target=self.target,
            kinds={column.name: str(column.kind) for column in schema.modelled_columns if column.kind in _TOLD},
        )
        if self.report is not None:
            self._write(found, force=wanted.force)
        return found

    def _rows(self, files: Sequence[str], schema: Schema, reading: Reading) -> pa.Table | None:
        """The columns of the model of at most `MOST_ROWS` rows, drawn from the files; None without any."""
        if not files:
            return None
        drawn, n_seen = sampled((chunk.table for chunk in reading.stream(files).chunks()), MOST_ROWS, seed=0)
        if n_seen > MOST_ROWS:
            note(f"compared with {MOST_ROWS:,} of the {n_seen:,} rows of {', '.join(files)}, drawn at random")
        return reading.for_model(drawn.select(list(schema.modelled)))

    def _check_report(self, model: Path, wanted: Sampling) -> None:
        assert self.report is not None  # noqa: S101
        if self.report.suffix.lower() not in (".html", ".json"):
            raise ParameterError(f"--quality-report must end in .html or .json. Got {str(self.report)!r} instead.")
        if self.report.suffix.lower() == ".html":
            from vae_anomaly.report.render import check_jinja2

            check_jinja2()
        check_target(self.report, force=wanted.force)
        check_apart(self.report, [model, *expanded([*self.real, *self.held_out])], "an input file")
        if str(self.report) == wanted.output:
            raise ParameterError("--quality-report and -o must be two files. Got one name for both.")

    def _write(self, found: SyntheticQuality, *, force: bool) -> None:
        assert self.report is not None  # noqa: S101
        if self.report.suffix.lower() == ".json":
            text = json_text(found.to_json())
        else:
            from vae_anomaly.report.synthetic import render_quality

            text = render_quality(found)
        write_lines([text], self.report, force=force)
