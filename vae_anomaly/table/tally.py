"""Distinct values and the weight of the rows that have them: the only thing that statistics are made of.

Whatever is computed from a tally is independent of the order of the rows, and a row of weight two counts exactly as the
row twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from vae_anomaly.errors import ParameterError

_SMALLEST_SCALE = 1e-300
_NORMAL_IQR = 1.349  # interquartile range of the standard normal distribution
_TAIL_FACTOR = 100.0


@dataclass(frozen=True)
class Rows:
    """Which rows count, and how much.

    Parameters
    ----------
    total : float
        Weight of all rows.
    weights : ndarray or None
        Weight of each row that counts; None if each weighs one.
    kept : ndarray or None
        Positions of the rows that count; None if all do.
    """

    total: float
    weights: NDArray[np.float64] | None = None
    kept: NDArray[np.intp] | None = None

    @classmethod
    def of(cls, n_rows: int, sample_weight: ArrayLike | None) -> Rows:
        """Check the weights; rows of weight zero do not count at all."""
        if sample_weight is None:
            return cls(float(n_rows))
        weights = np.asarray(sample_weight, dtype=np.float64)
        if weights.shape != (n_rows,) or not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
            raise ParameterError(
                f"The 'sample_weight' parameter must hold {n_rows} finite numbers of at least 0, not all 0. "
                f"Got an array of shape {weights.shape} instead."
                if weights.shape != (n_rows,)
                else "The 'sample_weight' parameter must hold finite numbers of at least 0, not all 0."
            )
        kept = None if weights.all() else np.flatnonzero(weights)
        counted = weights if kept is None else weights[kept]
        return cls(float(counted.sum()), None if (counted == 1).all() else counted, kept)

    def select(self, cells: Any) -> Any:
        """The rows that count, of a NumPy or pyarrow array."""
        if self.kept is None:
            return cells
        return cells[self.kept] if isinstance(cells, np.ndarray) else cells.take(pa.array(self.kept))

    def number(self, index: int) -> int:
        """The row that `index` among the selected ones is in the user's table, counted from one."""
        return int(index if self.kept is None else self.kept[index]) + 1


@dataclass(frozen=True)
class Distinct:
    """Distinct cells in order of first appearance, without missing ones, and the weight of each."""

    values: Any
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, cells: Any, weights: NDArray[np.float64] | None) -> Distinct:
        """Count the cells of a plain or dictionary-encoded pyarrow array."""
        encoded = cells if pa.types.is_dictionary(cells.type) else cells.dictionary_encode()
        indices = encoded.indices
        if indices.null_count:
            weights = None if weights is None else weights[indices.is_valid().to_numpy(zero_copy_only=False)]
            indices = indices.drop_null()
        counts = np.bincount(indices.to_numpy(), weights, minlength=len(encoded.dictionary)).astype(np.float64)
        return cls(encoded.dictionary, counts).where(counts > 0)

    def where(self, mask: NDArray[np.bool_]) -> Distinct:
        """Only some of the values."""
        return self if mask.all() else Distinct(self.values.filter(pa.array(mask)), self.weights[mask])

    def map(self, values: Any) -> Distinct:
        """The same weights for other values, such as cleaned ones; values that became null are dropped."""
        if not values.null_count:
            return Distinct(values, self.weights)
        return Distinct(values, self.weights).where(values.is_valid().to_numpy(zero_copy_only=False))

    def merged(self) -> Distinct:
        """Equal values counted together."""
        return Distinct.of(self.values, self.weights)

    def by_weight(self) -> Distinct:
        """Heaviest first, ties in the order of their text."""
        keys = [("weight", "descending"), ("value", "ascending")]
        order = pc.sort_indices(pa.table({"value": self.values, "weight": self.weights}), sort_keys=keys)
        return Distinct(self.values.take(order), self.weights[order.to_numpy()])


@dataclass(frozen=True)
class NumberTally:
    """Distinct numbers in rising order, in their own type, and the weight of each."""

    values: NDArray[Any]
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, numbers: NDArray[Any], weights: NDArray[np.float64] | None = None) -> NumberTally:
        """Count numbers; NaN is no number."""
        if numbers.dtype.kind == "f" and not (present := ~np.isnan(numbers)).all():
            numbers, weights = numbers[present], None if weights is None else weights[present]
        if weights is None:
            ordered = np.sort(numbers)
        else:
            order = np.argsort(numbers)
            ordered, weights = numbers[order], weights[order]
        new = np.ones(len(ordered), dtype=bool)
        np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
        starts = np.flatnonzero(new)
        if weights is None:
            sums = np.diff(starts, append=len(ordered)).astype(np.float64)
        else:
            sums = np.add.reduceat(weights, starts) if len(starts) else np.empty(0)
        values = ordered[starts]
        return cls(values + values.dtype.type(0), sums)  # makes -0.0 plain zero

    def __len__(self) -> int:
        return len(self.values)

    @property
    def total(self) -> float:
        """Weight of all rows with a number."""
        return float(self.weights.sum())

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers."""
        return self.values.dtype.kind in "iu" or bool((np.floor(self.values) == self.values).all())

    def location_and_scale(self) -> tuple[float, float]:
        """Mean and standard deviation, or the robust pair where a few huge values blow up the deviation.

        The robust pair is the median and the interquartile range / 1.349. It is taken if that is above zero and the
        deviation is over a hundred times as large. Both are rounded to the precision of float32.
        """
        values = self.values.astype(np.float64)
        largest = float(np.abs(values).max())
        values /= largest  # so that nothing overflows on the way
        weights = self.weights / self.total
        # Sums rather than BLAS products, whose last bits depend on the number of threads.
        location = float((weights * values).sum())
        scale = float(np.sqrt((weights * (values - location) ** 2).sum()))
        low, median, high = values[np.searchsorted(np.cumsum(self.weights), self.total * np.array([0.25, 0.5, 0.75]))]
        robust = (high - low) / _NORMAL_IQR
        if robust > 0 and scale > _TAIL_FACTOR * robust:
            location, scale = median, robust
        return _round(location * largest), max(_round(scale * largest), _SMALLEST_SCALE)


def _round(value: float) -> float:
    """Round to 24 bits, as float32 does, but keep the range of float64."""
    mantissa, exponent = np.frexp(value)
    limit = np.finfo(np.float64).max
    with np.errstate(over="ignore"):
        return float(np.clip(np.ldexp(np.float64(np.float32(mantissa)), exponent), -limit, limit))
