"""Pictures of a detector's training, scores, reasons, alerts and costs: Display classes in scikit-learn's style.

The extra `plot` brings matplotlib.
"""

from vae_anomaly.plots.alerts_per_period import AlertsPerPeriodDisplay
from vae_anomaly.plots.calibration_curve import CalibrationCurveDisplay
from vae_anomaly.plots.cost_curve import CostCurveDisplay
from vae_anomaly.plots.precision_at_k import PrecisionAtKDisplay
from vae_anomaly.plots.precision_recall import PrecisionRecallBudgetDisplay
from vae_anomaly.plots.reasons import ReasonsDisplay
from vae_anomaly.plots.roc import RocBudgetDisplay
from vae_anomaly.plots.score_distribution import ScoreDistributionDisplay
from vae_anomaly.plots.training_history import TrainingHistoryDisplay

__all__ = [
    "AlertsPerPeriodDisplay",
    "CalibrationCurveDisplay",
    "CostCurveDisplay",
    "PrecisionAtKDisplay",
    "PrecisionRecallBudgetDisplay",
    "ReasonsDisplay",
    "RocBudgetDisplay",
    "ScoreDistributionDisplay",
    "TrainingHistoryDisplay",
]
