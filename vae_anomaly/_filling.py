"""How far a fitted network is to be believed in missing numbers, taken from rows of the fit and kept in a model file.

What the decoder expects of a number is corrected twice: by what it misses of the observed numbers of the row, as far as
those misses go together, and towards the column's mean, as far as hidden numbers of held-out rows ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vae_anomaly.errors import ModelFileError
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.decoding import likeliest_rows
from vae_anomaly.model.explaining import hide
from vae_anomaly.model.imputing import drawn_numbers, explanation, middle
from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.scoring import latent_means
from vae_anomaly.model.threads import at_most
from vae_anomaly.table.columns import NumericColumn
from vae_anomaly.table.layout import EncodedTable, Layout
from vae_anomaly.table.schema import Schema
from vae_anomaly.training.device import exact_products

Floats = NDArray[np.float64]

COVERED = 0.8
"""Share of the hidden numbers that intervals of draws cover."""

_MOST_ROWS, _MOST_NUMBERS = 4096, 256
"""Rows that misses are taken from; numbers from which on they are taken for independent, for the memory of it."""

_SHRINKAGE, _LEAST_MISS, _MOST_MISSES = 0.2, 0.05, 30.0
"""Of correlations towards none (Ledoit & Wolf 2004); the least standard deviation of misses; how many of it count."""

_HIDDEN, _HELD_OUT_ROWS = (0.05, 0.4), 1024
"""Shares of the cells of a held-out row that are hidden; how many such rows there are of each member, or nearly."""

_N_DRAWS, _LEAST_CELLS = 20, 30
"""Of each held-out row, for its intervals; hidden cells that a spread of its own takes."""

_AS_ROWS, _FAR = 20, 5.0
"""How many cells a slope of 1 counts as; standard deviations at which cells are cut for slopes."""

_MOST_DECIMALS, _ROUNDED_SHARE, _SURE = 6, 0.995, 20.0
"""Decimals that are tried; share of cells that do with them; how many times float32's error a decimal has to be."""

_CLOSE = 1e-6
NOT_ROUNDED = -1
_NOT_WIDER = np.array([1.0, 0.0])


@dataclass(frozen=True, eq=False)
class Filling:
    """What missing numbers need beside the network, for each of them in standardised units.

    Parameters
    ----------
    centre : float64 ndarray of shape (n_values,)
        Means over rows of the fit.
    slope : float64 ndarray of shape (n_values,)
        How much of the distance from the centre is to be believed, in [0, 1].
    spread : float64 ndarray of shape (n_values,)
        What draws are stretched by around what is expected.
    widening : float64 ndarray of shape (2,)
        What they are stretched by besides: the first number for a row without gaps, and the second more for one of
        which all is missing.
    miss : float64 ndarray of shape (n_values,)
        Standard deviation of what a reconstruction misses.
    correlation : float64 ndarray of shape (n_values, n_values)
        Of what reconstructions miss, shrunk; (0, 0) where there are too many numbers.
    decimals : int64 ndarray of shape (n_values,)
        Of the cells in their unit, `NOT_ROUNDED` where they have no precision of their own.
    """

    centre: Floats
    slope: Floats
    spread: Floats
    widening: Floats
    miss: Floats
    correlation: Floats
    decimals: NDArray[np.int64]

    @classmethod
    def of_fit(cls, model: TabularVAE, fitted: EncodedTable, held_out: Batch, schema: Schema) -> Filling:
        """Measure on rows of the fit, and on those that each member holds out.

        Parameters
        ----------
        model : TabularVAE
            Trained.
        fitted : EncodedTable
            Rows of the fit.
        held_out : Batch
            Rows of each member.
        schema : Schema
            Of the columns.
        """
        n_values = fitted.values.shape[1]
        if not n_values:
            nothing = np.zeros(0)
            return cls(nothing, nothing, nothing, _NOT_WIDER, nothing, np.zeros((0, 0)), np.zeros(0, np.int64))
        some = fitted[np.linspace(0, len(fitted) - 1, min(len(fitted), _MOST_ROWS)).astype(np.intp)]
        observed = ~np.isnan(some.values)
        centre = np.where(observed, some.values, 0.0).sum(axis=0, dtype=np.float64) / observed.sum(axis=0).clip(1)
        ones, empty = np.ones(n_values), np.zeros((0, 0))
        with exact_products():
            miss, correlation = _misses(model, some) if n_values <= _MOST_NUMBERS else (ones, empty)
            plain = cls(centre, ones, ones, _NOT_WIDER, miss, correlation, _decimals(some.values, schema))
            return plain._judged(model, held_out)

    def expected(self, numbers: Floats, observed: Floats) -> Floats:
        """What is expected of numbers, from what the decoder expects of them.

        Parameters
        ----------
        numbers : float64 ndarray of shape (n_rows, n_values)
            The decoder's.
        observed : float64 ndarray of shape (n_rows, n_values)
            Cells of the rows, NaN where they are missing.

        Returns
        -------
        numbers : float64 ndarray of shape (n_rows, n_values)
            The conditional mean of a normal distribution of misses, and then the slope. Rows of which nothing at all is
            observed are no concern of this.
        """
        return np.asarray(self.centre + self.slope * (self._with_misses(numbers, observed) - self.centre))

    def drawn(self, expected: Floats, away: Floats, missing: Floats) -> Floats:
        """Draws, from how far those of the decoder are from what it expects, and each row's share of missing cells."""
        wider = self.widening[0] + self.widening[1] * missing
        return np.asarray(expected + self.spread * wider[:, None] * away)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name each array, for a model file."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_values: int) -> Filling:
        """Audit what a model file holds, and build it from that.

        Raises
        ------
        ModelFileError
            If it is not what `to_arrays` gives for so many numbers.
        """
        n_related = n_values if n_values <= _MOST_NUMBERS else 0
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(cls.__dataclass_fields__, (n_values,))
        shapes |= {"correlation": (n_related, n_related), "widening": (2,)}
        found = {name: (array.shape, array.dtype.name) for name, array in arrays.items()}
        wanted = {name: (shape, "int64" if name == "decimals" else "float64") for name, shape in shapes.items()}
        if found != wanted or not all(np.isfinite(array).all() for array in arrays.values()):
            raise ModelFileError(
                f"The file's arrays for missing numbers must be finite and {wanted}, found {found}. Use the file as it "
                "was first written."
            )
        return cls(**arrays)

    # ---------------------------------------------------------------- the parts of it

    def _with_misses(self, numbers: Floats, observed: Floats) -> Floats:
        """Add what is expected to be missed of each number, given what is missed of the observed ones."""
        out = numbers.copy()
        if not self.correlation.size:
            return out
        step = max(1, 2**22 // self.correlation.size)
        for start in range(0, len(numbers), step):
            some = slice(start, start + step)
            there = ~np.isnan(observed[some])
            missed = np.where(there, (observed[some] - numbers[some]) / self.miss, 0.0)
            both = there[:, :, None] & there[:, None, :]
            system = np.where(both, self.correlation, np.eye(len(self.miss)))
            weight = np.linalg.solve(system, missed.clip(-_MOST_MISSES, _MOST_MISSES)[:, :, None])[:, :, 0]
            out[some] += (weight @ self.correlation).clip(-_MOST_MISSES, _MOST_MISSES) * self.miss
        return out

    def _judged(self, model: TabularVAE, held_out: Batch) -> Filling:
        """With slopes and spreads that fit numbers hidden in held-out rows, each member judging those of its own."""
        rng = np.random.default_rng(0)
        times = max(1, _HELD_OUT_ROWS // held_out.codes.shape[1])  # the same rows again, and other cells of them hidden
        rows = held_out.map(lambda block: block.to(model.device).repeat(1, times, 1))
        hidden = _some_hidden(model.layout, rows, rng)
        seen = _hidden_of_members(rows, hidden)
        with at_most(1):
            found = explanation(model, seen)
            around = middle(model, found, rng)
            away = [_flat(drawn_numbers(model, found, rng) - around) for _ in range(_N_DRAWS)]
        values = _flat(rows.values)
        where = hidden.flatten(0, 1)[:, : values.shape[1]].cpu().numpy() & ~np.isnan(values)
        expected = self._with_misses(_flat(found.numbers), np.where(where, np.nan, values))
        pairs = zip((expected - self.centre).T, (values - self.centre).T, where.T, strict=True)
        slope = np.array([_slope(told[at], true[at]) for told, true, at in pairs])
        off = np.abs(values - self.centre - slope * (expected - self.centre))
        ratio = off / np.maximum(_quantile(np.abs(away)), _CLOSE)
        spread = _spreads(ratio, where)
        missing = 1 - _flat(seen.observed().double()).mean(axis=1)
        widening = _widening((ratio / spread)[where], np.broadcast_to(missing[:, None], where.shape)[where])
        return replace(self, slope=slope, spread=spread, widening=widening)


@dataclass(frozen=True, eq=False)
class FittedCells:
    """What a `Filling` is measured on, until it is first asked for.

    Parameters
    ----------
    model, fitted, held_out, schema
        As of `Filling.of_fit`.
    """

    model: TabularVAE
    fitted: EncodedTable
    held_out: Batch
    schema: Schema

    def filling(self) -> Filling:
        """Measure it."""
        return Filling.of_fit(self.model, self.fitted, self.held_out, self.schema)


def _misses(model: TabularVAE, table: EncodedTable) -> tuple[Floats, Floats]:
    """Standard deviations and correlations of what reconstructions miss."""
    missed = np.nan_to_num(table.values.astype(np.float64) - likeliest_rows(model, latent_means(model, table)).values)
    miss = np.maximum(np.sqrt(np.square(missed).mean(axis=0)), _LEAST_MISS)
    away = (missed / miss).clip(-_MOST_MISSES, _MOST_MISSES)
    correlation = (1 - _SHRINKAGE) * (away.T @ away) / len(away)
    np.fill_diagonal(correlation, 1.0)
    return miss, correlation


def _slope(expected: Floats, observed: Floats) -> float:
    """Least squares through the centre, with some rows added that ask for 1."""
    if not len(expected):
        return 1.0
    most = _FAR * max(float(observed.std()), 1e-6)
    expected, observed = expected.clip(-most, most), observed.clip(-most, most)
    square = float(np.square(expected).sum())
    added = square / len(expected) * _AS_ROWS
    return float(np.clip((expected @ observed + added) / max(square + added, 1e-12), 0.0, 1.0))


def _quantile(values: Floats) -> Floats:
    """What the wanted share of further values would be below, along the first axis."""
    return np.asarray(np.quantile(values, COVERED, axis=0, method="weibull"))


def _spreads(ratio: Floats, where: NDArray[np.bool_]) -> Floats:
    """For each number the quantile of these ratios that covers the wanted share; of few cells that of all numbers."""
    of_all = float(_quantile(ratio[where])) if where.any() else 1.0
    few = where.sum(axis=0) < _LEAST_CELLS
    found = [of_all if f else float(_quantile(r[at])) for f, r, at in zip(few, ratio.T, where.T, strict=True)]
    return np.array(found, dtype=np.float64).clip(_CLOSE)


def _widening(ratio: Floats, missing: Floats) -> Floats:
    """A line through the quantiles of the cells of rows with fewer and with more gaps."""
    many = missing > np.median(missing) if len(missing) else np.zeros(0, dtype=bool)
    if min(many.sum(), (~many).sum()) < _LEAST_CELLS:
        return _NOT_WIDER
    (low, high), (first, last) = ((of[~many], of[many]) for of in (missing, ratio))
    more = max(0.0, float(_quantile(last) - _quantile(first)) / max(float(high.mean() - low.mean()), _CLOSE))
    return np.array([max(0.0, float(_quantile(first)) - more * float(low.mean())), more])


def _decimals(values: NDArray[np.float32], schema: Schema) -> NDArray[np.int64]:
    """Decimals that nearly all cells do with, as far as float32 can tell."""
    columns = [column for column in schema.modelled_columns if isinstance(column, NumericColumn)]
    location, scale = np.array([(column.location, column.scale) for column in columns]).T
    cells = location + scale * values.astype(np.float64)
    unsure = np.finfo(np.float32).eps * (np.abs(cells - location) + scale)
    typical = np.nanmedian(np.where(np.isnan(unsure), scale, unsure), axis=0)
    found = np.full(cells.shape[1], NOT_ROUNDED, dtype=np.int64)
    for n in reversed(range(_MOST_DECIMALS + 1)):
        fits = (np.abs(np.round(cells, n) - cells) <= unsure) | np.isnan(cells)
        found[(fits.mean(axis=0) >= _ROUNDED_SHARE) & (10.0**-n > _SURE * typical)] = n
    return found


def _flat(block: torch.Tensor) -> Floats:
    return np.asarray(block.flatten(0, 1).cpu().double().numpy())


def _some_hidden(layout: Layout, rows: Batch, rng: np.random.Generator) -> torch.Tensor:
    """Cells of the rows of each member, chosen by column."""
    shape = rows.codes.shape[:2]
    share = rng.uniform(*_HIDDEN, (*shape, 1))
    hidden = (rng.random((*shape, len(layout.columns))) < share)[:, :, layout.column_of_part]
    return torch.from_numpy(hidden).to(rows.codes.device)


def _hidden_of_members(rows: Batch, hidden: torch.Tensor) -> Batch:
    each = zip(*(torch.split(block, 1) for block in rows.blocks()), hidden, strict=True)
    members = [hide(Batch(values, angles, codes), of) for values, angles, codes, of in each]
    return Batch(*(torch.cat(blocks) for blocks in zip(*map(Batch.blocks, members), strict=True)))
