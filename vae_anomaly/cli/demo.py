"""``vae-anomaly demo``: the whole path on simulated card payments."""

from __future__ import annotations

import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._options import Reading
from vae_anomaly.cli._print import show_table
from vae_anomaly.cli.evaluate import BUDGET, flat, measure
from vae_anomaly.cli.fit import fit_files, show_summary
from vae_anomaly.cli.score import ranked_rows, score_files, show_ranked

if TYPE_CHECKING:
    import pandas as pd

    from vae_anomaly.cli._rows import Scored

_LABEL, _TYPOLOGY = "is_fraud", "typology"
_NAMES = ("transaction_id", "customer_id", "merchant_id", "terminal_id")
_SETTINGS = {"kinds": dict.fromkeys(_NAMES, "identifier"), "verbose": True}
_TOP = 15
_THE_SAME = ("n rows", "n positives", "budget")  # whatever the scores are
_SHOWN = ["timestamp", "category", "amount", "country", "channel", _LABEL, _TYPOLOGY]
_OWN_FILE = """
The same on a file of your own:
  vae-anomaly fit payments.csv -o model.vaea
  vae-anomaly calibrate model.vaea later.csv --alerts-per-day 200 --time-column timestamp
  vae-anomaly score model.vaea payments.csv -o scored.csv --top 20
  vae-anomaly evaluate model.vaea payments.csv --label is_fraud
(to fit: --label COL names a column of labels, --id COL one that only names rows; evaluate needs labels)"""


def demo(
    rows: Annotated[
        int | None,
        typer.Option(metavar="N", min=100, help="Simulate N payments instead of the bundled ones.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the payments, the model and the scores in this folder.")
    ] = None,
) -> None:
    """Train on simulated card payments, rank them, and show how many frauds are on top."""
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() if output is None else nullcontext(str(output)) as folder:
        _show(Path(folder), rows)
    if output is not None:
        print(f"\nFiles: {', '.join(str(output / name) for name in ('transactions.csv', 'model.vaea', 'scored.csv'))}")
    print(_OWN_FILE)


def _show(folder: Path, n_rows: int | None) -> None:
    import pyarrow as pa

    from vae_anomaly.datasets import load_transactions, make_transactions
    from vae_anomaly.table.io import write_table

    file, model, reading = str(folder / "transactions.csv"), folder / "model.vaea", Reading()
    payments = load_transactions() if n_rows is None else make_transactions(n_rows)
    payments = payments.assign(timestamp=payments["timestamp"].astype("datetime64[s]"))
    write_table(pa.Table.from_pandas(payments, preserve_index=False), file)
    print(
        f"{len(payments):,} simulated card payments, {int(payments[_LABEL].sum()):,} of them fraudulent. The labels are"
        " kept from the model.\n"
    )
    summary = fit_files([file], model, _SETTINGS, reading, label=_LABEL, drop=[_TYPOLOGY])
    show_summary(summary | {"model": model.name})
    scored, _ = score_files(model, [file], reading, output=str(folder / "scored.csv"))
    print()
    show_ranked(ranked_rows(scored, _TOP), f"The {_TOP} most anomalous payments, and what they were", _SHOWN)
    _show_metrics(scored, payments, reading)


def _show_metrics(scored: Scored, payments: pd.DataFrame, reading: Reading) -> None:
    from dataclasses import replace

    rival = replace(scored, score=isolation_forest_scores(payments.drop(columns=[_LABEL, _TYPOLOGY, *_NAMES])))
    ours, theirs = (
        flat(measure(of, reading, _LABEL, sort={}, columns={"day": None, "amount": "amount"})) for of in (scored, rival)
    )
    rows = [
        (name, f"{ours[name]:.3f}", f"{theirs[name]:.3f}")
        for name in ours
        if name not in _THE_SAME and "lift" not in name
    ]
    show_table(
        f"Frauds found without labels, in {BUDGET} alerts", ["", "VAEDetector", "IsolationForest"], rows, left=[""]
    )


def isolation_forest_scores(features: pd.DataFrame) -> Any:
    """Anomaly scores of scikit-learn's IsolationForest, numbers as they are and the rest as ordinal codes."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1)
    encode = make_column_transformer((codes, make_column_selector(dtype_exclude="number")), remainder="passthrough")
    forest = make_pipeline(encode, IsolationForest(random_state=0)).fit(features)
    return -forest.score_samples(features)
