"""What a threshold promises, on how many rows, and what is assumed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from vae_anomaly._params import Instance, Number, Rule, Several
from vae_anomaly.errors import ModelFileError


@dataclass(frozen=True)
class Guarantee:
    """The report of a calibration. Printed, it is a few plain lines.

    Parameters
    ----------
    rule : str
        The rule, as it would be written.
    asked : str
        What the rule asks for, in words.
    quantity : str
        What `estimate` and `interval` are of, such as "false-alarm rate".
    threshold : float or None
        A row alerts where its anomaly score is above it. None where the decision depends on the batch.
    n_rows : int
        Calibration rows.
    n_normal, n_anomalies : int or None
        By label; None without labels.
    n_alerts : int or None
        Calibration rows above the threshold.
    estimate : float or None
        The quantity, as it came out on the calibration rows.
    interval : tuple of two floats or None
        Bounds for the quantity on rows to come, each of the two at `confidence`.
    confidence : float
        How often, over calibrations, each bound holds.
    holds : str
        What is guaranteed.
    assumptions : tuple of str
        What it takes.
    remarks : tuple of str
        What else should be known, such as ties.
    segments : tuple of (str, Guarantee)
        Of each segment that has a threshold of its own.
    rest : Guarantee or None
        Of the other rows, where there are segments.
    """

    rule: str
    asked: str
    quantity: str
    threshold: float | None
    n_rows: int
    n_normal: int | None
    n_anomalies: int | None
    n_alerts: int | None
    estimate: float | None
    interval: tuple[float, float] | None
    confidence: float
    holds: str
    assumptions: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    segments: tuple[tuple[str, Guarantee], ...] = ()
    rest: Guarantee | None = None

    def with_remarks(self, *remarks: str) -> Self:
        """The same with more remarks."""
        return replace(self, remarks=(*self.remarks, *remarks))

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        document = asdict(self)
        document["segments"] = {name: guarantee.to_json() for name, guarantee in self.segments}
        document["rest"] = None if self.rest is None else self.rest.to_json()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in document.items()}

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read what `to_json` wrote.

        Raises
        ------
        ModelFileError
            A field is missing, unknown or of another type.
        """
        names = {field.name for field in fields(cls)}
        if not isinstance(document, dict) or set(document) != names:
            found = sorted(map(str, document)) if isinstance(document, dict) else type(document).__name__
            raise ModelFileError(f"A report must be an object with {sorted(names)}. Found {found}.")
        for name, allowed in _FIELDS.items():
            if not allowed.allows(document[name]):
                raise ModelFileError(f"The {name!r} of a report must be {allowed}. Found {document[name]!r}.")
        _check_counts(document)
        texts = [value for value in document.values() if isinstance(value, str)]
        length = sum(map(len, (*texts, *document["assumptions"], *document["remarks"])))
        if length > _MOST_TEXT:
            raise ModelFileError(f"A report must be of at most {_MOST_TEXT:,} characters. Found {length:,}.")
        interval, rest = document["interval"], document["rest"]
        parts = [part for part in (*document["segments"].values(), rest) if part is not None]
        if any(isinstance(part, dict) and (part.get("segments") or part.get("rest")) for part in parts):
            raise ModelFileError("The reports of segments must have no segments themselves. Found some.")
        return cls(
            **{
                **document,
                "interval": None if interval is None else (float(interval[0]), float(interval[1])),
                "assumptions": tuple(document["assumptions"]),
                "remarks": tuple(document["remarks"]),
                "segments": tuple((name, cls.from_json(part)) for name, part in document["segments"].items()),
                "rest": None if rest is None else cls.from_json(rest),
            }
        )

    def __str__(self) -> str:
        lines = [
            f"rule         {self.rule}",
            f"asked        {self.asked}",
            f"threshold    {_threshold(self.threshold)}",
            f"rows         {self._rows()}",
            f"found        {self._found()}",
            f"holds        {self.holds}",
            *(f"assumed      {line}" for line in self.assumptions),
            *(f"note         {line}" for line in self.remarks),
            *(f"segment      {name}: {part._in_short()}" for name, part in self.segments),
            *(f"the rest     {part._in_short()}" for part in (self.rest,) if part is not None),
        ]
        return "\n".join(lines)

    def _rows(self) -> str:
        if self.n_normal is None:
            return f"{self.n_rows:,}, unlabelled"
        anomalies = _counted(self.n_anomalies or 0, "anomal", "y", "ies")
        return f"{self.n_rows:,}, of which {self.n_normal:,} normal and {anomalies}"

    def _found(self) -> str:
        alerts = "" if self.n_alerts is None else f"{_counted(self.n_alerts, 'alert')} on the calibration rows; "
        if self.estimate is None:
            return f"{alerts}{self.quantity}: depends on the rows to come"
        shown = f"{alerts}{self.quantity} {self._figure(self.estimate)}"
        if self.interval is None:
            return shown
        low, high = (self._figure(end) for end in self.interval)
        return f"{shown}, for rows to come {low} to {high} (each bound at {percent(self.confidence)} confidence)"

    def _in_short(self) -> str:
        return f"threshold {_number(self.threshold)}, {_counted(self.n_rows, 'row')}, {self._found()}"

    def _figure(self, value: float) -> str:
        return percent(value) if self.quantity.endswith(("rate", "share", "precision", "recall")) else f"{value:.4g}"


@dataclass(frozen=True)
class _Pair:
    """Two finite numbers."""

    def allows(self, value: Any) -> bool:
        return isinstance(value, (tuple, list)) and len(value) == 2 and all(_FINITE.allows(end) for end in value)

    def __str__(self) -> str:
        return "two finite numbers"


@dataclass(frozen=True)
class _Either:
    """None, or what a rule allows."""

    rule: Rule

    def allows(self, value: Any) -> bool:
        return value is None or self.rule.allows(value)

    def __str__(self) -> str:
        return f"{self.rule} or None"


_MOST_TEXT = 10**6  # some hundred times as much as the longest report, for segments have names of any length
_TEXT, _TEXTS = Instance((str,), "text"), Several(Instance((str,), "text"), 0)
_FINITE = Number(open_low=True, open_high=True)
_COUNT = Number(0, 2**63, integer=True)
_FIELDS: dict[str, Rule] = {
    **dict.fromkeys(("rule", "asked", "quantity", "holds"), _TEXT),
    "threshold": _Either(_FINITE),
    "n_rows": Number(1, 2**63, integer=True),
    **dict.fromkeys(("n_normal", "n_anomalies", "n_alerts"), _Either(_COUNT)),
    "estimate": _Either(_FINITE),
    "interval": _Either(_Pair()),
    "confidence": Number(0, 1),
    **dict.fromkeys(("assumptions", "remarks"), _TEXTS),
    "segments": Instance((dict,), "an object"),
    "rest": _Either(Instance((dict,), "an object")),
}
"""What the fields of a report may be."""


def _check_counts(document: dict[str, Any]) -> None:
    """Labels are known of all rows or of none, and no more rows alert than there are."""
    n_rows, n_alerts = document["n_rows"], document["n_alerts"]
    counts = [document["n_normal"], document["n_anomalies"]]
    if (counts != [None, None] and (None in counts or sum(counts) != n_rows)) or (n_alerts or 0) > n_rows:
        raise ModelFileError(
            f"The counts of a report must add up: found {n_rows:,} rows, {counts[0]} normal ones, {counts[1]} "
            f"anomalies and {n_alerts} alerts."
        )


def percent(share: float) -> str:
    """A share in percent, to three digits.

    Examples
    --------
    >>> percent(0.001), percent(0.0123456)
    ('0.1 %', '1.23 %')
    """
    return f"{100 * share:.3g} %"


def _counted(n: int, noun: str, one: str = "", more: str = "s") -> str:
    return f"{n:,} {noun}{one if n == 1 else more}"


def _number(threshold: float | None) -> str:
    return "none" if threshold is None else f"{threshold:.6g}"


def _threshold(threshold: float | None) -> str:
    if threshold is None:
        return "depends on the batch of rows that is judged together"
    return f"{threshold:.6g} (a row alerts where its anomaly score is above it)"
