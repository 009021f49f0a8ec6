"""How long a fit and a score take beside peers in one run, and how much memory a fit needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from vae_anomaly.benchmark.detectors import OURS, check_installed
from vae_anomaly.benchmark.process import run_task
from vae_anomaly.benchmark.table import say
from vae_anomaly.errors import VaeAnomalyError

PEERS = ("PyOD-VAE", "IsolationForest")
ALLOWED_TABLES, ALLOWED_BYTES = 4, 10**9
"""A fit may take so many times the float32 table, and so much for the interpreter and its libraries."""


@dataclass(frozen=True)
class SpeedRun:
    """One fit of one detector in its own process.

    Parameters
    ----------
    detector : str
        Its name.
    rows, columns : int
        Of the table.
    seed : int
        Of the detector; the table is the same for all.
    measures : str
        "speed", or "memory": a fit alone.
    warm_up_seconds : float or None
        Of the first fit in the process, as brief as can be: what is imported on first use.
    fit_seconds, score_seconds : float or None
        Wall-clock of a fit on the table, and of a score of all of it. None if it was not measured.
    fit_ratio, score_ratio : float or None
        How many times as long as ours, of the same rows and seed, each took.
    peak_bytes : int or None
        Most memory that the process had held when the fit ended.
    device : str or None
        Where it computed.
    failure : str or None
        Why there are no figures.
    """

    detector: str
    rows: int
    columns: int
    seed: int
    measures: str = "speed"
    warm_up_seconds: float | None = None
    fit_seconds: float | None = None
    score_seconds: float | None = None
    fit_ratio: float | None = None
    score_ratio: float | None = None
    peak_bytes: int | None = None
    device: str | None = None
    failure: str | None = None

    @property
    def score_rows_per_second(self) -> float | None:
        """Throughput of scoring."""
        return None if self.score_seconds is None else self.rows / self.score_seconds

    @property
    def allowed_bytes(self) -> int:
        """The limit on `peak_bytes`."""
        return ALLOWED_TABLES * 4 * self.rows * self.columns + ALLOWED_BYTES

    def to_row(self) -> dict[str, Any]:
        """A row of the tidy table."""
        return {**asdict(self), "score_rows_per_second": self.score_rows_per_second}


def run_speed(
    rows: Sequence[int],
    columns: int,
    *,
    repeats: int = 1,
    memory_rows: int = 0,
    peers: Sequence[str] = PEERS,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[SpeedRun]:
    """Measure ours and the peers by turns, so that a machine that slows down slows all of them.

    Parameters
    ----------
    rows : sequence of int
        Sizes of the table.
    columns : int
        Its columns.
    repeats : int, default=1
        How often, each with a seed of its own.
    memory_rows : int, default=0
        Rows of the fit whose memory is measured; 0 leaves it out.
    peers : sequence of str
        Beside `OURS`.
    settings : mapping of str to mapping or None, default=None
        For each detector, parameters other than its defaults; none in a measurement.

    Returns
    -------
    list of SpeedRun
        With ratios.

    Raises
    ------
    MissingExtraError
        If a peer is not installed.
    """
    names = (OURS, *peers)
    check_installed(names)
    plan = [
        SpeedRun(name, n_rows, columns, seed)
        for n_rows in dict.fromkeys(rows)
        for seed in range(repeats)
        for name in dict.fromkeys(names)
    ]
    if memory_rows:
        plan.append(SpeedRun(OURS, memory_rows, columns, 0, measures="memory"))
    return with_ratios([_measured(run, (settings or {}).get(run.detector, {})) for run in plan])


def with_ratios(runs: Sequence[SpeedRun]) -> list[SpeedRun]:
    """Set each run beside ours of the same rows, columns and seed.

    Examples
    --------
    >>> ours = SpeedRun("VAEDetector", 100, 4, 0, fit_seconds=2.0, score_seconds=0.5)
    >>> peer = SpeedRun("PyOD-VAE", 100, 4, 0, fit_seconds=30.0, score_seconds=1.0)
    >>> with_ratios([ours, peer])[1].fit_ratio
    15.0
    """
    ours = {_setting(run): run for run in runs if run.detector == OURS}
    return [_beside(run, ours[_setting(run)]) if _setting(run) in ours else run for run in runs]


def medians(runs: Iterable[SpeedRun]) -> list[SpeedRun]:
    """One run for each detector and size, every figure the median over the repeats that went well.

    A median of ratios is taken over pairs that were measured one after the other; it need not be the ratio of medians.

    Examples
    --------
    >>> runs = [SpeedRun("VAEDetector", 100, 4, seed, fit_seconds=s) for seed, s in enumerate((1.0, 9.0, 2.0))]
    >>> medians(runs)[0].fit_seconds
    2.0
    """
    groups: dict[tuple[str, str, int, int], list[SpeedRun]] = {}
    for run in runs:
        groups.setdefault((run.measures, run.detector, run.rows, run.columns), []).append(run)
    return [_median_run(group) for group in groups.values()]


def _median_run(group: Sequence[SpeedRun]) -> SpeedRun:
    names = ("warm_up_seconds", "fit_seconds", "score_seconds", "fit_ratio", "score_ratio", "peak_bytes")
    figures: dict[str, Any] = {name: _median(getattr(run, name) for run in group) for name in names}
    return replace(group[0], **figures)


def _measured(run: SpeedRun, settings: Mapping[str, Any]) -> SpeedRun:
    say(f"measuring {run.measures} of {run.detector}, {run.rows:,} x {run.columns}, seed {run.seed} ...")
    try:
        found = run_task(
            "speed",
            name=run.detector,
            n_rows=run.rows,
            n_columns=run.columns,
            seed=run.seed,
            scoring=run.measures == "speed",
            settings=dict(settings),
        )
    except VaeAnomalyError as error:  # the others still count
        say(f"failed: {error}")
        return replace(run, failure=str(error))
    return replace(run, **found)


def _setting(run: SpeedRun) -> tuple[str, int, int, int]:
    return run.measures, run.rows, run.columns, run.seed


def _beside(run: SpeedRun, ours: SpeedRun) -> SpeedRun:
    return replace(
        run,
        fit_ratio=_quotient(run.fit_seconds, ours.fit_seconds),
        score_ratio=_quotient(run.score_seconds, ours.score_seconds),
    )


def _quotient(theirs: float | None, ours: float | None) -> float | None:
    return None if theirs is None or ours is None else theirs / ours


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None
