"""What a threshold rule goes by, put together and checked before the detector is fitted, which takes long."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils import indexable
from sklearn.utils.validation import _num_samples

from vae_anomaly.decision._counts import rows_at_top
from vae_anomaly.decision._labelled import check_both_classes
from vae_anomaly.decision.calibration import ThresholdRule
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.thresholds import AlertBudget, Contamination, DiscoveryRate, FalseAlarmRate
from vae_anomaly.errors import CalibrationWarning, TableError

_USUAL = FalseAlarmRate(0.01)
_USUAL_ROWS = 299
"""Rows that it takes: ceil(log(0.05) / log(0.99))."""

_BY_NUMBERS = (AlertBudget, Contamination, DiscoveryRate, FalseAlarmRate)
"""Rules whose refusals depend on how many rows there are and when they came, and not on their scores."""

_WHOLE = 0.99
"""Share of the rows of its time from which a calibration counts as whole."""

_GIVEN_AS = {"y": "labels (y)", "time": "the time of each row (time=)", "amount": "the amount of each row (amount=)"}


@dataclass(frozen=True)
class RuleOrNone:
    """A threshold rule, or None for the usual one."""

    def allows(self, value: Any) -> bool:
        """Whether `value` can be calibrated; a class is no rule yet."""
        return value is None or (
            hasattr(value, "calibrate") and hasattr(value, "needs") and not isinstance(value, type)
        )

    def __str__(self) -> str:
        return "a threshold rule, such as FalseAlarmRate(0.01), or None"


def in_memory(X: Any) -> Any:
    """`X` so that rows can be taken from it."""
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise TableError(f"Expected a table held in memory, found {type(X).__name__}. Call .collect() first.")
    return indexable(X)[0]


def columns_beside(X: Any, y: Any = None, **columns: Any) -> CalibrationRows:
    """The columns beside `X`, checked, with scores of 0 until they are known."""
    if y is not None:
        columns["contamination"] = None  # it is assumed of rows without labels only
    n_rows = _num_samples(X)
    if not n_rows:
        raise TableError("Expected rows, found 0 sample(s).")
    return CalibrationRows.from_arrays(np.zeros(n_rows), y, **columns)


def scored(columns: CalibrationRows, score: NDArray[np.float64]) -> CalibrationRows:
    """The columns with their scores, checked again: all rows of one class may have gone to another part."""
    known = {field.name: getattr(columns, field.name) for field in fields(columns)}
    return CalibrationRows.from_arrays(**{**known, "score": score})


def check_needs(rule: ThresholdRule | None, columns: CalibrationRows) -> None:
    """Raise unless what the rule cannot do without is there.

    Raises
    ------
    TableError
        Naming the argument that would bring it.
    """
    missing = [name for name in sorted(rule.needs) if getattr(columns, name) is None] if rule is not None else []
    if missing:
        given = " and ".join(_GIVEN_AS[name] for name in missing)
        raise TableError(f"{rule!r} needs {given}: found none. Give it beside X, or choose another rule.")


def rehearse(rule: ThresholdRule | None, columns: CalibrationRows, rows: NDArray[np.intp]) -> None:
    """Let a rule that will refuse to be calibrated on `rows`, whatever their scores, do so now.

    Raises
    ------
    TableError
        From the rule; or the labels that it needs, or every row's, are of one class; or it counts alerts by the day,
        and the split has thinned out the rows of the days.
    """
    part = scored(columns.take(rows), np.zeros(len(rows)))
    if rule is not None and part.y is not None and "y" in rule.needs:
        check_both_classes(part.y, f"{rule!r}, on the {len(part):,} rows that are held out,")
    if isinstance(rule, AlertBudget) and "time" in rule.needs and columns.time is not None and part.time is not None:
        n_within = int(((columns.time >= part.time.min()) & (columns.time <= part.time.max())).sum())
        if len(rows) < _WHOLE * n_within:
            raise TableError(
                f"{rule!r} counts the alerts of whole periods: found {len(rows):,} of the {n_within:,} rows of their "
                "time held out. Let 'cv' be a share, which holds out the latest rows, or a partition such as KFold(5), "
                "which calibrates on every row."
            )
    if isinstance(rule, _BY_NUMBERS):
        rule.calibrate(replace(part, score=np.arange(float(len(part)))))


def usual_rule(rows: CalibrationRows) -> ThresholdRule:
    """A false-alarm rate of 1 %, or with too few rows the lowest that they bear out, and a warning."""
    n = rows_at_top(rows.normal_score, rows.normal_weight, rows.normal_cluster)
    if n >= _USUAL_ROWS:
        return _USUAL
    # The highest of n scores bounds the rate by alpha where (1 - alpha)^n is what confidence leaves: Wilks (1941).
    lowest = -math.expm1(math.log1p(-_USUAL.confidence) / n)
    rule = replace(_USUAL, alpha=min(math.ceil(1_000 * lowest) / 1_000, 0.999))
    found = f"{n:,.0f}"
    if rows.weight is not None or rows.cluster is not None:
        found = f"{found} effective rows of {len(rows):,}, by their weights and groups"
    warnings.warn(
        f"{_USUAL!r} needs {_USUAL_ROWS} calibration rows, found {found}: the threshold is their highest score, which "
        f"bears out a false-alarm rate of {rule.alpha:g} only. Give more rows, a number of folds as 'cv' so that every "
        "row calibrates, or a rule.",
        CalibrationWarning,
        stacklevel=4,
    )
    return rule


def whole_groups(split_groups: Any, X: Any) -> NDArray[np.intp] | None:
    """Which rows belong together, as numbers from 0.

    Raises
    ------
    TableError
        It is no column of the right length, or a value is missing.
    """
    if split_groups is None:
        return None
    n_rows = _num_samples(X)
    try:
        column = np.asarray(split_groups)
        codes = np.asarray(pd.factorize(column)[0] if column.ndim == 1 else (), dtype=np.intp)
    except (TypeError, ValueError) as error:
        raise TableError(f"'split_groups' must hold one value for each row: {error}. Make them text.") from error
    if column.shape != (n_rows,):
        raise TableError(f"'split_groups' must have one entry for each of the {n_rows} rows: found {column.shape}.")
    if (codes < 0).any():
        raise TableError(
            f"'split_groups' must be known for every row: row {(codes < 0).argmax()} and {int((codes < 0).sum())} in "
            "all have none. Fill them in, for example with a value of its own for each such row."
        )
    return codes
