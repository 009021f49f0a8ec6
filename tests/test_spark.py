"""A Spark frame has the scores of one machine, bit for bit, and says what is wrong before a job starts."""

import datetime
import hashlib
import os
import shutil
import subprocess
import sys
import warnings
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

from vae_anomaly import (
    CalibratedDetector,
    DiscoveryRate,
    FalseAlarmRate,
    MissingExtraError,
    ModelFileError,
    ParameterError,
    SchemaMismatchError,
    TableError,
    VaeAnomalyWarning,
    VAEDetector,
    spark,
)
from vae_anomaly._calibration_file import stored_calibration
from vae_anomaly._spark_task import Task
from vae_anomaly.artifact import read_artifact
from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._rows import score_rows

N_ROWS, N_PARTITIONS = 600, 4
TOLERANCE = 1e-4
SMALL = {"max_steps": 40, "n_members": 1, "hidden": (16,), "device": "cpu"}

pytestmark = [
    pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning"),  # few steps learn little
    pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning"),
    pytest.mark.filterwarnings("ignore:unclosed (file|<socket):ResourceWarning"),  # what Spark leaves behind
]


def table(n_rows=N_ROWS, seed=0):
    """Rows of every type that Spark has and a fit reads, with gaps; beside them types that only pass through."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n_rows)
    gaps = rng.random(n_rows) < 0.1

    def cells(values, kind):
        return pa.array([None if gap else value for gap, value in zip(np.roll(gaps, len(kind)), values, strict=True)])

    when = [datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC) + datetime.timedelta(hours=float(h)) for h in z * 9]
    return pa.table(
        {
            "row": pa.array(np.arange(n_rows)),
            "amount": cells([Decimal(round(v, 2)).quantize(Decimal("0.01")) for v in np.exp(z).tolist()], "decimal"),
            "rate": cells(z.astype(np.float32).tolist(), "float").cast(pa.float32()),
            "shop": cells([f"مَتجَر {'🙂' * int(v > 0)}" for v in z], "text"),
            "online": cells((z > 0.3).tolist(), "bool"),
            "when": cells(when, "moment").cast(pa.timestamp("us", tz="UTC")),
            "day": cells([moment.date() for moment in when], "date"),
            "count": cells(rng.poisson(3, n_rows).tolist(), "int"),
            "country": pa.array(np.where(z > 0, "DE", "FR")),
            "note": pa.array([[f"={i}", None] for i in range(n_rows)]),
            "raw": pa.array([bytes([i % 256]) for i in range(n_rows)]),
        }
    )


def modelled(rows):
    return rows.drop_columns(["row", "note", "raw"])


@pytest.fixture(scope="module")
def detector():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VaeAnomalyWarning)
        return VAEDetector(**SMALL).fit(modelled(table()))


@pytest.fixture(scope="module")
def files(detector, tmp_path_factory):
    """Model files: without a calibration, with one of segments, and with a rule that needs all rows together."""
    folder = tmp_path_factory.mktemp("models")
    paths = {name: folder / f"{name}.vaea" for name in ("plain", "segments", "batch")}
    detector.save(paths["plain"])
    rows = table(seed=1)
    by_segment = CalibratedDetector(detector, FalseAlarmRate(0.1), cv="prefit", min_segment_rows=50)
    by_segment.fit(modelled(rows), groups=rows["country"].to_pylist()).save(paths["segments"], segment_column="country")
    CalibratedDetector(detector, DiscoveryRate(0.2), cv="prefit").fit(modelled(rows)).save(paths["batch"])
    return paths


@pytest.fixture(scope="module")
def session():
    from pyspark.sql import SparkSession

    before = os.environ.get("PYSPARK_PYTHON")
    os.environ["PYSPARK_PYTHON"] = sys.executable  # the workers' interpreter, whatever stands first on the path

    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.log.level": "OFF",
    }
    builder = SparkSession.builder.master("local[2]").appName("tests")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    yield session
    session.stop()
    os.environ.pop("PYSPARK_PYTHON") if before is None else os.environ.update(PYSPARK_PYTHON=before)


@pytest.fixture(scope="module")
def frame(session):
    return session.createDataFrame(table()).repartition(N_PARTITIONS, "row")


@pytest.fixture(scope="module")
def never(frame):
    """The same columns, and one that fails as soon as it is computed."""
    return frame.selectExpr("*", "cast(raise_error('computed') as string) as poison")


def task(path, **given):
    content = path.read_bytes()
    wanted = {"n_reasons": 0, "conditional": True, "bad_rows": "error"} | given
    return Task(SimpleNamespace(value=content), hashlib.sha256(content).hexdigest(), "cpu", **wanted)


def in_batches(path, rows, size, **given):
    """What a worker makes of rows that come in batches of a size."""
    batches = rows.to_batches(max_chunksize=size) or [pa.RecordBatch.from_pylist([], schema=rows.schema)]
    return pa.Table.from_batches(task(path, **given).scored(iter(batches)))


def equal(table, other):
    """Whether tables hold the same cells, to the last bit of their numbers; widths and nullability of types aside."""
    return table.column_names == other.column_names and table.to_pylist() == other.to_pylist()


@pytest.mark.parametrize("name", ["plain", "segments"])
def test_scores_are_those_of_one_machine_to_the_last_bit(detector, files, frame, name):
    wanted = score_rows(detector, table(), Reading(), stored_calibration(read_artifact(files[name]))).table
    found = spark.score(frame, files[name])
    assert found.rdd.getNumPartitions() == N_PARTITIONS
    assert equal(found.toArrow().sort_by("row"), wanted)
    assert [str(field) for field in found.schema.fields[: len(frame.columns)]] == [str(f) for f in frame.schema.fields]
    assert 0 < sum(wanted["alert"].to_pylist()) < N_ROWS


def test_reasons_stand_beside_the_rows_that_alert(detector, files, frame):
    found = spark.score(frame, files["segments"], n_reasons=2).toArrow().sort_by("row")
    alert = np.asarray(found["alert"])
    reasons = detector.explain(modelled(table()).filter(pa.array(alert)), 2)
    for rank in (1, 2):
        of_rank = reasons[reasons["rank"] == rank]
        for name, told in ((f"reason_{rank}", "column"), (f"reason_{rank}_sentence", "sentence")):
            cells = np.array(found[name].to_pylist(), dtype=object)
            assert cells[alert].tolist() == of_rank[told].tolist()
            assert not any(cells[~alert])


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_the_size_of_the_batches_changes_nothing(files, size):
    rows = table(40)
    found = in_batches(files["segments"], rows, size, n_reasons=1)
    assert equal(found, in_batches(files["segments"], rows, 13, n_reasons=1))


@pytest.mark.parametrize("name", ["plain", "segments"])
def test_no_rows_get_columns_and_a_row_of_gaps_a_score(files, name):
    rows = table(3)
    none = in_batches(files[name], rows.slice(0, 0), 10, n_reasons=2)
    assert none.num_rows == 0
    assert none.column_names == in_batches(files[name], rows, 10, n_reasons=2).column_names
    gaps = pa.table({field.name: pa.nulls(1, field.type) for field in rows.schema})
    assert np.isfinite(in_batches(files[name], gaps, 10, n_reasons=2)["anomaly_score"].to_pylist()).all()


def test_strange_cells_are_levels_never_seen_or_said_with_their_place(files):
    rows = table(5)
    strange = rows.set_column(rows.column_names.index("shop"), "shop", pa.array(["=1+1", "", "x" * 9_999, "\0", None]))
    assert np.isfinite(in_batches(files["plain"], strange, 2)["anomaly_score"].to_pylist()).all()
    place = rows.column_names.index("count")
    bad = rows.set_column(place, "count", pa.array(["1", "2", "n/k", "4", "5"]))
    with pytest.raises(SchemaMismatchError, match=r"rows 3 to 4.*'count', row 1.*'n/k'"):
        in_batches(files["plain"], bad, 2)
    empty = rows.set_column(place, "count", pa.array(["1", "2", None, "4", "5"]))
    found, wanted = (
        in_batches(files["plain"], cells, 2, bad_rows="missing", n_reasons=1).drop_columns("count")
        for cells in (bad, empty)
    )
    assert equal(found, wanted)


def test_a_bad_cell_ends_the_job_by_its_name(files, session):
    from pyspark.errors import PySparkException

    rows = table(3).set_column(7, "count", pa.array(["1", "n/k", "3"]))
    scored = spark.score(session.createDataFrame(rows).coalesce(1), files["plain"])
    with pytest.raises(PySparkException, match=r"Partition 0, rows 1 to 3.*'n/k'"):
        scored.collect()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda df: df.withColumnRenamed("amount", "amuont"),
            SchemaMismatchError,
            r"- amount[^\n]*missing(.|\n)*amuont",
        ),
        (lambda df: df.drop("country"), SchemaMismatchError, "- country"),
        (lambda df: df.withColumn("count", df["when"]), SchemaMismatchError, "~ count: int64 in fit, timestamp"),
        (lambda df: df.withColumn("when", df["count"]), SchemaMismatchError, "~ when"),
        (lambda df: df.withColumn("amount", df["note"]), TableError, "'amount' holds list"),
        (lambda df: df.withColumn("alert", df["count"]), TableError, "found .'alert'."),
        (lambda df: df.withColumn("P_Value", df["count"]), TableError, "found .'P_Value'."),
        (lambda df: df.select("*", df["amount"].alias("Amount")), TableError, "'Amount', 'amount'"),
        (lambda df: df.selectExpr("*", "interval 1 month as term"), TableError, "types that Arrow has"),
    ],
)
def test_what_is_wrong_with_the_columns_is_said_before_a_row_is_computed(files, never, change, error, message):
    with pytest.raises(error, match=message):
        spark.score(change(never), files["segments"])


def test_parameters_and_files_are_checked_before_a_row_is_computed(files, never, tmp_path):
    with pytest.raises(ParameterError, match="decides by all rows together"):
        spark.score(never, files["batch"])
    with pytest.raises(ModelFileError, match="nothing of that name"):
        spark.score(never, tmp_path / "none.vaea")
    for given in ({"n_reasons": -1}, {"n_reasons": True}, {"bad_rows": "skip"}, {"conditional": 1}):
        with pytest.raises(ParameterError, match=f"{next(iter(given))!r} parameter of vae_anomaly.spark.score"):
            spark.score(never, files["plain"], **given)
    with pytest.raises(ParameterError, match=r"'n_rows' parameter of vae_anomaly\.spark\.fit "):
        spark.fit(never, n_rows=1)
    with pytest.raises(ParameterError, match="'n_processes'"):
        spark.fit_distributed(never, n_processes=0)


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.SchemaWarning")
def test_a_fit_takes_all_of_a_small_frame_and_a_seeded_sample_of_a_larger_one(session):
    frame = session.createDataFrame(modelled(table())).repartition(3)
    whole = VAEDetector(**SMALL).fit(modelled(table()))
    again = spark.fit(frame, VAEDetector(**SMALL))
    np.testing.assert_array_equal(again.score_samples(modelled(table())), whole.score_samples(modelled(table())))
    few = [spark.fit(frame, VAEDetector(**SMALL), n_rows=150, seed=seed) for seed in (5, 5, 6)]
    assert [detector.profile_["n_rows"] for detector in few] == [150, 150, 150]
    first, same, other = (detector.score_samples(modelled(table(50))) for detector in few)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.SchemaWarning")
def test_two_processes_of_spark_train_what_one_trains(session, capfd):
    frame = session.createDataFrame(modelled(table()))
    rows = modelled(table(seed=2))
    alone = spark.fit(frame, VAEDetector(**SMALL)).anomaly_score(rows)
    template = VAEDetector(**SMALL)
    together = spark.fit_distributed(frame, template, n_processes=2)
    assert not hasattr(template, "model_")
    np.testing.assert_allclose(together.anomaly_score(rows), alone, rtol=TOLERANCE, atol=TOLERANCE)
    capfd.readouterr()  # Spark passes on what its processes say


def test_nobody_pays_for_spark_who_does_not_use_it(monkeypatch, files):
    code = "import sys, vae_anomaly.spark; print({'pyspark', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "set()"
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(MissingExtraError, match=r"vae-anomaly\[spark\]"):
        spark.score(None, files["plain"])
