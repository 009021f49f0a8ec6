"""Rows with structure, as the model reads them, and a small trainer."""

import math

import numpy as np
import pytest
import torch

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import NetworkConfig, TabularVAE
from vae_anomaly.table.layout import FIRST_LEVEL, EncodedTable, Layout, Part, PartKind
from vae_anomaly.training.rows import ResidentRows, RowMeasure
from vae_anomaly.training.trainer import Trainer, TrainingConfig


@pytest.fixture(autouse=True)
def _always_on_one_thread(one_thread):
    pass


@pytest.fixture(scope="session")
def layout():
    parts = [Part(j, PartKind.VALUE) for j in range(3)]
    return Layout(
        ("a", "b", "c", "t", "k"), (*parts, Part(3, PartKind.ANGLE), Part(4, PartKind.CATEGORY, 3, False, 0.01))
    )


@pytest.fixture(scope="session")
def table():
    """Three numbers on a line, an angle and a category that follow them."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2_000, 1))
    values = (z * [1.0, -1.0, 0.5] + 0.1 * rng.normal(size=(2_000, 3))).astype(np.float32)
    angles = ((1.0 + 0.5 * z + 0.1 * rng.normal(size=z.shape)) % (2 * math.pi)).astype(np.float32)
    codes = (FIRST_LEVEL + np.digitize(z, [-0.5, 0.5])).astype(np.int32)
    return EncodedTable(values, angles, codes)


@pytest.fixture
def make_trainer(layout, table):
    def make(config=None, rows=ResidentRows, n_members=2, on=table, seed=0, held_out=0.1):
        measure = RowMeasure(on, None, n_members, held_out, seed)
        model = TabularVAE(layout, NetworkConfig(n_members, (32,), 4))
        model.initialise(seed, Batch.of(on))
        config = config or TrainingConfig(n_steps=60, n_evaluations=6)
        return Trainer(model, rows(on, torch.device("cpu")), measure, config, seed)

    return make
