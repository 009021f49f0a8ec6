"""From a detector's parameters and its rows to the network and the way to train it."""

from __future__ import annotations

import math
from typing import Any

import torch

from vae_anomaly._rules import step_budget, trim_shares
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import NetworkConfig, TabularVAE
from vae_anomaly.table.layout import EncodedTable, Layout
from vae_anomaly.training.device import training_dtype
from vae_anomaly.training.rows import RowMeasure
from vae_anomaly.training.trainer import TrainingConfig


def new_model(detector: Any, layout: Layout, table: EncodedTable, measure: RowMeasure, seed: int) -> TabularVAE:
    """The network that `detector` asks for, its decoder at the columns' marginals."""
    # A latent space wider than the table would only learn to copy it.
    latent = min(detector.latent, max(2, layout.n_parts))
    hidden = tuple(int(width) for width in detector.hidden)
    n_exemplars = min(detector.n_exemplars, math.ceil(measure.total))
    model = TabularVAE(layout, NetworkConfig(detector.n_members, hidden, latent, float(detector.dof), n_exemplars))
    model.initialise(seed, Batch.of(table[measure.sample(4096).numpy()]))
    return model


def training_config(
    detector: Any, n_steps: int, learning_rate: float, n_rows: float, device: torch.device
) -> TrainingConfig:
    """How `detector` trains on so many rows, in at most `n_steps` steps."""
    budget = step_budget(detector.contamination, n_steps, detector.max_epochs, detector.batch_size, n_rows)
    trim, trim_far_out = trim_shares(detector.contamination, budget * detector.batch_size / n_rows)
    return TrainingConfig(
        budget,
        detector.batch_size,
        learning_rate,
        beta=detector.beta,
        trim=trim,
        trim_far_out=trim_far_out,
        dtype=training_dtype(detector.precision, device, max(detector.hidden)),
    )
