"""The small transaction file of the examples, the demo and the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from vae_anomaly.datasets.simulator import make_transactions

BUNDLED_FILE: Final = Path(__file__).resolve().parents[2] / "data" / "transactions.csv"
"""Where the file lies in the repository; an installed package has none."""


def load_transactions() -> pd.DataFrame:
    """Load the bundled card payments: 14,000 simulated rows of 60 days, 1 % of them fraudulent.

    The file is read where it exists; an installed package simulates the same frame again.

    Returns
    -------
    pandas.DataFrame
        The columns of `make_transactions`, the labels ``is_fraud`` and ``typology`` among them.

    Examples
    --------
    >>> from vae_anomaly.datasets import load_transactions
    >>> payments = load_transactions()
    >>> payments.shape, int(payments["is_fraud"].sum())
    ((14000, 19), 140)
    """
    return _read(BUNDLED_FILE) if BUNDLED_FILE.is_file() else simulate_bundled()


def simulate_bundled() -> pd.DataFrame:
    """Simulate the bundled payments anew."""
    return make_transactions(14_000, n_days=60, fraud_rate=0.01, random_state=2025)


def write_bundled(path: Path) -> None:
    """Write the bundled payments as CSV."""
    simulate_bundled().to_csv(path, index=False, lineterminator="\n")


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, parse_dates=["timestamp"])
    frame = frame.round({"amount": 2, "distance_km": 1})  # some pandas readers are off by one unit in the last place
    return frame.assign(timestamp=frame["timestamp"].astype("datetime64[ns]"), typology=frame["typology"].fillna(""))
