"""Anomaly and fraud detection for transaction tables, by a tabular variational autoencoder.

Names are imported when they are first used (PEP 562), so that ``import vae_anomaly`` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vae_anomaly._version import __version__

if TYPE_CHECKING:
    from vae_anomaly._adapters import PyODAdapter
    from vae_anomaly.behavior import BehaviorFeatures
    from vae_anomaly.calibrated import CalibratedDetector
    from vae_anomaly.datasets import fetch_creditcard, load_transactions, make_transactions, read_labelled
    from vae_anomaly.decision.budget import BudgetStream, top_k_per_period
    from vae_anomaly.decision.calibration import Calibration, ThresholdRule
    from vae_anomaly.decision.calibration_rows import CalibrationRows
    from vae_anomaly.decision.conformal import recency_weights
    from vae_anomaly.decision.guarantee import Guarantee
    from vae_anomaly.decision.splits import TimeOrderedSplit
    from vae_anomaly.decision.thresholds import (
        AlertBudget,
        Contamination,
        DiscoveryRate,
        ExpectedCost,
        FalseAlarmRate,
        FBeta,
        PrecisionAt,
        RecallAt,
        TailRate,
    )
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.diagnostics import latent_activity, reconstruction_quality
    from vae_anomaly.errors import (
        CalibrationWarning,
        DeviceWarning,
        DownloadError,
        FileFormatError,
        MissingExtraError,
        ModelFileError,
        OutputError,
        ParameterError,
        SchemaMismatchError,
        SchemaWarning,
        TableError,
        TrainingError,
        TrainingWarning,
        VaeAnomalyError,
        VaeAnomalyWarning,
    )
    from vae_anomaly.model.convolution import ConvolutionalEncoder
    from vae_anomaly.model.own_network import NetworkShape
    from vae_anomaly.patterns import AlertPatterns, alert_drivers, alert_patterns
    from vae_anomaly.pipelines import load_pipeline, save_pipeline
    from vae_anomaly.synthetic import SyntheticQuality, synthetic_quality
    from vae_anomaly.table.columns import ColumnKind
    from vae_anomaly.table.schema import Schema
    from vae_anomaly.training.callbacks import Callback, Checkpoint, EarlyStopping, Evaluation, History, ProgressBar
    from vae_anomaly.training.parallel import data_parallel

_HOMES = {
    "_adapters": ("PyODAdapter",),
    "behavior": ("BehaviorFeatures",),
    "calibrated": ("CalibratedDetector",),
    "datasets": ("fetch_creditcard", "load_transactions", "make_transactions", "read_labelled"),
    "decision.budget": ("BudgetStream", "top_k_per_period"),
    "decision.calibration": ("Calibration", "ThresholdRule"),
    "decision.calibration_rows": ("CalibrationRows",),
    "decision.conformal": ("recency_weights",),
    "decision.guarantee": ("Guarantee",),
    "decision.splits": ("TimeOrderedSplit",),
    "decision.thresholds": (
        "AlertBudget",
        "Contamination",
        "DiscoveryRate",
        "ExpectedCost",
        "FBeta",
        "FalseAlarmRate",
        "PrecisionAt",
        "RecallAt",
        "TailRate",
    ),
    "detector": ("VAEDetector",),
    "diagnostics": ("latent_activity", "reconstruction_quality"),
    "errors": (
        "CalibrationWarning",
        "DeviceWarning",
        "DownloadError",
        "FileFormatError",
        "MissingExtraError",
        "ModelFileError",
        "OutputError",
        "ParameterError",
        "SchemaMismatchError",
        "SchemaWarning",
        "TableError",
        "TrainingError",
        "TrainingWarning",
        "VaeAnomalyError",
        "VaeAnomalyWarning",
    ),
    "model.convolution": ("ConvolutionalEncoder",),
    "model.own_network": ("NetworkShape",),
    "patterns": ("AlertPatterns", "alert_drivers", "alert_patterns"),
    "pipelines": ("load_pipeline", "save_pipeline"),
    "synthetic": ("SyntheticQuality", "synthetic_quality"),
    "table.columns": ("ColumnKind",),
    "table.schema": ("Schema",),
    "training.callbacks": ("Callback", "Checkpoint", "EarlyStopping", "Evaluation", "History", "ProgressBar"),
    "training.parallel": ("data_parallel",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AlertBudget",
    "AlertPatterns",
    "BehaviorFeatures",
    "BudgetStream",
    "CalibratedDetector",
    "Calibration",
    "CalibrationRows",
    "CalibrationWarning",
    "Callback",
    "Checkpoint",
    "ColumnKind",
    "Contamination",
    "ConvolutionalEncoder",
    "DeviceWarning",
    "DiscoveryRate",
    "DownloadError",
    "EarlyStopping",
    "Evaluation",
    "ExpectedCost",
    "FBeta",
    "FalseAlarmRate",
    "FileFormatError",
    "Guarantee",
    "History",
    "MissingExtraError",
    "ModelFileError",
    "NetworkShape",
    "OutputError",
    "ParameterError",
    "PrecisionAt",
    "ProgressBar",
    "PyODAdapter",
    "RecallAt",
    "Schema",
    "SchemaMismatchError",
    "SchemaWarning",
    "SyntheticQuality",
    "TableError",
    "TailRate",
    "ThresholdRule",
    "TimeOrderedSplit",
    "TrainingError",
    "TrainingWarning",
    "VAEDetector",
    "VaeAnomalyError",
    "VaeAnomalyWarning",
    "__version__",
    "alert_drivers",
    "alert_patterns",
    "data_parallel",
    "fetch_creditcard",
    "latent_activity",
    "load_pipeline",
    "load_transactions",
    "make_transactions",
    "read_labelled",
    "recency_weights",
    "reconstruction_quality",
    "save_pipeline",
    "synthetic_quality",
    "top_k_per_period",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vae_anomaly' has no attribute {name!r}")
    value = getattr(import_module(f"vae_anomaly.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
