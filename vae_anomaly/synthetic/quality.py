"""Everything that two tables say about how good synthetic rows are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from vae_anomaly._params import Instance, Number, OneOf, check_params
from vae_anomaly.errors import ParameterError
from vae_anomaly.synthetic.closeness import HELD_OUT, Privacy, privacy
from vae_anomaly.synthetic.comparable import read_alike
from vae_anomaly.synthetic.fidelity import column_distances, pair_differences
from vae_anomaly.synthetic.telling import Detection, Features, Usefulness, check_target, detection, usefulness

_RULES = {
    "random_state": (Number(0, 2**32 - 1, integer=True),),
    "max_rows": (Number(5, integer=True),),
    "target": (Instance((str,), "the name of a column"), OneOf((None,))),
}
_WORST = 5


@dataclass(frozen=True, eq=False, repr=False)
class SyntheticQuality:
    """How good synthetic rows are, beside real rows that were held out, where there are some.

    Parameters
    ----------
    n_real, n_synthetic : int
        Rows.
    n_held_out : int or None
        Rows; None if none were given.
    columns : DataFrame
        A line for each column:

        - column, kind: of the real table.
        - distance: from the real column to the synthetic one, from 0, the same, to 1. Of numbers and dates it is that
          of Kolmogorov and Smirnov, of levels the total variation; of the present cells.
        - real_missing, synthetic_missing: shares of missing cells.
        - outside: share of synthetic cells that are no level of the real rows, or not within their range.
        - held_out_distance: of held-out rows to the real ones, where there are some.
    pairs : DataFrame
        A line for each pair of columns:

        - first, second, measure: which, and how their association is measured.
        - real, synthetic: associations, by `vae_anomaly.synthetic.fidelity.associations`.
        - difference: of the two, absolute.
        - held_out_difference: of held-out rows and the real ones, where there are some.
    detection : Detection
        How well a classifier tells synthetic rows from real ones.
    held_out_detection : Detection or None
        How well it tells held-out rows from them: 0.5, but for chance and drift.
    usefulness : Usefulness or None
        What a classifier learns from synthetic rows, if a target was given.
    privacy : Privacy
        How near synthetic rows come to real ones, and copies.
    """

    n_real: int
    n_synthetic: int
    n_held_out: int | None
    columns: pd.DataFrame
    pairs: pd.DataFrame
    detection: Detection
    held_out_detection: Detection | None
    usefulness: Usefulness | None
    privacy: Privacy

    def to_frame(self) -> pd.DataFrame:
        """The figures, one a line.

        Returns
        -------
        DataFrame
            With columns figure, synthetic, beside (the same of held-out rows, or of what else the figure is to be
            measured by; NaN where there is nothing) and best (in words).

        Examples
        --------
        >>> import pandas as pd
        >>> from vae_anomaly import make_transactions, synthetic_quality
        >>> rows = make_transactions(400, random_state=0)[["amount", "channel"]]
        >>> synthetic_quality(rows[:200], rows[200:]).to_frame()["figure"].tolist()[:2]
        ['mean distance of columns', 'largest distance of columns']
        """
        lines = [*self._fidelity(), *self._usefulness(), *self._privacy()]
        return pd.DataFrame(lines, columns=["figure", "synthetic", "beside", "best"]).astype(
            {"synthetic": float, "beside": float}
        )

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values.

        Returns
        -------
        dict
            Tables as lists of objects; NaN, which JSON has not, as None.

        Examples
        --------
        >>> from vae_anomaly import make_transactions, synthetic_quality
        >>> rows = make_transactions(400, random_state=0)[["amount", "channel"]]
        >>> synthetic_quality(rows[:200], rows[200:]).to_json()["columns"][0]["column"]
        'amount'
        """
        parts = {name: getattr(self, name) for name in ("detection", "held_out_detection", "usefulness", "privacy")}
        return {
            "n_real": self.n_real,
            "n_synthetic": self.n_synthetic,
            "n_held_out": self.n_held_out,
            **{name: None if part is None else asdict(part) for name, part in parts.items()},
            "columns": _records(self.columns),
            "pairs": _records(self.pairs),
        }

    def __repr__(self) -> str:
        beside = f", {self.n_held_out:,} held out" if self.n_held_out is not None else ""
        head = f"SyntheticQuality: {self.n_synthetic:,} synthetic rows beside {self.n_real:,} real ones{beside}"
        figures = self.to_frame().to_string(index=False, float_format="{:.3f}".format, na_rep="")
        worst = self.columns.nlargest(_WORST, "distance")
        named = ", ".join(
            f"{name} {distance:.3f}" for name, distance in zip(worst["column"], worst["distance"], strict=True)
        )
        return f"{head}\n\n{figures}\n\nColumns furthest off: {named}"

    def _fidelity(self) -> list[tuple[Any, ...]]:
        columns, pairs, beside = self.columns, self.pairs, self.held_out_detection
        shares = (columns["synthetic_missing"] - columns["real_missing"]).abs()
        return [
            ("mean distance of columns", columns["distance"].mean(), _mean(columns, "held_out_distance"), "near 0"),
            ("largest distance of columns", columns["distance"].max(), _most(columns, "held_out_distance"), "near 0"),
            ("largest difference in missing cells", shares.max(), np.nan, "near 0"),
            (
                "mean difference of associations",
                pairs["difference"].mean(),
                _mean(pairs, "held_out_difference"),
                "near 0",
            ),
            ("detection, ROC AUC", self.detection.roc_auc, np.nan if beside is None else beside.roc_auc, "near 0.5"),
            (
                "its standard error",
                self.detection.standard_error,
                np.nan if beside is None else beside.standard_error,
                "",
            ),
        ]

    def _usefulness(self) -> list[tuple[Any, ...]]:
        found = self.usefulness
        if found is None:
            return []
        name = f"average precision of {found.target} by training on them"
        return [(name, found.trained_on_synthetic, found.trained_on_real, "as trained on real rows")]

    def _privacy(self) -> list[tuple[Any, ...]]:
        found = self.privacy
        best = f"as of {found.beside}, or more"
        return [
            ("distance to the nearest real row, median", found.median, found.beside_median, best),
            ("the same, 5th percentile", found.fifth_percentile, found.beside_fifth_percentile, best),
            ("probability of being nearer to one", found.probability_closer, 0.5, "0.5, or less"),
            ("share within the 5th percentile", found.share_within_fifth_percentile, 0.05, "0.05, or less"),
            ("share of copies", found.share_copies, found.beside_share_copies, f"as of {found.beside}, or less"),
        ]


def synthetic_quality(
    real: Any,
    synthetic: Any,
    *,
    held_out: Any = None,
    target: str | None = None,
    kinds: Mapping[str, str] | None = None,
    max_rows: int = 10_000,
    random_state: int = 0,
) -> SyntheticQuality:
    """Measure how good synthetic rows are: alike, as useful, and no copies.

    Parameters
    ----------
    real : DataFrame or array-like of shape (n_real, n_columns)
        The rows that the synthetic ones were made of. They decide what each column is; columns that only name rows are
        left out.
    synthetic : DataFrame or array-like of shape (n_synthetic, n_columns)
        Rows with the same columns, in any order, from anywhere.
    held_out : DataFrame or array-like of shape (n_held_out, n_columns), default=None
        Real rows that the synthetic ones were not made of. What these score in place of the synthetic rows is what
        perfect ones would.
    target : str, default=None
        A column of two values, such as a label, that a classifier is to predict on the held-out rows, trained on
        synthetic rows and on real ones; it needs `held_out`.
    kinds : mapping of str to str, default=None
        Kinds of columns, as of `VAEDetector`, where they are not to be guessed from `real`.
    max_rows : int, default=10000
        Rows of each table, drawn at random, that associations and detection are measured on at most.
    random_state : int, default=0
        Seed of draws, folds and classifiers.

    Returns
    -------
    SyntheticQuality
        The figures. The same tables and seed give the same ones.

    Raises
    ------
    ParameterError
        A parameter is outside its domain, or `target` is not a column of two values or lacks `held_out`.
    TableError
        A table has other columns than the real one, fewer than 5 rows, cells that cannot be read, or only one value of
        `target`.

    Notes
    -----
    The classifier of the two-sample test (Lopez-Paz & Oquab 2017) is scikit-learn's histogram gradient boosting at its
    defaults, cross-validated in 5 folds on as many synthetic as real rows. It sees single cells and what goes with
    what, so that 0.5 is more than columns and pairs that fit. Where rows are copies it falls far below 0.5: it has
    learnt the twin of each row as one of the other sort. What finds copying, and rows that nearly are, is `privacy`
    (distance to closest record), which is no proof that nothing can be learnt of a person.

    With no held-out rows, distances are measured beside those of each real row to the other real ones, which are as far
    from each other as fresh rows of the same source would be.

    Examples
    --------
    Payments of the same source, and such as have lost what goes with what:

    >>> import numpy as np
    >>> from vae_anomaly import make_transactions
    >>> rows = make_transactions(1_500, random_state=0)[["amount", "category", "channel", "device"]]
    >>> real, fresh, others = rows[:500], rows[500:1000], rows[1000:]
    >>> rng = np.random.default_rng(0)
    >>> shuffled = others.apply(lambda column: rng.permutation(column.to_numpy()))
    >>> found = synthetic_quality(real, fresh, held_out=others)
    >>> loose = synthetic_quality(real, shuffled, held_out=others)
    >>> found.detection.roc_auc < 0.6 < loose.detection.roc_auc
    True
    >>> bool(found.pairs["difference"].mean() < loose.pairs["difference"].mean())
    True
    """
    given = {"random_state": random_state, "max_rows": max_rows, "target": target}
    check_params("synthetic_quality", given, _RULES)
    if target is not None and held_out is None:
        raise ParameterError(
            "The 'target' parameter of synthetic_quality needs 'held_out': real rows to test on that the synthetic ones"
            " were not made of. Got none."
        )
    others = {"synthetic": synthetic} | ({} if held_out is None else {HELD_OUT.removesuffix(" rows"): held_out})
    rows = read_alike(real, others, kinds)
    if target is not None:
        check_target(rows, target)
    features = Features.of(rows)
    found = [detection(features, other, max_rows, random_state) for other in range(1, len(rows.tables))]
    return SyntheticQuality(
        n_real=len(rows.tables[0]),
        n_synthetic=len(rows.tables[1]),
        n_held_out=None if held_out is None else len(rows.tables[2]),
        columns=column_distances(rows),
        pairs=pair_differences(rows.drawn(max_rows, random_state)),
        detection=found[0],
        held_out_detection=found[1] if held_out is not None else None,
        usefulness=None if target is None else usefulness(rows, target, random_state),
        privacy=privacy(rows, random_state),
    )


def _mean(frame: pd.DataFrame, name: str) -> float:
    return float(frame[name].mean()) if name in frame else np.nan


def _most(frame: pd.DataFrame, name: str) -> float:
    return float(frame[name].max()) if name in frame else np.nan


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = frame.astype(object).where(frame.notna(), None).to_dict("records")  # type: ignore[assignment]
    return found
