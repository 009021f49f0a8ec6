"""Pictures of scores, alerts and costs: Display classes in scikit-learn's style. The extra `plot` brings matplotlib."""

from vae_anomaly.plots.alerts_per_period import AlertsPerPeriodDisplay
from vae_anomaly.plots.cost_curve import CostCurveDisplay
from vae_anomaly.plots.score_distribution import ScoreDistributionDisplay

__all__ = ["AlertsPerPeriodDisplay", "CostCurveDisplay", "ScoreDistributionDisplay"]
