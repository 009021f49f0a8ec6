"""The place that explains the observed cells: at least as good as where the encoder begins, and draws around it."""

import itertools
import math

import numpy as np
import pytest
import torch

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.imputing import Completion, drawn_cells, drawn_numbers, explanation, middle
from vae_anomaly.model.objective import posterior
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, EncodedTable


def log_joint(model, rows, z):
    return model.decoder(z).log_prob(rows).sum(-1) - 0.5 * z.square().sum(-1)


@pytest.fixture
def found(model, table):
    return explanation(model, Batch.of(table))


def test_the_place_explains_the_observed_cells_better_than_where_the_search_began(model, table, found):
    rows = Batch.of(table)
    with torch.no_grad():
        before, after = (log_joint(model, rows, z) for z in (posterior(model, rows).mu, found.z))
    assert (after >= before - 1e-3).float().mean() > 0.99
    assert (after - before).mean() > 0.1


def test_the_network_is_left_as_it_was(model, table):
    before = [parameter.clone() for parameter in model.parameters()]
    explanation(model, Batch.of(table))
    for parameter, kept in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, kept)
        assert parameter.grad is None


def test_a_row_does_not_depend_on_the_others(model, table, found):
    alone = explanation(model, Batch.of(table[:5]))
    torch.testing.assert_close(alone.z, found.z[:, :5], rtol=1e-3, atol=1e-3)


def test_expected_cells_are_levels_and_in_range(model, table):
    expected = Completion.of_rows(model, table).expected()
    assert len(expected) == len(table)
    assert np.isfinite(expected.values).all()
    assert ((expected.angles >= 0) & (expected.angles < 2 * math.pi)).all()
    assert (expected.codes >= FIRST_LEVEL).all()  # never missing, unseen or rare


def test_draws_take_turns_among_the_members_and_repeat_with_a_seed(model, table):
    completion = Completion.of_rows(model, table)
    first, again, other = (list(itertools.islice(completion.draws(seed), 4)) for seed in (1, 1, 2))
    for (cells, away), (same_cells, same_away) in zip(first, again, strict=True):
        np.testing.assert_array_equal(cells.values, same_cells.values)
        np.testing.assert_array_equal(away, same_away)
    assert not np.array_equal(first[0][0].values, other[0][0].values)
    assert not np.array_equal(first[0][0].values, first[3][0].values)
    assert len(first[0][0]) == len(first[0][1]) == len(table)


def test_draws_have_the_spread_of_the_decoder_and_lie_around_their_middle(model, table, found):
    rng = np.random.default_rng(0)
    around = middle(model, found, rng)
    numbers = torch.stack([drawn_numbers(model, found, rng) for _ in range(200)])
    apart = (numbers.median(0).values - around).abs()
    width = numbers.quantile(0.9, dim=0) - numbers.quantile(0.1, dim=0)
    scale = model.decoder(found.z).heads[0].log_scale.exp()
    assert (apart < 0.3 * width).float().mean() > 0.97
    assert (width > 1.5 * scale).float().mean() > 0.97  # 3.3 scales of Student's t of 3 degrees of freedom alone


def test_levels_are_drawn_as_often_as_the_decoder_says(model, table):
    found = explanation(model, Batch.of(table[:1]))
    sure = type(found)(found.z, torch.full_like(found.log_var, -30.0), found.numbers, found.blank)  # no other place
    rng = np.random.default_rng(0)
    drawn = torch.stack([drawn_cells(model, sure, rng).codes for _ in range(3_000)])[..., 0, 0]
    probability = model.decoder(found.z).heads[2].logit[:, 0, 0].sigmoid().detach()
    share = (drawn == FIRST_LEVEL + 1).float().mean(0)
    torch.testing.assert_close(share, probability, atol=0.04, rtol=0.0)


def test_a_row_without_any_cell_is_explained_by_the_centre_of_the_prior(model, table):
    blank = EncodedTable(
        np.full_like(table.values[:2], np.nan),
        np.full_like(table.angles[:2], np.nan),
        np.full_like(table.codes[:2], MISSING),
    )
    begun = posterior(model, Batch.of(blank)).mu.norm(dim=-1)
    assert (explanation(model, Batch.of(blank)).z.norm(dim=-1) <= begun + 1e-6).all()
