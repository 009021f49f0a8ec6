"""What fills gaps beside ours: means and modes, scikit-learn's KNNImputer and IterativeImputer."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.encodings import clocked

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

MEANS, NEIGHBOURS, CHAINED = "mean / mode", "KNNImputer", "IterativeImputer"
MOST_ROWS = {MEANS: None, NEIGHBOURS: 10_000, CHAINED: 5_000}
"""Training rows that each gets at most, drawn at random: both take longer with every row."""

MOST_INDICATORS = 64
"""Levels up to which a category is a column of 0 and 1 for each; beyond, it is one of ranks by frequency."""


@dataclass(frozen=True)
class NumberTable:
    """Tables of numbers that stand for mixed ones, and back; learnt from training rows.

    Numbers become z-scores, moments hour and weekday. The columns of 0 and 1 of a category are all missing where it is,
    and what is filled in names the level whose column is highest; ranks are rounded.

    Parameters
    ----------
    categories : tuple of str
        The columns of levels; all others are numbers or moments.
    """

    categories: tuple[str, ...]
    _levels: dict[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    _units: dict[str, tuple[float, float]] = field(default_factory=dict, repr=False)

    def fit(self, rows: pd.DataFrame) -> NumberTable:
        """Learn levels, most frequent first, and the units of numbers."""
        for name in self.categories:
            self._levels[name] = rows[name].value_counts().index.to_numpy()
        for column, cells in clocked(rows.drop(columns=list(self.categories))).items():
            self._units[str(column)] = float(cells.mean()), float(cells.std()) or 1.0
        return self

    def encode(self, rows: pd.DataFrame) -> Floats:
        """The rows as numbers, NaN where a cell is missing or a level is new."""
        clock = clocked(rows.drop(columns=list(self.categories)))
        blocks = [((clock[name] - mean) / std).to_numpy(float)[:, None] for name, (mean, std) in self._units.items()]
        return np.column_stack(blocks + [self._codes(name, rows[name]) for name in self.categories])

    def decode(self, numbers: Floats, rows: pd.DataFrame) -> pd.DataFrame:
        """The rows with their gaps as the numbers say, moments aside."""
        out, place = {}, 0
        for name, (mean, std) in self._units.items():
            if name in rows:
                out[name] = rows[name].astype(float).fillna(_series(numbers[:, place] * std + mean, rows))
            place += 1
        for name in self.categories:
            levels = self._levels[name]
            width = self._width(name)
            block = numbers[:, place : place + width]
            best = block.argmax(1) if width > 1 else np.rint(block[:, 0] * len(levels)).clip(0, len(levels) - 1)
            out[name] = rows[name].astype(object).fillna(_series(levels[best.astype(np.intp)], rows))
            place += width
        return rows.assign(**out)

    def _width(self, name: str) -> int:
        n_levels = len(self._levels[name])
        return n_levels if n_levels <= MOST_INDICATORS else 1

    def _codes(self, name: str, cells: pd.Series) -> Floats:
        levels = self._levels[name]
        rank = {level: place for place, level in enumerate(levels)}
        codes = cells.map(rank).to_numpy(float)[:, None]
        if self._width(name) == 1:
            return np.asarray(codes / len(levels))
        return np.where(np.isnan(codes), np.nan, codes == np.arange(len(levels)))


def _series(values: Any, rows: pd.DataFrame) -> pd.Series:
    import pandas as pd

    return pd.Series(values, index=rows.index)


@dataclass(frozen=True)
class Fitted:
    """A method that has learnt from training rows.

    Parameters
    ----------
    fill : callable
        ``fill(rows)``, rows without gaps.
    seconds : float
        What learning took.
    """

    fill: Callable[[pd.DataFrame], pd.DataFrame]
    seconds: float


def fit_peer(name: str, train: pd.DataFrame, categories: Sequence[str], seed: int) -> Fitted:
    """Let a method learn from training rows, capped as `MOST_ROWS` says.

    Parameters
    ----------
    name : {"mean / mode", "KNNImputer", "IterativeImputer"}
        Which.
    train : DataFrame
        Training rows.
    categories : sequence of str
        Columns of levels.
    seed : int
        Of the rows that are kept, and of the method.
    """
    most = MOST_ROWS[name]
    some = train if most is None or len(train) <= most else train.sample(most, random_state=seed)
    start = perf_counter()
    table = NumberTable(tuple(categories)).fit(some)
    imputer = _imputer(name, seed)
    with warnings.catch_warnings():  # it says that its rounds are used up, which they are to be
        warnings.simplefilter("ignore")
        imputer.fit(table.encode(some))
    seconds = perf_counter() - start
    return Fitted(lambda rows: table.decode(imputer.transform(table.encode(rows)), rows), seconds)


def _imputer(name: str, seed: int) -> Any:
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

    if name == MEANS:
        return SimpleImputer(keep_empty_features=True)
    if name == NEIGHBOURS:
        return KNNImputer(keep_empty_features=True)
    # Training rows have few gaps: its rounds would seem to have converged after one, and later rows would get one too.
    return IterativeImputer(tol=0.0, random_state=seed, keep_empty_features=True)
