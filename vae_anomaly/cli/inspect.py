"""``vae-anomaly inspect``: what a model file holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vae_anomaly.cli._options import AsJson, Model
from vae_anomaly.cli._print import cell_text, emit_json, show_facts, show_table, show_text
from vae_anomaly.cli.score import decided_by, thresholds_in_words

if TYPE_CHECKING:
    from vae_anomaly._calibration_file import StoredCalibration
    from vae_anomaly.behavior import BehaviorFeatures
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.table.columns import Column

_TOP = 10
_HISTORY = 8
_LEVELS = 4


def inspect(model: Model, as_json: AsJson = False) -> None:
    """Show a model's columns, parameters, training, calibration and versions."""
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.artifact import read_artifact
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.pipelines import stored_behavior

    artifact = read_artifact(model)
    stored, behavior = stored_calibration(artifact), stored_behavior(artifact)
    detector = VAEDetector.load(model, device="cpu")
    file = {"file": str(model), "format": artifact.manifest["format"], **artifact.manifest["versions"]}
    if as_json:
        beside = {"calibration": calibration_facts(stored), "behavior": behavior_facts(behavior)}
        emit_json(_everything(detector, file) | decided_by(detector, stored) | beside)
        return
    facts = {"file": file["file"], **training(detector), **decided(detector, stored)}
    show_facts(facts | ({} if behavior is None else {"remembers": remembered(behavior)}))
    if stored is not None:
        show_text(f"\nCalibration\n\n{stored.calibration.guarantee}\n")
    show_columns(detector)
    show_table(
        f"The {_TOP} most uncertain columns",
        ["column", "surprisal (nats)"],
        [(name, f"{nats:.2f}") for name, nats in most_uncertain(detector)],
        left=["column"],
    )
    show_history(detector)
    show_table("Parameters", ["name", "value"], sorted(_parameters(detector).items()), left=["name", "value"])
    if behavior is not None:
        params = sorted(behavior.get_params().items())
        show_table("Past of rows", ["name", "value"], [(n, str(v)) for n, v in params], left=["name", "value"])
    show_table(
        "Versions", ["name", "value"], [(n, str(v)) for n, v in file.items() if n != "file"], left=["name", "value"]
    )


def training(detector: VAEDetector) -> dict[str, Any]:
    """How the model came to be, in a few lines."""
    profile = detector.profile_
    stopped = " (stopped early)" if profile["stopped_early"] else ""
    return {
        "trained on": f"{profile['n_rows']:,.0f} rows",
        "steps": f"{profile['n_steps']:,}{stopped}",
        "held-out ELBO": f"{profile['held_out_elbo']:.2f} nats a row (columns on their own:"
        f" {profile['baseline_elbo']:.2f})",
        "dependence": f"{profile['dependence']:.2f} ± {profile['dependence_error']:.2f} nats a row"
        " (lost when the columns are shuffled)",
    }


def decided(detector: VAEDetector, stored: StoredCalibration | None) -> dict[str, Any]:
    """By what rows alert, in a few lines."""
    facts = decided_by(detector, stored)
    by = {"segments by": stored.segment_column or "unknown column"} if stored and "segments" in facts else {}
    return thresholds_in_words(facts) | by


def calibration_facts(stored: StoredCalibration | None) -> dict[str, Any] | None:
    """A calibration as JSON values; None for none."""
    if stored is None:
        return None
    return {"segment_column": stored.segment_column, "report": stored.calibration.guarantee.to_json()}


def behavior_facts(behavior: BehaviorFeatures | None) -> dict[str, Any] | None:
    """What gives rows their features, and what is remembered, as JSON values; None for none."""
    if behavior is None:
        return None
    history = behavior.history_
    return {
        "parameters": behavior.get_params(),
        "remembered_rows": len(history.rows),
        "remembered_values": {name: len(levels) for name, levels in history.levels.items()},
        "until": None if history.until is None else history.until.isoformat(),
    }


def remembered(behavior: BehaviorFeatures) -> str:
    """What is remembered, in a line."""
    history = behavior.history_
    values = ", ".join(f"{len(history.levels[name]):,} of {name}" for name in history.older)
    return f"{len(history.rows):,} rows until {history.until}; {values}"


def most_uncertain(detector: VAEDetector) -> list[tuple[str, float]]:
    """The columns that surprise the model most on the rows it was fitted on, with their mean surprisal."""
    return sorted(detector.profile_["column_surprisal"].items(), key=lambda pair: -pair[1])[:_TOP]


def show_columns(detector: VAEDetector) -> None:
    """Print the schema."""
    n_rows = detector.schema_.n_rows
    rows = []
    for column in detector.schema_.columns:
        missing = column.n_missing / n_rows if n_rows else 0.0
        rows.append((column.name, str(column.kind), f"{missing:.1%}" if missing else "", describe(column)))
    show_table("Columns", ["column", "kind", "missing", "values"], rows, left=["column", "kind", "values"])


def describe(column: Column) -> str:
    """What was learnt of a column before training.

    Examples
    --------
    >>> from vae_anomaly.table.columns import IdentifierColumn
    >>> describe(IdentifierColumn("card", "string", 0, n_distinct=1500))
    '1,500 distinct values, set aside'
    """
    from vae_anomaly.table.columns import DatetimeColumn, IdentifierColumn, NumericColumn

    if isinstance(column, NumericColumn):
        span = f"{_number(column.minimum)} to {_number(column.maximum)}"
        return f"{_number(column.location)} ± {_number(column.scale)}, {span}"
    if isinstance(column, DatetimeColumn):
        cycles = ("time_of_day", "day_of_week", "day_of_month", "day_of_year")
        modelled = ", ".join(name.replace("_", " ") for name in cycles if getattr(column, name))
        return f"{column.minimum} to {column.maximum}: {modelled}"
    if isinstance(column, IdentifierColumn):
        return f"{column.n_distinct:,} distinct values, set aside"
    return _levels(column)


def show_history(detector: VAEDetector) -> None:
    """Print a few evaluations, evenly spread, the last among them."""
    history = detector.history_
    if not history:
        return
    n_shown = min(_HISTORY, len(history))
    chosen = sorted({round(i * (len(history) - 1) / max(n_shown - 1, 1)) for i in range(n_shown)})
    names = ["step", "train_elbo", "held_out_elbo", "learning_rate"]
    rows = [[cell_text(history[i][names[0]]), *(f"{history[i][name]:.4g}" for name in names[1:])] for i in chosen]
    show_table("Training", ["step", "train ELBO", "held-out ELBO", "learning rate"], rows)


def _everything(detector: VAEDetector, file: dict[str, Any]) -> dict[str, Any]:
    return {
        **file,
        "schema": detector.schema_.to_json(),
        "parameters": _parameters(detector),
        "profile": detector.profile_,
        "history": detector.history_,
        "most_uncertain_columns": dict(most_uncertain(detector)),
    }


def _parameters(detector: VAEDetector) -> dict[str, Any]:
    return {name: value for name, value in detector.get_params().items() if name not in ("callbacks", "verbose")}


def _levels(column: Any) -> str:
    levels: Sequence[str] = column.levels
    some = ", ".join(levels[:_LEVELS]) + (", ..." if len(levels) > _LEVELS else "")
    rare = f", {len(column.rare):,} rare" if getattr(column, "rare", ()) else ""
    return f"{len(levels):,} level{'s' if len(levels) != 1 else ''}{rare}: {some}" if levels else "never observed"


def _number(value: float) -> str:
    return f"{value:,.6g}"
