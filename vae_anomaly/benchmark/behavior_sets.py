"""Payments as raw columns, with the past of their cards, and what the Handbook made of the same rows with labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.benchmark.encodings import Z_SCORES
from vae_anomaly.benchmark.payment_suites import read_handbook, read_sparkov
from vae_anomaly.benchmark.payments import Payments
from vae_anomaly.benchmark.protocol import DataSet
from vae_anomaly.benchmark.reading import check_columns

if TYPE_CHECKING:
    import pandas as pd

HANDBOOK, CARDS = "handbook-7", "card-time"
RAW = "raw columns"
PAST = "past of the customer"
BOTH = "past of customer and terminal"
LABELLED = "the Handbook's fifteen, with labels"
ALL_KNOWN = "oracle: every fraud but those of compromised terminals"
KEYS = "past of the card, by category, merchant and place"

_TRANSACTIONS = "handbook/transactions_2018-06-01_2018-08-07.parquet"
_FEATURES = "handbook/features_2018-07-11_2018-07-31.parquet"
_FIRST, _AFTER = "2018-07-11", "2018-08-01"
_TELLING = (1, 3)
"""Scenarios of unusual amounts: over 220, or five times the customer's. 2 is every payment at a terminal."""


@dataclass(frozen=True)
class BehaviorSet:
    """Payments with certain columns.

    Parameters
    ----------
    suite : str
        The key of `PAYMENT_SUITES` by which they are split.
    columns : str
        What they are.
    path : str
        Below the data folder.
    read : callable
        ``read(path)``.
    encoding : str
        What detectors get that need numbers: a key of `vae_anomaly.benchmark.encodings.ENCODINGS`.
    """

    suite: str
    columns: str
    path: str
    read: Callable[[Path], DataSet]
    encoding: str = "ordinal"


def sets(data_dir: Path) -> list[BehaviorSet]:
    """Those whose files are there."""
    return [each for each in _SETS if (data_dir / each.path).is_file()]


def oracle(path: Path) -> tuple[DataSet, Any]:
    """The Handbook's rows, and the score of one who knows every fraud but those of compromised terminals.

    Those are drawn like all other payments, and only the labels of earlier ones tell them: what this score reaches is
    what can be had without labels.
    """
    rows = _handbook_rows(path)
    score = rows["TX_FRAUD_SCENARIO"].isin(_TELLING).to_numpy(dtype=np.float64)
    return _handbook_set(rows, rows[["TX_AMOUNT"]]), score[_in_weeks(rows)]


def _handbook_rows(path: Path) -> pd.DataFrame:
    import pandas as pd

    rows = pd.read_parquet(path)
    needed = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_TIME_DAYS", "TX_FRAUD", "TX_FRAUD_SCENARIO")
    check_columns(rows, needed, path)
    return rows


def _in_weeks(rows: pd.DataFrame) -> Any:
    """The three weeks of the protocol; those before are history."""
    return ((rows["TX_DATETIME"] >= _FIRST) & (rows["TX_DATETIME"] < _AFTER)).to_numpy()


def _handbook_set(rows: pd.DataFrame, columns: pd.DataFrame) -> DataSet:
    in_weeks = _in_weeks(rows)
    kept = rows[in_weeks]
    day, card, amount, y = (kept[name].to_numpy() for name in ("TX_TIME_DAYS", "CUSTOMER_ID", "TX_AMOUNT", "TX_FRAUD"))
    return DataSet(columns[in_weeks].reset_index(drop=True), y.astype(np.int64), Payments(day, card, amount))


def _handbook(path: Path, entities: tuple[str, ...]) -> DataSet:
    from vae_anomaly.behavior import BehaviorFeatures

    rows = _handbook_rows(path)
    columns = rows[[*entities, "TX_DATETIME", "TX_AMOUNT"]]
    if entities:
        columns = BehaviorFeatures(entities, "TX_DATETIME", "TX_AMOUNT").fit_transform(columns)
    return _handbook_set(rows, columns)


def _sparkov(path: Path, *, keys: bool) -> DataSet:
    from vae_anomaly.behavior import BehaviorFeatures

    data = read_sparkov(path)
    assert data.payments is not None  # noqa: S101
    rows: Any = data.X
    columns: dict[str, Any] = {}
    if keys:
        columns = {"keys": ("category", "merchant"), "coordinates": ("merch_lat", "merch_long")}
    behavior = BehaviorFeatures("cc_num", "trans_datetime", "amt", **columns)
    return DataSet(behavior.fit_transform(rows.assign(cc_num=data.payments.card)), data.y, data.payments)


_CARD_FILE = "sparkov/card_transactions_2019-05_2019-10.csv.gz"
_SETS = (
    BehaviorSet(HANDBOOK, RAW, _TRANSACTIONS, lambda path: _handbook(path, ())),
    BehaviorSet(HANDBOOK, PAST, _TRANSACTIONS, lambda path: _handbook(path, ("CUSTOMER_ID",))),
    BehaviorSet(HANDBOOK, BOTH, _TRANSACTIONS, lambda path: _handbook(path, ("CUSTOMER_ID", "TERMINAL_ID"))),
    BehaviorSet(HANDBOOK, LABELLED, _FEATURES, read_handbook, Z_SCORES),
    BehaviorSet(CARDS, RAW, _CARD_FILE, read_sparkov),
    BehaviorSet(CARDS, "past of the card", _CARD_FILE, lambda path: _sparkov(path, keys=False)),
    BehaviorSet(CARDS, KEYS, _CARD_FILE, lambda path: _sparkov(path, keys=True)),
)
