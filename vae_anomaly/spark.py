"""Spark frames: scored where they lie, and trained on by a sample or by several processes.

Needs the extra ``[spark]``, and the package on every machine of the cluster.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from vae_anomaly._params import Number, OneOf, Rule, check_params
from vae_anomaly._spark_task import BAD_ROWS, ERROR, Model, Task, added_fields, check_columns, check_rule
from vae_anomaly.errors import MissingExtraError, TrainingError, VaeAnomalyError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from vae_anomaly.detector import VAEDetector

_MOST_ROWS = 500_000
_SPARE = 6.0  # standard deviations by which more rows are drawn than are wanted
_FLAG: Final[tuple[Rule, ...]] = (OneOf((True, False)),)
_RULES: Final[dict[str, tuple[Rule, ...]]] = {
    "n_reasons": (Number(0, integer=True),),
    "conditional": _FLAG,
    "bad_rows": (OneOf(BAD_ROWS),),
}
_RAISED = re.compile(r"\w*Error: .*")


def score(
    df: DataFrame,
    model_path: str | os.PathLike[str],
    *,
    n_reasons: int = 0,
    conditional: bool = True,
    bad_rows: str = ERROR,
    device: str = "cpu",
) -> DataFrame:
    """Score a Spark frame where it lies: every column as it is, and those that ``vae-anomaly score`` adds.

    The model file travels once to each machine and is audited and loaded once by each Python worker. A row's score does
    not depend on the rows beside it, so it is that of one machine, bit for bit, however the frame is partitioned.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Rows with the modelled columns of the fit, in any order, beside any others.
    model_path : path-like
        A model file, with or without a calibration, on the driver.
    n_reasons : int, default=0
        Most reasons of a row that alerts, as columns reason_1, reason_1_sentence, ... as ``vae-anomaly explain -o`` has
        them; null where a row does not alert.
    conditional : bool, default=True
        As for `VAEDetector.explain`.
    bad_rows : {"error", "missing"}, default="error"
        What a cell is that cannot be read, such as "n/k" in a column of numbers: the end of the job, or a missing one.
    device : str, default="cpu"
        Where each task computes; on a CPU, on one core.

    Returns
    -------
    pyspark.sql.DataFrame
        Lazy, with anomaly_score (nats, the higher the more anomalous) and alert, of a calibrated model p_value and
        risk_score too, and the reasons.

    Raises
    ------
    ModelFileError
        The file is no model file.
    SchemaMismatchError
        Modelled columns are missing, or of a type that cannot be read as in fit: told here, before any job.
    TableError
        The frame has two columns of one name, columns of the names that are added, or none by which the calibration
        has segments.
    ParameterError
        A parameter is outside its domain, the model's rule decides by all rows together (`DiscoveryRate`), or the model
        knows the past of cards, which may lie in any part of the frame.
    MissingExtraError
        pyspark is not installed.

    Notes
    -----
    A timestamp is read in the time zone of its column in fit; where that knew none, as the wall clock of the session
    (``spark.sql.session.timeZone``).

    Examples
    --------
    >>> from vae_anomaly import spark
    >>> scored = spark.score(transactions, "payments.vaea")  # doctest: +SKIP
    >>> scored.where("alert").write.parquet("alerts")  # doctest: +SKIP
    """
    _need_pyspark()
    wanted: dict[str, Any] = {"n_reasons": n_reasons, "conditional": conditional, "bad_rows": bad_rows}
    check_params("vae_anomaly.spark.score", wanted, _RULES)
    model = Model.load(Path(model_path), device)
    added = added_fields(model.stored, n_reasons)
    check_rule(model.stored)
    check_columns(df, model, [name for name, _ in added])
    from pyspark.sql.types import StructField, StructType

    content = Path(model_path).read_bytes()
    held = df.sparkSession.sparkContext.broadcast(content)
    task = Task(held, hashlib.sha256(content).hexdigest(), device, **wanted)
    fields = [*df.schema.fields, *(StructField(name, kind) for name, kind in added)]
    return df.mapInArrow(task.scored, StructType(fields))


def fit(df: DataFrame, detector: VAEDetector | None = None, *, n_rows: int = _MOST_ROWS, seed: int = 0) -> VAEDetector:
    """Fit a detector on a sample of a Spark frame, drawn by the seed and brought to the driver.

    Training takes the same number of steps whatever the number of rows, so that a sample of some 100,000 is as good as
    all of them unless anomalies or levels are rarer than that.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Training rows, without labels: drop those columns.
    detector : VAEDetector or None, default=None
        What to fit, in place; None takes one at default settings.
    n_rows : int, default=500_000
        Rows to draw; all of a smaller frame. They must fit into the memory of the driver, and below
        ``spark.driver.maxResultSize``.
    seed : int, default=0
        Of the sample. Rows of the same partitions in the same order give the same sample.

    Returns
    -------
    VAEDetector
        Fitted.

    Raises
    ------
    ParameterError
        A parameter is outside its domain.
    TableError
        The rows cannot be used as they are.

    Examples
    --------
    >>> from vae_anomaly import VAEDetector, spark
    >>> detector = spark.fit(transactions.drop("is_fraud"), VAEDetector(n_members=5))  # doctest: +SKIP
    >>> detector.save("payments.vaea")  # doctest: +SKIP
    """
    _need_pyspark()
    rows = _sampled(df, "vae_anomaly.spark.fit", n_rows, seed)
    fitted: VAEDetector = _given(detector).fit(rows)
    return fitted


def fit_distributed(
    df: DataFrame,
    detector: VAEDetector | None = None,
    *,
    n_processes: int,
    local_mode: bool = True,
    use_gpu: bool = False,
    n_rows: int = _MOST_ROWS,
    seed: int = 0,
) -> VAEDetector:
    """Fit a detector on a sample of a Spark frame by several processes, which Spark's TorchDistributor starts.

    As `fit`, but each step's batch is shared among the processes: see `vae_anomaly.data_parallel`, also for how much
    the result differs from that of one process. It pays for wide networks and large batches, and on GPUs.

    Parameters
    ----------
    df : pyspark.sql.DataFrame
        Training rows, without labels.
    detector : VAEDetector or None, default=None
        Its parameters are taken, without `callbacks` and `verbose`; it is left as it is. None takes the defaults.
    n_processes : int
        How many.
    local_mode : bool, default=True
        Whether they run on the driver, or each as a task of the cluster.
    use_gpu : bool, default=False
        Whether each has a GPU of its own; otherwise they compute on CPUs.
    n_rows, seed : int
        As for `fit`. Every process gets all of these rows.

    Returns
    -------
    VAEDetector
        Fitted.

    Raises
    ------
    ParameterError
        A parameter is outside its domain.
    TableError
        The rows cannot be used as they are.
    TrainingError
        A process failed; the message has its last words, and Spark's log more.

    Examples
    --------
    >>> from vae_anomaly import VAEDetector, spark
    >>> wide = VAEDetector(hidden=(1024, 1024), batch_size=4096)
    >>> detector = spark.fit_distributed(transactions, wide, n_processes=8, use_gpu=True)  # doctest: +SKIP
    """
    _need_pyspark()
    owner = "vae_anomaly.spark.fit_distributed"
    flags = {"n_processes": n_processes, "local_mode": local_mode, "use_gpu": use_gpu}
    check_params(owner, flags, {"n_processes": (Number(1, integer=True),), "local_mode": _FLAG, "use_gpu": _FLAG})
    params = {**_given(detector).get_params(deep=False), "callbacks": None, "verbose": False}
    params["device"] = "cuda" if use_gpu else "cpu"
    rows = _to_bytes(_sampled(df, owner, n_rows, seed))
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.ml.torch.distributor import TorchDistributor

    from vae_anomaly.detector import VAEDetector

    distributor = TorchDistributor(num_processes=n_processes, local_mode=local_mode, use_gpu=use_gpu)
    try:
        found: Any = distributor.run(_train_together, rows, params)
    except (RuntimeError, PySparkException, Py4JError) as error:
        raise TrainingError(
            f"Of {n_processes} processes that train together one failed: {_last_words(error)}"
        ) from error
    if isinstance(found, VaeAnomalyError):
        raise found
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.vaea")
        path.write_bytes(found)
        return VAEDetector.load(path, encoder=params["encoder"], decoder=params["decoder"])


def _train_together(rows: bytes, params: dict[str, Any]) -> bytes | VaeAnomalyError | None:
    """What each process does; what the first one returns comes back."""
    found = _trained(rows, params)
    if os.environ["LOCAL_RANK"] != "0":
        if isinstance(found, VaeAnomalyError):
            print(f"error: {found}", file=sys.stderr)
        raise SystemExit(0)  # one file takes what the processes of a machine return, and the last would win
    return found


def _trained(rows: bytes, params: dict[str, Any]) -> bytes | VaeAnomalyError | None:
    """The model file, in the first process, or why there is none."""
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.training.parallel import data_parallel

    table = pa.ipc.open_stream(rows).read_all()
    try:
        with data_parallel(params["device"]) as processes, tempfile.TemporaryDirectory() as folder:
            detector = VAEDetector(**params).fit(table)
            if not processes.is_first:
                return None
            path = Path(folder, "model.vaea")
            detector.save(path)
            return path.read_bytes()
    except VaeAnomalyError as error:
        return error


def _need_pyspark() -> None:
    try:
        import pyspark.sql  # noqa: F401
    except ImportError as error:
        raise MissingExtraError("pyspark", "spark") from error


def _given(detector: VAEDetector | None) -> VAEDetector:
    from vae_anomaly.detector import VAEDetector

    return VAEDetector() if detector is None else detector


def _sampled(df: DataFrame, owner: str, n_rows: int, seed: int) -> pa.Table:
    """At most `n_rows` rows, all with the same chance."""
    rules = {"n_rows": (Number(2, integer=True),), "seed": (Number(0, 2**32 - 1, integer=True),)}
    check_params(owner, {"n_rows": n_rows, "seed": seed}, rules)
    n_found = df.count()
    if n_found > n_rows:
        share = min(1.0, (n_rows + _SPARE * math.sqrt(n_rows)) / n_found)
        df = df.sample(withReplacement=False, fraction=share, seed=seed)
    table = df.toArrow()
    if table.num_rows > n_rows:
        chosen = np.random.default_rng(seed).choice(table.num_rows, n_rows, replace=False)
        table = table.take(pa.array(np.sort(chosen)))
    return table


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def _last_words(error: Exception) -> str:
    """What the process said that failed first."""
    raised = [words for words in _RAISED.findall(str(error)) if "could not reach the others" not in words]
    return raised[0] if raised else str(error).strip().splitlines()[-1]
