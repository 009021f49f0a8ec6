"""How the levels of a row go together beyond what z says of each.

Given z the decoder takes the columns for independent; and a place between two clusters of rows is a place that no row
had, from which the one column may go this way and the other that. So levels are drawn one column after the other, and
each column follows some of those before it: its log probabilities at z get a term for every pair of levels, by which
the pairs come as often in what is drawn as they did in fit. A column that another one determines is determined in what
is drawn, too.

Chow & Liu (1968), "Approximating discrete probability distributions with dependence trees", for the order; Deming &
Stephan (1940) for the terms, by iterative proportional fitting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Floats = NDArray[np.float64]
Places = NDArray[np.intp]

_COMPARED = 4096
"""Rows of fit on which pairs of columns are compared."""

_PSEUDO_ROWS = np.array([0.01, 0.1, 1.0, 10.0, 100.0, 1000.0])
"""How many rows what is drawn so far may count as, beside the rows of one level of the other column."""

_MOST_FOLLOWED, _MOST_OF_MANY, _MANY = 6, 3, 64
"""Columns that one follows at most, and those that one of many levels does."""

_LEAST_GAIN = 5.0
"""Nats, over the rows compared, by which a pair must describe rows better that it has not counted."""

_MOST_TRIED = 24
"""Columns that one is tried to follow: those that describe it best if nothing else did."""

_MOST_LEVELS = 2000
"""Of all columns together, up to which all rows that are drawn are looked at for that, and of more the fewer."""

_ROUNDS = 2
"""Each column that is followed wants its own pairs right, in rows drawn that are not quite as those of fit: no factors
please all, and more rounds drive them apart."""

_MOST_PAIRS = 2**20
_SMOOTHING = 0.5
_SHIFTS, _MOST_SHIFT = 6, 4.0
"""How often levels are shifted towards their shares, and by how many nats in all, either way."""

_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Follows:
    """How the levels of one column follow those of another.

    Parameters
    ----------
    parent : int
        Place of the other column among all that is drawn before.
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


def added(follows: Sequence[Follows], drawn: Sequence[Places]) -> NDArray[np.float32]:
    """What each level of a column gains in each row, by the levels that the row has drawn."""
    total = follows[0].dense[drawn[follows[0].parent]]
    for one in follows[1:]:
        total = total + one.dense[drawn[one.parent]]
    return total


@dataclass(frozen=True, eq=False)
class Source:
    """Something with levels, in rows that are drawn and in rows of fit.

    Parameters
    ----------
    drawn : intp ndarray of shape (n_drawn,)
        Which level each row that is drawn has.
    seen : intp ndarray of shape (n_rows,)
        Which level each row of fit has, -1 where none.
    n_levels : int
        How many there are.
    """

    drawn: Places
    seen: Places
    n_levels: int

    def head(self, n_drawn: int) -> Source:
        """With the first of the rows that are drawn alone."""
        return Source(self.drawn[:n_drawn], self.seen, self.n_levels)

    def with_gaps(self, gaps: Source) -> Source:
        """The same with one level more, for rows in which it is missing: level 1 of `gaps`."""
        drawn, seen = (np.where(gap == 1, self.n_levels, level) for gap, level in self._beside(gaps))
        return Source(drawn, seen, self.n_levels + 1)

    def _beside(self, gaps: Source) -> tuple[tuple[Places, Places], tuple[Places, Places]]:
        return (gaps.drawn, self.drawn), (gaps.seen, self.seen)


@dataclass(frozen=True, eq=False)
class Node:
    """What is to be drawn.

    Parameters
    ----------
    log_p : callable
        ``log_p()``, by the decoder at the places of rows that are drawn, of shape (n_drawn, n_levels).
    seen : intp ndarray of shape (n_rows,)
        Which level each row of fit has, -1 where none.
    n_levels : int
        How many there are.
    gaps : Source or None
        In which rows it is missing, if in any.
    """

    log_p: Callable[[], Floats]
    seen: Places
    n_levels: int
    gaps: Source | None = None

    def head(self, n_drawn: int) -> Node:
        """With the first of the rows that are drawn alone."""
        gaps = None if self.gaps is None else self.gaps.head(n_drawn)
        return Node(lambda: self.log_p()[:n_drawn], self.seen, self.n_levels, gaps)

    def p(self) -> Floats:
        """Probabilities of the levels, by the decoder."""
        return _normalised(np.exp(self.log_p()))

    def there(self) -> Floats:
        """Ones for the rows drawn in which it is not missing, of shape (n_drawn or 1, 1)."""
        return np.ones((1, 1)) if self.gaps is None else (self.gaps.drawn == 0).astype(np.float64)[:, None]

    def as_source(self, drawn: Places) -> Source:
        """What later columns can follow."""
        plain = Source(drawn, self.seen, self.n_levels)
        return plain if self.gaps is None else plain.with_gaps(self.gaps)


def grown(
    nodes: Sequence[Node], sources: Sequence[Source], rng: np.random.Generator
) -> tuple[list[int], list[tuple[Follows, ...]], list[Source]]:
    """Choose what each column follows, and take the factors of the pairs.

    Parameters
    ----------
    nodes : sequence of Node
        What is to be drawn.
    sources : sequence of Source
        What is drawn before; the first one has one level, which is that of all rows.
    rng : Generator
        Of the draws.

    Returns
    -------
    order : list of int
        The nodes, in the order in which they are to be drawn.
    follows : list of tuple of Follows
        What each follows, in that order; of the places the sources have the first.
    drawn : list of Source
        The nodes as they were drawn, in that order.
    """
    known, found = list(sources), []
    half = len(sources[0].drawn) // 2
    gain = _first_gains([node.head(half) for node in nodes], [source.head(half) for source in sources])
    order = _order(gain, len(sources))
    in_gain = list(range(len(sources)))
    for number in order:
        node = nodes[number]
        near = np.argsort(-gain[in_gain, number], kind="stable")[:_MOST_TRIED]
        usable = [int(i) for i in near if i and np.isfinite(gain[in_gain[i], number])]
        follows = _followed(node.head(half), [source.head(half) for source in known], usable)
        log_p = node.log_p() + added(follows, [source.drawn for source in known])
        shift = _shift(log_p[half:], node)
        follows = (replace(follows[0], log_factor=(follows[0].log_factor + shift[follows[0].pair])), *follows[1:])
        log_p += shift
        known.append(node.as_source((log_p + rng.gumbel(size=log_p.shape)).argmax(axis=1)))
        in_gain.append(len(sources) + number)
        found.append(follows)
    return order, found, known[len(sources) :]


def _shift(log_p: Floats, node: Node) -> NDArray[np.float32]:
    """What brings the levels back to their shares, in rows that no factors were fitted to.

    Factors of rare levels are uncertain, and uncertain factors draw too many of these.
    """
    there = node.there()[-len(log_p) :]
    seen = np.bincount(node.seen[node.seen >= 0], minlength=node.n_levels)
    shift = np.zeros(node.n_levels)
    for _ in range(_SHIFTS):
        p = _normalised(np.exp(log_p + shift - (log_p + shift).max(axis=1, keepdims=True)))
        drawn = (p * there).sum(axis=0)
        both = (drawn > 0) & (seen > 0)
        shift[both] += np.log(seen[both] / seen.sum()) - np.log(drawn[both] / drawn.sum())
    return shift.clip(-_MOST_SHIFT, _MOST_SHIFT).astype(np.float32)


def _first_gains(nodes: Sequence[Node], sources: Sequence[Source]) -> Floats:
    """How much better each source and node describes each node, if nothing else did: rows and columns."""
    everything = [*sources, *(node.as_source(np.zeros(len(sources[0].drawn), np.intp)) for node in nodes)]
    spared = slice(None, None, -(-sum(source.n_levels for source in everything) // _MOST_LEVELS))
    soft = [_indicator(source.drawn, source.n_levels).toarray()[spared] for source in sources]
    for node in nodes:
        p, there = node.p(), node.there()
        root = _fitted([_Pairs.of(0, sources[0], node, p)], p, there)[0]
        some = (_tilted(p, root.dense) * there)[spared]
        soft.append(_with_rest(some, everything[len(soft)].n_levels).astype(np.float32))
    seen = _Seen.of(everything)
    together = np.concatenate(soft, axis=1).T
    gain = np.full((len(everything), len(nodes)), -np.inf)
    for number, node in enumerate(nodes):
        own = len(sources) + number
        gain[:, number] = seen.counts(node).gains(together @ soft[own][:, : node.n_levels])[0]
        gain[own, number] = -np.inf
        gain[[s.n_levels * node.n_levels > _MOST_PAIRS for s in everything], number] = -np.inf
    return gain


def _order(gain: Floats, n_sources: int) -> list[int]:
    """The nodes, each after what it goes with most closely of all that came before: Prim's tree (1957)."""
    best = gain[:n_sources].max(axis=0)
    order: list[int] = []
    while len(order) < gain.shape[1]:
        left = np.setdiff1d(np.arange(gain.shape[1]), order)
        order.append(int(left[best[left].argmax()]))
        best = np.maximum(best, gain[n_sources + order[-1]])
    return order


def _with_rest(soft: Floats, n_levels: int) -> Floats:
    """With what is left to one in a level of its own, if there is one more: that of rows in which it is missing."""
    return soft if soft.shape[1] == n_levels else np.column_stack([soft, 1 - soft.sum(axis=1)])


def _followed(node: Node, known: Sequence[Source], usable: Sequence[int]) -> tuple[Follows, ...]:
    """What one node follows: its shares, and then whatever else describes it better, the best first."""
    p, there, n_levels = node.p(), node.there(), node.n_levels
    pairs = [_Pairs.of(0, known[0], node, p)]
    follows = _fitted(pairs, p, there)
    if not usable or n_levels < 2:
        return tuple(follows)
    counts = _Seen.of([known[i] for i in usable]).counts(node)
    rows = sparse.hstack([_indicator(known[i].drawn, known[i].n_levels) for i in usable], format="csr").T.tocsr()
    drawn = [source.drawn for source in known]
    for _ in range(_MOST_FOLLOWED if n_levels <= _MANY else _MOST_OF_MANY):
        now = _tilted(p, added(follows, drawn))
        gain, pseudo_rows = counts.gains(rows @ (now * there))
        gain[[usable.index(one.parent) for one in pairs[1:]]] = -np.inf
        best = int(gain.argmax())
        if gain[best] < _LEAST_GAIN:
            break
        pairs.append(_Pairs.of(usable[best], known[usable[best]], node, now, float(pseudo_rows[best])))
        follows = _fitted(pairs, p, there)
    return tuple(follows)


@dataclass(frozen=True, eq=False)
class _Seen:
    """Which levels of several others some rows of fit have, side by side."""

    indicator: sparse.csr_array
    other: Places

    @classmethod
    def of(cls, others: Sequence[Source]) -> _Seen:
        """Ones where rows have the levels, of shape (n_levels_of_others, n_rows); none where they have none."""
        blocks = [_indicator(other.seen[_some(len(other.seen))], other.n_levels) for other in others]
        other = np.repeat(np.arange(len(others)), [other.n_levels for other in others])
        return cls(sparse.hstack(blocks, format="csr").T.tocsr(), other)

    def counts(self, node: Node) -> _Counts:
        """How often they come with the levels of a node."""
        own = _indicator(node.seen[_some(len(node.seen))], node.n_levels)
        count = self.indicator @ own.toarray()
        row, level = np.nonzero(count)
        return _Counts(row, level, count[row, level], count.sum(axis=1)[row], self.other[row], int(self.other[-1]) + 1)


@dataclass(frozen=True, eq=False)
class _Counts:
    """How often the levels of one node come with those of others, in rows of fit."""

    row: Places
    level: Places
    count: Floats
    total: Floats
    other: Places
    n_others: int

    def gains(self, expected: Floats) -> tuple[Floats, Floats]:
        """How much better each of the others describes the node, and with how many pseudo rows.

        Each row of fit is described by the pairs of all others, so that what few rows have in common by chance gains
        nothing.

        Parameters
        ----------
        expected : ndarray of shape (n_levels_of_others, n_levels)
            How often the pairs come in what is drawn so far.
        """
        share = expected.sum(axis=0) / max(float(expected.sum()), _TINY)
        drawn = expected.sum(axis=1)[self.row]
        p = (expected[self.row, self.level] + _SMOOTHING * share[self.level]) / (drawn + _SMOOTHING) + _TINY
        gains = []
        for rows in _PSEUDO_ROWS:
            better = np.log((self.count - 1 + rows * p) / (self.total - 1 + rows)) - np.log(p)
            gains.append(np.bincount(self.other, self.count * better, minlength=self.n_others))
        return np.max(gains, axis=0), _PSEUDO_ROWS[np.argmax(gains, axis=0)]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """How often the levels of a node shall come with those of one other."""

    parent: int
    drawn: Places
    wanted: Floats
    seen: NDArray[np.bool_]

    @classmethod
    def of(cls, parent: int, source: Source, node: Node, now: Floats, pseudo_rows: float = 1.0) -> _Pairs:
        shape = source.n_levels, node.n_levels
        both = (source.seen >= 0) & (node.seen >= 0)
        pair = source.seen[both] * shape[1] + node.seen[both]
        count = np.bincount(pair, minlength=shape[0] * shape[1]).reshape(shape)
        expected = _indicator(source.drawn, shape[0]).T @ (now * node.there()) + _SMOOTHING * now.mean(axis=0)
        expected /= expected.sum(axis=1, keepdims=True)
        wanted = (count + pseudo_rows * expected) / (count.sum(axis=1, keepdims=True) + pseudo_rows)
        return cls(parent, source.drawn, wanted, count > 0)

    def ratio(self, expected: Floats) -> Floats:
        """What to multiply the probabilities of all pairs by, of shape (n_levels_of_the_other, n_levels).

        Pairs that were seen shall come as often as wanted among themselves. All others shall come no oftener, but may
        come more seldom: or one column would have pairs drawn that another rules out.
        """
        expected = np.where(expected.sum(axis=1, keepdims=True) > 0, _normalised(expected), self.wanted)
        seen = (self.wanted + _TINY) / (expected + _TINY)
        wanted, found = ((p * self.seen).sum(axis=1, keepdims=True).clip(max=1) for p in (self.wanted, expected))
        rest = (1 - wanted + _TINY) / (1 - found + _TINY)
        seldom = rest > 1
        return np.where(self.seen, np.where(seldom, seen * found / (wanted + _TINY), seen), np.where(seldom, 1.0, rest))


def _fitted(pairs: Sequence[_Pairs], p: Floats, there: Floats) -> list[Follows]:
    """Factors by which all pairs come nearly as often as they shall."""
    factors = [np.ones_like(one.wanted) for one in pairs]
    indicators = [_indicator(one.drawn, len(one.wanted)).T.tocsr() for one in pairs]
    now = p
    for _ in range(_ROUNDS):
        for i in (*range(1, len(pairs)), 0):  # the shares of all rows last: no pair is to change them
            ratio = pairs[i].ratio(indicators[i] @ (now * there))
            factors[i] *= ratio
            now = _normalised(now * ratio[pairs[i].drawn])
    return [_kept(one, np.log(np.maximum(factor, _TINY))) for one, factor in zip(pairs, factors, strict=True)]


def _kept(pairs: _Pairs, log_factor: Floats) -> Follows:
    pair = np.flatnonzero(pairs.seen.ravel())
    rest = np.where(pairs.seen.all(axis=1), 0.0, np.where(pairs.seen, -np.inf, log_factor).max(axis=1))
    of_pairs = log_factor.ravel()[pair].astype(np.float32)
    return Follows(pairs.parent, pairs.seen.shape, pair.astype(np.int32), of_pairs, rest.astype(np.float32))


def _some(n_rows: int) -> slice:
    """Rows of fit that are compared."""
    return slice(None, None, -(-n_rows // _COMPARED))


def _indicator(level: Places, n_levels: int) -> sparse.csr_array:
    """Ones where each row has its level, of shape (n_rows, n_levels); none where it has none."""
    ends = np.concatenate([[0], np.cumsum(level >= 0)])
    here = level[level >= 0]
    return sparse.csr_array((np.ones(len(here), np.float32), here, ends), shape=(len(level), n_levels))


def _tilted(p: Floats, log_factor: NDArray[np.float32]) -> Floats:
    """Probabilities times factors, which may be huge."""
    log_p = np.log(np.maximum(p, 1e-300)) + log_factor
    return _normalised(np.exp(log_p - log_p.max(axis=1, keepdims=True)))


def _normalised(p: Floats) -> Floats:
    return np.asarray(p / np.maximum(p.sum(axis=1, keepdims=True), 1e-300))
