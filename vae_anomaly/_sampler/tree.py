"""What the levels of a row have to do with each other beyond what z says of each: a tree over the columns.

Given z the decoder takes the columns for independent, and z is no perfect account of a row. So each column follows one
other at most: its log probabilities at z get a term for every pair of levels, by which the pairs come as often as they
did in fit. Chow & Liu (1968), "Approximating discrete probability distributions with dependence trees". A column that
another one determines is determined in what is drawn, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_COMPARED = 2500
"""Rows on which pairs of columns are compared."""

_PSEUDO_ROWS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
"""How many rows the decoder's word may count as beside the rows of one level of the other column."""

_LEAST_GAIN = 3.0
"""Nats, over all rows compared, by which a pair must describe rows better that it has not counted."""

_ROUNDS = 4
_MOST_PAIRS = 2**20
_MOST_CELLS = 2**23
"""Rows times levels of a column from which its factors are taken."""

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Follows:
    """How the levels of one column follow those of another.

    Parameters
    ----------
    parent : int
        Place of the other column among those that are drawn earlier, from 1; 0 for the component of the mixture; -1 for
        none.
    shape : tuple of int
        Levels of the other column, and of this.
    pair : int32 ndarray of shape (n_pairs,)
        The pairs that rows of fit had: the other's level times this column's number of levels, and its level.
    log_factor : float32 ndarray of shape (n_pairs,)
        What each adds to the log probability.
    log_rest : float32 ndarray of shape (n_parent_levels,)
        What all other pairs add.
    """

    parent: int
    shape: tuple[int, int]
    pair: NDArray[np.int32]
    log_factor: NDArray[np.float32]
    log_rest: NDArray[np.float32]

    @cached_property
    def dense(self) -> NDArray[np.float32]:
        """What every pair adds, of shape (n_parent_levels, n_levels)."""
        table = np.repeat(self.log_rest[:, None], self.shape[1], axis=1)
        table.ravel()[self.pair] = self.log_factor
        return table


def grown(
    log_prob: Callable[[int, Places], Floats], labels: Sequence[Places], sizes: Sequence[int], component: Places
) -> tuple[list[int], list[Follows]]:
    """Choose which column follows which, and take the factors of the pairs.

    Parameters
    ----------
    log_prob : callable
        ``log_prob(node, rows)``, by the decoder, of shape (n_rows, sizes[node]).
    labels : sequence of intp ndarray of shape (n_rows,)
        Levels of each node in the rows of fit, -1 where missing.
    sizes : sequence of int
        Levels of each node.
    component : intp ndarray of shape (n_rows,)
        Of the mixture.

    Returns
    -------
    order : list of int
        The nodes, each after the one that it follows.
    follows : list of Follows
        In that order.
    """
    n_components = int(component.max()) + 1
    everything = [component, *labels]
    all_sizes = [n_components, *sizes]
    gain, pseudo = _gains(log_prob, everything, all_sizes)
    order: list[int] = []
    found = []
    left = set(range(len(sizes)))
    while left:
        parents, nodes = [0, *(node + 1 for node in order)], sorted(left)
        some = gain[np.ix_(parents, nodes)]
        best = np.unravel_index(int(some.argmax()), some.shape)
        has_parent = some[best] > _LEAST_GAIN
        parent, node = parents[best[0]] if has_parent else -1, nodes[best[1]]
        rows = pseudo[parent, node] if has_parent else 1.0
        others = everything[parent] if has_parent else np.zeros(len(component), dtype=np.intp)
        n_others = all_sizes[parent] if has_parent else 1
        both = np.flatnonzero((others >= 0) & (labels[node] >= 0))[: _MOST_CELLS // sizes[node]]
        place = -1 if not has_parent else 0 if parent == 0 else order.index(parent - 1) + 1
        pairs = (others[both], labels[node][both])
        found.append(_fitted(place, log_prob(node, both), pairs, (n_others, sizes[node]), rows))
        order.append(node)
        left.remove(node)
    return order, found


def _gains(
    log_prob: Callable[[int, Places], Floats], labels: Sequence[Places], sizes: Sequence[int]
) -> tuple[Floats, Floats]:
    """By how much each node (a column) is described better if it follows another (a row), and with how many rows.

    Each row is described by the pairs of all others, so that what few rows have in common by chance gains nothing.
    """
    n_rows = len(labels[0])
    rows = np.arange(0, n_rows, -(-n_rows // _COMPARED))
    labels = [label[rows] for label in labels]
    edges = np.cumsum([0, *sizes[1:]])
    observed = np.array([label >= 0 for label in labels[1:]], dtype=bool).reshape(-1, len(rows)).T
    blocks = []
    for node, size in enumerate(sizes[1:]):
        p = _with_shares(np.exp(log_prob(node, rows)), labels[node + 1], size)
        blocks.append((p * observed[:, node, None]).astype(np.float32))
    probability = np.concatenate(blocks, axis=1) if blocks else np.zeros((len(rows), 0), np.float32)
    gain = np.full((len(labels), len(sizes) - 1), -np.inf)
    pseudo = np.ones_like(gain)
    for other, label in enumerate(labels):
        found = _gains_of(label, labels[1:], probability, observed, edges)
        gain[other], pseudo[other] = found
        too_many = sizes[other] * np.array(sizes[1:]) > _MOST_PAIRS
        gain[other, too_many] = -np.inf
        if other:
            gain[other, other - 1] = -np.inf
    return gain, pseudo


def _with_shares(p: Floats, label: Places, n_levels: int) -> Floats:
    """Probabilities that come as often as the levels do, over all rows."""
    seen = label >= 0
    if not seen.any():
        return p
    share = np.bincount(label[seen], minlength=n_levels) / seen.sum()
    for _ in range(2):
        p = p * (share / (p[seen].mean(axis=0) + _TINY))
        p /= p.sum(axis=1, keepdims=True) + _TINY
    return p


def _gains_of(
    other: Places,
    labels: Sequence[Places],
    probability: NDArray[np.float32],
    observed: NDArray[np.bool_],
    edges: Places,
) -> tuple[Floats, Floats]:
    """Gains of all nodes over one other, and the number of pseudo rows with which each is highest."""
    order = np.argsort(other, kind="stable")[int((other < 0).sum()) :]
    if not len(order) or not len(labels):
        return np.full(len(labels), -np.inf), np.ones(len(labels))
    group = np.unique(other[order], return_inverse=True)[1]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    expected = np.add.reduceat(probability[order], starts, axis=0, dtype=np.float64)
    n_rows = np.add.reduceat(observed[order].astype(np.float64), starts, axis=0)
    width = int(edges[-1])
    pairs = [
        group[here] * width + edges[node] + label[order][here]
        for node, label in enumerate(labels)
        for here in (observed[order, node],)
    ]
    pair, count = np.unique(np.concatenate(pairs), return_counts=True)
    level = pair % width
    node = np.searchsorted(edges, level, side="right") - 1
    total = n_rows[pair // width, node]
    p = expected.ravel()[pair] / total + _TINY
    gains = []
    for rows in _PSEUDO_ROWS:
        terms = count * (np.log((count - 1 + rows * p) / (total - 1 + rows)) - np.log(p))
        gains.append(np.bincount(node, terms, minlength=len(labels)))
    best = np.argmax(gains, axis=0)
    return np.max(gains, axis=0), np.array(_PSEUDO_ROWS)[best]


def _fitted(
    parent: int, log_p: Floats, pairs: tuple[Places, Places], shape: tuple[int, int], pseudo_rows: float
) -> Follows:
    """Factors by which the pairs come as often as they did: iterative proportional fitting (Deming & Stephan 1940)."""
    other, level = pairs
    order = np.argsort(other, kind="stable")
    other, probability = other[order], np.exp(log_p[order])
    count = np.bincount(pairs[0] * shape[1] + level, minlength=shape[0] * shape[1]).reshape(shape)
    seen = count > 0
    factor, rest = np.ones(shape), np.ones(shape[0])
    groups = np.unique(other)
    starts = np.flatnonzero(np.diff(other, prepend=-1))
    n_rows = count.sum(axis=1, keepdims=True)[groups]
    wanted = None
    for _ in range(_ROUNDS if len(other) else 0):
        drawn = probability * np.where(seen, factor, rest[:, None])[other]
        drawn /= drawn.sum(axis=1, keepdims=True) + _TINY
        expected = np.add.reduceat(drawn, starts, axis=0)
        if wanted is None:
            wanted = (count[groups] + pseudo_rows * expected / n_rows) / (n_rows + pseudo_rows) * n_rows
        factor[groups] *= (wanted + _TINY) / (expected + _TINY)
        unseen = ~seen[groups]
        rest[groups] *= ((wanted * unseen).sum(axis=1) + _TINY) / ((expected * unseen).sum(axis=1) + _TINY)
    pair = np.flatnonzero(seen.ravel()).astype(np.int32)
    log_factor = np.log(np.maximum(factor.ravel()[pair], _TINY)).astype(np.float32)
    return Follows(parent, shape, pair, log_factor, np.log(np.maximum(rest, _TINY)).astype(np.float32))
