"""Scores of files of any size, and of their rows no more than the columns that options name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vae_anomaly._scored_columns import added_names
from vae_anomaly._segments import known_segments
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._overlap import ahead, in_order
from vae_anomaly.cli._past import Past, chunks_of, past_of
from vae_anomaly.cli._rows import Scored, check_columns, check_free, decided
from vae_anomaly.cli._scoring import Scorer

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.table.stream import Stream


def scored_narrowly(
    model: Path, files: Sequence[str], reading: Reading, names: Sequence[str], *, device: str = "auto"
) -> Scored:
    """The rows of files with their scores and decisions, and of their columns those that are named.

    Raises
    ------
    TableError
        A column is not there, or has the name of one that is added.
    """
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.artifact import read_artifact

    artifact = read_artifact(model)
    stored, past = stored_calibration(artifact), past_of(artifact, reading)
    stream = reading.stream(files)
    none = stream.schema.empty_table()
    check_columns(none, names)
    check_free(none, added_names(stored))
    if stored is not None and known_segments(none, stored.calibration.segments, stored.segment_column) is not None:
        names = [*names, str(stored.segment_column)]
    from vae_anomaly.detector import VAEDetector  # torch takes its time: what is wrong is told before

    detector = VAEDetector.load(model, device=device)
    score, beside = scores_and_columns(detector, stream, past, names, reading)
    known = set(detector.schema_.names) | (set() if past is None else past.used)
    unknown = tuple(name for name in stream.schema.names if name not in known)
    return decided(detector, beside, score, stored, unknown)


def scores_and_columns(
    detector: VAEDetector, stream: Stream, past: Past | None, names: Sequence[str], reading: Reading
) -> tuple[NDArray[np.float64], pa.Table]:
    """The scores of all rows, and their cells in the columns that are named: no more is kept of them."""
    scores, beside = [], []
    for outcome in in_order(Scorer(detector, None, reading), ahead(chunks_of(stream, past))):
        scores.append(outcome.score)
        beside.append(outcome.chunk.table.select(list(dict.fromkeys(names))))
    return np.concatenate(scores), pa.concat_tables(beside)
