"""A fit on every row of a file, which lies on the disk meanwhile, is the fit on the same rows in memory, to the bit."""

import json

import numpy as np
import pyarrow as pa
import pytest

from vae_anomaly import make_transactions
from vae_anomaly.artifact import read_artifact
from vae_anomaly.cli.main import run
from vae_anomaly.table.io import read_table, write_table

N_ROWS = 900
SPEC = 'entities = ["customer_id"]\ntime = "timestamp"\namount = "amount"\nwindows = ["1D"]\n'

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # few steps learn little


def call(*arguments):
    """The exit code of a command line."""
    with pytest.raises(SystemExit) as leaving:
        run([str(argument) for argument in arguments])
    return leaving.value.code or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same payments as CSV, as CSV with decimal commas, and as Parquet of types, row groups and dictionaries."""
    folder = tmp_path_factory.mktemp("whole")
    frame = make_transactions(N_ROWS, random_state=0).drop(columns="typology")
    table = pa.Table.from_pandas(frame, preserve_index=False)
    write_table(table, folder / "rows.csv")
    frame["amount"] = frame["amount"].map(lambda amount: f"{amount:.2f}".replace(".", ","))
    frame.to_csv(folder / "commas.csv", sep=";", index=False)
    shops = table["merchant_id"].cast(pa.string()).combine_chunks().dictionary_encode()
    place = table.column_names.index("merchant_id")
    write_table(table.set_column(place, "merchant_id", shops), folder / "rows.parquet")
    (folder / "spec.toml").write_text(SPEC)
    return folder


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_BYTES", 9_000)
    monkeypatch.setattr("vae_anomaly.table.stream.CHUNK_ROWS", 130)
    monkeypatch.setattr("vae_anomaly.table.on_disk._ROWS_AT_ONCE", 170)
    monkeypatch.setattr("vae_anomaly.cli._sample._ROWS_AT_ONCE", 110)
    monkeypatch.setattr("vae_anomaly.training.rows._HASHED_AT_ONCE", 90)


def fit(source, output, *options):
    always = ["--max-steps=15", "--members=1", "--drop=transaction_id", "--label=is_fraud", "--device=cpu", "--json"]
    return call("fit", source, "-o", output, *always, *options)


def content(path):
    """What a model file holds, but for the time that it took."""
    artifact = read_artifact(path)
    manifest = {**artifact.manifest, "manifest_sha256": None, "members": None}
    manifest = json.loads(json.dumps(manifest), object_hook=without_seconds)
    return manifest, {name: array.tobytes() for name, array in artifact.weights.items()}, artifact.behavior


def without_seconds(document):
    return {key: value for key, value in document.items() if key != "seconds"}


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("rows.csv", []),
        ("rows.parquet", []),
        ("rows.csv", ["--train-on=0"]),
        ("commas.csv", ["--decimal=,"]),
        ("rows.csv", ["--hold-out=0.3", "--hold-out-to={folder}/held.csv"]),
        ("rows.parquet", ["--hold-out=0.3", "--hold-out-to={folder}/held.parquet", "--time-column=timestamp"]),
        ("rows.csv", ["--behavior={folder}/spec.toml"]),
        (
            "rows.csv",
            [
                *("--behavior={folder}/spec.toml", "--time-column=timestamp"),
                *("--hold-out=0.3", "--hold-out-to={folder}/held.csv"),
            ],
        ),
    ],
)
def test_all_rows_on_the_disk_train_what_they_train_in_memory(folder, tmp_path, capsys, source, options):
    found = {}
    for rows in ("all", str(N_ROWS)):
        chosen = [option.format(folder=tmp_path) for option in options]
        (tmp_path / "spec.toml").write_text(SPEC)
        assert fit(folder / source, tmp_path / "model.vaea", "--max-rows", rows, "--force", *chosen) == 0
        summary = without_seconds(json.loads(capsys.readouterr().out))
        held_out = [path.read_bytes() for path in tmp_path.glob("held.csv")]
        held_out += [read_table(path) for path in tmp_path.glob("held.parquet")]  # types are compared too
        found[rows] = (*content(tmp_path / "model.vaea"), summary, held_out)
        (tmp_path / "model.vaea").unlink()
        left = {path.name for path in tmp_path.iterdir()} - {"spec.toml", "held.csv", "held.parquet"}
        assert not left
    assert found["all"] == found[str(N_ROWS)]
    assert "rows_in_files" not in found["all"][-2]


def test_fewer_rows_train_something_else(folder, tmp_path):
    """Or the test above could not fail."""
    for rows in ("all", str(N_ROWS - 1)):
        assert fit(folder / "rows.csv", tmp_path / f"{rows}.vaea", "--max-rows", rows) == 0
    one, other = (content(tmp_path / f"{rows}.vaea") for rows in ("all", str(N_ROWS - 1)))
    assert one[1] != other[1]


def test_rows_that_none_are_to_be_trained_on_are_told(folder, tmp_path, capsys):
    assert fit(folder / "rows.csv", tmp_path / "model.vaea", "--max-rows=all", "--train-on=maybe") == 3
    assert "Expected rows with 'maybe' in column 'is_fraud', found none" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows", ["1", "none", "-3", "2.5", ""])
def test_numbers_of_rows_that_are_none_are_told(folder, tmp_path, capsys, rows):
    assert fit(folder / "rows.csv", tmp_path / "model.vaea", "--max-rows", rows) == 2
    assert f"2 or more, or all. Got {rows!r}" in " ".join(capsys.readouterr().err.split())


def test_one_row_is_too_few_and_nothing_is_left(folder, tmp_path, capsys):
    write_table(read_table(folder / "rows.csv").slice(0, 1), tmp_path / "one.csv")
    assert fit(tmp_path / "one.csv", tmp_path / "model.vaea", "--max-rows=all") == 3
    assert "one sample says nothing" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["one.csv"]


def test_text_of_more_rows_than_a_part_holds_its_levels(folder, tmp_path):
    """Thousands of levels, one after the other: each part has its own."""
    rng = np.random.default_rng(0)
    levels = [f"مَتجَر {number} 🙂" for number in rng.integers(0, 3_000, 4_000)]
    rows = pa.table({"level": levels, "amount": rng.normal(size=4_000)})
    write_table(rows, tmp_path / "rows.csv")
    for taken in ("all", "4000"):
        options = ["--max-steps=5", "--members=1", "--device=cpu", "--quiet", "--max-rows", taken]
        assert call("fit", tmp_path / "rows.csv", "-o", tmp_path / f"{taken}.vaea", *options) == 0
    assert content(tmp_path / "all.vaea") == content(tmp_path / "4000.vaea")
