"""The same row gets the same score, bit for bit, whatever comes with it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from vae_anomaly.model import scoring
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.objective import mean_elbo, posterior
from vae_anomaly.table.layout import PartKind


@pytest.fixture
def whole(model, table):
    return scoring.surprisals(model, table)


@pytest.mark.parametrize("size", [1, 7, scoring.TILE - 1, scoring.TILE, scoring.TILE + 1, 600])
def test_scores_do_not_depend_on_the_batch_size(model, table, whole, size):
    pieces = [
        scoring.surprisals(model, table[start : start + size]) for start in range(0, min(len(table), 20 * size), size)
    ]
    parts, kl = np.concatenate([p.parts for p in pieces]), np.concatenate([p.kl for p in pieces])
    np.testing.assert_array_equal(parts, whole.parts[: len(parts)])
    np.testing.assert_array_equal(kl, whole.kl[: len(kl)])


def test_scores_do_not_depend_on_the_row_order(model, table, whole):
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = scoring.surprisals(model, table[order])
    np.testing.assert_array_equal(shuffled.parts, whole.parts[order])
    np.testing.assert_array_equal(shuffled.kl, whole.kl[order])


def test_scores_do_not_depend_on_the_number_of_threads(model, table, whole):
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2, 4):
            torch.set_num_threads(n_threads)
            np.testing.assert_array_equal(scoring.surprisals(model, table).parts, whole.parts)
    finally:
        torch.set_num_threads(before)


def test_scoring_in_several_threads_leaves_the_cores_of_torch_as_they_were(model, table, whole):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(4) as pool:  # they begin and end at different times
            found = list(pool.map(lambda n: scoring.surprisals(model, table[:n]), [len(table), 1, 300, len(table)] * 3))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for scored in found:
        np.testing.assert_array_equal(scored.parts, whole.parts[: len(scored.parts)])


def test_tiles_say_what_the_objective_says(model, table, whole):
    batch = Batch.of(table)
    log_likelihood, kl = mean_elbo(model, batch, 1.0).log_likelihood, model.prior.kl()(posterior(model, batch))
    np.testing.assert_allclose(whole.parts, -log_likelihood.detach().mean(0).numpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(whole.kl, kl.detach().mean(0).numpy(), rtol=1e-4, atol=1e-4)


def test_iwae_repeats_whatever_comes_with_a_row(model, table):
    bound = scoring.iwae(model, table, 8, seed=0).bound
    np.testing.assert_array_equal(bound, scoring.iwae(model, table, 8, seed=0).bound)
    np.testing.assert_array_equal(bound[5:9], scoring.iwae(model, table[5:9], 8, seed=0).bound)


def test_iwae_tightens_with_its_samples(model, table):
    """In expectation over the draws, that is: Burda et al. 2016, theorem 1."""

    def estimates(n_samples):
        return [scoring.iwae(model, table[:200], n_samples, seed=seed) for seed in range(12)]

    few, many = estimates(2), estimates(32)
    assert np.mean([e.bound for e in many]) > np.mean([e.bound for e in few])
    assert np.median([e.standard_error for e in many]) < np.median([e.standard_error for e in few])


def test_no_rows_give_no_scores(model, table):
    with pytest.raises(ValueError, match="at least one row"):
        scoring.surprisals(model, table[:0])


def test_no_part_has_more_spread_than_its_kind_is_allowed(model, whole):
    spread = whole.parts.std(axis=0)
    discrete = np.array([part.kind in (PartKind.BINARY, PartKind.CATEGORY) for part in model.layout.parts])
    most = np.where(discrete, 0.25, 0.6)
    assert (spread > most)[discrete].any()
    assert (spread > most)[~discrete].any()
    weight = scoring.part_weights(model.layout, spread, 0.6, 0.25)
    np.testing.assert_allclose((whole.parts * weight).std(axis=0), np.minimum(spread, most))
    np.testing.assert_array_equal(weight[spread <= most], 1.0)
    np.testing.assert_array_equal(scoring.part_weights(model.layout, spread, None, 0.25)[~discrete], 1.0)
    np.testing.assert_array_equal(scoring.part_weights(model.layout, spread, None, None), 1.0)


def test_columns_are_the_weighted_sums_of_their_parts(model, whole):
    weight = np.arange(1.0, 1 + model.layout.n_parts)
    columns = whole.by_column(model.layout, weight)
    np.testing.assert_allclose(columns.sum(axis=1), whole.parts @ weight)
    np.testing.assert_allclose(whole.by_column(model.layout).sum(axis=1), whole.parts.sum(axis=1))


def test_the_kl_is_scaled_to_vary_no_more_than_the_surprisal_and_never_up():
    parts, kl = np.arange(8.0).reshape(4, 2), np.array([0.0, 10.0, 20.0, 30.0])
    wide = [scoring.Surprisals(parts[:1], kl[:1]), scoring.Surprisals(parts[1:], kl[1:])]
    weight = np.array([1.0, 0.5])
    scale = scoring.kl_scale(wide, weight)
    spread = [np.subtract(*np.percentile(values, [75, 25])) for values in (parts @ weight, scale * kl)]
    assert spread[0] == pytest.approx(spread[1])
    assert scoring.kl_scale([scoring.Surprisals(parts, kl / 100)], weight) == 1.0
    assert scoring.kl_scale([scoring.Surprisals(0 * parts, kl)], weight) == 0.0
    assert scoring.kl_scale([scoring.Surprisals(0 * parts, 0 * kl)], weight) == 1.0
