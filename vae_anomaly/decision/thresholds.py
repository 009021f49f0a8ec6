"""The threshold rules, each a wish in the operator's units."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vae_anomaly.decision._label_rules import ExpectedCost, FBeta, PrecisionAt, RecallAt
from vae_anomaly.decision._rate_rules import Contamination, DiscoveryRate, FalseAlarmRate
from vae_anomaly.decision.budget import AlertBudget
from vae_anomaly.decision.calibration import BatchRule, Calibration, ThresholdRule
from vae_anomaly.decision.calibration_rows import CalibrationRows
from vae_anomaly.decision.guarantee import Guarantee
from vae_anomaly.decision.tail import TailRate
from vae_anomaly.errors import ParameterError

__all__ = [
    "RULES",
    "AlertBudget",
    "BatchRule",
    "Calibration",
    "CalibrationRows",
    "Contamination",
    "DiscoveryRate",
    "ExpectedCost",
    "FBeta",
    "FalseAlarmRate",
    "Guarantee",
    "PrecisionAt",
    "RecallAt",
    "TailRate",
    "ThresholdRule",
    "rule_from_json",
    "rule_to_json",
]

RULES: dict[str, type[Any]] = {
    rule.__name__: rule
    for rule in (
        FalseAlarmRate,
        AlertBudget,
        DiscoveryRate,
        ExpectedCost,
        FBeta,
        PrecisionAt,
        RecallAt,
        TailRate,
        Contamination,
    )
}
"""Every rule by its name, for files and the command line."""


def rule_to_json(rule: ThresholdRule) -> dict[str, Any]:
    """A rule as JSON values.

    Examples
    --------
    >>> rule_to_json(FalseAlarmRate(0.01))
    {'rule': 'FalseAlarmRate', 'alpha': 0.01, 'confidence': 0.95}
    """
    return {"rule": type(rule).__name__, **asdict(rule)}  # type: ignore[call-overload]


def rule_from_json(document: Any) -> ThresholdRule:
    """Read what `rule_to_json` wrote.

    Raises
    ------
    ParameterError
        The rule or a parameter of it is not known, or outside its domain.

    Examples
    --------
    >>> rule_from_json({"rule": "Contamination", "share": 0.001})
    Contamination(share=0.001)
    """
    if not isinstance(document, dict) or document.get("rule") not in list(RULES):
        raise ParameterError(f"A rule must be an object whose 'rule' is one of {', '.join(RULES)}. Got {document!r}.")
    params = {name: value for name, value in document.items() if name != "rule"}
    try:
        rule: ThresholdRule = RULES[document["rule"]](**params)
    except TypeError as error:  # a parameter that the rule does not have, or one that is missing
        raise ParameterError(f"The parameters of a rule must be those of {document['rule']}: {error}.") from error
    return rule
