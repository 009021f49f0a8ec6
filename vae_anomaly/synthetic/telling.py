"""Whether a classifier can tell synthetic rows from real ones, and whether it learns as much from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score
from sklearn.model_selection import StratifiedKFold, cross_val_score

from vae_anomaly.errors import ParameterError, TableError
from vae_anomaly.synthetic.comparable import Comparable, Floats
from vae_anomaly.table.columns import Column, DatetimeColumn, NumericColumn

_FOLDS = 5
_MOST_LEVELS = 254  # that the classifier takes as such; one more stands for all others
_FEW_LEVELS = 10
_DAY, _WEEK = 86_400.0, 7
_TWO = 2


@dataclass(frozen=True)
class Detection:
    """How well a classifier tells rows from real ones.

    Parameters
    ----------
    roc_auc : float
        Mean over the folds of a cross-validation; 0.5 where they cannot be told apart, 1 where all can, and far below
        0.5 where they are copies.
    standard_error : float
        Of that mean, from the spread over the folds.
    n_rows : int
        Rows of each sort.
    """

    roc_auc: float
    standard_error: float
    n_rows: int


@dataclass(frozen=True)
class Usefulness:
    """What a classifier that is trained on synthetic rows is worth on real ones.

    Parameters
    ----------
    target : str
        The column that it predicts.
    positive : str
        The value of it that is looked for: the rarer one of the real rows.
    trained_on_synthetic, trained_on_real : float
        Average precision on the held-out rows.
    share_held_out : float
        Of held-out rows with that value: the average precision of guessing.
    share_real, share_synthetic : float
        Of the rows that it is trained on.
    """

    target: str
    positive: str
    trained_on_synthetic: float
    trained_on_real: float
    share_held_out: float
    share_real: float
    share_synthetic: float


@dataclass(frozen=True, eq=False)
class Features:
    """What classifiers are given: all tables alike.

    Parameters
    ----------
    tables : tuple of float64 ndarray of shape (n_rows, n_features)
        One for each table.
    is_level : bool ndarray of shape (n_features,)
        Which features are levels.
    """

    tables: tuple[Floats, ...]
    is_level: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Comparable, without: str | None = None) -> Features:
        """All columns but one: numbers and dates by their ranks, of dates also the time of day and the day of the week.

        A missing number has the highest rank. The classifier takes so many levels at most, so that the rarest are one,
        and looks at none that few rows have: so of all but a few levels the place, by how frequent they are, is a
        feature of its own.
        """
        columns = [(index, column) for index, column in enumerate(rows.columns) if column.name != without]
        pooled = np.concatenate(rows.tables)
        parts = [
            part for index, column in columns for part in _parts(column, pooled[:, index], len(rows.levels[index]))
        ]
        cells = np.column_stack([np.zeros((len(pooled), 0)), *(part for part, _ in parts)])
        ends = np.cumsum([len(table) for table in rows.tables])[:-1]
        return cls(tuple(np.split(cells, ends)), np.array([level for _, level in parts], dtype=bool))

    def classifier(self, seed: int) -> Any:
        """Scikit-learn's gradient boosting at its defaults, which stops at no rows of its own."""
        return HistGradientBoostingClassifier(
            categorical_features=self.is_level, early_stopping=False, random_state=seed
        )


def _parts(column: Column, cells: Floats, n_levels: int) -> list[tuple[Floats, bool]]:
    """What a column becomes, and whether that is levels."""
    if isinstance(column, DatetimeColumn):
        return [(_ranks(cells), False), (_ranks(cells % _DAY), False), (_ranks(cells // _DAY % _WEEK), False)]
    if isinstance(column, NumericColumn):
        return [(_ranks(cells), False)]
    if n_levels > _FEW_LEVELS:
        return [(np.minimum(cells, _MOST_LEVELS), True), (_ranks(cells), False)]
    return [(cells, True)]


def _ranks(cells: Floats) -> Floats:
    """Equal cells have one rank: all that trees look at, and nothing that they cannot hold."""
    return np.unique(cells, return_inverse=True)[1].astype(np.float64)


def detection(features: Features, other: int, max_rows: int, seed: int) -> Detection:
    """Tell the rows of one table from those of the first, as many of each.

    Lopez-Paz & Oquab (2017), "Revisiting classifier two-sample tests".

    Parameters
    ----------
    features : Features
        Of all tables.
    other : int
        Which table.
    max_rows : int
        Rows of each that are drawn at most.
    seed : int
        Of the draw, the folds and the classifier.

    Raises
    ------
    TableError
        If there are too few rows for a cross-validation.
    """
    rng = np.random.default_rng([seed, other])
    pair = features.tables[0], features.tables[other]
    n_rows = min(max_rows, *map(len, pair))
    if n_rows < _FOLDS:
        raise TableError(
            f"Expected at least {_FOLDS} rows in every table, so that a classifier can be cross-validated. Found"
            f" {n_rows}."
        )
    cells = np.concatenate([table[rng.choice(len(table), n_rows, replace=False)] for table in pair])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    y = np.repeat([0, 1], n_rows)
    found = cross_val_score(features.classifier(seed), cells, y, cv=folds, scoring="roc_auc")
    return Detection(float(found.mean()), float(found.std(ddof=1) / np.sqrt(_FOLDS)), n_rows)


def usefulness(rows: Comparable, target: str, seed: int) -> Usefulness:
    """Train on synthetic rows and on real ones, and test both on held-out rows.

    Esteban, Hyland & Rätsch (2017), "Real-valued (medical) time series generation with recurrent conditional GANs".

    Parameters
    ----------
    rows : Comparable
        Real, synthetic and held-out rows.
    target : str
        A column of two values.
    seed : int
        Of the classifier.

    Raises
    ------
    ParameterError
        If it is no such column.
    TableError
        If the real or the held-out rows have one of the values only.
    """
    real, synthetic, held_out = (_positives(rows, target, number) for number in range(len(rows.tables)))
    features = Features.of(rows, without=target)
    test, expected = features.tables[2][held_out >= 0], held_out[held_out >= 0]
    for name, y in (("real", real), ("held-out", expected)):
        if len(np.unique(y[y >= 0])) < _TWO:
            raise TableError(
                f"The {name} rows have one value of {target!r} only. Expected both, to learn from or test."
            )
    if not features.tables[0].shape[1]:
        raise TableError(f"{target!r} is the only column. Expected others, to predict it from.")
    precision = []
    for table, y in zip(features.tables[:2], (real, synthetic), strict=True):
        known = y >= 0
        scores = np.zeros(len(test))
        if len(np.unique(y[known])) == _TWO:  # synthetic rows that have lost a value teach nothing of it
            scores = features.classifier(seed).fit(table[known], y[known]).predict_proba(test)[:, 1]
        precision.append(float(average_precision_score(expected, scores)))
    positive = rows.levels[rows.index(target)][_rarer(rows, target)]
    shares = [float(y[y >= 0].mean()) if (y >= 0).any() else 0.0 for y in (held_out, real, synthetic)]
    return Usefulness(target, positive, precision[1], precision[0], *shares)


def check_target(rows: Comparable, target: str) -> None:
    """Raise a `ParameterError` if there is no column of that name, or not one of two values."""
    found = f"the table has {', '.join(rows.names[:20])}"
    if target in rows.names:
        index = rows.index(target)
        n_values = len(np.unique(rows.tables[0][:, index][~np.isnan(rows.tables[0][:, index])]))
        if rows.is_level[index] and n_values == _TWO:
            return
        found = f"it has {n_values:,} values"
    raise ParameterError(
        "The 'target' parameter of synthetic_quality must name a column with two values in the real rows. Got"
        f" {target!r} instead; {found}."
    )


def _rarer(rows: Comparable, target: str) -> int:
    """The code of the rarer value; of two that are as frequent, the later one by text."""
    cells = rows.tables[0][:, rows.index(target)]
    codes, counts = np.unique(cells[~np.isnan(cells)].astype(np.int64), return_counts=True)
    levels = rows.levels[rows.index(target)]
    _, second = sorted(range(_TWO), key=lambda place: (-counts[place], levels[codes[place]]))
    return int(codes[second])


def _positives(rows: Comparable, target: str, table: int) -> NDArray[np.int64]:
    """1 for the rarer value, 0 for others, -1 where it is missing."""
    cells = rows.tables[table][:, rows.index(target)]
    return np.where(np.isnan(cells), -1, cells == _rarer(rows, target)).astype(np.int64)
