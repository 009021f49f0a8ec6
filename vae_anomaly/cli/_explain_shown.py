"""The rows of files of any size that are shown with their reasons: no others are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._scored_columns import added_names
from vae_anomaly.cli._explained import Explained, chosen_rows, explain_rows
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._past import Past, past_of
from vae_anomaly.cli._rows import Scored, check_free
from vae_anomaly.cli._score_run import outcomes_of, readable_twice
from vae_anomaly.cli._scoring import Scorer, WholeRun
from vae_anomaly.cli.score import decided_by, thresholds_in_words
from vae_anomaly.table.stream import Stream, expanded


def explain_shown(
    model: Path,
    files: Sequence[str],
    reading: Reading,
    *,
    which: dict[str, Any],
    how: dict[str, Any],
    device: str = "auto",
) -> tuple[Explained, dict[str, Any]]:
    """Score all rows, go through them again for those to explain, and say what to say of the run.

    Parameters
    ----------
    model : Path
        The model file.
    files : sequence of str
        Files, folders and patterns.
    reading : Reading
        How the files are written.
    which : dict
        As `chosen_rows` takes it: which rows to explain.
    how : dict
        As `explain_rows` takes it.
    device : str
        Where to compute.

    Raises
    ------
    TableError
        A column has the name of one that is added, or a cell cannot be read.
    """
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.artifact import read_artifact

    artifact = read_artifact(model)
    stored, past = stored_calibration(artifact), past_of(artifact, reading)
    with readable_twice(expanded(files)) as sources:
        stream = reading.stream(sources)
        check_free(stream.schema.empty_table(), added_names(stored))
        from vae_anomaly.detector import VAEDetector  # torch takes its time: what is wrong is told before

        detector = VAEDetector.load(model, device=device)
        scorer = Scorer(detector, stored, reading)
        whole = WholeRun(outcomes_of(scorer, reading.stream(sources), None, past), stored)
        rows = whole.index[chosen_rows(whole.score, whole.alert, **which)]
        scored = _some(replace(scorer, whole=whole), stream, past, rows)
    explained = explain_rows(detector, scored, np.arange(len(rows)), reading, **how)
    facts = {"rows": len(whole.score), "alerts": int(whole.alert.sum()), "explained": len(rows)}
    facts |= {} if explained.patterns is None else {"patterns": len(explained.patterns)}
    return explained, facts | thresholds_in_words(decided_by(detector, stored))


def _some(scorer: Scorer, stream: Stream, past: Past | None, rows: NDArray[np.int64]) -> Scored:
    """The rows with these numbers."""
    tables, scores, alerts = [], [], []
    for outcome in outcomes_of(scorer, stream, None, past):
        chosen = np.isin(outcome.chunk.index, rows)
        table, names = outcome.chunk.table, outcome.added.column_names
        for name in names:
            table = table.append_column(name, outcome.added[name])
        tables.append(table.filter(pa.array(chosen)))
        scores.append(outcome.score[chosen])
        alerts.append(outcome.alert[chosen])
    known = set(scorer.detector.schema_.names) | (set() if past is None else past.used)
    unknown = tuple(name for name in stream.schema.names if name not in known)
    together = pa.concat_tables(tables)
    made = () if past is None else tuple(past.made)
    return Scored(together, np.concatenate(scores), np.concatenate(alerts), unknown, tuple(names), made, rows)
