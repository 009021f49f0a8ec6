"""``vae-anomaly evaluate``: how well the scores find rows that are known to be anomalous."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vae_anomaly.cli._options import AsJson, Decimal, Delimiter, Device, Encoding, Files, Model, NoHeader, Reading
from vae_anomaly.cli._print import emit_json, note, show_facts
from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    from vae_anomaly.cli._rows import Scored

_LABELS = "Labels"
_METRICS = "Metrics"
KS = (10, 50, 100)
BUDGET = 100


def evaluate(
    model: Model,
    files: Files,
    label: Annotated[str, typer.Option(metavar="COL", help="The column of labels.", rich_help_panel=_LABELS)],
    positive: Annotated[
        str | None,
        typer.Option(metavar="VALUE", help="The label of anomalies; all others are normal.", rich_help_panel=_LABELS),
    ] = None,
    negative: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE", help="The label of normal rows; all others are anomalies.", rich_help_panel=_LABELS
        ),
    ] = None,
    prevalence: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="True share of anomalies, if the file holds more of them: adds metrics weighted to it.",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    budget: Annotated[
        int, typer.Option(metavar="N", min=1, help="Alerts that can be worked.", rich_help_panel=_METRICS)
    ] = BUDGET,
    at: Annotated[
        list[int] | None,
        typer.Option(
            metavar="K",
            min=1,
            help=f"Precision among the first K rows; may be repeated ({', '.join(map(str, KS))} if not given).",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Dates, or seconds: adds metrics per day.", rich_help_panel=_METRICS),
    ] = None,
    amount_column: Annotated[
        str | None,
        typer.Option(metavar="COL", help="Amounts: adds recall weighted by them.", rich_help_panel=_METRICS),
    ] = None,
    card_column: Annotated[
        str | None,
        typer.Option(
            metavar="COL",
            help="Cards, or customers: adds the share of compromised ones among K that are checked a day (with"
            " --time-column).",
            rich_help_panel=_METRICS,
        ),
    ] = None,
    device: Device = "auto",
    delimiter: Delimiter = None,
    encoding: Encoding = "utf-8",
    decimal: Decimal = ".",
    no_header: NoHeader = False,
    as_json: AsJson = False,
) -> None:
    """Score labelled rows and say how well the scores find the anomalies.

    Files may be larger than memory: of their rows, scores are kept and the columns named here.
    """
    if positive is not None and negative is not None:
        raise ParameterError("--positive and --negative say the same thing twice: give one of them.")
    if card_column is not None and time_column is None:
        raise ParameterError("--card-column needs --time-column COL: cards are checked each day. Give it too.")
    from vae_anomaly.cli._narrow import scored_narrowly

    reading = Reading(delimiter, encoding, decimal, no_header)
    columns = {"day": time_column, "amount": amount_column, "card": card_column}
    named = [label, *(name for name in columns.values() if name is not None)]
    scored = scored_narrowly(model, files, reading, named, device=device)
    others = [name for name in scored.passed_through if name != label]
    if others:
        note(f"unknown to the model, not used: {', '.join(others)}")
    metrics = measure(
        scored,
        reading,
        label,
        sort={"positive": positive, "negative": negative},
        columns=columns,
        ks=tuple(at or KS),
        budget=budget,
        prevalence=prevalence,
    )
    metrics["alerts"] = alert_metrics(scored, label, {"positive": positive, "negative": negative})
    if as_json:
        emit_json(metrics)
    else:
        show_facts(flat(metrics))


def measure(
    scored: Scored,
    reading: Reading,
    label: str,
    *,
    sort: dict[str, str | None],
    columns: dict[str, str | None],
    ks: Sequence[int] = KS,
    budget: int = BUDGET,
    prevalence: float | None = None,
) -> dict[str, Any]:
    """The metrics of scored rows against their labels."""
    from vae_anomaly.cli._rows import days, labels, numbers, segments
    from vae_anomaly.decision.evaluation import evaluate_scores

    day, amount, card = columns["day"], columns["amount"], columns.get("card")
    report = evaluate_scores(
        labels(scored.table, label, **sort),
        scored.score,
        ks=tuple(ks),
        budget=budget,
        prevalence=prevalence,
        day=days(scored.table, day, reading) if day else None,
        amount=numbers(scored.table, amount, reading) if amount else None,
        card=segments(scored.table, card) if card else None,
    )
    return dict(report.to_json())


def alert_metrics(scored: Scored, label: str, sort: dict[str, str | None]) -> dict[str, Any]:
    """What the threshold of the model makes of the rows; there is no precision without alerts."""
    from sklearn.metrics import precision_score, recall_score

    from vae_anomaly.cli._rows import labels

    y, n_alerts = labels(scored.table, label, **sort), int(scored.alert.sum())
    return {
        "number": n_alerts,
        "precision": precision_score(y, scored.alert) if n_alerts else None,
        "recall": recall_score(y, scored.alert),
        "false_alarm_rate": recall_score(~y, scored.alert),
    }


def flat(metrics: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """One level of names and values; what was not measured is left out.

    Examples
    --------
    >>> flat({"roc_auc": 0.9, "precision_at": {"10": 0.5}, "per_day": None})
    {'roc auc': 0.9, 'precision at 10': 0.5}
    """
    facts: dict[str, Any] = {}
    for name, value in metrics.items():
        words = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            facts |= flat(value, f"{words} ")
        elif value is not None:
            facts[words] = value
    return facts
