"""What the project holds itself to in speed and memory, and whether measured runs reach it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.speed import SpeedRun, medians
from vae_anomaly.benchmark.table import figure

PEER, COLUMNS, MEMORY_ROWS = "PyOD-VAE", 30, 1_000_000
FIT_RATIOS = {10_000: 5.0, 20_000: 12.0, 100_000: 50.0}
SCORE_RATIO = 3.0
SMALL_ROWS, LARGE_ROWS, GROWTH = 10_000, 500_000, 10.0
_MB = 1e6


@dataclass(frozen=True)
class Bar:
    """One requirement.

    Parameters
    ----------
    text : str
        In words.
    measured : str
        The figure.
    met : bool or None
        None if this run did not measure it.
    """

    text: str
    measured: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """In words."""
        return "not measured in this run" if self.met is None else "met" if self.met else "NOT met"


def bars(runs: Sequence[SpeedRun]) -> list[Bar]:
    """Hold measured runs against every bar; a bar counts at the size that it names and at no other.

    Parameters
    ----------
    runs : sequence of SpeedRun
        With ratios.

    Returns
    -------
    list of Bar
        All of them, measured or not.

    Examples
    --------
    >>> run = SpeedRun("PyOD-VAE", 20_000, 30, 0, fit_ratio=13.0, score_ratio=2.0)
    >>> [bar.verdict for bar in bars([run])][2:4]
    ['met', 'NOT met']
    """
    found = {(run.measures, run.detector, run.rows): run for run in medians(runs) if run.columns == COLUMNS}
    result = []
    for rows, least in FIT_RATIOS.items():
        run = found.get(("speed", PEER, rows))
        at = f"at {rows:,} x {COLUMNS} than {PEER}"
        result.append(_at_least(f"fit {least:g} times faster {at}", run.fit_ratio if run else None, least))
        result.append(
            _at_least(f"score {SCORE_RATIO:g} times faster {at}", run.score_ratio if run else None, SCORE_RATIO)
        )
    small, large = (found.get(("speed", OURS, rows)) for rows in (SMALL_ROWS, LARGE_ROWS))
    return [*result, _growth(small, large), _memory(found.get(("memory", OURS, MEMORY_ROWS)))]


def _at_least(text: str, ratio: float | None, least: float) -> Bar:
    return Bar(text, figure(ratio, 1), None if ratio is None else ratio >= least)


def _growth(small: SpeedRun | None, large: SpeedRun | None) -> Bar:
    text = f"fit on {LARGE_ROWS:,} x {COLUMNS} within {GROWTH:g} times the time on {SMALL_ROWS:,}"
    if small is None or large is None or not small.fit_seconds or large.fit_seconds is None:
        return Bar(text, figure(None), None)
    growth = large.fit_seconds / small.fit_seconds
    return Bar(text, figure(growth, 1), growth <= GROWTH)


def _memory(run: SpeedRun | None) -> Bar:
    text = f"fit on {MEMORY_ROWS:,} x {COLUMNS} within 4 x the float32 table + 1 GB"
    if run is None or run.peak_bytes is None:
        return Bar(text, figure(None), None)
    measured = f"{figure(run.peak_bytes / _MB, 0)} of {figure(run.allowed_bytes / _MB, 0)} MB"
    return Bar(text, measured, run.peak_bytes < run.allowed_bytes)
