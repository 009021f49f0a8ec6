"""The bundled file is what the simulator makes, byte for byte."""

from __future__ import annotations

import re
import subprocess
import sys

from pandas.testing import assert_frame_equal

from vae_anomaly.datasets import bundled, load_transactions


def test_regenerating_gives_the_same_bytes(tmp_path):
    bundled.write_bundled(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == bundled.BUNDLED_FILE.read_bytes()


def test_the_file_is_small_with_every_typology_in_both_halves():
    payments = load_transactions()
    assert bundled.BUNDLED_FILE.stat().st_size <= 2_000_000
    assert payments["is_fraud"].mean() == 0.01
    assert set(payments["typology"][:7_000]) == set(payments["typology"][7_000:])


def test_an_installed_package_without_the_file_gives_the_same_frame(monkeypatch, tmp_path):
    from_file = load_transactions()
    monkeypatch.setattr(bundled, "BUNDLED_FILE", tmp_path / "absent.csv")
    assert_frame_equal(load_transactions(), from_file)


def test_the_module_runs_and_imports_no_torch(tmp_path):
    out = tmp_path / "transactions.csv"
    code = (
        f"import runpy, sys; sys.argv = ['datasets', {str(out)!r}]; "
        "runpy.run_module('vae_anomaly.datasets', run_name='__main__'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{out}: {out.stat().st_size:,} bytes"


def test_the_data_card_names_every_column_and_counts_every_typology():
    card = (bundled.BUNDLED_FILE.parent / "README.md").read_text(encoding="utf-8")
    payments = load_transactions()
    named = [line.split("`")[1] for line in card.splitlines() if line.startswith("| `")]
    counts = payments.loc[payments["is_fraud"] == 1, "typology"].value_counts()
    assert named[: payments.shape[1]] == list(payments)
    assert set(named[payments.shape[1] :]) == set(counts.index)
    assert all(f"| `{name}` | {count} |" in card for name, count in counts.items())
    words = set(re.findall(r"\w+", card))
    assert {str(payments[name].nunique()) for name in ("customer_id", "merchant_id", "category")} <= words
