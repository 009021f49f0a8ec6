"""What the runs of a suite say together: means, ranks, wins and paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.payments import PAYMENT_METRICS
from vae_anomaly.benchmark.quality import QualityRun

FEWEST_SETS = 6
"""With fewer, no outcome of the test is below 0.05."""

METRICS = ("roc_auc", "average_precision", "average_precision_at_rate", *PAYMENT_METRICS)
_SECONDS = ("fit_seconds", "score_seconds")
Floats = NDArray[np.float64]
_Value = TypeVar("_Value", str, int)


@dataclass(frozen=True)
class Standing:
    """One metric of one detector, over the data sets that all detectors have.

    Parameters
    ----------
    mean : float
        Over data sets and seeds.
    spread : float or None
        Standard deviation, over the seeds, of the mean over the data sets; None with one seed.
    rank : float
        Mean over data sets of its place, 1 for the best; detectors that tie share their places.
    wins : float
        Data sets on which it is first; those that tie there share the win.
    p_value : float or None
        Of the two-sided Wilcoxon signed-rank test that it differs from `OURS` over the data sets, as it comes: not
        corrected for the number of tests. None for `OURS`, without it, and with fewer than `FEWEST_SETS` sets.
    """

    mean: float
    spread: float | None
    rank: float
    wins: float
    p_value: float | None


@dataclass(frozen=True)
class Summary:
    """A suite.

    Parameters
    ----------
    suite : str
        Its name.
    sets : tuple of str
        The data sets that count: those on which every detector has figures for every seed.
    left_out : dict of str to str
        The other data sets, and whose figures are missing.
    absent : tuple of str
        Detectors without a single complete data set; they take no part.
    standings : dict of str to dict of str to Standing
        For each metric that the suite has, for each detector, the best mean first.
    seconds : dict of str to tuple of float
        For each detector, mean of fit and score.
    per_set : dict of str to dict of str to dict of str to float
        For each metric, data set and detector, mean over the seeds.
    """

    suite: str
    sets: tuple[str, ...]
    left_out: dict[str, str]
    absent: tuple[str, ...]
    standings: dict[str, dict[str, Standing]]
    seconds: dict[str, tuple[float, float]]
    per_set: dict[str, dict[str, dict[str, float]]]

    def best_peer(self, metric: str) -> float | None:
        """Mean over the data sets of the best peer of each: what nobody reaches who has to choose one beforehand."""
        best = [self.best_peer_on(metric, data) for data in self.per_set[metric]]
        return float(np.mean([one[1] for one in best if one is not None])) if all(best) else None

    def best_peer_on(self, metric: str, data: str) -> tuple[str, float] | None:
        """Name and figure of the best peer on one data set; variants of ours are no peers."""
        peers = [(name, x) for name, x in self.per_set[metric][data].items() if not name.startswith(OURS)]
        return max(peers, key=lambda peer: peer[1]) if peers else None


def ranks(values: Floats) -> Floats:
    """Places within each row, 1 for the highest; those that tie share the mean of their places.

    Parameters
    ----------
    values : float64 ndarray of shape (n_sets, n_detectors)
        Higher is better.

    Returns
    -------
    float64 ndarray of the same shape

    Examples
    --------
    >>> ranks(np.array([[0.9, 0.5, 0.9]])).tolist()
    [[1.5, 3.0, 1.5]]
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(-values, axis=1), dtype=np.float64)


def paired_p_value(ours: Floats, theirs: Floats) -> float | None:
    """Two-sided p value of the Wilcoxon signed-rank test on pairs; None where there are too few.

    Examples
    --------
    >>> paired_p_value(np.arange(6.0), np.arange(6.0) + 1)
    0.03125
    """
    from scipy.stats import wilcoxon

    if len(ours) < FEWEST_SETS:
        return None
    if np.array_equal(ours, theirs):
        return 1.0
    return float(wilcoxon(ours, theirs).pvalue)


def summarise(runs: Sequence[QualityRun]) -> list[Summary]:
    """Summarise each suite.

    Parameters
    ----------
    runs : sequence of QualityRun
        Any order.

    Returns
    -------
    list of Summary
        One for each suite.

    Examples
    --------
    >>> figures = {"roc_auc": 1.0, "average_precision": 1.0, "fit_seconds": 0.5, "score_seconds": 0.1}
    >>> summary, = summarise([QualityRun("normal50", "wine", "kNN", 0, **figures)])
    >>> summary.standings["roc_auc"]["kNN"].mean
    1.0
    """
    return [_summary(suite, [run for run in runs if run.suite == suite]) for suite in _distinct(r.suite for r in runs)]


def _summary(suite: str, runs: Sequence[QualityRun]) -> Summary:
    all_sets, seeds = _distinct(run.data for run in runs), _distinct(run.seed for run in runs)
    found = {(run.data, run.detector, run.seed): run for run in runs if run.failure is None and run.roc_auc is not None}
    whole = {
        name: {data for data in all_sets if all((data, name, seed) in found for seed in seeds)}
        for name in _distinct(run.detector for run in runs)
    }
    names = [name for name, has in whole.items() if has]
    sets = [data for data in all_sets if names and all(data in whole[name] for name in names)]
    missing = {data: [name for name in names if data not in whole[name]] for data in all_sets if data not in sets}
    standings, per_set = {}, {}
    for metric in METRICS:
        values = _cube(found, sets, names, seeds, metric)
        if values.size and np.isfinite(values).all():
            standings[metric] = _standings(values, names)
            means = values.mean(axis=2).tolist()
            per_set[metric] = {data: dict(zip(names, row, strict=True)) for data, row in zip(sets, means, strict=True)}
    fit, score = (_cube(found, sets, names, seeds, field).mean(axis=(0, 2)) if sets else [] for field in _SECONDS)
    return Summary(
        suite=suite,
        sets=tuple(sets),
        left_out={data: ", ".join(who) or "every detector" for data, who in missing.items()},
        absent=tuple(name for name in whole if name not in names),
        standings=standings,
        seconds={name: (float(a), float(b)) for name, a, b in zip(names, fit, score, strict=bool(sets))},
        per_set=per_set,
    )


def _cube(
    found: dict[tuple[str, str, int], QualityRun],
    sets: Sequence[str],
    names: Sequence[str],
    seeds: Sequence[int],
    figure: str,
) -> Floats:
    """Data sets × detectors × seeds; NaN where there is no such figure."""
    cells = [[[getattr(found[data, name, seed], figure) for seed in seeds] for name in names] for data in sets]
    return np.array(cells, dtype=np.float64)


def _standings(values: Floats, names: Sequence[str]) -> dict[str, Standing]:
    over_seeds = values.mean(axis=2)
    places = ranks(over_seeds)
    first = over_seeds == over_seeds.max(axis=1, keepdims=True)
    wins = (first / first.sum(axis=1, keepdims=True)).sum(axis=0)
    ours = over_seeds[:, names.index(OURS)] if OURS in names else None
    standings = {
        name: Standing(
            mean=float(values[:, i].mean()),
            spread=float(values[:, i].mean(axis=0).std(ddof=1)) if values.shape[2] > 1 else None,
            rank=float(places[:, i].mean()),
            wins=float(wins[i]),
            p_value=None if ours is None or name == OURS else paired_p_value(ours, over_seeds[:, i]),
        )
        for i, name in enumerate(names)
    }
    return dict(sorted(standings.items(), key=lambda item: -item[1].mean))


def _distinct(values: Iterable[_Value]) -> list[_Value]:
    return list(dict.fromkeys(values))
