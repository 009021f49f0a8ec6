"""What makes synthetic rows, by name; and one fit of one of them, in this process, with what its rows are worth."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

from vae_anomaly.benchmark.detectors import OURS, detector
from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.measuring import few_threads, n_threads, warm_up
from vae_anomaly.benchmark.reading import check_columns, read_rows
from vae_anomaly.benchmark.synthetic import INDEPENDENT, TVAE
from vae_anomaly.errors import VaeAnomalyError

if TYPE_CHECKING:
    import pandas as pd

_FEW_NUMBERS = 25
_SECOND = 1_000_000_000  # in nanoseconds
_SAID = 300


@dataclass(frozen=True, eq=False)
class Made:
    """Synthetic rows.

    Parameters
    ----------
    rows : DataFrame
        As many as were asked for.
    fit_seconds, fit_cpu_seconds, sample_seconds : float
        What they took; of a processor's time, which a busy machine does not lengthen, the second.
    """

    rows: pd.DataFrame
    fit_seconds: float
    fit_cpu_seconds: float
    sample_seconds: float


def read_set(file: str, path: Path, names: tuple[str, ...] = (), moments: tuple[str, ...] = ()) -> pd.DataFrame:
    """Read a file with its label as a column.

    Parameters
    ----------
    file : str
        A key of `vae_anomaly.benchmark.files.FILES`.
    path : Path
        Where it is.
    names, moments : tuple of str
        Columns that only name something, which are left out, and columns that are read as dates.

    Raises
    ------
    TableError
        If it does not hold what is expected.
    """
    import pandas as pd

    entry = FILES[file]
    rows = read_rows(str(path), header=entry.header)
    check_columns(rows, (entry.label, *entry.drop, *names, *moments), path)
    rows = rows.drop(columns=[*entry.drop, *names])
    return rows.assign(**{name: pd.to_datetime(rows[name]) for name in moments})


def divided(rows: pd.DataFrame, n_train: int, n_held_out: int, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows that are learnt from, half of all at most, and others that are held out, at random.

    Examples
    --------
    >>> import pandas as pd
    >>> train, held_out = divided(pd.DataFrame({"amount": range(10)}), 7, 3, seed=0)
    >>> len(train), len(held_out), set(train["amount"]).isdisjoint(held_out["amount"])
    (5, 3, True)
    """
    order = np.random.default_rng([seed, 4]).permutation(len(rows))
    n = min(n_train, len(rows) // 2)
    return rows.iloc[order[:n]].reset_index(drop=True), rows.iloc[order[n : n + n_held_out]].reset_index(drop=True)


def ours(train: pd.DataFrame, seed: int, python: str, settings: Mapping[str, Any]) -> Made:
    """`VAEDetector` as its documentation advises for synthetic rows: no row is set aside as anomalous.

    What is made when the first row is asked for counts as fit.
    """
    warm_up(OURS)
    with few_threads():
        start, cpu = perf_counter(), process_time()
        fitted = detector(OURS).build(seed, {"contamination": 0.0, **settings}).fit(train)
        fitted.sample(1, random_state=seed)
        fit_seconds, fit_cpu_seconds, start = perf_counter() - start, process_time() - cpu, perf_counter()
        rows = fitted.sample(len(train), random_state=seed)
        return Made(rows, fit_seconds, fit_cpu_seconds, perf_counter() - start)


def independent(train: pd.DataFrame, seed: int, python: str, settings: Mapping[str, Any]) -> Made:
    """Each column drawn by itself from its own cells."""
    rng, start = np.random.default_rng([seed, 5]), perf_counter()
    rows = train.apply(lambda cells: cells.iloc[rng.integers(len(cells), size=len(cells))].to_numpy())
    return Made(rows, 0.0, 0.0, perf_counter() - start)


def tvae(train: pd.DataFrame, seed: int, python: str, settings: Mapping[str, Any]) -> Made:
    """TVAE at its defaults, in the interpreter that has it.

    It is told what it asks to be told: text, and numbers with at most 25 distinct values, are levels. Dates, which it
    does not know, are seconds.

    Raises
    ------
    VaeAnomalyError
        If it does not end well.
    """
    import pandas as pd

    told = train.copy()
    moments = list(train.select_dtypes("datetime").columns)
    for name in moments:
        told[name] = train[name].astype("datetime64[ns]").astype("int64") // _SECOND
    levels = [name for name in told if told[name].dtype.kind not in "if" or told[name].nunique() <= _FEW_NUMBERS]
    with TemporaryDirectory() as folder:
        paths = {name: str(Path(folder, f"{name}.csv")) for name in ("train", "output")}
        told.to_csv(paths["train"], index=False)
        options = {"discrete": levels, "n_rows": len(train), "seed": seed, "threads": n_threads()}
        found = _run(python, {**paths, **options, "settings": dict(settings)})
        rows = pd.read_csv(paths["output"], dtype=dict.fromkeys(levels, str), keep_default_na=False)
    for name in moments:
        rows[name] = pd.to_datetime(rows[name].round() * _SECOND)
    return Made(rows, found["fit_seconds"], found["fit_cpu_seconds"], found["sample_seconds"])


SYNTHESIZERS: dict[str, Callable[[pd.DataFrame, int, str, Mapping[str, Any]], Made]] = {
    OURS: ours,
    TVAE: tvae,
    INDEPENDENT: independent,
}


def measure_synthetic(
    file: str,
    path: str,
    method: str,
    seed: int,
    n_train: int,
    n_held_out: int,
    python: str,
    names: list[str],
    moments: list[str],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Fit, sample and judge.

    Parameters
    ----------
    file, path : str
        A key of `FILES`, and where it is.
    method : str
        A key of `SYNTHESIZERS`.
    seed : int
        Of the division and of the method; all are judged with seed 0.
    n_train, n_held_out : int
        Rows at most.
    python : str
        The interpreter that has the peer.
    names, moments : list of str
        As of `read_set`.
    settings : dict
        Parameters of the method other than its defaults: tests shorten it, no measurement does.

    Returns
    -------
    dict
        Figures of `vae_anomaly.benchmark.synthetic.SyntheticRun`.
    """
    from vae_anomaly.synthetic import synthetic_quality

    rows = read_set(file, Path(path), tuple(names), tuple(moments))
    train, held_out = divided(rows, n_train, n_held_out, seed)
    made = SYNTHESIZERS[method](train, seed, python, settings)
    found = synthetic_quality(train, made.rows, held_out=held_out, target=FILES[file].label)
    if found.usefulness is None or found.held_out_detection is None:
        raise VaeAnomalyError("expected figures of usefulness and detection, found none.")
    return {
        "n_train": len(train),
        "n_held_out": len(held_out),
        "n_columns": train.shape[1],
        "detection": found.detection.roc_auc,
        "detection_error": found.detection.standard_error,
        "detection_of_held_out": found.held_out_detection.roc_auc,
        "average_precision": found.usefulness.trained_on_synthetic,
        "average_precision_real": found.usefulness.trained_on_real,
        "average_precision_guess": found.usefulness.share_held_out,
        "positives": found.usefulness.share_synthetic,
        "positives_real": found.usefulness.share_real,
        "column_distance": float(found.columns["distance"].mean()),
        "pair_difference": float(found.pairs["difference"].mean()),
        "column_distance_of_held_out": float(found.columns["held_out_distance"].mean()),
        "pair_difference_of_held_out": float(found.pairs["held_out_difference"].mean()),
        "probability_closer": found.privacy.probability_closer,
        "copies": found.privacy.share_copies,
        "copies_of_held_out": found.privacy.beside_share_copies,
        "fit_seconds": made.fit_seconds,
        "fit_cpu_seconds": made.fit_cpu_seconds,
        "sample_seconds": made.sample_seconds,
    }


def _run(python: str, options: Mapping[str, Any]) -> dict[str, Any]:
    script = Path(__file__).with_name("tvae.py")
    done = subprocess.run(  # noqa: S603 - the interpreter that was named, arguments as a list
        [python, "-P", str(script), json.dumps(options)], capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise VaeAnomalyError(
            f"{python}: expected TVAE to end well, found exit code {done.returncode}. {done.stderr[-_SAID:]}"
        )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
