"""Rows are a measure: order does not matter, and weights are repetitions."""

import numpy as np
import pytest
import torch

from vae_anomaly.table.layout import FIRST_LEVEL, EncodedTable
from vae_anomaly.training.rows import ResidentRows, RowMeasure, StreamedRows, row_hashes


def _contents(table, rows):
    return [row.tobytes() for row in np.concatenate([table.values, table.angles], axis=1)[rows.reshape(-1).numpy()]]


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def test_shuffled_rows_are_drawn_alike(table):
    order = np.random.default_rng(1).permutation(len(table))
    for draw in (
        lambda m: m.draw(5, 64, torch.Generator().manual_seed(3)),
        lambda m: m.held_out(),
        lambda m: m.sample(300),
    ):
        one, other = (RowMeasure(t, None, 3, 0.1, 7) for t in (table, table[order]))
        assert _contents(table, draw(one)) == _contents(table[order], draw(other))


def test_a_weight_is_a_number_of_repetitions(table):
    weight = np.random.default_rng(2).integers(0, 4, len(table))
    repeated = table[np.repeat(np.arange(len(table)), weight)]
    one, other = RowMeasure(table, weight.astype(float), 3, 0.1, 7), RowMeasure(repeated, None, 3, 0.1, 7)
    for draw in (lambda m: m.draw(5, 64, torch.Generator().manual_seed(3)), lambda m: m.held_out()):
        assert _contents(table, draw(one)) == _contents(repeated, draw(other))


def test_members_never_train_on_what_they_hold_out(table, generator):
    measure = RowMeasure(table, None, 4, 0.1, 0)
    drawn, held_out = measure.draw(200, 128, generator), measure.held_out()
    seen = set()
    for k in range(4):
        held = set(held_out[k].tolist())
        assert len(held) == 200
        assert not held & set(drawn[:, k].flatten().tolist())
        assert not held & seen, "members hold out different rows"
        seen |= held
    assert len(drawn[:, 0].unique()) > 0.95 * 0.9 * len(table), "and train on all the others"


def test_every_row_is_drawn_as_often_as_its_weight_says(table, generator):
    weight = np.ones(len(table))
    weight[:500] = 0.0
    weight[500:1000] = 3.0
    drawn = RowMeasure(table, weight, 1, 0.0, 0).draw(400, 100, generator).flatten().numpy()
    assert (drawn >= 500).all()
    assert np.isin(drawn, np.arange(500, 1000)).mean() == pytest.approx(1500 / 2500, abs=0.01)


def test_held_out_rows_are_like_the_others_however_many_are_equal():
    """Twenty levels, a hundred equal rows of each: every member holds out some of nearly all."""
    level = np.repeat(np.arange(20, dtype=np.int32), 100)[:, None]
    empty = np.zeros((len(level), 0), dtype=np.float32)
    table = EncodedTable(empty, empty, FIRST_LEVEL + level)
    for held_out in RowMeasure(table, None, 3, 0.1, 0).held_out():
        counts = np.bincount(level[held_out.numpy(), 0], minlength=20)
        assert (counts > 0).all()
        assert counts.max() < 20


def test_few_rows_hold_out_none(table):
    measure = RowMeasure(table[:50], None, 2, 0.1, 0)
    assert measure.held_out_share == 0
    assert set(measure.held_out()[0].tolist()) == set(range(50))


def test_hashes_tell_rows_apart_and_follow_content_alone(table):
    hashes = row_hashes(table, 0)
    assert len(np.unique(hashes)) == len(table)
    np.testing.assert_array_equal(row_hashes(table[::-1], 0), hashes[::-1])
    assert (row_hashes(table, 1) != hashes).all()


def test_streamed_rows_are_resident_rows(table, generator):
    indices = RowMeasure(table, None, 2, 0.1, 0).draw(4, 16, generator)
    cpu = torch.device("cpu")
    pairs = zip(ResidentRows(table, cpu).batches(indices), StreamedRows(table, cpu).batches(indices), strict=True)
    for resident, streamed in pairs:
        assert torch.equal(resident.values, streamed.values)
        assert torch.equal(resident.angles, streamed.angles)
        assert torch.equal(resident.codes, streamed.codes)


def test_exemplars_lie_between_those_of_other_members_and_weigh_as_rows_do(table):
    n = len(table)
    rows = RowMeasure(table, None, 3, 0.1, seed=0).exemplars(n // 3)
    assert rows.shape == (3, n // 3)
    assert len(rows.unique()) == rows.numel()
    doubled = RowMeasure(table, np.full(n, 2.0), 3, 0.1, seed=0).exemplars(2 * n)
    assert bool((doubled[0].bincount(minlength=n) == 2).all())
