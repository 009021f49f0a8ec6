"""Which rows train and which test, by labels and a seed."""

from __future__ import annotations

import numpy as np

from vae_anomaly.benchmark.protocol import Integers, Split
from vae_anomaly.errors import TableError

MOST_ROWS, LEAST_ANOMALIES = 20_000, 20
TRAINING_PAYMENTS, TRAINING_FRAUDS = 12_154, 21


def capped(y: Integers, seed: int) -> Integers:
    """Numbers of at most `MOST_ROWS` rows, drawn from each class by its share, with `LEAST_ANOMALIES` if there are any.

    Examples
    --------
    >>> y = np.zeros(100_000, dtype=int)
    >>> y[:50] = 1
    >>> rows = capped(y, seed=0)
    >>> len(rows), y[rows].sum()
    (20000, np.int64(20))
    """
    if len(y) <= MOST_ROWS:
        return np.arange(len(y))
    normal, anomalous = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    by_share = round(MOST_ROWS * len(anomalous) / len(y))
    n_anomalous = min(len(anomalous), max(LEAST_ANOMALIES, by_share))
    n_normal = min(len(normal), MOST_ROWS - n_anomalous)
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(normal, n_normal, replace=False), rng.choice(anomalous, n_anomalous, replace=False)]
    return np.sort(np.concatenate(chosen))


def normal50(y: Integers, seed: int) -> Split:
    """Half of the normal rows trains; the other half and all anomalies test.

    Examples
    --------
    >>> split = normal50(np.array([0, 0, 1, 0, 0]), seed=0)
    >>> len(split.train), len(split.test), 2 in split.test
    (2, 3, True)
    """
    rows = capped(y, seed)
    return _training_on(rows, y, n_normal=int((y[rows] == 0).sum()) // 2, n_anomalous=0, seed=seed)


def contaminated(y: Integers, seed: int) -> Split:
    """70 % of each class trains, the rest tests.

    Examples
    --------
    >>> split = contaminated(np.repeat([0, 1], [90, 10]), seed=0)
    >>> len(split.train), len(split.test), (split.train >= 90).sum()
    (70, 30, np.int64(7))
    """
    rows = capped(y, seed)
    counts = np.bincount(y[rows], minlength=2)
    return _training_on(rows, y, n_normal=round(0.7 * counts[0]), n_anomalous=round(0.7 * counts[1]), seed=seed)


def normal_sample(y: Integers, seed: int) -> Split:
    """At most `MOST_ROWS`, and half, of the normal rows train; at most `MOST_ROWS` others test, by each class's share.

    It is for large sets of which most rows are anomalies. There `normal50` would keep few normal rows to train on.

    Examples
    --------
    >>> y = np.repeat([0, 1], [50_000, 150_000])
    >>> split = normal_sample(y, seed=0)
    >>> len(split.train), y[split.train].sum(), len(split.test), y[split.test].mean()
    (20000, np.int64(0), 20000, np.float64(0.75))
    """
    normal, anomalous = np.flatnonzero(y == 0), np.flatnonzero(y == 1)
    n_train = min(MOST_ROWS, len(normal) // 2)
    n_anomalous = min(len(anomalous), round(MOST_ROWS * len(anomalous) / len(y)))
    n_normal = n_train + min(len(normal) - n_train, MOST_ROWS - n_anomalous)
    rng = np.random.default_rng(seed)
    chosen = [rng.choice(normal, n_normal, replace=False), rng.choice(anomalous, n_anomalous, replace=False)]
    return _training_on(np.concatenate(chosen), y, n_normal=n_train, n_anomalous=0, seed=seed)


def creditcard_normal(y: Integers, seed: int) -> Split:
    """`TRAINING_PAYMENTS` genuine payments train."""
    return _training_on(np.arange(len(y)), y, n_normal=TRAINING_PAYMENTS, n_anomalous=0, seed=seed)


def creditcard_contaminated(y: Integers, seed: int) -> Split:
    """`TRAINING_PAYMENTS` genuine payments train, with `TRAINING_FRAUDS` frauds among them."""
    return _training_on(np.arange(len(y)), y, n_normal=TRAINING_PAYMENTS, n_anomalous=TRAINING_FRAUDS, seed=seed)


def _training_on(rows: Integers, y: Integers, *, n_normal: int, n_anomalous: int, seed: int) -> Split:
    rng = np.random.default_rng([seed, 1])  # not the draws of `capped`
    shuffled = rng.permutation(rows)
    normal, anomalous = (shuffled[y[shuffled] == label] for label in (0, 1))
    if len(normal) <= n_normal or len(anomalous) <= n_anomalous:
        raise TableError(
            f"expected more than {n_normal:,} normal rows and {n_anomalous:,} anomalies, so that some are left to test"
            f" on; found {len(normal):,} and {len(anomalous):,}."
        )
    train = rng.permutation(np.concatenate([normal[:n_normal], anomalous[:n_anomalous]]))
    return Split(train, np.sort(np.concatenate([normal[n_normal:], anomalous[n_anomalous:]])))
