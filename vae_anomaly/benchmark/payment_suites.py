"""Protocols by time: earlier payments train, unlabelled, and later ones test."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.payments import Payments
from vae_anomaly.benchmark.protocol import DataSet, Integers, Split, Suite, by_time, one_file
from vae_anomaly.benchmark.reading import check_columns, checked, read_labelled

WEEK = "7D"
TRAINING = ("2019-05-01", "2019-08-01")
TESTING = ("2019-09-01", "2019-11-01")
"""First day, and the first day after. What lies between is for calibration, which no detector here needs."""

_HANDBOOK = "handbook/features_2018-07-11_2018-07-31.parquet"
_WINDOWS = (1, 7, 30)
FEATURES = (
    *("TX_AMOUNT", "TX_DURING_WEEKEND", "TX_DURING_NIGHT"),
    *(f"CUSTOMER_ID_{what}_{days}DAY_WINDOW" for days in _WINDOWS for what in ("NB_TX", "AVG_AMOUNT")),
    *(f"TERMINAL_ID_{what}_{days}DAY_WINDOW" for days in _WINDOWS for what in ("NB_TX", "RISK")),
)
"""The fifteen of the Handbook, in its order."""

_TOO_SLOW = {
    "OneClassSVM (one-hot)": "it compares more than 50,000 rows with each other, in more than 1,000 columns",
    "EllipticEnvelope (one-hot)": "it inverts thousands of covariances of more than 1,000 columns",
}


def handbook_7(payments: Payments, y: Integers) -> Split:
    """The first week trains; the third tests, each day without the cards known as compromised by then.

    Known on a day are the cards with a fraud more than a week before. This is `get_train_test_set` of the Handbook
    with 7 days each of training, delay and test: of its features, from 2018-07-11 on, 66,928 rows with 633 frauds
    train, and 58,505 with 374 test.

    Examples
    --------
    >>> days = np.array([0, 6, 14, 14, 15])
    >>> split = handbook_7(Payments(days, np.array([1, 2, 1, 2, 2]), np.ones(5)), np.array([0, 1, 1, 0, 1]))
    >>> split.train.tolist(), split.test.tolist()  # card 2 is known when the tests begin
    ([0, 1], [2])
    """
    from vae_anomaly.decision.splits import TimeOrderedSplit, known_cards

    day = np.datetime64("2018-07-11") + (payments.day - payments.day.min()).astype("timedelta64[D]")
    weeks = TimeOrderedSplit(1, train_size=WEEK, delay=WEEK, test_size=WEEK, end=day.min() + 21)
    ((train, test),) = weeks.split(day, groups=day)
    return Split(train, test[~known_cards(y, day, payments.card, delay=WEEK)[test]])


def card_time(payments: Payments, y: Integers) -> Split:
    """May to July train, labels unseen; September and October test.

    Examples
    --------
    >>> days = np.array(["2019-05-31", "2019-08-01", "2019-10-31"], dtype="datetime64[D]")
    >>> split = card_time(Payments(days, np.arange(3), np.ones(3)), np.array([0, 1, 1]))
    >>> split.train.tolist(), split.test.tolist()
    ([0], [2])
    """
    train, test = (
        np.flatnonzero((payments.day >= np.datetime64(first)) & (payments.day < np.datetime64(after)))
        for first, after in (TRAINING, TESTING)
    )
    return Split(train, test)


def read_handbook(path: Path) -> DataSet:
    """Read the Handbook's features; a card is a customer there.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    import pandas as pd

    rows = pd.read_parquet(path)
    check_columns(rows, (*FEATURES, "TX_TIME_DAYS", "CUSTOMER_ID", "TX_FRAUD"), path)
    day, card, amount, y = (rows[name].to_numpy() for name in ("TX_TIME_DAYS", "CUSTOMER_ID", "TX_AMOUNT", "TX_FRAUD"))
    return checked(DataSet(rows[list(FEATURES)], y.astype(np.int64), Payments(day, card, amount)), path)


def read_sparkov(path: Path) -> DataSet:
    """Read the raw columns, the number of the card aside.

    That number is a name, not a measurement: whoever models payments takes it to tell cards apart, and here metrics do.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    import pandas as pd

    data = read_labelled(FILES["sparkov"], path)
    rows = pd.DataFrame(data.X)
    check_columns(rows, ("trans_datetime", "cc_num", "amt"), path)
    moment = pd.to_datetime(rows["trans_datetime"])
    day = moment.to_numpy().astype("datetime64[D]")
    payments = Payments(day, rows["cc_num"].to_numpy(), rows["amt"].to_numpy(dtype=np.float64))
    return DataSet(rows.assign(trans_datetime=moment).drop(columns="cc_num"), data.y, payments)


PAYMENT_SUITES: dict[str, Suite] = {
    "handbook-7": Suite(
        paths=one_file("handbook", _HANDBOOK),
        read=read_handbook,
        split=by_time(handbook_7),
        clean=False,
    ),
    "card-time": Suite(
        paths=one_file("sparkov", FILES["sparkov"].path),
        read=read_sparkov,
        split=by_time(card_time),
        clean=False,
        encodings=("ordinal", "one-hot"),
        too_slow=_TOO_SLOW,
    ),
}
