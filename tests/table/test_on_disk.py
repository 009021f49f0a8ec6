"""What lies in files is what would lie in memory."""

import numpy as np
import pyarrow as pa
import pytest

from vae_anomaly import OutputError, TableError
from vae_anomaly.table import on_disk as module
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.on_disk import encoded_rows, on_disk
from vae_anomaly.table.schema import Schema

N_ROWS = 500


def table(n_rows=N_ROWS, seed=0):
    """Every kind of column and of cell, with gaps; among the texts right-to-left letters and faces."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n_rows)
    gaps = rng.random(n_rows) < 0.1
    return pa.table(
        {
            "amount": pa.array(np.exp(z), mask=gaps),
            "text": pa.array([f"{v:.2f}" for v in z], mask=np.roll(gaps, 1)),
            "shop": pa.array([f"مَتجَر 🙂 {int(v > 0)}" for v in z], mask=np.roll(gaps, 2)),
            "level": pa.array([f"level {k}" for k in rng.integers(0, 300, n_rows)]).dictionary_encode(),
            "online": pa.array(z > 0.3, mask=np.roll(gaps, 3)),
            "when": pa.array(np.datetime64("2024-01-01", "us") + (z * 1e12).astype("timedelta64[us]")),
            "empty": pa.nulls(n_rows, pa.string()),
        }
    )


def in_parts(rows, size):
    """Parts whose dictionaries differ, as those of row groups do."""
    for start in range(0, rows.num_rows, size):
        part = rows.slice(start, size)
        level = part["level"].cast(pa.string()).combine_chunks().dictionary_encode()
        yield part.set_column(3, "level", level)


def test_rows_in_a_file_are_those_that_were_stored(tmp_path):
    with on_disk(tmp_path / "model.vaea") as folder:
        stored = folder.stored(in_parts(table(), 70))
        assert stored.to_pylist() == table().to_pylist()
        assert Schema.infer(stored) == Schema.infer(table())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows_at_once", [1, 70, N_ROWS, 10 * N_ROWS])
def test_what_is_encoded_in_files_is_what_is_encoded_in_memory(tmp_path, monkeypatch, rows_at_once):
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", rows_at_once)
    encoder = TableEncoder(Schema.infer(table()))
    wanted = encoder.encode(table())
    with on_disk(tmp_path / "model.vaea"):
        found = encoded_rows(encoder, table())
        for name in ("values", "angles", "codes"):
            assert isinstance(getattr(found, name), np.memmap)
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
        assert len(found) == N_ROWS
    assert not isinstance(encoded_rows(encoder, table()).codes, np.memmap)


def test_blocks_without_columns_have_rows_all_the_same(tmp_path):
    rows = pa.table({"amount": [1.5, 2.5, 4.0]})
    encoder = TableEncoder(Schema.infer(rows))
    with on_disk(tmp_path / "model.vaea"):
        found = encoded_rows(encoder, rows)
    assert (found.angles.shape, found.codes.shape, len(found)) == ((3, 0), (3, 0), 3)


def test_no_row_is_a_table_all_the_same(tmp_path):
    with on_disk(tmp_path / "model.vaea") as folder:
        stored = folder.stored([table().slice(0, 0)])
    assert stored.num_rows == 0
    assert stored.column_names == table().column_names


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    with pytest.raises(OutputError, match="could not be kept there"), on_disk(tmp_path / "nowhere" / "model.vaea"):
        pass


def test_a_disk_that_is_full_is_told_and_nothing_is_left(tmp_path):
    """Files may grow to so many bytes: what a full disk looks like to a process."""
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OutputError, match="free some space"), on_disk(tmp_path / "model.vaea") as folder:
            folder.stored(in_parts(table(), 70))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_with_the_rows_is_told_as_it_is(tmp_path):
    def broken():
        yield table()
        raise TableError("of the rows")

    with pytest.raises(TableError, match="of the rows"), on_disk(tmp_path / "model.vaea") as folder:
        folder.stored(broken())
    assert list(tmp_path.iterdir()) == []
