"""Pictures of a detector: its training, scores, reasons, alerts, costs and latent space.

Display classes in scikit-learn's style. The extra `plot` brings matplotlib.
"""

from vae_anomaly.plots.alerts_per_period import AlertsPerPeriodDisplay
from vae_anomaly.plots.calibration_curve import CalibrationCurveDisplay
from vae_anomaly.plots.cost_curve import CostCurveDisplay
from vae_anomaly.plots.latent import LatentDisplay
from vae_anomaly.plots.latent_grid import LatentGridDisplay
from vae_anomaly.plots.latent_traversal import LatentTraversalDisplay
from vae_anomaly.plots.precision_at_k import PrecisionAtKDisplay
from vae_anomaly.plots.precision_recall import PrecisionRecallBudgetDisplay
from vae_anomaly.plots.reasons import ReasonsDisplay
from vae_anomaly.plots.reconstruction import ReconstructionDisplay
from vae_anomaly.plots.roc import RocBudgetDisplay
from vae_anomaly.plots.score_distribution import ScoreDistributionDisplay
from vae_anomaly.plots.training_history import TrainingHistoryDisplay

__all__ = [
    "AlertsPerPeriodDisplay",
    "CalibrationCurveDisplay",
    "CostCurveDisplay",
    "LatentDisplay",
    "LatentGridDisplay",
    "LatentTraversalDisplay",
    "PrecisionAtKDisplay",
    "PrecisionRecallBudgetDisplay",
    "ReasonsDisplay",
    "ReconstructionDisplay",
    "RocBudgetDisplay",
    "ScoreDistributionDisplay",
    "TrainingHistoryDisplay",
]
