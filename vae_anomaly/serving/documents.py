"""The forms of requests and answers, as the OpenAPI document describes them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from vae_anomaly.serving.json_rows import MOST
from vae_anomaly.serving.limits import Limits
from vae_anomaly.serving.problems import ProblemKind
from vae_anomaly.serving.rows import ARROW, CSV, JSON
from vae_anomaly.serving.wanted import CellKind, WantedColumns

Cell = str | bool | int | float | None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Problem(_Document):
    """Why a request was refused."""

    error: ProblemKind = Field(description="For programs.")
    detail: str = Field(description="What was expected, what was found, and what to do.")
    column_diff: list[str] = Field(description="Lines that begin with - (missing) or + (not known).")


class Status(_Document):
    """Whether the server is there."""

    status: str


class Reason(_Document):
    """Why a row scores as it does; see `VAEDetector.explain`."""

    row: int = Field(description="Place of the row in the request, from 0.")
    rank: int = Field(description="1 for the first reason.")
    column: str
    kind: str
    observed: Cell = Field(description="The cell; null where it is missing.")
    expected: str | None = Field(description="The range with 80 % of what is usual for this row, or likely categories.")
    surprisal: float | None = Field(description="-log p of the cell, in nats.")
    share: float | None = Field(description="Nats that the column adds to the anomaly score.")
    percentile: float | None = Field(description="Share of normal rows with a lower surprisal in this column, in %.")
    unusualness: float | None = Field(description="By it reasons rank.")
    direction: str
    sentence: str = Field(description="The reason in plain words.")


class Scores(_Document):
    """One value for each row, in the order of the request.

    A score does not depend on the rows that come with it, unless the model knows the past of cards.
    """

    rows: int = Field(description="How many.")
    anomaly_score: list[float] = Field(description="In nats; higher is more anomalous.")
    alert: list[bool] = Field(description="Whether the score is above the threshold of its row.")
    p_value: list[float] | None = Field(description="Share of calibration rows that score as high; if calibrated.")
    risk_score: list[float] | None = Field(description="250 points for each factor of ten in rarity; if calibrated.")
    rows_with_threshold_of_rest: int = Field(description="Rows whose segment has no threshold of its own.")
    ignored_columns: list[str] = Field(description="Sent, and not known to the model.")
    reasons: list[Reason] | None = Field(description="Of the alerts, highest score first, if `reasons` were asked for.")
    unexplained_alerts: int = Field(description="Alerts beyond the most that are explained at once.")


class Explanations(_Document):
    """Reasons of every row."""

    rows: int = Field(description="How many.")
    reasons: list[Reason]
    ignored_columns: list[str] = Field(description="Sent, and not known to the model.")


class ColumnCard(_Document):
    """A column that requests may have."""

    name: str
    kind: str = Field(description="source for a column that is judged by the features made of it.")
    dtype: str = Field(description="Of the cells in fit, as Arrow names it.")
    required: bool = Field(description="False for identifiers, which are not modelled.")


class PastCard(_Document):
    """What the model knows of the past of rows."""

    entities: list[str] = Field(description="Columns whose values have a past.")
    time: str = Field(description="The column of times; no row may come before remembered_until.")
    remembered_until: str | None = Field(description="Latest time; UTC where the times have a zone.")
    remembered_rows: int
    remembers_requests: bool = Field(description="Whether rows sent to /score are remembered for later requests.")
    features: list[str] = Field(description="Made of the columns of a request, and judged in their place.")


class ModelCard(_Document):
    """What is served."""

    file: str = Field(description="Name of the model file.")
    score_type: str
    unit: str
    columns: list[ColumnCard]
    past: PastCard | None = Field(description="Null for a model that takes rows as they are.")
    threshold: float | None = Field(description="Rows above it alert; null if it depends on the rows of a request.")
    rule: str | None = Field(description="By which the threshold was set; null for a model that is not calibrated.")
    segment_column: str | None = Field(description="The column by whose values rows have thresholds of their own.")
    segment_thresholds: dict[str, float | None]
    rest_threshold: float | None = Field(description="Of rows in other segments.")
    guarantee: dict[str, Any] | None = Field(description="The report of the calibration.")
    versions: dict[str, str] = Field(description="Of what serves, and under written_by of what wrote the file.")
    limits: dict[str, float]


def body_of(wanted: WantedColumns, limits: Limits, most_rows: int, example: dict[str, Any]) -> dict[str, Any]:
    """The request body of a model in OpenAPI's words.

    Parameters
    ----------
    wanted : WantedColumns
        The columns.
    limits : Limits
        What the texts name.
    most_rows : int
        Of a request.
    example : dict
        A row.
    """
    cells = {name: _CELLS[kind] for name, kind in wanted.kinds.items()}
    row = {"type": "object", "required": list(cells), "properties": cells}
    lists = {name: {"type": "array", "minItems": 1, "items": cell} for name, cell in cells.items()}
    columns = {"type": "object", "required": list(cells), "properties": lists}
    rows = {"type": "array", "minItems": 1, "items": row}
    schema = {"anyOf": [{"title": "Rows", **rows}, {"title": "Columns of one length", **columns}]}
    examples = {
        "rows": {"summary": "A list of rows", "value": [example]},
        "columns": {"summary": "Columns of one length", "value": {name: [cell] for name, cell in example.items()}},
    }
    text = {"type": "string", "description": "A header line, and rows; cells as the library reads them."}
    stream = {"type": "string", "format": "binary", "description": "An Arrow IPC stream without compression."}
    return {
        "required": True,
        "description": f"At most {most_rows:,} rows in {limits.max_body_bytes:,} bytes.",
        "content": {JSON: {"schema": schema, "examples": examples}, CSV: {"schema": text}, ARROW: {"schema": stream}},
    }


_MOMENT = "A date alone will do. Read by the clock as it is written: its offset from UTC changes nothing."
_CELLS: dict[CellKind, dict[str, Any]] = {
    CellKind.NUMBER: {"type": ["number", "null"], "minimum": -MOST, "maximum": MOST},
    CellKind.MOMENT: {"type": ["string", "null"], "format": "date-time", "description": _MOMENT},
    CellKind.VALUE: {"type": ["string", "number", "boolean", "null"]},
}
