"""The wishes that are measured: each a rule, what it is told of the calibration rows, and the figure it speaks of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vae_anomaly.benchmark.outcomes import (
    Figure,
    Later,
    Sense,
    cost_of,
    f_beta,
    false_discoveries,
    per_period,
    per_rows,
    share_of,
)
from vae_anomaly.benchmark.threshold_sets import Booleans, ThresholdSet

ROWS, ALERTS = 1_000, 20
"""The alert budget by rows."""

ALARM = 5.0
"""Cost of working an alert, in the currency of the amounts."""

OWN_SHARE = 0.001
"""The `contamination` of the peers' own thresholds, and the rates that stand beside it."""

DISCOVERIES = "false-discovery rate"


@dataclass(frozen=True)
class Wish:
    """A rule, what it is told, and what is looked at afterwards.

    Parameters
    ----------
    name : str
        As it would be written.
    rule : ThresholdRule or None
        None: the detector's own threshold, from its `contamination`.
    quantity : str
        What the wish speaks of.
    asked : float or None
        How much of it; None: as good as the best threshold in hindsight.
    sense : "at most", "at least", "about" or "best"
        What is wanted of it.
    figure : callable
        ``figure(alerts, later)``.
    labels : bool, default=False
        Whether the rule is told which calibration rows are frauds.
    assumed : float or None, default=None
        Share of frauds that it is told to assume among calibration rows without labels.
    recent : bool, default=False
        Whether calibration rows weigh less by age.
    limit : str, default=""
        "stream": no more alerts in a period than the budget, as rows come. "top": the highest of each period.
    """

    name: str
    rule: Any
    quantity: str
    asked: float | None
    sense: Sense
    figure: Callable[[Booleans, Later], Figure]
    labels: bool = False
    assumed: float | None = None
    recent: bool = False
    limit: str = ""

    @property
    def told(self) -> str:
        """What the rule is told of the calibration rows."""
        what = "labels" if self.labels else "nothing" if self.assumed is None else f"{100 * self.assumed:g} % frauds"
        return f"{what}, recency" if self.recent else what


def wishes(entry: ThresholdSet) -> list[Wish]:
    """Every wish for a data set; none depends on its labels.

    Examples
    --------
    >>> from vae_anomaly.benchmark.threshold_sets import THRESHOLD_SETS
    >>> [(wish.name, wish.told) for wish in wishes(THRESHOLD_SETS["sparkov"])][:2]
    [('FalseAlarmRate(0.01)', 'nothing'), ('FalseAlarmRate(0.01)', '1 % frauds')]
    """
    return [*_rates(entry), *_budgets(entry), *_discoveries(), *_by_labels(entry), *_peers_own()]


def _rates(entry: ThresholdSet) -> list[Wish]:
    from vae_anomaly.decision.thresholds import Contamination, FalseAlarmRate, TailRate

    found = []
    for alpha in (0.01, 0.001):
        name = f"FalseAlarmRate({alpha:g})"
        wish = partial(Wish, name, FalseAlarmRate(alpha), "false-alarm rate", alpha, "at most", _false_alarms)
        found += [wish(), wish(assumed=entry.share), wish(labels=True), wish(labels=True, recent=True)]
    rate = partial(Wish, quantity="alert rate", asked=OWN_SHARE, sense="about", figure=_alert_rate)
    tail, rule = f"TailRate({OWN_SHARE:g})", TailRate(OWN_SHARE)
    share = partial(rate, f"Contamination({OWN_SHARE:g})", Contamination(OWN_SHARE))
    genuine = Wish(tail, rule, "false-alarm rate", OWN_SHARE, "about", _false_alarms, labels=True)
    return [*found, rate(tail, rule), genuine, share(), share(recent=True)]


def _budgets(entry: ThresholdSet) -> list[Wish]:
    from vae_anomaly.decision.thresholds import AlertBudget

    n, period = entry.budget, entry.period
    name, rule, most = f"AlertBudget({n}, {period!r})", AlertBudget(n, per=period), f"most alerts per {period}"
    limits = {"stream": f"{name}, hard limit", "top": f"{name}, highest of each"}
    return [
        Wish(name, rule, f"alerts per {period}", n, "about", _per_period),
        *(Wish(title, rule, most, n, "at most", _most_per_period, limit=limit) for limit, title in limits.items()),
        Wish(
            f"AlertBudget({ALERTS}, per={ROWS})",
            AlertBudget(ALERTS, per=ROWS),
            f"alerts per {ROWS:,} rows",
            ALERTS,
            "about",
            _per_rows,
        ),
    ]


def _discoveries() -> list[Wish]:
    from vae_anomaly.decision.thresholds import DiscoveryRate

    wish = partial(Wish, quantity=DISCOVERIES, asked=0.2, sense="at most", figure=false_discoveries)
    bh = partial(wish, "DiscoveryRate(0.2)", DiscoveryRate(0.2))
    by = wish("DiscoveryRate(0.2, 'by')", DiscoveryRate(0.2, "by"), labels=True)
    return [bh(), bh(labels=True), bh(labels=True, recent=True), by]


def _by_labels(entry: ThresholdSet) -> list[Wish]:
    from vae_anomaly.decision.thresholds import ExpectedCost, FBeta, PrecisionAt, RecallAt

    pi, cost = entry.share, partial(Wish, quantity="cost per row", asked=None, sense="best", figure=_cost)
    assumed = ExpectedCost("amount", ALARM, prevalence=pi)
    return [
        cost(f"ExpectedCost('amount', {ALARM:g})", ExpectedCost("amount", ALARM), labels=True),
        cost(f"ExpectedCost('amount', {ALARM:g}, prevalence={pi:g})", assumed),
        Wish("FBeta(1)", FBeta(1), "F1", None, "best", _f1, labels=True),
        Wish("PrecisionAt(0.5)", PrecisionAt(0.5), "precision", 0.5, "at least", _precision, labels=True),
        Wish("RecallAt(0.5)", RecallAt(0.5), "recall", 0.5, "at least", _recall, labels=True),
    ]


def _peers_own() -> list[Wish]:
    return [Wish(f"its own contamination={OWN_SHARE:g}", None, "alert rate", OWN_SHARE, "about", _alert_rate)]


def hindsight(wish: Wish, later: Later) -> float:
    """What the best threshold on the later rows themselves would have had, for a wish for the "best"."""
    from vae_anomaly.decision.thresholds import CalibrationRows, ExpectedCost, FBeta

    rule = ExpectedCost("amount", ALARM) if isinstance(wish.rule, ExpectedCost) else FBeta(1.0)
    found = rule.calibrate(CalibrationRows.from_arrays(later.score, later.y, amount=later.amount)).guarantee.estimate
    assert found is not None  # noqa: S101  (both rules have a figure)
    return found


def _false_alarms(alerts: Booleans, later: Later) -> Figure:
    return share_of(alerts, ~later.y)


def _alert_rate(alerts: Booleans, later: Later) -> Figure:
    return share_of(alerts, np.ones(len(alerts), dtype=bool))


def _per_period(alerts: Booleans, later: Later) -> Figure:
    return per_period(alerts, later)


def _per_rows(alerts: Booleans, later: Later) -> Figure:
    return per_rows(alerts, ROWS)


def _most_per_period(alerts: Booleans, later: Later) -> Figure:
    return Figure(float(max(alerts[rows].sum() for rows in later.batches())))


def _cost(alerts: Booleans, later: Later) -> Figure:
    return Figure(cost_of(alerts, later, "amount", ALARM))


def _f1(alerts: Booleans, later: Later) -> Figure:
    return Figure(f_beta(alerts, later, 1.0))


def _precision(alerts: Booleans, later: Later) -> Figure:
    return share_of(later.y, alerts)


def _recall(alerts: Booleans, later: Later) -> Figure:
    return share_of(alerts, later.y)
