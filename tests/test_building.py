"""Exemplars are what is usual among the rows."""

import numpy as np
import pandas as pd
import pytest
import torch

from vae_anomaly import VAEDetector
from vae_anomaly._building import remember_exemplars
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.objective import posterior


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(900, 2))
    return pd.DataFrame(latent @ rng.normal(size=(2, 6)) + 0.2 * rng.normal(size=(900, 6))).rename(columns=str)


@pytest.fixture(scope="module")
def detector(rows):
    return VAEDetector(n_members=2, hidden=(24,), max_steps=150, n_exemplars=32).fit(rows)


def _candidates(detector, rows):
    parts = [Batch.of(detector._encode(rows.iloc[part])) for part in (slice(0, 64), slice(64, 128))]
    return Batch(*(torch.cat(blocks) for blocks in zip(*map(Batch.blocks, parts), strict=True)))


def test_the_better_half_of_each_members_candidates_is_remembered(detector, rows):
    model, candidates = detector.model_, _candidates(detector, rows)
    weight = np.ones(model.layout.n_parts)
    remember_exemplars(model, candidates, weight)
    surprisal = detector.column_surprisal(rows.iloc[:128]).to_numpy().sum(axis=1).reshape(2, 64)
    for member in range(2):
        own = candidates.map(lambda block, member=member: block[member : member + 1])
        means = posterior(model, own).mu[member]
        best = np.sort(np.argsort(surprisal[member])[:32])
        torch.testing.assert_close(model.prior.mu[member], means[best], rtol=1e-4, atol=1e-4)


def test_where_there_is_no_choice_all_are_remembered_in_their_order(detector, rows):
    model, candidates = detector.model_, _candidates(detector, rows)
    few = candidates.map(lambda block: block[:, :32])
    remember_exemplars(model, few, np.ones(model.layout.n_parts))
    torch.testing.assert_close(model.prior.mu, posterior(model, few).mu, rtol=1e-4, atol=1e-4)


def test_planted_anomalies_do_not_vouch_for_each_other(rows):
    """A tight heap of one row in ten lies farther from exemplars than where the rows are said to be clean."""
    rng = np.random.default_rng(1)
    heap = pd.DataFrame(4.0 + 0.1 * rng.normal(size=(90, 6)), columns=rows.columns)
    spoilt = pd.concat([rows, heap], ignore_index=True)

    def gap(contamination):
        fitted = VAEDetector(contamination=contamination, max_steps=200, random_state=0).fit(spoilt)
        kl = np.concatenate([chunk.kl for chunk in fitted._surprisals(fitted._encode(spoilt))])
        return np.median(kl[900:]) - np.median(kl[:900])

    assert gap("auto") > gap(0.0) + 1.0
