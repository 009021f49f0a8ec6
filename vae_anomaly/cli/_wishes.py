"""Options of the shell as a threshold rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vae_anomaly.errors import ParameterError

if TYPE_CHECKING:
    from vae_anomaly.decision.calibration import ThresholdRule


@dataclass(frozen=True)
class Wish:
    """How an option becomes a rule.

    Parameters
    ----------
    rule : str
        The rule's name.
    params : mapping of str to str
        For each parameter of the rule the option that it comes from; the first is the option that asks for the rule.
    fixed : mapping of str to object
        Parameters that the option itself says.
    """

    rule: str
    params: Mapping[str, str]
    fixed: Mapping[str, Any] = field(default_factory=dict)


_MISSED = {"missed": "--cost-missed", "alarm": "--cost-alarm", "prevalence": "--prevalence", "auc": "--assumed-auc"}
WISHES = (
    Wish("FalseAlarmRate", {"alpha": "--false-alarm-rate", "confidence": "--confidence"}),
    Wish("AlertBudget", {"n": "--alerts-per-day"}, {"per": "day"}),
    Wish("AlertBudget", {"n": "--alerts-per-hour"}, {"per": "hour"}),
    Wish("AlertBudget", {"n": "--alerts-per-rows", "per": "ROWS of --alerts-per-rows"}),
    Wish("DiscoveryRate", {"fdr": "--discovery-rate", "method": "--by"}),
    Wish("ExpectedCost", _MISSED),
    Wish("FBeta", {"beta": "--f-beta"}),
    Wish("PrecisionAt", {"precision": "--precision"}),
    Wish("RecallAt", {"recall": "--recall"}),
    Wish("TailRate", {"rate": "--tail-rate"}),
    Wish("Contamination", {"share": "--contamination-share"}),
)
COLUMN_OPTIONS = {"y": "--label COL", "time": "--time-column COL", "amount": "--amount-column COL"}
"""The option that brings what a rule needs."""


def rule_of(given: Mapping[str, Any]) -> ThresholdRule:
    """The one rule that the options ask for.

    Parameters
    ----------
    given : mapping of str to object
        Values of the options by their names; None, or no entry, where not given.

    Raises
    ------
    ParameterError
        No rule or several are asked for, an option belongs to another rule, or a value is outside its domain.

    Examples
    --------
    >>> rule_of({"--alerts-per-day": 200, "--confidence": None})
    AlertBudget(n=200, per='day')
    """
    given = {name: value for name, value in given.items() if value is not None}
    asked = [wish for wish in WISHES if _asks(wish) in given]
    if len(asked) != 1:
        found = " and ".join(_asks(wish) for wish in asked) or "none"
        options = ", ".join(map(_asks, WISHES))
        raise ParameterError(f"Expected one wish to calibrate for, found {found}. Give one of {options}.")
    wish = asked[0]
    strange = [name for name in given if name not in wish.params.values()]
    if strange:
        owners = [_asks(other) for other in WISHES if strange[0] in other.params.values()]
        raise ParameterError(f"{strange[0]} goes with {' or '.join(owners)}, found {_asks(wish)}. Leave it out.")
    if wish.params is _MISSED and "--cost-alarm" not in given:
        raise ParameterError("--cost-missed needs --cost-alarm COST: what it costs to work an alert. Give it.")
    from vae_anomaly.decision.thresholds import RULES

    params = {name: given[option] for name, option in wish.params.items() if option in given}
    rule: ThresholdRule = RULES[wish.rule](**params, **wish.fixed)
    return rule


def cost(text: str | None) -> float | str | None:
    """A number, or "amount" for the row's own.

    Examples
    --------
    >>> cost("120"), cost("amount")
    (120.0, 'amount')
    """
    if text is None or text == "amount":
        return text
    try:
        return float(text)
    except ValueError:
        raise ParameterError(f"--cost-missed must be a number above 0 or 'amount'. Got {text!r} instead.") from None


def check_needs(rule: ThresholdRule, columns: Mapping[str, Any]) -> None:
    """Raise a `ParameterError` unless there is an option for all that the rule cannot do without."""
    missing = [COLUMN_OPTIONS[name] for name in sorted(rule.needs) if columns[name] is None]
    if missing:
        raise ParameterError(f"{rule!r} needs {' and '.join(missing)}: found none. Give it, or another wish.")


def _asks(wish: Wish) -> str:
    return next(iter(wish.params.values()))
