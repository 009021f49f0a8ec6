"""A peer on a file as it is: read with pandas, text and missing cells turned into numbers, fitted, scored, measured."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

from vae_anomaly.benchmark.detectors import detector
from vae_anomaly.benchmark.encodings import ordinal_encoder
from vae_anomaly.benchmark.reading import check_columns, read_rows


def measure_peer(
    name: str,
    path: str,
    label: str,
    *,
    leave_out: Sequence[str] = (),
    header: bool = True,
    train_on: str | None = None,
    negative: str | None = None,
    prevalence: float | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Read, encode, fit, score and evaluate, in this process. A measurement calls it in a process of its own.

    Parameters
    ----------
    name : str
        A detector.
    path : str
        A CSV file.
    label : str
        Its column of labels, never trained on.
    leave_out : sequence of str
        More columns that are not trained on.
    header : bool, default=True
        Whether the first line names the columns.
    train_on : str or None, default=None
        Fit on the rows with this label only.
    negative : str or None, default=None
        The label of normal rows; None if labels are 0 and 1.
    prevalence : float or None, default=None
        True share of anomalies, if the file holds more of them.
    seed : int, default=0
        Of the detector.

    Returns
    -------
    dict
        ``fit_seconds`` (reading, encoding, fitting), ``score_seconds`` (encoding, scoring), and the metrics.

    Raises
    ------
    TableError
        If a column is not there.
    """
    from vae_anomaly.decision.evaluation import evaluate_scores

    start = perf_counter()
    rows = read_rows(path, header=header)
    check_columns(rows, (label, *leave_out), path)
    labels, features = rows[label].astype(str), rows.drop(columns=[label, *leave_out])
    encoder = ordinal_encoder()
    train = encoder.fit_transform(features if train_on is None else features[labels == train_on])
    entry = detector(name)
    fitted = entry.build(seed, {}).fit(train)
    fit_seconds, start = perf_counter() - start, perf_counter()
    scores = entry.score(fitted, encoder.transform(features))
    score_seconds = perf_counter() - start
    anomalous = labels.astype(float) == 1 if negative is None else labels != negative
    report = evaluate_scores(anomalous.to_numpy(), scores, prevalence=prevalence)
    return {"fit_seconds": fit_seconds, "score_seconds": score_seconds, **report.to_json()}
