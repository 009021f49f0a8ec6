"""A few known frauds, and rows known to be genuine: what they add to the score, in nats.

The head is a forest of decision trees. Each tree sees the known frauds beside a small sample of all other rows, another
sample for each tree, so that a fraud that nobody knows of misleads few trees (bagging for positive and unlabelled rows,
Mordelet & Vert 2014). How much the forest is trusted beside the anomaly score is fitted on the votes of the trees that
did not see a row: frauds that have nothing in common leave the order of the rows nearly as it was.

A forest is arrays of numbers: it lies in a model file as the weights do, and reading it runs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.errors import ModelFileError, TableError
from vae_anomaly.table.layout import FIRST_LEVEL, RARE, EncodedTable, Layout, PartKind

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FRAUD, GENUINE, UNKNOWN = 1, 0, -1
N_TREES = 150
MAX_FLAGS = 32
"""Levels up to which a category has a flag for each: from few frauds, one of many towns would be learnt by heart."""

_ABSENT = -1e6
"""A missing number, far from all others, so that one cut tells it from them."""

_CELLS_TRIED = 0.3
_LEAST_SAMPLE, _SAMPLE_SPAN = 20, 20.0
_MOST_OTHERS = 20_000
_CHUNK = 2048
_PRIOR_SURPRISE, _PRIOR_ODDS, _LEAST_SURPRISE = 0.3, 1.0, 0.1
_OUTLYING = 10.0
_NODES = {"feature": "int32", "threshold": "float64", "left": "int32", "right": "int32", "share": "float64"}


def known_labels(known: Any, n_rows: int) -> NDArray[np.int8]:
    """Check what is known of each row.

    Parameters
    ----------
    known : array-like of shape (n_rows,)
        1 for a known fraud, 0 for a row known to be genuine; -1, NaN, None or NA where neither is known.
    n_rows : int
        Rows of the table.

    Returns
    -------
    labels : int8 ndarray of shape (n_rows,)
        `FRAUD`, `GENUINE` or `UNKNOWN`.

    Raises
    ------
    TableError
        If the length is another, a value is none of these, or every row is a known fraud.

    Examples
    --------
    >>> known_labels([1, None, 0, float("nan"), -1], 5)
    array([ 1, -1,  0, -1, -1], dtype=int8)
    >>> known_labels(["fraud", None], 2)
    Traceback (most recent call last):
        ...
    vae_anomaly.errors.TableError: 'known' must hold 1 (known fraud), 0 (known to be genuine), or -1, NaN, None or NA \
(not known). Found 'fraud' in row 1: map such values first.
    """
    import pandas as pd

    cells = np.asarray(known, dtype=object)
    if cells.shape != (n_rows,):
        raise TableError(f"'known' must have one value for each row, shape ({n_rows},). Found shape {cells.shape}.")
    unknown = pd.isna(cells)
    labels = np.full(n_rows, UNKNOWN, dtype=np.int8)
    for row in np.flatnonzero(~unknown):
        value = cells[row]
        if isinstance(value, str) or value not in (FRAUD, GENUINE, UNKNOWN):
            raise TableError(
                "'known' must hold 1 (known fraud), 0 (known to be genuine), or -1, NaN, None or NA (not known). "
                f"Found {value!r} in row {row + 1}: map such values first."
            )
        labels[row] = int(value)
    if n_rows and (labels == FRAUD).all():
        raise TableError(
            f"'known' says that all {n_rows} rows are frauds: there is nothing left to learn what is usual from. Add "
            "rows that are genuine, or of which nothing is known."
        )
    return labels


def set_apart(known: Any, n_rows: int, weight: Floats | None) -> tuple[NDArray[np.int8] | None, Floats | None]:
    """Check `known`, and take the known frauds out of what the model learns from.

    Parameters
    ----------
    known : array-like of shape (n_rows,) or None
        As of `known_labels`.
    n_rows : int
        Rows of the table.
    weight : float64 ndarray of shape (n_rows,) or None
        The caller's weights; of a row of weight 0 nothing is known.

    Returns
    -------
    labels : int8 ndarray of shape (n_rows,) or None
        None where `known` is.
    weight : float64 ndarray of shape (n_rows,) or None
        0 for known frauds, else as it was.

    Examples
    --------
    >>> set_apart([1, 0, None], 3, None)
    (array([ 1,  0, -1], dtype=int8), array([0., 1., 1.]))
    >>> set_apart(None, 3, None)
    (None, None)
    """
    if known is None:
        return None, weight
    weight = np.ones(n_rows) if weight is None else weight
    labels = np.where(weight > 0, known_labels(known, n_rows), UNKNOWN).astype(np.int8)
    return labels, np.where(labels == FRAUD, 0.0, weight)


def taking_part(labels: NDArray[np.int8], weight: Floats | None, limit: int, seed: int) -> Integers:
    """Numbers of the rows that `KnownHead.fit` is given: all that are known, and at most so many of the others.

    Parameters
    ----------
    labels, weight : ndarray of shape (n_rows,)
        From `set_apart`.
    limit : int
        Most rows of which nothing is known.
    seed : int
        Of the draw.

    Examples
    --------
    >>> taking_part(np.array([1, -1, -1, 0, -1], dtype=np.int8), None, limit=1, seed=0).shape
    (3,)
    """
    known = np.flatnonzero(labels != UNKNOWN)
    others = np.flatnonzero((labels == UNKNOWN) & (True if weight is None else weight > 0))
    drawn = np.random.default_rng(seed).permutation(others)[:limit]
    return np.sort(np.concatenate([known, drawn]))


def cells(table: EncodedTable, layout: Layout) -> NDArray[np.float32]:
    """What the trees cut: numbers, angles, and a flag for each level of a category that has few.

    Angles come twice, cut open at opposite ends, so that two cuts can single out any hours of the day.

    Parameters
    ----------
    table : EncodedTable
        Rows.
    layout : Layout
        Their parts.

    Returns
    -------
    cells : float32 ndarray of shape (n_rows, n_cells)
        All finite.

    Examples
    --------
    >>> from vae_anomaly.table.layout import Part
    >>> layout = Layout(("amount", "online"), (Part(0, PartKind.VALUE), Part(1, PartKind.BINARY, 2)))
    >>> row = EncodedTable(np.ones((1, 1), np.float32), np.zeros((1, 0), np.float32), np.array([[4]], np.int32))
    >>> cells(row, layout).tolist()
    [[1.0, 1.0]]
    """
    turned = np.where(table.angles < np.pi, table.angles, table.angles - np.float32(2 * np.pi))
    numbers = np.concatenate([table.values, table.angles, turned], axis=1, dtype=np.float32)
    blocks = [np.nan_to_num(numbers, nan=_ABSENT)]
    for part, codes in zip(layout.of_kind(PartKind.BINARY, PartKind.CATEGORY), table.codes.T, strict=True):
        if part.n_levels <= MAX_FLAGS:
            # Of two levels one flag says it all; unseen and missing ones have none in either case.
            first = FIRST_LEVEL + 1 if part.kind is PartKind.BINARY else RARE if part.has_rare else FIRST_LEVEL
            levels = np.arange(first, FIRST_LEVEL + part.n_levels)
            blocks.append((codes[:, None] == levels).astype(np.float32))
    return np.concatenate(blocks, axis=1)


def n_cells(layout: Layout) -> int:
    """Columns of `cells`."""
    nothing = EncodedTable(
        np.zeros((0, layout.n_values), np.float32),
        np.zeros((0, layout.n_angles), np.float32),
        np.zeros((0, layout.n_codes), np.int32),
    )
    return int(cells(nothing, layout).shape[1])


@dataclass(frozen=True, eq=False)
class KnownHead:
    """What known frauds add to the anomaly score: nothing for a usual row, more the more a row looks like them.

    Parameters
    ----------
    feature, threshold, left, right : ndarray of shape (n_nodes,)
        The nodes of all trees, one tree after the other: a row goes left if its cell is at most the threshold. A leaf
        leads to itself.
    share : float64 ndarray of shape (n_nodes,)
        Share of frauds among the rows of a leaf, as if both kinds were equally many.
    roots : int32 ndarray of shape (n_trees,)
        First node of each tree.
    scale : float64 ndarray of shape (2,)
        The usual log-odds of a training row, and what one more is worth, in nats of the anomaly score.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=(500, 3)).astype(np.float32)
    >>> known = np.full(500, UNKNOWN, dtype=np.int8)
    >>> known[:10] = FRAUD
    >>> rows[:10, 1] += 4
    >>> head = KnownHead.fit(rows, known, rng.normal(size=500), seed=0)
    >>> usual, alike = head.lift(np.array([[0, 0, 0], [0, 4, 0]], dtype=np.float32))
    >>> bool(alike > usual + 5)
    True
    """

    feature: NDArray[np.int32]
    threshold: Floats
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    share: Floats
    roots: NDArray[np.int32]
    scale: Floats

    @classmethod
    def fit(cls, rows: NDArray[np.float32], labels: NDArray[np.int8], anomaly: Floats, seed: int) -> KnownHead | None:
        """Learn what known frauds have in common.

        Parameters
        ----------
        rows : float32 ndarray of shape (n_rows, n_cells)
            From `cells`.
        labels : int8 ndarray of shape (n_rows,)
            From `known_labels`.
        anomaly : float64 ndarray of shape (n_rows,)
            The unsupervised anomaly score, in nats, of a model that did not learn from the known frauds.
        seed : int
            Of the draws.

        Returns
        -------
        head : KnownHead or None
            None if no row is a known fraud, or every one is: the score then stays as it is.
        """
        fraud = labels == FRAUD
        if not fraud.any() or fraud.all():
            return None
        trees, odds, unseen = _grow(rows, labels, np.random.default_rng(seed))
        low, middle, high = np.percentile(anomaly[~fraud], [1, 50, 99])
        spread = (high - low) / 4.65 if high > low else 1.0  # of a normal distribution this is the deviation
        surprise = np.clip((anomaly - middle) / spread, -_OUTLYING, _OUTLYING)
        weights = _say(np.column_stack([surprise, odds])[unseen], fraud[unseen])
        scale = np.array([np.median(odds[~fraud & unseen]) if (~fraud & unseen).any() else 0.0, 0.0])
        scale[1] = spread * weights[1] / weights[0]
        return cls(**trees, scale=scale)

    @classmethod
    def of_table(
        cls,
        table: EncodedTable,
        layout: Layout,
        known: tuple[NDArray[np.int8], Floats | None],
        score: Callable[[EncodedTable], Floats],
        seed: int,
    ) -> KnownHead | None:
        """Choose rows of a training table by `taking_part`, and learn from them.

        Parameters
        ----------
        table, layout : EncodedTable, Layout
            All rows that were given to a fit.
        known : tuple
            Labels and weights, from `set_apart`.
        score : callable
            ``score(table)``, in nats, higher for more normal.
        seed : int
            Of the draws.
        """
        chosen = taking_part(*known, limit=_MOST_OTHERS, seed=seed)
        rows = table[chosen]
        return cls.fit(cells(rows, layout), known[0][chosen], -score(rows), seed)

    def log_odds(self, rows: NDArray[np.float32]) -> Floats:
        """Votes of the forest, of shape (n_rows,): log-odds of looking like the known frauds."""
        votes = [self._votes(rows[start : start + _CHUNK]) for start in range(0, len(rows), _CHUNK)]
        return _odds(np.concatenate(votes) if votes else np.zeros(0), len(self.roots))

    def lift(self, rows: NDArray[np.float32]) -> Floats:
        """What to add to the anomaly score of each row, in nats, of shape (n_rows,)."""
        return np.asarray(self.scale[1] * (self.log_odds(rows) - self.scale[0]))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Name each array, for a model file."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], n_cells: int) -> KnownHead:
        """Audit what a model file holds, and build the head from it.

        Raises
        ------
        ModelFileError
            If the arrays are no forest over so many cells: nothing is followed that could leave the arrays or go round
            in circles.
        """
        expected = {**_NODES, "roots": "int32", "scale": "float64"}
        found = {name: str(array.dtype) for name, array in arrays.items() if array.ndim == 1}
        if found != expected or len(arrays) != len(expected):
            raise ModelFileError(f"A head of known frauds must be arrays {expected}. Found {found}.")
        head = cls(**arrays)
        n_nodes = len(head.feature)
        node, children = np.arange(n_nodes), np.stack([head.left, head.right]) if _alike(head) else None
        if (
            children is None
            or not len(head.roots)
            or not _within(head.roots, 0, n_nodes)
            or not _within(head.feature, 0, n_cells)
            or not _within(children, 0, n_nodes)
            or not ((children > node).all(axis=0) | (children == node).all(axis=0)).all()
            or not np.isfinite(head.threshold).all()
            or not ((head.share >= 0) & (head.share <= 1)).all()
            or head.scale.shape != (2,)
            or not np.isfinite(head.scale).all()
        ):
            raise ModelFileError("The head of known frauds is no forest: use the file as it was first written.")
        return head

    def _votes(self, rows: NDArray[np.float32]) -> Floats:
        number = np.arange(len(rows))[:, None]
        node = np.repeat(self.roots[None], len(rows), axis=0)
        while True:
            goes_left = rows[number, self.feature[node]] <= self.threshold[node]
            after = np.where(goes_left, self.left[node], self.right[node])
            if np.array_equal(after, node):
                return np.asarray(self.share[node].sum(axis=1))
            node = after


def _alike(head: KnownHead) -> bool:
    return len({len(getattr(head, name)) for name in _NODES}) == 1


def _within(numbers: NDArray[np.int32], first: int, after: int) -> bool:
    return bool(((numbers >= first) & (numbers < after)).all())


def _odds(votes: Floats, n_trees: int | Integers) -> Floats:
    """Log-odds of a share of votes, half a vote on either side, so that they are finite."""
    return np.asarray(np.log((votes + 0.5) / (n_trees - votes + 0.5)))


def _grow(
    rows: NDArray[np.float32], labels: NDArray[np.int8], rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], Floats, NDArray[np.bool_]]:
    """The trees; and for each row the log-odds by those that did not see it, and whether there are any."""
    from sklearn.tree import DecisionTreeClassifier

    frauds = np.flatnonzero(labels == FRAUD)
    votes, voters = np.zeros(len(rows)), np.zeros(len(rows), dtype=np.int64)
    grown: list[dict[str, NDArray[Any]]] = []
    roots = []
    for _ in range(N_TREES):
        drawn = rng.choice(frauds, len(frauds))
        others = _others(labels, max(_LEAST_SAMPLE, len(frauds)), rng)
        seen = np.concatenate([drawn, others])
        settings = {"max_features": _CELLS_TRIED, "min_samples_leaf": 2, "class_weight": "balanced"}
        model = DecisionTreeClassifier(**settings, random_state=int(rng.integers(2**31 - 1)))
        model.fit(rows[seen], labels[seen] == FRAUD)
        roots.append(sum(len(tree["share"]) for tree in grown))
        grown.append(_nodes(model.tree_, roots[-1], len(seen) / (2 * len(drawn))))
        unseen = np.ones(len(rows), dtype=bool)
        unseen[seen] = False
        if unseen.any():
            votes[unseen] += grown[-1]["share"][model.apply(rows[unseen])]
            voters += unseen
    trees = {name: np.concatenate([tree[name] for tree in grown]).astype(dtype) for name, dtype in _NODES.items()}
    trees["roots"] = np.array(roots, dtype=np.int32)
    return trees, _odds(votes, voters), voters > 0


def _others(labels: NDArray[np.int8], least: int, rng: np.random.Generator) -> Integers:
    """A sample of rows that are no known frauds, of any size up to `_SAMPLE_SPAN` times the least.

    Small samples make trees that generalise from few frauds, large ones trees that are exact. Half of a sample are rows
    known to be genuine, as far as there are any; and none takes more than half of either kind.
    """
    n = int(least * _SAMPLE_SPAN ** rng.random())
    genuine, unknown = (np.flatnonzero(labels == label) for label in (GENUINE, UNKNOWN))
    n_genuine = min(n if not len(unknown) else n // 2, (len(genuine) + 1) // 2)
    n_unknown = min(n - n_genuine, (len(unknown) + 1) // 2)
    return np.concatenate([rng.choice(genuine, n_genuine, False), rng.choice(unknown, n_unknown, False)])


def _nodes(tree: Any, first: int, fraud_weight: float) -> dict[str, NDArray[Any]]:
    """A tree of scikit-learn as nodes that come after `first` others.

    A leaf counts as if one genuine row more were in it, weighing as much as a fraud: the more frauds, the surer.
    """
    number = np.arange(tree.node_count)
    leaf = tree.children_left < 0
    n_alike = tree.weighted_n_node_samples / fraud_weight
    return {
        "feature": np.where(leaf, 0, tree.feature),
        "threshold": np.where(leaf, 0.0, tree.threshold),
        "left": first + np.where(leaf, number, tree.children_left),
        "right": first + np.where(leaf, number, tree.children_right),
        "share": tree.value[:, 0, 1] * n_alike / (n_alike + 1),
    }


def _say(columns: Floats, fraud: NDArray[np.bool_]) -> Floats:
    """How much surprise and the trees' log-odds count, by a logistic regression with a normal prior on either weight.

    Neither weight is negative, and surprise keeps some: trees that find nothing then leave the order as it was. A
    single known fraud, which every tree has seen, leaves it to the prior.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    prior, precision = np.array([0.0, _PRIOR_SURPRISE, _PRIOR_ODDS]), np.array([0.0, 1.0, 1.0])
    if not fraud.any() or fraud.all():
        return prior[1:]
    design = np.column_stack([np.ones(len(columns)), columns])

    def loss(point: Floats) -> tuple[float, Floats]:
        logit, off = design @ point, point - prior
        value = (np.logaddexp(0, logit) - fraud * logit).sum() + precision @ off**2 / 2
        return float(value), design.T @ (expit(logit) - fraud) + precision * off

    start = prior + np.array([np.log(fraud.mean()), 0.0, 0.0])
    bounds = [(None, None), (_LEAST_SURPRISE, None), (0.0, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14, "gtol": 1e-9})
    return np.asarray(found.x[1:])
