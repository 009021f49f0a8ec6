"""Which rows a detector learns from, and which it is calibrated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, KFold, ShuffleSplit, check_cv

from vae_anomaly.decision.splits import TimeOrderedSplit
from vae_anomaly.errors import ParameterError, TableError

Rows: TypeAlias = NDArray[np.intp]
Times: TypeAlias = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class Split:
    """Positions of the rows of one fit, in their order; no row is in both."""

    train: Rows
    calibration: Rows


@dataclass(frozen=True)
class Splitter:
    """Anything that scikit-learn would cross-validate with."""

    def allows(self, value: Any) -> bool:
        """Whether `value` has a `split`, or is a list of pairs of rows."""
        return (hasattr(value, "split") and hasattr(value, "get_n_splits")) or isinstance(value, (list, tuple))

    def __str__(self) -> str:
        return "a splitter of scikit-learn"


@dataclass(frozen=True, eq=False)
class Beside:
    """What a split may go by, one entry a row: when it happened, and which rows belong together."""

    time: Times | None = None
    group: NDArray[np.intp] | None = None


def splits(cv: Any, X: Any, y: Any, n_rows: int, beside: Beside, random_state: Any) -> tuple[Split, ...]:
    """One split where rows are held out, several where every fold is scored by a detector that has not seen it.

    Parameters
    ----------
    cv : float, int or splitter
        Share of rows to hold out; number of folds; or what scikit-learn takes for cross-validation.
    X, y : object
        Handed to a splitter, and to nothing else.
    n_rows : int
        Rows of `X`.
    beside : Beside
        Times, by which a share or a number of folds splits, and groups that are never parted.
    random_state : int, RandomState or None
        Seed of the splits that go by neither time nor a splitter of the user's.

    Raises
    ------
    TableError
        Too few rows, times or groups to split by.
    ParameterError
        A splitter whose parts overlap or are empty, or both times and groups for a share or a number of folds.
    """
    if isinstance(cv, (float, int, np.floating, np.integer)):
        if n_rows < 2:
            raise TableError(
                f"Expected at least 2 rows, one to learn from and one to calibrate on: found {n_rows} sample(s). "
                'Give more rows, or calibrate a fitted detector (cv="prefit").'
            )
        if isinstance(cv, (float, np.floating)):
            return (_share(float(cv), n_rows, beside, random_state),)
        return _folds(int(cv), n_rows, beside, random_state)
    try:
        groups = beside.time if isinstance(cv, TimeOrderedSplit) and cv.time is None else beside.group
        pairs = [(np.sort(train), np.sort(test)) for train, test in check_cv(cv).split(X, y, groups)]
    except TypeError as error:
        raise ParameterError(
            f"The 'cv' of CalibratedDetector must give pairs of rows, to learn from and to calibrate on: {error}."
        ) from error
    return _checked([Split(train, test) for train, test in pairs], n_rows)


def calibration_rows(parts: Sequence[Split]) -> Rows:
    """The rows to calibrate on, one split after the other."""
    return np.concatenate([part.calibration for part in parts])


def described(parts: Sequence[Split], n_rows: int, beside: Beside, cv: Any) -> str:
    """How the calibration rows were had, as a remark of a report."""
    n = len(calibration_rows(parts))
    own = hasattr(cv, "split") or isinstance(cv, (list, tuple))
    way = "by the splitter" if own else "the latest" if beside.time is not None else "at random"
    if not own and beside.group is not None:
        way = "whole groups at random"
    if len(parts) == 1:
        return f"{n:,} of {n_rows:,} rows were held out for the calibration, {way}"
    return (
        f"each of {n:,} rows was scored by one of {len(parts)} detectors that had not learnt from it ({way}), and the "
        "detector in use has learnt from all rows: what is guaranteed is approximate"
    )


def _share(share: float, n_rows: int, beside: Beside, random_state: Any) -> Split:
    if beside.time is not None:
        _not_both(beside)
        return _in_time(beside.time, [1 - share])[0]
    splitter: Any = ShuffleSplit
    n_parts = n_rows
    if beside.group is not None:
        _enough_groups(beside.group, 2)
        splitter, n_parts = GroupShuffleSplit, int(beside.group.max()) + 1
    held_out = min(max(round(share * n_parts), 1), n_parts - 1)  # of a few rows too there is one on either side
    pairs = splitter(1, test_size=held_out, random_state=random_state).split(np.empty(n_rows), groups=beside.group)
    return _sorted(pairs)[0]


def _folds(n_folds: int, n_rows: int, beside: Beside, random_state: Any) -> tuple[Split, ...]:
    if beside.time is not None:
        _not_both(beside)
        return tuple(_in_time(beside.time, [fold / (n_folds + 1) for fold in range(1, n_folds + 1)]))
    splitter: Any = KFold
    if beside.group is not None:
        _enough_groups(beside.group, n_folds)
        splitter = GroupKFold
    elif n_rows < n_folds:
        raise TableError(f"{n_folds} folds need {n_folds} rows: found {n_rows} sample(s). Lower cv, or give more rows.")
    pairs = splitter(n_folds, shuffle=True, random_state=random_state).split(np.empty(n_rows), groups=beside.group)
    return _sorted(pairs)


def _sorted(pairs: Iterable[tuple[Rows, Rows]]) -> tuple[Split, ...]:
    return tuple(Split(np.sort(train), np.sort(test)) for train, test in pairs)


def _in_time(time: Times, shares: Sequence[float]) -> list[Split]:
    """For each share, learn from about that share of the rows, the earliest, and calibrate on those up to the next.

    Rows of one time are never parted: each cut lies where the time changes, as near to its share as can be.
    """
    distinct, n_rows = np.unique(time, return_counts=True)
    if len(distinct) <= len(shares):
        raise TableError(
            f"To calibrate on later rows than are learnt from takes {len(shares) + 1} or more different times: found "
            f"{len(distinct)}. Give finer times, rows of a longer time, or a splitter as 'cv'."
        )
    earlier = np.cumsum(n_rows)[:-1] / len(time)
    cuts: list[int] = []
    for share in shares:  # each cut after the one before, and early enough for those to come
        first, last = len(cuts) and cuts[-1] + 1, len(earlier) - (len(shares) - len(cuts) - 1)
        cuts.append(first + int(np.abs(earlier[first:last] - share).argmin()))
    block = np.searchsorted(distinct[1:][cuts], time, side="right")
    return [Split(np.flatnonzero(block < i), np.flatnonzero(block == i)) for i in range(1, len(cuts) + 1)]


def _not_both(beside: Beside) -> None:
    if beside.group is not None:
        raise ParameterError(
            "The rows cannot be split by 'time' and by 'split_groups' at once: whoever has rows before and after a cut "
            "would be parted. Leave 'split_groups' out to calibrate on later rows, or give a splitter as 'cv', such as "
            "GroupKFold(5), which goes by the groups and leaves 'time' to the rule."
        )


def _enough_groups(group: NDArray[np.intp], at_least: int) -> None:
    found = int(group.max()) + 1
    if found < at_least:
        raise TableError(
            f"Expected {at_least} or more values in 'split_groups', as no group is parted: found {found} (in "
            f"{len(group)} sample(s)). Give rows of more groups, or leave 'split_groups' out."
        )


def _checked(found: Sequence[Split], n_rows: int) -> tuple[Split, ...]:
    """The splits of a user's splitter, whose calibration rows must be new to the detector and counted once."""
    if not found or any(not len(split.train) or not len(split.calibration) for split in found):
        raise ParameterError(
            "The 'cv' of CalibratedDetector must give rows to learn from and rows to calibrate on: found a part with "
            "none. Choose another splitter."
        )
    beyond = [part for split in found for part in (split.train, split.calibration) if part[0] < 0 or part[-1] >= n_rows]
    if beyond:
        raise ParameterError(
            f"The 'cv' of CalibratedDetector must give positions of the {n_rows:,} rows, from 0 on: found "
            f"{beyond[0][0]:,} to {beyond[0][-1]:,}. Make the splits from these rows."
        )
    counted = np.bincount(calibration_rows(found), minlength=n_rows)
    seen = sum(len(np.intersect1d(split.train, split.calibration)) for split in found)
    if seen or counted.max() > 1:
        fault = f"{seen} rows are learnt from and calibrated on" if seen else "rows are calibrated on more than once"
        raise ParameterError(
            "The 'cv' of CalibratedDetector must calibrate on rows that are new to the detector, each once: "
            f"{fault}. Take one split, such as ShuffleSplit(1), or a partition, such as KFold."
        )
    return tuple(found)
