"""Rules on simulated scores: seconds to calibrate on a million, and how many rows a false-alarm rate takes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from vae_anomaly.benchmark.outcomes import Figure, share_of, verdict
from vae_anomaly.benchmark.table import say
from vae_anomaly.benchmark.threshold_sets import Floats
from vae_anomaly.benchmark.thresholds import ThresholdRun
from vae_anomaly.errors import TableError

TIMED_ROWS, MOST_SECONDS = 1_000_000, 1.0
"""The bar."""

FEWEST_ROWS = 50_000
"""With fewer, rules for rare rates refuse, segments too."""

ALPHAS = (0.05, 0.01, 0.005, 0.001, 0.0005)
SIMULATED = "simulated"
_CONFIDENCE = 0.95
_REPEATS = 3
_TIMES_AS_MANY = 10
_FRAUDS = 0.01
_GROUPS = 100


def run_timing(n_rows: int = TIMED_ROWS) -> list[ThresholdRun]:
    """Calibrate every rule on so many scores, from plain arrays: checks, conversions and the report count.

    Parameters
    ----------
    n_rows : int, default=1_000_000
        Scores: normal ones, 1 % of them 3 higher and labelled frauds, over 30 days, of 100 segments.

    Returns
    -------
    list of ThresholdRun
        Medians of three, held against `MOST_SECONDS`.
    """
    columns = _columns(n_rows)
    runs = []
    for name, told, calibrate in _timed(columns):
        say(f"calibrating {name} on {n_rows:,} scores, told {told}")
        seconds = _seconds(calibrate)
        runs.append(
            ThresholdRun(
                *(SIMULATED, "–", name, told, 0, "seconds", "at most", MOST_SECONDS, "day"),
                n_calibration=n_rows,
                happened=seconds,
                calibrate_seconds=seconds,
                verdict=verdict(Figure(seconds), MOST_SECONDS, "at most"),
            )
        )
    return runs


def _columns(n_rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    y = rng.random(n_rows) < _FRAUDS
    seconds = np.sort(rng.integers(0, 30 * 86_400, n_rows)).astype("timedelta64[s]")
    return {
        "score": rng.normal(size=n_rows) + 3 * y,
        "y": y,
        "amount": rng.exponential(50, n_rows),
        "time": np.datetime64("2026-03-01", "ns") + seconds,
        "weight": rng.random(n_rows),
        "group": rng.integers(0, _GROUPS, n_rows),
    }


def _timed(columns: dict[str, Any]) -> Iterator[tuple[str, str, Callable[[], object]]]:
    from vae_anomaly.decision import thresholds as rules

    plan: list[tuple[str, Any, str]] = [
        ("FalseAlarmRate(0.001)", rules.FalseAlarmRate(0.001), "y weight"),
        ("TailRate(0.0001)", rules.TailRate(0.0001), "y"),
        ("Contamination(0.001)", rules.Contamination(0.001), "weight"),
        ("DiscoveryRate(0.1)", rules.DiscoveryRate(0.1), "y weight"),
        ("ExpectedCost('amount', 5)", rules.ExpectedCost("amount", 5), "y amount"),
        ("FBeta(1)", rules.FBeta(1), "y"),
        ("PrecisionAt(0.5)", rules.PrecisionAt(0.5), "y"),
        ("RecallAt(0.5)", rules.RecallAt(0.5), "y"),
        ("AlertBudget(200)", rules.AlertBudget(200), "time"),
        ("FalseAlarmRate(0.01)", rules.FalseAlarmRate(0.01), "group"),
    ]
    alone = ("ExpectedCost(100, 5, prevalence=0.01)", rules.ExpectedCost(100, 5, prevalence=0.01), "")
    unlabelled = [(name, rule, "") for name, rule, _ in plan[:4]]
    for name, rule, told in (*unlabelled, *plan, alone):
        given = {column: columns[column] for column in told.split()}
        yield name, told.replace(" ", ", ") or "nothing", partial(_calibrate, rule, columns["score"], given)


def _calibrate(rule: Any, score: Floats, given: dict[str, Any]) -> object:
    from vae_anomaly.decision.calibration_rows import CalibrationRows
    from vae_anomaly.decision.segments import calibrate_segments

    return calibrate_segments(rule, CalibrationRows.from_arrays(score, **given))


def _seconds(calibrate: Callable[[], object]) -> float:
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a tail cannot be fitted is no matter of time
        for _ in range(_REPEATS):
            start = perf_counter()
            calibrate()
            found.append(perf_counter() - start)
    return median(found)


def run_certified(n_simulations: int = 1_000) -> list[ThresholdRun]:
    """How many rows `FalseAlarmRate` takes for each rate, and in how many simulated calibrations the rate is exceeded.

    Parameters
    ----------
    n_simulations : int, default=1_000
        Calibrations, of uniform scores, whose true rate is known: 1 less the threshold.

    Returns
    -------
    list of ThresholdRun
        For each of `ALPHAS`, with the least rows and with ten times as many.
    """
    return [
        _certified(alpha, n_rows, n_simulations)
        for alpha in ALPHAS
        for n_rows in (least_rows(alpha), _TIMES_AS_MANY * least_rows(alpha))
    ]


def least_rows(alpha: float) -> int:
    """The fewest rows that `FalseAlarmRate` takes, by asking it.

    Examples
    --------
    >>> least_rows(0.001)
    2995
    """
    from vae_anomaly.decision.thresholds import CalibrationRows, FalseAlarmRate

    def takes(n_rows: int) -> bool:
        try:
            FalseAlarmRate(alpha, _CONFIDENCE).calibrate(CalibrationRows.from_arrays(np.arange(float(n_rows))))
        except TableError:
            return False
        return True

    low, high = 0, 1
    while not takes(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high


def band_rows(alpha: float) -> int:
    """Rows from which a band about the whole distribution is as narrow as `alpha`: Dvoretzky-Kiefer-Wolfowitz.

    One-sided, with the constant of Massart (1990): exp(−2 n α²) = 1 − confidence.

    Examples
    --------
    >>> band_rows(0.001)
    1497867
    """
    return math.ceil(-math.log(1 - _CONFIDENCE) / (2 * alpha**2))


def _certified(alpha: float, n_rows: int, n_simulations: int) -> ThresholdRun:
    from vae_anomaly.decision.thresholds import CalibrationRows, FalseAlarmRate

    say(f"simulating FalseAlarmRate({alpha:g}) on {n_rows:,} rows")
    rng = np.random.default_rng([0, n_rows])
    rule, rates = FalseAlarmRate(alpha, _CONFIDENCE), np.empty(n_simulations)
    for place in range(n_simulations):
        threshold = rule.calibrate(CalibrationRows.from_arrays(rng.random(n_rows))).threshold
        assert threshold is not None  # noqa: S101  (this rule has one)
        rates[place] = 1 - threshold
    figure = share_of(rates > alpha, np.ones(n_simulations, dtype=bool))
    asked = 1 - _CONFIDENCE
    return ThresholdRun(
        *(SIMULATED, "–", f"FalseAlarmRate({alpha:g})", "labels", 0, "share of calibrations beyond", "at most"),
        *(asked, "day"),
        n_calibration=n_rows,
        happened=figure.value,
        low=figure.low,
        high=figure.high,
        verdict=verdict(figure, asked, "at most"),
        false_alarm_rate=float(rates.mean()),
    )
