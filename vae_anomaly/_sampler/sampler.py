"""What is kept of a fit to sample from it: aggregates of its rows, and none of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from numpy.typing import NDArray

from vae_anomaly._editable import editable
from vae_anomaly._sampler.dependence import Follows, Node, Source, added, grown
from vae_anomaly._sampler.levels import (
    DAY,
    Bins,
    Gaps,
    Levels,
    Parts,
    codes_of,
    days_of,
    distinct_days,
    few_values,
    values_of,
)
from vae_anomaly._sampler.numbers import (
    NOT_ROUNDED,
    SHARES,
    Continuous,
    as_kept,
    decimals_of,
    normal_scores,
    quantiles_of,
)
from vae_anomaly.model.explaining import present_cells
from vae_anomaly.model.mixture import Mixture
from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.sampling import Given, given, positions
from vae_anomaly.table.columns import DatetimeColumn, NumericColumn
from vae_anomaly.table.frames import as_table
from vae_anomaly.table.layout import EncodedTable
from vae_anomaly.table.schema import Schema

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

MEMBER = 0
"""Which network of the ensemble rows are drawn from: each has a latent space of its own."""

_MATCHED = 8192
"""Rows that are drawn to see how they differ from those of fit."""

_MOST_TOGETHER = 256
"""Columns up to which numbers of many values follow others."""

_MOST_CONTINUOUS = 256
"""Columns of many values up to which it is kept how what is left of them goes together."""


@dataclass(frozen=True, eq=False)
class Sampler:
    """Draws rows like those of a fit, as numbers: each cell as `vae_anomaly._editable` has it.

    Parameters
    ----------
    mixture : Mixture
        Of places in latent space, and of what the decoder leaves of the columns of many values there.
    continuous : tuple of Continuous
        Those columns.
    levels : tuple of Levels
        All else that is drawn, each after what it follows.
    follows : tuple of tuple of Follows
        What that is. All rows come first, then the component, and then the levels before.
    """

    mixture: Mixture
    continuous: tuple[Continuous, ...]
    levels: tuple[Levels, ...]
    follows: tuple[tuple[Follows, ...], ...]

    @classmethod
    def of_rows(cls, model: TabularVAE, schema: Schema, table: EncodedTable, cells: Floats) -> Sampler:
        """Take the aggregates of the rows of a fit.

        Parameters
        ----------
        model : TabularVAE
            Trained.
        schema : Schema
            The columns.
        table : EncodedTable
            The rows.
        cells : float64 ndarray of shape (n_rows, n_modelled_columns)
            Their numbers and dates, from `exact_cells`.
        """
        rng = np.random.default_rng(0)
        cells = np.where(present_cells(table, schema.layout()), np.nan_to_num(cells), np.nan)
        continuous, levels = _columns(schema, cells, float(model.config.dof))
        z = positions(model, table, MEMBER, rng)
        said = given(model, z, MEMBER)
        normal = np.empty((len(z), len(continuous)))
        for place, column in enumerate(continuous):
            residual, normal[:, place] = normal_scores(column.left(said, table), rng)
            continuous[place] = replace(column, residual=as_kept(residual))
        mixture, component = Mixture.of_rows(np.concatenate([z, normal[:, : n_joint(continuous)]], axis=1))
        drawn = cls(mixture, tuple(continuous), (), ())
        raw, said, drawn_component, _ = drawn._raw(model, _MATCHED, rng, {})
        drawn = replace(drawn, continuous=tuple(map(partial(_matched, cells), continuous, raw.T)))
        said = drawn._ranked(said, raw)
        if len(levels) + len(continuous) <= _MOST_TOGETHER:
            levels += [column.bins(place) for place, column in enumerate(drawn.continuous)]
        sources = [
            Source(np.zeros(_MATCHED, np.intp), np.zeros(len(z), np.intp), 1),
            Source(drawn_component, component, mixture.n_components),
        ]
        ordered, follows = _ordered(levels, said, table, cells, sources, rng)
        return replace(drawn, levels=ordered, follows=follows)

    def draw(
        self, model: TabularVAE, n_rows: int, rng: np.random.Generator, fixed: Mapping[int, float] | None = None
    ) -> tuple[Floats, Floats]:
        """Draw rows.

        Parameters
        ----------
        model : TabularVAE
            Of the fit.
        n_rows : int
            How many.
        rng : Generator
            Of the draws.
        fixed : mapping of int to float, optional
            Columns whose cells are given, NaN for a gap.

        Returns
        -------
        cells : float64 ndarray of shape (n_rows, n_modelled_columns)
            The rows.
        log_weight : float64 ndarray of shape (n_rows,)
            How likely the fixed cells are beside the others of each row, in nats: rows have to be chosen by it.
        """
        fixed = fixed or {}
        raw, said, component, log_weight = self._raw(model, n_rows, rng, fixed)
        said = self._ranked(said, raw)
        ranks = said.ranks.copy()
        cells = np.zeros((n_rows, len(model.layout.columns)))
        drawn_levels = [np.zeros(n_rows, dtype=np.intp), component]
        gaps: dict[int, Places] = {}
        for node, follows in zip(self.levels, self.follows, strict=True):
            log_p = node.log_prob(said) + added(follows, drawn_levels)
            level, log_p_of_fixed = _drawn_level(node, log_p, rng, fixed.get(node.column))
            log_weight += log_p_of_fixed
            cells[:, node.column] += node.cells(level, rng)
            drawn_levels.append(np.where(gaps.get(node.column, 0) == 1, node.n_levels, level))
            if isinstance(node, Gaps):
                gaps[node.column] = level
            if isinstance(node, Bins):
                ranks[:, node.place] = node.moved(ranks[:, node.place], level)
        for column, rank in zip(self.continuous, ranks.T, strict=True):
            cells[:, column.column] += column.cells(rank)
        for number, cell in fixed.items():
            cells[:, number] = cell
        return cells, log_weight

    def _ranked(self, said: Given, raw: Floats) -> Given:
        """With the ranks of the columns of many values, as they are drawn first."""
        ranks = [column.ranks(own) for column, own in zip(self.continuous, raw.T, strict=True)]
        return replace(said, ranks=np.column_stack(ranks) if ranks else np.zeros((len(said), 0)))

    def _raw(
        self, model: TabularVAE, n_rows: int, rng: np.random.Generator, fixed: Mapping[int, float]
    ) -> tuple[Floats, Given, Places, Floats]:
        """Encoded cells of the columns of many values, what the decoder says of all others, and the log weights."""
        n_z, together = model.config.latent, n_joint(self.continuous)
        known = [i for i, column in enumerate(self.continuous) if _is_given(fixed.get(column.column))]
        first = [place for place in known if place < together]
        order = np.array(
            [*range(n_z), *(n_z + i for i in first), *(n_z + i for i in range(together) if i not in first)]
        )
        mixture = self.mixture.permuted(order) if first else self.mixture
        rows, component = mixture.draw(n_rows, rng)
        said = given(model, rows[:, :n_z], MEMBER)
        log_weight = np.zeros(n_rows)
        for place, given_column in enumerate(self.continuous[i] for i in first):
            cell = fixed[given_column.column]
            rows[:, n_z + place], log_density = given_column.fixed(
                said, cell % DAY if given_column.is_time else cell, rng
            )
            log_weight += log_density
        if first:
            log_weight += mixture.given(rows, component, n_z, len(first), rng)
        normal = rng.standard_normal((n_rows, len(self.continuous)))
        normal[:, order[n_z:] - n_z] = rows[:, n_z:]
        raw = [column.drawn(said, left) for column, left in zip(self.continuous, normal.T, strict=True)]
        return (np.column_stack(raw) if raw else np.zeros((n_rows, 0))), said, component, log_weight


def _ordered(
    levels: Sequence[Levels],
    said: Given,
    table: EncodedTable,
    cells: Floats,
    sources: list[Source],
    rng: np.random.Generator,
) -> tuple[tuple[Levels, ...], tuple[tuple[Follows, ...], ...]]:
    """Gaps first, as they come together, and then levels around them: in order, and with what each follows."""
    gaps = [node for node in levels if isinstance(node, Gaps)]
    others = [node for node in levels if not isinstance(node, Gaps)]
    nodes = [Node(partial(node.log_prob, said), node.of_rows(table, cells), 2) for node in gaps]
    order, follows, drawn = grown(nodes, sources, rng)
    missing = {gaps[number].column: source for number, source in zip(order, drawn, strict=True)}
    nodes = [
        Node(partial(node.log_prob, said), node.of_rows(table, cells), node.n_levels, missing.get(node.column))
        for node in others
    ]
    after, more, _ = grown(nodes, [*sources, *drawn], rng)
    return (*(gaps[i] for i in order), *(others[i] for i in after)), (*follows, *more)


def _matched(cells: Floats, column: Continuous, raw: Floats) -> Continuous:
    """A column of many values, with what is drawn of it set beside the cells of fit."""
    own = cells[:, column.column]
    own = own[~np.isnan(own)]
    own = _of_day(own) if column.is_time else own
    drawn = np.sort(raw)[np.rint(SHARES * (len(raw) - 1)).astype(np.intp)]
    return replace(column, raw=as_kept(drawn), value=quantiles_of(own), decimals=decimals_of(own))


def _of_day(seconds: Floats) -> Floats:
    return np.asarray(seconds % DAY)


@dataclass(frozen=True, eq=False)
class FittedRows:
    """Rows of a fit, until they are made a sampler of.

    Parameters
    ----------
    model : TabularVAE
        Trained.
    schema : Schema
        The columns.
    table : EncodedTable
        The rows.
    cells : float64 ndarray of shape (n_rows, n_modelled_columns)
        Their numbers and dates, from `exact_cells`.
    """

    model: TabularVAE
    schema: Schema
    table: EncodedTable
    cells: Floats

    def sampler(self) -> Sampler:
        """What is kept of them."""
        return Sampler.of_rows(self.model, self.schema, self.table, self.cells)


def exact_cells(schema: Schema, X: Any, rows: Places) -> Floats:
    """Numbers and dates of some rows of a table, of shape (n_rows, n_modelled_columns); NaN for all else."""
    some = X[rows] if isinstance(X, np.ndarray) else nw.from_native(X, eager_only=True)[rows].to_native()
    table = as_table(some)
    names = table.names if schema.named and not table.is_array else schema.names
    cells = np.full((len(rows), len(schema.modelled)), np.nan)
    for number, column in enumerate(schema.modelled_columns):
        if isinstance(column, NumericColumn | DatetimeColumn):
            found = table.cells(names.index(column.name), mixed_as_text=True)
            found = found.dictionary_decode() if hasattr(found, "dictionary_decode") else found
            cells[:, number] = editable(column, found.type).read(found)
    return cells


def _columns(schema: Schema, cells: Floats, dof: float) -> tuple[list[Continuous], list[Levels]]:
    """How the cells of each column are drawn."""
    parts, nothing = Parts.of(schema), np.zeros(len(SHARES))
    continuous: list[Continuous] = []
    levels: list[Levels] = []
    for number, column in enumerate(schema.modelled_columns):
        own = cells[:, number]
        values = few_values(own) if isinstance(column, NumericColumn) else None
        if values is not None:
            levels.append(values_of(schema, number, values, dof))
        elif isinstance(column, NumericColumn):
            continuous.append(Continuous(number, parts.value[number], False, nothing, nothing, nothing, NOT_ROUNDED))
        elif isinstance(column, DatetimeColumn):
            levels.append(days_of(schema, number, distinct_days(own)))
            if column.time_of_day:
                place = parts.angles[number][0]
                continuous.append(Continuous(number, place, True, nothing, nothing, nothing, NOT_ROUNDED))
        else:
            levels.append(codes_of(schema, number))
        if np.isnan(own).any():
            levels.append(Gaps(number))
    return continuous, levels


def _drawn_level(
    node: Levels, log_p: Floats, rng: np.random.Generator, fixed: float | None
) -> tuple[Places, Floats | float]:
    """A level of each row, and the log probability of a fixed one."""
    level = None if fixed is None else node.at(fixed)
    if level is not None:
        return np.full(len(log_p), level), log_p[:, level] - np.logaddexp.reduce(log_p, axis=1)
    return np.asarray((log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)), 0.0


def _is_given(cell: float | None) -> bool:
    return cell is not None and not np.isnan(cell)


def n_joint(continuous: Sequence[Continuous]) -> int:
    """How many of the columns of many values are in the mixture."""
    return min(len(continuous), _MOST_CONTINUOUS)
