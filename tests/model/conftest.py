"""A small mixed table and its model."""

import math

import numpy as np
import pytest
import torch

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import NetworkConfig, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.table.layout import FIRST_LEVEL, EncodedTable, Layout, Part, PartKind


@pytest.fixture(autouse=True)
def _always_on_one_thread(one_thread):
    pass


@pytest.fixture
def layout():
    return Layout(
        ("amount", "balance", "time", "online", "category", "country"),
        (
            Part(0, PartKind.VALUE),
            Part(1, PartKind.VALUE),
            Part(2, PartKind.ANGLE),
            Part(3, PartKind.BINARY, 2, False, 0.01),
            Part(2, PartKind.CATEGORY, 7, False, 0.01),
            Part(4, PartKind.CATEGORY, 5, True, 0.02),
            Part(5, PartKind.CATEGORY, 3, False, 0.02),
        ),
    )


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    n = 600
    values = rng.normal(size=(n, 2)).astype(np.float32)
    values[:, 1] = values[:, 0] + 0.1 * values[:, 1]
    angles = rng.uniform(0, 2 * math.pi, (n, 1)).astype(np.float32)
    codes = np.stack([rng.integers(0, FIRST_LEVEL + k, n) for k in (2, 7, 5, 3)], axis=1).astype(np.int32)
    for column in (0, 1, 3):  # only the third code has a rare bucket
        codes[codes[:, column] == 2, column] = FIRST_LEVEL
    values[rng.random(values.shape) < 0.1] = math.nan
    angles[rng.random(angles.shape) < 0.1] = math.nan
    return EncodedTable(values, angles, codes)


@pytest.fixture
def model(layout, table):
    model = TabularVAE(layout, NetworkConfig(n_members=3, hidden=(24, 16), latent=5, n_exemplars=48))
    model.initialise(7, Batch.of(table))
    # A second look of a trained network: the output layer's weights are as large as its biases.
    with torch.no_grad():
        model.decoder.network.last.weight.mul_(3)
        model.prior.remember(posterior(model, Batch.of(table[:48])))
    return model
