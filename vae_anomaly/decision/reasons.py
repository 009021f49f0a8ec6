"""Surprisals of the cells of a row to ranked reasons: which columns are unlike what is usual for them.

A column that surprises in every row is no reason for an alert, however large its surprisal: each column is judged by
its own surprisals on held-out normal rows. A surprisal s counts by how far it lies above that column's median m, in
units of that column's spread σ,

    unusualness = (s − m) / √(σ² + 2²),

with two nats added to the spread. A nat is as much in every column of a model that fits: to be t nats above what is
usual has a chance of about exp(−t) in each. So columns whose surprisals spread by a nat or less are ranked by nats, and
only one that spreads more is scaled down.

A missing cell has no surprisal, and the model does not say how likely a gap is in a given row. All that is known is the
column's share of gaps in training, and the same formula is applied to that one event.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.errors import ModelFileError

Floats = NDArray[np.float64]
Booleans = NDArray[np.bool_]

LEVELS = np.array([0, 1, 2, 5, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92, 94, 96, 97, 98, 99, 99.5, 99.8, 100.0])
"""Percentages at which the distribution of a surprisal is kept: denser where alerts are."""

_MEDIAN = 8
_CUT = 20
"""Places of 50 % and of 99 % among `LEVELS`; spreads are those of surprisals cut at the latter, so that an unknown
anomaly among the normal rows does not widen them."""

_NATS = 2.0
"""With 1, a number that spreads by one nat lost to a category that never surprises and that follows from it."""

_SAME = 1e-4
"""Nats by which surprisals differ from rounding alone."""


@dataclass(frozen=True)
class Terms:
    """The anomaly score of rows, as a sum.

    Parameters
    ----------
    columns : float64 ndarray of shape (n_rows, n_columns)
        What each column adds, in nats: its surprisal times its weight. Below 0 where a number has a density above one.
    rest : float64 ndarray of shape (n_rows,)
        What belongs to no column: the weighted KL.
    known : float64 ndarray of shape (n_rows,)
        What known frauds add.

    Examples
    --------
    >>> Terms(np.array([[2.5, -0.5]]), np.array([1.0]), np.array([0.0])).total
    array([3.])
    """

    columns: Floats
    rest: Floats
    known: Floats

    @property
    def total(self) -> Floats:
        """The anomaly score, of shape (n_rows,): added up in the order in which the detector does, to the last bit."""
        return np.asarray(self.columns.sum(axis=1) + self.rest + self.known)


@dataclass(frozen=True)
class Usual:
    """What is usual for the surprisal of each column on held-out normal rows.

    Parameters
    ----------
    quantiles : float64 ndarray of shape (n_levels, n_columns)
        Surprisals at `LEVELS`, in nats, of the rows in which the cell is present.
    spread : float64 ndarray of shape (n_columns,)
        Their standard deviation, in nats, with the highest 1 % cut.

    Examples
    --------
    A column that is always noisy, and one that hardly ever surprises:

    >>> rng = np.random.default_rng(0)
    >>> rows = np.column_stack([rng.exponential(5, 2_000), rng.normal(0.1, 0.01, 2_000)])
    >>> usual = Usual.of_rows(rows, np.full(rows.shape, True))
    >>> surprising = np.array([[9.0, 6.0]])
    >>> usual.percentile(surprising).round()
    array([[ 84., 100.]])
    >>> usual.unusualness(surprising).round(1)
    array([[1., 3.]])
    """

    quantiles: Floats
    spread: Floats

    @classmethod
    def of_rows(cls, surprisal: Floats, present: Booleans) -> Usual:
        """Take the quantiles of surprisals.

        Parameters
        ----------
        surprisal : float64 ndarray of shape (n_rows, n_columns)
            Of normal rows, in nats.
        present : bool ndarray of shape (n_rows, n_columns)
            Which cells are; a column that never is gets zeros.
        """
        columns = [surprisal[here, column] for column, here in enumerate(present.T)]
        seen = [cells if len(cells) else np.zeros(1) for cells in columns]
        quantiles = np.array([np.percentile(cells, LEVELS) for cells in seen]).reshape(-1, len(LEVELS)).T
        spread = [np.minimum(cells, most).std() for cells, most in zip(seen, quantiles[_CUT], strict=True)]
        return cls(quantiles, np.array(spread, dtype=np.float64))

    def percentile(self, surprisal: Floats) -> Floats:
        """Share of normal rows that surprise less, in %, of shape (n_rows, n_columns)."""
        places = [_place(self.quantiles[:, column], cells) for column, cells in enumerate(surprisal.T)]
        return np.asarray(np.array(places).reshape(surprisal.shape[::-1]).T)

    def unusualness(self, surprisal: Floats) -> Floats:
        """How far above its column's median a surprisal is, in spreads, of shape (n_rows, n_columns)."""
        return np.asarray((surprisal - self.quantiles[_MEDIAN]) / np.hypot(self.spread, _NATS))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name each array, for a model file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_columns: int) -> Usual:
        """Audit what a model file holds, and build it from that.

        Raises
        ------
        ModelFileError
            If the arrays are not rising quantiles and spreads of so many columns.
        """
        expected = {"quantiles": (len(LEVELS), n_columns), "spread": (n_columns,)}
        found = {name: array.shape for name, array in arrays.items() if array.dtype == np.float64}
        if found != expected or len(arrays) != len(expected):
            raise ModelFileError(
                f"What is usual for the columns must be float64 arrays of shapes {expected}. "
                f"Found { {name: (str(array.dtype), array.shape) for name, array in arrays.items()} }."
            )
        usual = cls(**arrays)
        finite = all(np.isfinite(array).all() for array in arrays.values())
        if not finite or (np.diff(usual.quantiles, axis=0) < 0).any() or (usual.spread < 0).any():
            raise ModelFileError("What is usual for the columns must be finite, and its quantiles must rise.")
        return usual


def _place(quantiles: Floats, surprisal: Floats) -> Floats:
    """Percentage of a distribution below each value; of values that many rows share, the middle of their range."""
    low = np.searchsorted(quantiles, surprisal - _SAME, side="left")
    high = np.searchsorted(quantiles, surprisal + _SAME, side="right")
    shared = (LEVELS[np.minimum(low, len(LEVELS) - 1)] + LEVELS[np.maximum(high, 1) - 1]) / 2
    return np.asarray(np.where(low < high, shared, np.interp(surprisal, quantiles, LEVELS)))


def gap_unusualness(missing_share: Floats, present: Booleans) -> Floats:
    """How unusual it is that a cell is missing, or present, by the column's share of gaps in training alone.

    Parameters
    ----------
    missing_share : float64 ndarray of shape (n_columns,)
        In (0, 1).
    present : bool ndarray of shape (n_rows, n_columns)
        Which cells are.

    Returns
    -------
    unusualness : float64 ndarray of shape (n_rows, n_columns)
        As of `Usual.unusualness`, of the surprisal −log(share of what is seen).

    Examples
    --------
    >>> gap_unusualness(np.array([0.001, 0.3, 0.98]), np.array([[False, False, True], [True, True, False]])).round(1)
    array([[3.4, 0.4, 1.9],
           [0. , 0. , 0. ]])
    """
    of_gap, of_cell = -np.log(missing_share), -np.log1p(-missing_share)
    spread = np.sqrt(missing_share * (1 - missing_share)) * np.abs(of_gap - of_cell)
    usual = np.where(missing_share > 0.5, of_gap, of_cell)
    return np.asarray((np.where(present, of_cell, of_gap) - usual) / np.hypot(spread, _NATS))


@dataclass(frozen=True)
class Reasons:
    """The columns that are reasons for the score of each row, most unusual first.

    Parameters
    ----------
    column : intp ndarray of shape (n_rows, n_reasons)
        Which column.
    surprisal : float64 ndarray of shape (n_rows, n_reasons)
        In nats; 0 for a missing cell.
    share : float64 ndarray of shape (n_rows, n_reasons)
        What the column adds to the score, in nats.
    percentile : float64 ndarray of shape (n_rows, n_reasons)
        Share of normal rows that surprise less in this column, in %; NaN for a missing cell.
    unusualness : float64 ndarray of shape (n_rows, n_reasons)
        By which they are ranked.
    by_gap : bool ndarray of shape (n_rows, n_reasons)
        Whether it is the gap, or that there is none, which is unusual, rather than the value.
    """

    column: NDArray[np.intp]
    surprisal: Floats
    share: Floats
    percentile: Floats
    unusualness: Floats
    by_gap: Booleans

    def __len__(self) -> int:
        return len(self.column)


def reasons(
    surprisal: Floats,
    terms: Terms,
    present: Booleans,
    usual: Usual,
    missing_share: Floats,
    n_reasons: int | None = None,
) -> Reasons:
    """Rank the columns of each row by how unusual they are.

    Parameters
    ----------
    surprisal : float64 ndarray of shape (n_rows, n_columns)
        In nats, as those that `usual` was taken from.
    terms : Terms
        The score.
    present : bool ndarray of shape (n_rows, n_columns)
        Which cells are.
    usual : Usual
        What is usual for each column.
    missing_share : float64 ndarray of shape (n_columns,)
        Share of gaps in training, in (0, 1).
    n_reasons : int, optional
        Most reasons of a row; all columns by default, and where there are fewer.

    Returns
    -------
    Reasons
        Columns that are equally unusual come in the order of the table.

    Examples
    --------
    >>> usual = Usual.of_rows(np.random.default_rng(0).normal(size=(500, 3)), np.full((500, 3), True))
    >>> surprisal, present = np.array([[0.0, 8.0, 0.0]]), np.array([[True, True, False]])
    >>> terms = Terms(surprisal, np.array([1.0]), np.zeros(1))
    >>> found = reasons(surprisal, terms, present, usual, np.full(3, 0.01), n_reasons=2)
    >>> found.column, found.share, found.by_gap
    (array([[1, 2]]), array([[8., 0.]]), array([[False,  True]]))
    """
    value = np.where(present, usual.unusualness(surprisal), -np.inf)
    gap = gap_unusualness(missing_share, present)
    gap = np.where(present & (gap <= 0), -np.inf, gap)  # that a cell is there is no news where cells usually are
    unusualness = np.maximum(value, gap)
    order = np.argsort(-unusualness, axis=1, kind="stable")[:, :n_reasons]

    def ranked(array: NDArray[Any]) -> NDArray[Any]:
        return np.take_along_axis(array, order, axis=1)

    percentile = np.where(present, usual.percentile(surprisal), np.nan)
    return Reasons(
        column=order,
        surprisal=ranked(np.where(present, surprisal, 0.0)),
        share=ranked(terms.columns),
        percentile=ranked(percentile),
        unusualness=ranked(unusualness),
        by_gap=ranked(gap > value),
    )
