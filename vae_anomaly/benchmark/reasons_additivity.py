"""Whether the shares of every row of a file add up to its anomaly score, for every kind of score."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.payment_suites import read_sparkov
from vae_anomaly.benchmark.protocol import DataSet
from vae_anomaly.benchmark.reading import read_labelled
from vae_anomaly.benchmark.reasons import ReasonRun, Sizes
from vae_anomaly.benchmark.reasons_explainers import Floats
from vae_anomaly.benchmark.table import say

if TYPE_CHECKING:
    from vae_anomaly.detector import VAEDetector

ADDITIVITY = "additivity"
ADDITIVE_FILES = ("creditcard", "sparkov")
LARGEST = "largest relative difference"
MOST = 1e-6
"""The bar."""

TERMS, EXPLAIN = "terms", "explain"
"""What is added up: the terms of the score, as numbers, of every row; the lines of `explain`, of some rows."""

_ROWS_AT_ONCE = 16_384
_EXPLAINED, _EXPLAINED_IWAE = 2_000, 200
_N_KNOWN = 20


def run_additivity(names: Sequence[str], data_dir: Path, *, sizes: Sizes) -> list[ReasonRun]:
    """Fit on each file as it is, unlabelled, and with some known frauds; add up what every row's score is made of.

    Parameters
    ----------
    names : sequence of str
        Of `ADDITIVE_FILES`, all there.
    data_dir : Path
        Where they are.
    sizes : Sizes
        Settings of the detector.

    Returns
    -------
    list of ReasonRun
        The largest difference of any row, relative to its score.
    """
    runs: list[ReasonRun] = []
    for name in names:
        path = data_dir / FILES[name].path
        data = read_sparkov(path) if name == "sparkov" else read_labelled(FILES[name], path)
        for case, detector in _detectors(data, sizes):
            say(f"adding up {name}, {case} ...")
            run = ReasonRun(ADDITIVITY, name, case, TERMS, LARGEST)
            with few_threads(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                runs += _sums(run, detector, data.X)
    return runs


def relative_difference(shares: Floats, score: Floats) -> float:
    """The largest, over rows; a score of 0 takes its shares' own size.

    Examples
    --------
    >>> relative_difference(np.array([2.0, 4.0]), np.array([2.0, 5.0]))
    0.2
    """
    return float((np.abs(shares - score) / np.maximum(np.abs(score), np.finfo(np.float64).tiny)).max())


def _detectors(data: DataSet, sizes: Sizes) -> Iterator[tuple[str, VAEDetector]]:
    """One fit without and one with known frauds; how a score is taken needs none."""
    from vae_anomaly.detector import VAEDetector

    frauds = np.flatnonzero(data.y)[:_N_KNOWN]
    known = np.where(np.isin(np.arange(len(data.y)), frauds), 1, -1)
    for labels, kinds in ((None, ("elbo", "reconstruction", "iwae")), (known, ("elbo",))):
        with few_threads(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            detector = VAEDetector(**sizes.settings).fit(data.X, known=labels)
        for score_type in kinds:
            told = "" if labels is None else ", known frauds"
            yield f"{score_type}{told}", detector.set_params(score_type=score_type)


def _sums(run: ReasonRun, detector: VAEDetector, X: Any) -> Iterator[ReasonRun]:
    """Of all terms; an importance-weighted bound takes 64 passes, and is taken of some rows only, like the lines."""
    sampled = run.case.startswith("iwae")
    n_rows = min(_EXPLAINED_IWAE if sampled else _EXPLAINED, len(X))
    some = X.iloc[:: max(1, len(X) // n_rows)].head(n_rows)
    whole = some if sampled else X
    yield replace(run, rows=len(whole), value=max(_of_terms(detector, whole)))
    lines = detector.explain(some, None)
    total = lines.groupby("row")["share"].sum().to_numpy()
    yield replace(run, method=EXPLAIN, rows=len(some), value=relative_difference(total, detector.anomaly_score(some)))


def _of_terms(detector: VAEDetector, X: Any) -> Iterator[float]:
    from vae_anomaly._explaining import score_terms

    table, score = detector._encode(X), detector.anomaly_score(X)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        _, terms = score_terms(detector, table[rows], whole=True)
        # Last column first: `terms.total` adds up as the detector does, and would differ by no bit whatever the terms.
        shares = np.column_stack([terms.known, terms.rest, terms.columns[:, ::-1]]).cumsum(axis=1)[:, -1]
        yield relative_difference(shares, score[rows])
