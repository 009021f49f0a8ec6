"""Who says which column is the reason: ours, and what people use beside a detector that says nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.encodings import ENCODINGS, clocked

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.table.layout import EncodedTable

Floats = NDArray[np.float64]

CONDITIONAL, PLAIN = "explain", "plain"
"""With ``conditional=True``, the default, and with False."""

Z_ONE_HOT, Z_ORDINAL, ECOD = "z one-hot", "z ordinal", "ECOD"
SQUARED, SHAP = "squared error", "SHAP"
EXPLAINERS = (CONDITIONAL, PLAIN, Z_ONE_HOT, Z_ORDINAL, ECOD, SQUARED, SHAP)

BACKGROUND, EVALUATIONS = 100, 500
"""What `shap` takes by itself: rows that stand in for what is masked, and evaluations of a row."""


@dataclass(frozen=True, eq=False)
class Explained:
    """A fitted detector with its training rows, and all that explainers learn from these.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    train : DataFrame
        Its training rows.
    seed : int
        Of what is sampled.
    """

    detector: VAEDetector
    train: pd.DataFrame
    seed: int = 0
    _encoders: dict[tuple[str, bool], dict[str, Any]] = field(default_factory=dict, init=False, repr=False)

    @property
    def columns(self) -> list[str]:
        """Those that the detector models; nobody is asked about others."""
        return list(self.detector.schema_.modelled)

    @cached_property
    def background(self) -> pd.DataFrame:
        """Training rows that stand in for what SHAP masks."""
        return self.train.sample(min(BACKGROUND, len(self.train)), random_state=self.seed)

    @cached_property
    def ecod(self) -> Any:
        """PyOD's ECOD on ordinal codes."""
        from pyod.models import ecod

        return ecod.ECOD().fit(np.concatenate(list(self.encoded(self.train, "ordinal").values()), axis=1))

    def encoded(self, rows: pd.DataFrame, encoding: str, *, scaled: bool = False) -> dict[str, Floats]:
        """Each column as numbers, of shape (n_rows, n_numbers): several of a moment, or of one-hot categories."""
        if (encoding, scaled) not in self._encoders:
            self._encoders[encoding, scaled] = {
                name: _encoder(encoding, scaled).fit(self.train[[name]])
                for name in self.columns
                if _varies(self.train[[name]])
            }
        found = self._encoders[encoding, scaled]
        nothing = np.zeros((len(rows), 1))
        return {name: found[name].transform(rows[[name]]) if name in found else nothing for name in self.columns}


def _encoder(encoding: str, scaled: bool) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(ENCODINGS[encoding](), StandardScaler()) if scaled else ENCODINGS[encoding]()


def _varies(column: pd.DataFrame) -> bool:
    return len(clocked(column).drop_duplicates()) > 1


def _of_explain(explained: Explained, rows: pd.DataFrame, *, conditional: bool) -> Floats:
    first = explained.detector.explain(rows, 1, conditional=conditional)["column"].to_numpy()
    return np.asarray(first[:, None] == np.array(explained.columns, dtype=object), dtype=np.float64)


def of_z_scores(explained: Explained, rows: pd.DataFrame, *, encoding: str) -> Floats:
    """How many standard deviations a cell lies from the mean of its column, in its number that lies farthest.

    It is what ``explain_findings`` of PyOD 3.6.7 ranks features by, whatever the detector: ``feature_contributions``,
    |x − mean| / std by the rows that it is given, here the training rows.
    """
    found = explained.encoded(rows, encoding, scaled=True)
    return np.column_stack([np.abs(numbers).max(axis=1) for numbers in found.values()])


def of_tails(explained: Explained, rows: pd.DataFrame) -> Floats:
    """Dimensional outlier scores of ECOD, which ``explain_outlier`` draws: −log of the tail probability."""
    found = explained.encoded(rows, "ordinal")
    explained.ecod.decision_function(np.concatenate(list(found.values()), axis=1))
    scores = np.asarray(explained.ecod.O)[-len(rows) :]  # training rows come first
    ends = np.cumsum([numbers.shape[1] for numbers in found.values()])
    return np.column_stack([part.max(axis=1) for part in np.split(scores, ends[:-1], axis=1)])


def of_squared_error(explained: Explained, rows: pd.DataFrame) -> Floats:
    """Squared distance of each cell to its reconstruction by the same detector: z units, categories one-hot."""
    again = explained.detector.reconstruct(rows)
    there, back = (explained.encoded(table, "one-hot") for table in (rows, again))
    return np.column_stack([((there[name] - back[name]) ** 2).sum(axis=1) for name in explained.columns])


def of_shap(explained: Explained, rows: pd.DataFrame, *, evaluations: int = EVALUATIONS) -> Floats:
    """Permutation SHAP of the detector's anomaly score: what each column adds to it, in nats.

    Cells that are masked come from `BACKGROUND` training rows. Rows are encoded once: what is timed is the model.
    """
    import shap  # type: ignore[import-untyped]

    detector = explained.detector
    background, asked = detector._encode(explained.background), detector._encode(rows)
    column_of_part = detector.schema_.layout().column_of_part

    def anomaly_score(source: Floats) -> Floats:
        return -detector._scores(_cells_of(background, asked, source.astype(np.intp)[:, column_of_part]))

    # A cell is the number of the row that it comes from: categories, gaps and dates need no numbers of their own.
    sources = np.repeat(np.arange(len(background) + len(asked), dtype=np.float64)[:, None], len(explained.columns), 1)
    masker = shap.maskers.Independent(sources[: len(background)], max_samples=len(background))
    with _global_generator_kept():
        explainer = shap.explainers.Permutation(anomaly_score, masker, seed=explained.seed)
        most = max(evaluations, 2 * len(explained.columns) + 1)  # it takes no fewer
        found = explainer(sources[len(background) :], max_evals=most, silent=True)
    return np.asarray(found.values, dtype=np.float64)


def _cells_of(background: EncodedTable, asked: EncodedTable, source: NDArray[np.intp]) -> EncodedTable:
    """Rows whose cells come from rows of both tables, counted one after the other; `source` has a column a part."""
    from vae_anomaly.table.layout import EncodedTable

    blocks, start = [], 0
    for name in ("values", "angles", "codes"):
        pool = np.concatenate([getattr(background, name), getattr(asked, name)])
        blocks.append(np.take_along_axis(pool, source[:, start : start + pool.shape[1]], axis=0))
        start += pool.shape[1]
    return EncodedTable(*blocks)


@contextmanager
def _global_generator_kept() -> Iterator[None]:
    """SHAP seeds NumPy's global generator, which is everybody's."""
    state = np.random.get_state()  # noqa: NPY002  (what is kept is the old one)
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def importance(explainer: str, explained: Explained, rows: pd.DataFrame) -> Floats:
    """How important an explainer finds each column in each row.

    Parameters
    ----------
    explainer : str
        One of `EXPLAINERS`.
    explained : Explained
        The detector, and what is usual.
    rows : DataFrame
        Rows with the columns of training.

    Returns
    -------
    importance : float64 ndarray of shape (n_rows, n_columns)
        The largest of a row is its first reason.
    """
    methods: dict[str, Callable[[], Floats]] = {
        CONDITIONAL: lambda: _of_explain(explained, rows, conditional=True),
        PLAIN: lambda: _of_explain(explained, rows, conditional=False),
        Z_ONE_HOT: lambda: of_z_scores(explained, rows, encoding="one-hot"),
        Z_ORDINAL: lambda: of_z_scores(explained, rows, encoding="ordinal"),
        ECOD: lambda: of_tails(explained, rows),
        SQUARED: lambda: of_squared_error(explained, rows),
        SHAP: lambda: of_shap(explained, rows),
    }
    return methods[explainer]()


def credit(importance: Floats, column: NDArray[np.intp]) -> Floats:
    """1 where a column is the first reason, a share of it where others are as important, of shape (n_rows,).

    Examples
    --------
    >>> credit(np.array([[0.0, 2.0], [2.0, 2.0], [3.0, 2.0]]), np.array([1, 1, 1]))
    array([1. , 0.5, 0. ])
    """
    most = importance == importance.max(axis=1, keepdims=True)
    return np.asarray(most[np.arange(len(column)), column] / most.sum(axis=1))
