"""Normal rows with one cell made wrong, so that the cause is known: tables, and three ways to spoil a cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.benchmark.encodings import clocked, ordinal_encoder
from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.payment_suites import read_sparkov
from vae_anomaly.benchmark.protocol import DataSet
from vae_anomaly.benchmark.reading import read_labelled
from vae_anomaly.errors import VaeAnomalyError

if TYPE_CHECKING:
    import pandas as pd

OUT_OF_RANGE, SWAPPED, BROKEN = "number out of range", "swapped category", "broken correlation"
KINDS = (OUT_OF_RANGE, SWAPPED, BROKEN)

NUMBER_LEVELS = 10
"""A column of numbers with no more levels is a category here."""

TOLD = 0.5
"""R² from which on a number is said to follow from the other columns of its row."""

_NAMES = ["transaction_id", "customer_id", "merchant_id", "terminal_id"]
_LABELS = ["is_fraud", "typology"]
_N_COUNTRIES = 4


@dataclass(frozen=True, eq=False)
class PlantingRows:
    """What explainers get.

    Parameters
    ----------
    train : DataFrame
        Rows as they are, anomalies among them where the source has some.
    normal : DataFrame
        Other rows, all of them normal by their labels.
    """

    train: pd.DataFrame
    normal: pd.DataFrame


@dataclass(frozen=True)
class PlantingSet:
    """A table in which causes are planted.

    Parameters
    ----------
    read : callable
        ``read(path, n_rows, seed)``; simulated tables have no path.
    path : str or None
        Below the data folder.
    """

    read: Callable[[Path, int, int], DataSet]
    path: str | None = None


@dataclass(frozen=True, eq=False)
class Planted:
    """Rows with one wrong cell each.

    Parameters
    ----------
    rows : DataFrame of shape (n_rows, n_columns)
        With the wrong cell, in random order.
    column : object ndarray of shape (n_rows,)
        In which column it is.
    """

    rows: pd.DataFrame
    column: NDArray[np.object_]


def simulated_payments(path: Path, n_rows: int, seed: int) -> DataSet:
    """Payments of `make_transactions`, without the names of customers, merchants and terminals."""
    from vae_anomaly.datasets import make_transactions

    rows = make_transactions(n_rows, random_state=seed)
    return DataSet(rows.drop(columns=[*_NAMES, *_LABELS]), rows["is_fraud"].to_numpy(dtype=np.int64))


def correlated_numbers(path: Path, n_rows: int, seed: int) -> DataSet:
    """Eight numbers that three causes go through, with noise of 0.3; all rows are normal.

    Examples
    --------
    >>> correlated_numbers(Path(), 100, seed=0).X.shape
    (100, 8)
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, 8)) + 0.3 * rng.normal(size=(n_rows, 8))
    return DataSet(pd.DataFrame(numbers, columns=[f"x{i}" for i in range(8)]), np.zeros(n_rows, dtype=np.int64))


def mixed_columns(path: Path, n_rows: int, seed: int) -> DataSet:
    """Numbers, categories and a flag of six kinds of customers, and columns that have nothing to do with them.

    ``noisy`` has heavy tails, and ``town`` has 200 levels: what they say surprises in any row.

    Examples
    --------
    >>> mixed_columns(Path(), 100, seed=0).X.columns.tolist()
    ['x0', 'x1', 'x2', 'x3', 'noisy', 'shop', 'town', 'country', 'online']
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 6, n_rows)
    numbers = (rng.normal(size=(6, 4)) * 2)[kind] + rng.normal(0, 0.5, (n_rows, 4))
    shop = np.where(rng.random(n_rows) < 0.95, kind, rng.integers(0, 6, n_rows))
    columns: dict[str, Any] = {f"x{i}": numbers[:, i] for i in range(4)}
    columns["noisy"] = rng.standard_t(2, n_rows)
    columns["shop"] = [f"shop {i}" for i in shop]
    columns["town"] = [f"town {i}" for i in rng.integers(0, 200, n_rows)]
    columns["country"] = [f"country {i}" for i in kind % _N_COUNTRIES]
    columns["online"] = (kind % 2 == 0) ^ (rng.random(n_rows) < 0.03)
    return DataSet(pd.DataFrame(columns), np.zeros(n_rows, dtype=np.int64))


def _of_file(name: str, read: Callable[[Path], DataSet]) -> PlantingSet:
    return PlantingSet(lambda path, n_rows, seed: read(path), FILES[name].path)


PLANTING_SETS: dict[str, PlantingSet] = {
    "correlated numbers": PlantingSet(correlated_numbers),
    "mixed columns": PlantingSet(mixed_columns),
    "simulated payments": PlantingSet(simulated_payments),
    "creditcard": _of_file("creditcard", lambda path: read_labelled(FILES["creditcard"], path)),
    "vehicle_claims": _of_file("vehicle_claims", lambda path: read_labelled(FILES["vehicle_claims"], path)),
    "sparkov": _of_file("sparkov", read_sparkov),
}


def read_planting(name: str, data_dir: Path | None, n_train: int, n_normal: int, seed: int) -> PlantingRows:
    """Rows of a table, drawn and divided by the seed.

    Parameters
    ----------
    name : str
        A key of `PLANTING_SETS`.
    data_dir : Path or None
        Where files are.
    n_train, n_normal : int
        Most rows of each part; a file that is small gives a fifth of its rows to the normal ones.
    seed : int
        Of simulation and division.

    Raises
    ------
    VaeAnomalyError
        If the file is not there.
    """
    entry = PLANTING_SETS[name]
    path = Path() if entry.path is None or data_dir is None else data_dir / entry.path
    if entry.path is not None and not path.is_file():
        raise VaeAnomalyError(
            f"--data-dir: expected {name} in {data_dir}, found none. Its layout is in vae_anomaly/benchmark/README.md."
        )
    data = entry.read(path, n_train + n_normal, seed)
    order = np.random.default_rng([seed, 5]).permutation(len(data.y))
    n_normal = min(n_normal, len(order) // 5)
    genuine = order[data.y[order] == 0]
    normal = genuine[:n_normal]
    train = order[~np.isin(order, normal)][:n_train]
    X: Any = data.X
    return PlantingRows(*(X.iloc[np.sort(part)].reset_index(drop=True) for part in (train, normal)))


def numbers_of(rows: pd.DataFrame) -> list[str]:
    """Columns of numbers with more than `NUMBER_LEVELS` levels.

    Examples
    --------
    >>> import pandas as pd
    >>> numbers_of(pd.DataFrame({"amount": np.arange(99.0), "stars": np.arange(99) % 5, "shop": ["a"] * 99}))
    ['amount']
    """
    return [str(name) for name in rows.select_dtypes("number") if rows[name].nunique() > NUMBER_LEVELS]


def categories_of(rows: pd.DataFrame) -> list[str]:
    """Columns of text, flags and few numbers, with two levels or more.

    Examples
    --------
    >>> import pandas as pd
    >>> categories_of(pd.DataFrame({"amount": np.arange(99.0), "stars": np.arange(99) % 5, "shop": ["a"] * 99}))
    ['stars']
    """
    numbers = numbers_of(rows)
    others = rows.drop(columns=numbers).select_dtypes(exclude=["datetime", "datetimetz"])
    return [str(name) for name in others if len(rows[name].dropna().drop_duplicates()) > 1]


def told_numbers(rows: pd.DataFrame) -> list[str]:
    """Numbers that follow from the other columns, R² of `TOLD` or more, also without the one that tells most.

    Of two numbers that nothing tells but each other, nobody could say which is wrong. Half of the rows are learnt from,
    and the others are told.

    Examples
    --------
    >>> import pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> net = rng.gamma(9, 9, 400)
    >>> rows = pd.DataFrame({"net": net, "gross": 1.2 * net, "days": rng.normal(size=400)})
    >>> told_numbers(rows), told_numbers(rows.assign(vat=0.2 * net))
    ([], ['net', 'gross', 'vat'])
    """
    from sklearn.inspection import permutation_importance

    told = []
    for name in numbers_of(rows):
        known = rows[rows[name].notna()]
        codes = ordinal_encoder().fit_transform(clocked(known.drop(columns=name)))
        cells = known[name].to_numpy(dtype=np.float64)
        model = _fitted(codes, cells)
        if model.score(*_later(codes, cells)) < TOLD:
            continue
        tells = permutation_importance(model, *_later(codes, cells), n_repeats=1, random_state=0)["importances_mean"]
        fewer = np.delete(codes, tells.argmax(), axis=1)
        if _fitted(fewer, cells).score(*_later(fewer, cells)) >= TOLD:
            told.append(name)
    return told


def _fitted(codes: NDArray[np.float64], cells: NDArray[np.float64]) -> Any:
    """A regression that has learnt from the first half of the rows."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    half = len(cells) // 2
    return HistGradientBoostingRegressor(max_iter=50, random_state=0).fit(codes[:half], cells[:half])


def _later(codes: NDArray[np.float64], cells: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return codes[len(cells) // 2 :], cells[len(cells) // 2 :]


def planted(rows: PlantingRows, kind: str, columns: list[str], n_rows: int, seed: int) -> Planted:
    """Spoil one cell in each of some normal rows, as many in each column.

    Parameters
    ----------
    rows : PlantingRows
        Where cells come from, and what is usual.
    kind : str
        One of `KINDS`.
    columns : list of str
        In which, one or more.
    n_rows : int
        Rows of all columns together; fewer where too few cells can be spoilt.
    seed : int
        Of what is drawn.
    """
    import pandas as pd

    rng = np.random.default_rng([seed, 7, KINDS.index(kind)])
    spoil = {OUT_OF_RANGE: _out_of_range, SWAPPED: _swapped, BROKEN: _broken}[kind]
    pieces, names = [], []
    for place, name in enumerate(columns):
        n_here = n_rows // len(columns) + (place < n_rows % len(columns))
        drawn = rows.normal.iloc[rng.permutation(len(rows.normal))]
        spoilt = spoil(drawn[name], rows.train[name], rng)
        here = drawn.assign(**{name: spoilt})[spoilt.notna() & drawn[name].notna()].head(n_here)
        pieces.append(here.astype({name: drawn[name].dtype}))
        names += [name] * len(here)
    order = rng.permutation(len(names))
    return Planted(pd.concat(pieces, ignore_index=True).iloc[order], np.array(names, dtype=object)[order])


def _out_of_range(cells: pd.Series[Any], usual: pd.Series[Any], rng: np.random.Generator) -> pd.Series[Any]:
    """Beyond 1 or 99 % of the training rows by half to twice the distance between them; below 0 only if that occurs."""
    import pandas as pd

    low, high = usual.quantile(0.01), usual.quantile(0.99)
    beyond = (high - low or np.nan) * rng.uniform(0.5, 2.0, len(cells))
    below = (usual.min() < 0) & (rng.random(len(cells)) < 0.5)
    spoilt = np.where(below, low - beyond, high + beyond)
    whole = pd.api.types.is_integer_dtype(cells.dtype)
    return pd.Series(np.rint(spoilt) if whole else spoilt, cells.index)


def _swapped(cells: pd.Series[Any], usual: pd.Series[Any], rng: np.random.Generator) -> pd.Series[Any]:
    """Another training row's level, where it is another one."""
    import pandas as pd

    other = pd.Series(usual.to_numpy()[rng.integers(0, len(usual), len(cells))], cells.index, dtype=object)
    return other.where(_differs(other, cells))


def _differs(some: pd.Series[Any], others: pd.Series[Any]) -> NDArray[np.bool_]:
    return np.array([a != b for a, b in zip(some, others, strict=True)], dtype=bool)


def _broken(cells: pd.Series[Any], usual: pd.Series[Any], rng: np.random.Generator) -> pd.Series[Any]:
    """Another training row's number, from the middle 90 %, where it is a standard deviation or more away."""
    import pandas as pd

    low, high, spread = usual.quantile(0.05), usual.quantile(0.95), float(usual.std())
    middle = usual[usual.between(low, high)].to_numpy()
    other = pd.Series(middle[rng.integers(0, len(middle), len(cells))], cells.index)
    return other.where((other - cells).abs() >= spread)
