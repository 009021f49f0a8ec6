"""Day, card and amount of payments, and what scores are worth to a team that can look at so many of them a day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

LOOKS = 100
"""Payments, or cards, that the team can look at each day."""

PAYMENT_METRICS = ("precision_at_100_per_day", "card_precision_at_100", "amount_recall_at_100_per_day")


@dataclass(frozen=True, eq=False)
class Payments:
    """When, by which card and how much: for splits by time and for daily metrics, whatever detectors are given.

    Parameters
    ----------
    day : ndarray of shape (n_rows,)
        Numbers of days, or dates.
    card : ndarray of shape (n_rows,)
        Who paid: a card, or the customer who holds it.
    amount : float64 ndarray of shape (n_rows,)
        In one currency.
    """

    day: NDArray[Any]
    card: NDArray[Any]
    amount: Floats

    def part(self, rows: Integers) -> Payments:
        """Those of the rows with these numbers."""
        return Payments(self.day[rows], self.card[rows], self.amount[rows])

    def figures(self, y: Integers, score: Floats) -> dict[str, float]:
        """The metrics of `PAYMENT_METRICS`.

        Parameters
        ----------
        y : int64 ndarray of shape (n_rows,)
            1 for a fraud.
        score : float64 ndarray of shape (n_rows,)
            Higher for more anomalous.

        Returns
        -------
        dict of str to float
            Precision of the `LOOKS` highest payments, and of the `LOOKS` highest cards, of each day, means over the
            days; and the share of all that is lost to fraud which `LOOKS` payments a day find.

        Examples
        --------
        >>> payments = Payments(np.array([0, 0, 1]), np.array([7, 8, 9]), np.array([5.0, 20.0, 80.0]))
        >>> payments.figures(np.array([0, 1, 1]), np.array([0.1, 0.9, 0.5]))["card_precision_at_100"]
        0.01
        """
        from vae_anomaly.decision.metrics import (
            amount_recall_at_k_per_day,
            card_precision_at_k,
            precision_at_k_per_day,
        )

        found = (
            precision_at_k_per_day(y, score, self.day, LOOKS).mean,
            card_precision_at_k(y, score, self.day, self.card, LOOKS).mean,
            amount_recall_at_k_per_day(y, score, self.day, self.amount, LOOKS),
        )
        return dict(zip(PAYMENT_METRICS, found, strict=True))
