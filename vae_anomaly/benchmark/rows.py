"""What one split of a data set gives to every detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark import cache
from vae_anomaly.benchmark.encodings import ENCODINGS
from vae_anomaly.benchmark.payments import Payments
from vae_anomaly.benchmark.protocol import DataSet, Suite, Table

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """What one split gives to every detector.

    Parameters
    ----------
    train, test : ndarray or DataFrame
        As they are in the file.
    y : int64 ndarray
        Of the test rows.
    weight : float64 ndarray or None
        How many rows each test row stands for.
    n_train_anomalies : int
        Which of the training rows they are, no detector is told.
    payments : Payments or None
        Of the test rows, for daily metrics; no detector sees them.
    """

    train: Table
    test: Table
    y: NDArray[np.int64]
    weight: Floats | None = None
    n_train_anomalies: int = 0
    payments: Payments | None = None
    _encoded: dict[str, tuple[Floats, Floats]] = field(default_factory=dict, init=False, repr=False)

    @property
    def counts(self) -> dict[str, Any]:
        """Their sizes, for the table."""
        return {
            "n_columns": self.train.shape[1],
            "n_train": len(self.train),
            "n_train_anomalies": self.n_train_anomalies,
            "n_test": len(self.test),
            "n_test_anomalies": int(self.y.sum()),
        }

    def encoded(self, encoding: str | None) -> tuple[Any, Any]:
        """Both parts in an encoding that is learnt from the training rows; as they are where it is None."""
        if encoding is None:
            return self.train, self.test
        if encoding not in self._encoded:
            encoder = ENCODINGS[encoding]().fit(self.train)
            self._encoded[encoding] = encoder.transform(self.train), encoder.transform(self.test)
        return self._encoded[encoding]

    @cached_property
    def digest(self) -> str:
        """Of all that is in them: whatever changes the rows or the split changes it."""
        tables = [array for table in (self.train, self.test) for array in cache.as_arrays(table)]
        known = [self.payments.day, self.payments.card, self.payments.amount] if self.payments is not None else []
        return cache.arrays_digest([*tables, self.y, *([] if self.weight is None else [self.weight]), *known])


def prepare(data: DataSet, suite: Suite, seed: int) -> Rows:
    """Split a data set.

    Examples
    --------
    >>> from vae_anomaly.benchmark.suites import SUITES
    >>> data = DataSet(np.arange(10.0)[:, None], np.repeat([0, 1], [8, 2]))
    >>> prepare(data, SUITES["normal50"], seed=0).y.tolist()
    [0, 0, 0, 0, 1, 1]
    """
    split = suite.split(data, seed)
    train, test = data.part(split.train), data.part(split.test)
    weight = None if suite.genuine_weight is None else np.where(test.y == 1, 1.0, suite.genuine_weight)
    return Rows(train.X, test.X, test.y, weight, int(train.y.sum()), test.payments)
