"""Networks of the user's own in place of the fully connected ones."""

from __future__ import annotations

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from torch import nn

from vae_anomaly import (
    CalibratedDetector,
    ConvolutionalEncoder,
    ModelFileError,
    NetworkShape,
    ParameterError,
    VAEDetector,
    make_transactions,
)
from vae_anomaly._params import to_json

N_HOURS = 12


class Plain(nn.Module):
    """A network as anybody would write it, with layers that draw and count while they train."""

    def __init__(self, shape: NetworkShape, width: int = 24):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(shape.n_in, width),
            nn.BatchNorm1d(width),
            nn.SiLU(),
            nn.Dropout(0.1),
            nn.Linear(width, shape.n_out),
        )

    def forward(self, x):
        return self.layers(x)


def small(**params):
    return VAEDetector(**{"max_steps": 120, "n_members": 2, "latent": 6, "hidden": (24,), **params})


def loads(n_rows, seed):
    """Hourly loads of one shape, begun at any hour."""
    rng = np.random.default_rng(seed)
    hours = np.arange(N_HOURS)
    start = rng.uniform(0, N_HOURS, (n_rows, 1))
    rows = np.cos((hours - start) * 2 * np.pi / N_HOURS) + rng.normal(0, 0.1, (n_rows, N_HOURS))
    return pd.DataFrame(rows, columns=[f"h{hour}" for hour in hours])


@pytest.fixture(scope="module")
def table():
    return make_transactions(600, random_state=3).drop(columns=["is_fraud", "typology", "transaction_id"])


@pytest.fixture(scope="module")
def fitted(table):
    return small(encoder=Plain, decoder=partial(Plain, width=20)).fit(table)


def test_it_learns(fitted):
    assert fitted.profile_["held_out_elbo"] > fitted.profile_["baseline_elbo"]
