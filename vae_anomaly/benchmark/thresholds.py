"""Wishes by the rules of thresholds on payments by time: what was asked, and what happened on later rows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.benchmark.detectors import OURS, check_installed, detector
from vae_anomaly.benchmark.encodings import ENCODINGS
from vae_anomaly.benchmark.measuring import few_threads
from vae_anomaly.benchmark.outcomes import Figure, Later, cost_of, per_period, share_of, verdict
from vae_anomaly.benchmark.table import say
from vae_anomaly.benchmark.threshold_sets import THRESHOLD_SETS, Booleans, Dated, Parts, read_set
from vae_anomaly.benchmark.wishes import ALARM, DISCOVERIES, OWN_SHARE, Wish, hindsight, wishes
from vae_anomaly.errors import TableError

if TYPE_CHECKING:
    from vae_anomaly.decision.calibration import Calibration
    from vae_anomaly.decision.calibration_rows import CalibrationRows

CONTESTANTS = (OURS, "IsolationForest", "PyOD-HBOS")
_OWN = ("IsolationForest", "PyOD-HBOS")
"""Who has a `contamination` that sets a threshold by itself."""

_HALF_LIVES = 4
"""Of the recency weights, in the time that the calibration rows cover."""

_DRIFTS = 0.01

NO_ALERTS = "no alerts"


@dataclass(frozen=True)
class ThresholdRun:
    """One wish for one detector with one seed, and what became of it.

    Parameters
    ----------
    data, detector, wish, told : str
        Their names; what the rule was told of the calibration rows.
    seed : int
        Of the detector, and of the frauds that are kept where the set keeps some.
    quantity, sense : str
        What the wish speaks of, and what it wants: "at most", "at least", "about" or "best".
    asked : float or None
        How much; for "best" what the best threshold on the later rows themselves had.
    period : str
        "day" or "hour".
    n_train, n_calibration, n_calibration_frauds, n_later, n_later_frauds : int
        Rows.
    threshold : float or None
        None where the batch decides.
    promised_low, promised_high : float or None
        The bounds of the report.
    happened, low, high : float or None
        On the later rows, with bounds at 95 % each where there are any.
    verdict : str or None
        As `vae_anomaly.benchmark.outcomes.verdict`; "no alerts" where it is not false alerts that are few.
    false_alarm_rate, alerts_per_period, precision, recall, cost : float or None
        Of the alerts on the later rows, whatever the wish was.
    n_alerts : int or None
        On the later rows.
    fit_seconds, calibrate_seconds : float or None
        Of the detector, and of the rule on scores.
    drift, drift_first_half, drift_second_half : float or None
        Share of genuine later rows, and of those in the first and second half of them, above the score that 1 % of
        genuine calibration rows are above: 1 % each if nothing drifts.
    warned, refused, failure : str or None
        What the rule warned of; why it set no threshold; why the detector gave no scores.
    """

    data: str
    detector: str
    wish: str
    told: str
    seed: int
    quantity: str
    sense: str
    asked: float | None
    period: str
    n_train: int = 0
    n_calibration: int = 0
    n_calibration_frauds: int = 0
    n_later: int = 0
    n_later_frauds: int = 0
    threshold: float | None = None
    promised_low: float | None = None
    promised_high: float | None = None
    happened: float | None = None
    low: float | None = None
    high: float | None = None
    verdict: str | None = None
    false_alarm_rate: float | None = None
    alerts_per_period: float | None = None
    precision: float | None = None
    recall: float | None = None
    cost: float | None = None
    n_alerts: int | None = None
    fit_seconds: float | None = None
    calibrate_seconds: float | None = None
    drift: float | None = None
    drift_first_half: float | None = None
    drift_second_half: float | None = None
    warned: str | None = None
    refused: str | None = None
    failure: str | None = None

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of a fitted detector, with what is known beside them.

    Parameters
    ----------
    rows : CalibrationRows
        With labels, amounts, times and recency weights, of which each wish gets what it may see.
    later : Later
        The rows that are judged.
    own : bool ndarray or None
        Which of them alert by the detector's own `contamination`, learnt from all earlier rows.
    fit_seconds : float
        Of the detector.
    """

    rows: CalibrationRows
    later: Later
    own: Booleans | None
    fit_seconds: float


def run_thresholds(
    names: Iterable[str],
    data_dir: Path,
    *,
    seeds: int = 1,
    detectors: Sequence[str] = CONTESTANTS,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[ThresholdRun]:
    """Fit each detector once for each seed and data set, and judge every wish by its scores.

    Parameters
    ----------
    names : iterable of str
        Keys of `THRESHOLD_SETS`.
    data_dir : Path
        Where the data are.
    seeds : int, default=1
        Seeds 0 to `seeds` − 1.
    detectors : sequence of str
        Of `CONTESTANTS`.
    settings : mapping of str to mapping or None, default=None
        For each detector, parameters other than its defaults: tests shorten it, no measurement does.

    Raises
    ------
    VaeAnomalyError
        If a file is not there or not what is expected, or a peer is not installed.
    """
    check_installed(detectors)
    found = []
    for name in names:
        for seed in range(seeds):
            dated, parts = read_set(name, data_dir, seed)
            for who in detectors:
                found += list(_measured(name, who, seed, dated, parts, (settings or {}).get(who, {})))
    return found


def _measured(
    name: str, who: str, seed: int, dated: Dated, parts: Parts, settings: Mapping[str, Any]
) -> Iterator[ThresholdRun]:
    say(f"{name}: {who}, seed {seed}")
    entry = THRESHOLD_SETS[name]
    n_frauds = {part: int(dated.y[rows].sum()) for part, rows in vars(parts).items()}
    plan = [wish for wish in wishes(entry) if wish.rule is not None or who in _OWN]
    runs = [
        ThresholdRun(
            *(name, who, wish.name, wish.told, seed, wish.quantity, wish.sense, wish.asked, entry.period),
            n_train=len(parts.train),
            n_calibration=len(parts.calibration),
            n_calibration_frauds=n_frauds["calibration"],
            n_later=len(parts.later),
            n_later_frauds=n_frauds["later"],
        )
        for wish in plan
    ]
    try:
        with few_threads():
            scored = _scored(who, seed, dated, parts, entry.encoding, entry.period, settings)
    except Exception as error:  # noqa: BLE001, RUF100 -- one that cannot is recorded, and the others go on
        yield from (replace(run, failure=f"{type(error).__name__}: {error}") for run in runs)
        return
    whole, first, second = drift(scored.rows, scored.later)
    for run, wish in zip(runs, plan, strict=True):
        run = replace(run, drift=whole, drift_first_half=first, drift_second_half=second)
        yield judged(replace(run, fit_seconds=scored.fit_seconds), wish, scored)


def _scored(
    who: str, seed: int, dated: Dated, parts: Parts, encoding: str, period: str, settings: Mapping[str, Any]
) -> Scored:
    """Fit in a `CalibratedDetector`, on the rows that train, and score the others once for all wishes."""
    from vae_anomaly.calibrated import CalibratedDetector
    from vae_anomaly.decision.calibration_rows import CalibrationRows
    from vae_anomaly.decision.conformal import recency_weights
    from vae_anomaly.decision.thresholds import Contamination

    earlier = dated.part(np.concatenate([parts.train, parts.calibration]))
    calibration, judge = dated.part(parts.calibration), dated.part(parts.later)
    cut = len(parts.train)
    by_time = [(np.arange(cut), np.arange(cut, len(earlier.y)))]
    start = perf_counter()
    any_rule = Contamination(0.01)  # each wish brings its own
    fitted = CalibratedDetector(contestant(who, seed, encoding, settings), any_rule, cv=by_time).fit(earlier.X)
    seconds = perf_counter() - start
    half_life = (calibration.time.max() - calibration.time.min()) / _HALF_LIVES
    rows = CalibrationRows.from_arrays(
        fitted.anomaly_score(calibration.X),
        calibration.y,
        amount=calibration.amount,
        time=calibration.time,
        weight=recency_weights(calibration.time, half_life),
    )
    own = None
    if who in _OWN:
        alone = contestant(who, seed, encoding, {**settings, "contamination": OWN_SHARE}).fit(earlier.X)
        own = alone.predict(judge.X) == -1
    later = Later(fitted.anomaly_score(judge.X), judge.y, judge.time, judge.amount, period)
    return Scored(rows, later, own, seconds)


def contestant(who: str, seed: int, encoding: str, settings: Mapping[str, Any]) -> Any:
    """A detector in scikit-learn's direction that takes the rows as they are: peers with their encoding before them.

    Examples
    --------
    >>> contestant("IsolationForest", 0, "z-scores", {}).steps[-1][1]
    IsolationForest(n_jobs=-1, random_state=0)
    """
    from sklearn.pipeline import make_pipeline

    from vae_anomaly._adapters import PyODAdapter

    built = detector(who).build(seed, settings)
    if not detector(who).scaled:
        return built
    return make_pipeline(ENCODINGS[encoding](), PyODAdapter(built) if who.startswith("PyOD") else built)


def judged(run: ThresholdRun, wish: Wish, scored: Scored) -> ThresholdRun:
    """What became of a wish: calibrate, alert on the later rows, look.

    Parameters
    ----------
    run : ThresholdRun
        Its names and counts.
    wish : Wish
        What is asked for.
    scored : Scored
        Scores of the detector.

    Returns
    -------
    ThresholdRun
        With its figures, or with the reason why the rule refused.
    """
    later = scored.later
    if wish.rule is None:
        assert scored.own is not None  # noqa: S101  (only those who have one get this wish)
        return _with_figures(run, wish, scored.own, later)
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        start = perf_counter()
        try:
            calibration = wish.rule.calibrate(seen_by(wish, scored.rows))
        except TableError as error:
            return replace(run, refused=str(error))
        seconds = perf_counter() - start
    report = calibration.guarantee
    low, high = report.interval or (None, None)
    run = replace(
        run,
        threshold=report.threshold,
        promised_low=low,
        promised_high=high,
        calibrate_seconds=seconds,
        warned=str(raised[0].message) if raised else None,
    )
    return _with_figures(run, wish, _alerts(wish, calibration, later), later)


def seen_by(wish: Wish, rows: CalibrationRows) -> CalibrationRows:
    """The calibration rows as a wish may see them: labels and weights only where it says so."""
    return replace(
        rows,
        y=rows.y if wish.labels else None,
        weight=rows.weight if wish.recent else None,
        contamination=None if wish.labels else wish.assumed,
    )


def _alerts(wish: Wish, calibration: Calibration, later: Later) -> Booleans:
    """A period is over before its batch is judged, or its highest rows are chosen."""
    from vae_anomaly.decision.budget import BudgetStream, top_k_per_period

    if wish.limit:
        n, per = int(wish.rule.n), wish.rule.per
        if wish.limit == "stream":
            assert calibration.threshold is not None  # noqa: S101  (a budget has one)
            return BudgetStream(calibration.threshold, n, per).alerts(later.score, later.time)
        return top_k_per_period(later.score, later.time, n, per)
    if calibration.threshold is None:
        return np.concatenate([calibration.alerts(later.score[rows]) for rows in later.batches()])
    return calibration.alerts(later.score)


def _with_figures(run: ThresholdRun, wish: Wish, alerts: Booleans, later: Later) -> ThresholdRun:
    figure: Figure = wish.figure(alerts, later)
    asked = hindsight(wish, later) if wish.asked is None else wish.asked
    return replace(
        run,
        asked=asked,
        happened=figure.value,
        low=figure.low,
        high=figure.high,
        verdict=NO_ALERTS if wish.quantity == DISCOVERIES and not alerts.any() else verdict(figure, asked, wish.sense),
        false_alarm_rate=share_of(alerts, ~later.y).value,
        alerts_per_period=per_period(alerts, later).value,
        precision=share_of(later.y, alerts).value,
        recall=share_of(alerts, later.y).value,
        cost=cost_of(alerts, later, "amount", ALARM),
        n_alerts=int(alerts.sum()),
    )


def drift(rows: CalibrationRows, later: Later) -> tuple[float, float, float]:
    """How far genuine rows moved, whatever any rule does: `drift` and its halves.

    Examples
    --------
    >>> from vae_anomaly.decision.calibration_rows import CalibrationRows
    >>> time = np.datetime64("2026-03-01", "ns") + np.arange(200).astype("timedelta64[h]")
    >>> later = Later(np.arange(200.0), np.zeros(200, dtype=bool), time, np.ones(200), "day")
    >>> drift(CalibrationRows.from_arrays(np.arange(100.0)), later)
    (0.505, 0.01, 1.0)
    """
    genuine = later.score[~later.y]
    level = np.quantile(rows.normal_score, 1 - _DRIFTS)
    whole, first, second = (float((part > level).mean()) for part in (genuine, *np.array_split(genuine, 2)))
    return whole, first, second
