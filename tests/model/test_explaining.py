"""A hidden cell is hidden, what it costs is a difference of scores, and what is expected is what scores it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from vae_anomaly.model import explaining, scoring
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.explaining import conditional_surprisals, hide, judged, outlooks, present_cells
from vae_anomaly.model.network import NetworkConfig, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.table.layout import MISSING, RARE, UNSEEN, PartKind

KL_WEIGHT = 0.3


@pytest.fixture
def single(layout, table):
    model = TabularVAE(layout, NetworkConfig(n_members=1, hidden=(24,), latent=5, n_exemplars=16))
    model.initialise(3, Batch.of(table))
    with torch.no_grad():
        model.decoder.network.last.weight.mul_(3)
        model.prior.remember(posterior(model, Batch.of(table[:16])))
    return model


def without(table, layout, column):
    """The rows with one column missing, done on arrays."""
    blocks = {"values": table.values.copy(), "angles": table.angles.copy(), "codes": table.codes.copy()}
    place = {"values": 0, "angles": 0, "codes": 0}
    for part in layout.parts:
        name = {PartKind.VALUE: "values", PartKind.ANGLE: "angles"}.get(part.kind, "codes")
        if part.column == column:
            blocks[name][:, place[name]] = MISSING if name == "codes" else math.nan
        place[name] += 1
    return replace(table, **blocks)


def cost(model, table):
    found = scoring.surprisals(model, table)
    return found.parts.sum(axis=1) + KL_WEIGHT * found.kl


def test_a_cell_costs_what_the_row_costs_less_without_it(model, layout, table):
    found = conditional_surprisals(model, table, KL_WEIGHT)
    for column in range(len(layout.columns)):
        expected = cost(model, table) - cost(model, without(table, layout, column))
        np.testing.assert_allclose(found[:, column], expected, atol=2e-5)
    assert np.abs(found).max() > 1


def test_a_missing_cell_costs_nothing(model, layout, table):
    gone = without(table, layout, 2)
    np.testing.assert_array_equal(conditional_surprisals(model, gone, KL_WEIGHT)[:, 2], 0)
    np.testing.assert_array_equal(present_cells(gone, layout)[:, 2], False)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_what_a_cell_costs_does_not_depend_on_the_other_rows(model, table, size):
    whole = conditional_surprisals(model, table, KL_WEIGHT)
    some = np.random.default_rng(size).permutation(len(table))[:size]
    np.testing.assert_array_equal(conditional_surprisals(model, table[some], KL_WEIGHT), whole[some])


def test_only_what_is_to_be_hidden_goes_missing(layout, table):
    hidden = np.random.default_rng(0).random((len(table), layout.n_parts)) < 0.3
    after = hide(Batch.of(table), torch.from_numpy(hidden)).observed()[0].numpy()
    np.testing.assert_array_equal(after, table.observed & ~hidden)


def by_part(found, n_rows):
    """What is expected of each part, whole and in order."""
    parts = {}
    for outlook in found:
        numbers = parts.setdefault(outlook.part, [np.full((n_rows, n.shape[1]), np.nan) for n in outlook.numbers])
        for into, rows in zip(numbers, outlook.numbers, strict=True):
            into[outlook.rows] = rows
    return parts


@pytest.mark.parametrize("column", range(6))
def test_what_is_expected_is_what_scores_the_cell(single, layout, table, column):
    found = by_part(outlooks(single, table, np.full(len(table), column), hidden=False), len(table))
    surprisal = scoring.surprisals(single, table).parts
    assert set(found) == set(np.flatnonzero(layout.column_of_part == column))
    for part, numbers in found.items():
        np.testing.assert_allclose(log_p(layout, table, part, numbers), -surprisal[:, part], atol=2e-5)


def log_p(layout, table, part, numbers):
    """Log likelihood of the cells by scipy's distributions, 0 where they are missing."""
    described = layout.parts[part]
    if described.kind is PartKind.VALUE:
        x = table.values[:, part].astype(float)
        return np.nan_to_num(stats.t.logpdf(x, 3, numbers[0][:, 0], numbers[1][:, 0]))
    if described.kind is PartKind.ANGLE:
        x = table.angles[:, part - layout.n_values].astype(float)
        eta = numbers[0][:, 0] + 1j * numbers[1][:, 0]
        return np.nan_to_num(stats.vonmises.logpdf(x, np.abs(eta), np.angle(eta)))
    codes = table.codes[:, part - layout.n_values - layout.n_angles]
    seen = numbers[2][:, 0] * (1 - described.unseen_probability)
    p = np.where(codes == UNSEEN, described.unseen_probability, seen)
    return np.where(codes == MISSING, 0.0, np.log(p))


def test_the_likeliest_symbols_come_first_and_no_likelier_one_is_forgotten(model, layout, table):
    found = by_part(outlooks(model, table, np.full(len(table), 4), hidden=True), len(table))
    (part,) = found
    shares, symbols, own, likelier = found[part]
    assert (np.diff(shares, axis=1) <= 0).all()
    assert (shares.sum(axis=1) < 1).all()  # three of six
    codes = table.codes[:, part - layout.n_values - layout.n_angles]
    for rank in range(3):
        here = codes - RARE == symbols[:, rank]
        assert here.any()
        np.testing.assert_array_equal(own[here, 0], shares[here, rank])
        np.testing.assert_allclose(likelier[here, 0], shares[here, :rank].sum(axis=1), atol=1e-6)


def test_all_symbols_of_a_code_of_few_add_up_to_one(model, table):
    for outlook in outlooks(model, table, np.repeat([3, 5], len(table) // 2), hidden=True):
        np.testing.assert_allclose(outlook.numbers[0].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("column", range(6))
def test_what_is_expected_of_a_hidden_cell_does_not_depend_on_it(model, layout, table, column):
    asked = np.full(len(table), column)
    seen = by_part(outlooks(model, table, asked, hidden=True), len(table))
    gone = by_part(outlooks(model, without(table, layout, column), asked, hidden=True), len(table))
    copied = by_part(outlooks(model, table, asked, hidden=False), len(table))
    for part, numbers in seen.items():
        for hidden, missing in zip(numbers[:2], gone[part][:2], strict=True):  # the others are about the cell
            np.testing.assert_array_equal(hidden, missing)
        assert not np.array_equal(numbers[0], copied[part][0])


def test_each_member_judges_its_own_rows(model, layout, table, monkeypatch):
    own = [table[rows] for rows in np.arange(3 * 40).reshape(3, 40)]
    batches = [Batch.of(rows) for rows in own]
    stacked = Batch(*(torch.cat(blocks) for blocks in zip(*(b.blocks() for b in batches), strict=True)))
    found = judged(model, stacked, KL_WEIGHT)
    for member, batch in enumerate(batches):
        surprisal = -model.decoder(posterior(model, batch).mu).log_prob(batch)[member].detach().numpy()
        rows = slice(40 * member, 40 * (member + 1))
        for column in range(len(layout.columns)):
            expected = surprisal[:, layout.column_of_part == column].sum(axis=1)
            np.testing.assert_allclose(found.plain[rows, column], expected, atol=2e-5)
        np.testing.assert_array_equal(found.present[rows], present_cells(own[member], layout))
    assert (found.conditional[~found.present] == 0).all()
    monkeypatch.setattr(explaining, "MOST_JUDGED", 60)
    assert len(judged(model, stacked, KL_WEIGHT).total) == 3 * 10


def test_members_that_are_one_model_agree_with_the_ensemble(single, table):
    found = judged(single, Batch.of(table), KL_WEIGHT)
    np.testing.assert_allclose(found.conditional, conditional_surprisals(single, table, KL_WEIGHT), atol=2e-5)
    np.testing.assert_allclose(found.total, cost(single, table), atol=2e-5)
