"""As many rows as are asked for, by one seed, with fixed cells or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._sampler.sampler import Sampler
from vae_anomaly.model.network import TabularVAE

Floats = NDArray[np.float64]

BLOCK = 1024
"""Rows that are drawn at once, by a seed of their own: so more rows begin with the fewer."""

_MOST_TRIES, _TRIES_OF_A_ROW = 200, 64
_ENOUGH, _SPARE = 2.0, 32
_LEAST_LIFT = np.log(0.01)
"""Cells are taken to contradict each other if they come together less than a hundredth as often as by chance."""


def seed_of(random_state: Any) -> np.random.SeedSequence:
    """The seed that a `random_state` stands for; what has a state of its own goes on from there."""
    if isinstance(random_state, np.random.RandomState):
        return np.random.SeedSequence(random_state.randint(2**31 - 1, size=4).tolist())
    if isinstance(random_state, np.random.Generator):
        return np.random.SeedSequence(random_state.integers(2**31 - 1, size=4).tolist())
    return np.random.SeedSequence(None if random_state is None else int(random_state))


def rows_drawn(
    sampler: Sampler, model: TabularVAE, n_rows: int, seed: np.random.SeedSequence, fixed: Mapping[int, float]
) -> Floats | None:
    """Rows of shape (n_rows, n_modelled_columns), or None if the fixed cells do not go together.

    Parameters
    ----------
    sampler : Sampler
        What is kept of a fit.
    model : TabularVAE
        Of that fit.
    n_rows : int
        How many.
    seed : SeedSequence
        From `seed_of`.
    fixed : mapping of int to float
        Cells that all rows have, by the modelled column; NaN for a gap.
    """
    if fixed and n_rows:
        return _drawn_around(sampler, model, n_rows, seed, fixed)
    blocks = [sampler.draw(model, BLOCK, _of_block(seed, start))[0] for start in range(0, n_rows, BLOCK)]
    return np.concatenate([np.zeros((0, len(model.layout.columns))), *blocks])[:n_rows]


def _drawn_around(
    sampler: Sampler, model: TabularVAE, n_rows: int, seed: np.random.SeedSequence, fixed: Mapping[int, float]
) -> Floats | None:
    """Rows with fixed cells: of many that are drawn, those by which the fixed cells are likely.

    Rubin (1988), "Using the SIR algorithm to simulate posterior distributions": sampling, importance resampling, here
    without replacement as far as there are rows.
    """
    cells, log_weight = [], np.zeros(0)
    most = max(_MOST_TRIES, _TRIES_OF_A_ROW * n_rows // BLOCK)
    for block in range(most):
        some, log_weight_of_some = sampler.draw(model, BLOCK, _of_block(seed, block * BLOCK), fixed)
        cells.append(some)
        log_weight = np.concatenate([log_weight, log_weight_of_some])
        if _effective(log_weight) >= _ENOUGH * n_rows + _SPARE:
            break
    if len(fixed) > 1 and not _go_together(sampler, model, seed, fixed, _log_mean(log_weight)):
        return None
    rng = _of_block(seed, -BLOCK)
    key = log_weight + rng.gumbel(size=len(log_weight))
    chosen = np.argsort(-key, kind="stable")[:n_rows]
    return np.asarray(np.concatenate(cells)[rng.permutation(chosen)])


def _go_together(
    sampler: Sampler,
    model: TabularVAE,
    seed: np.random.SeedSequence,
    fixed: Mapping[int, float],
    log_together: float,
) -> bool:
    """Whether fixed cells come together as often as chance alone would have them, or at least not far less."""
    alone = 0.0
    for column, cell in fixed.items():
        blocks = (sampler.draw(model, BLOCK, _of_block(seed, b * BLOCK), {column: cell})[1] for b in range(4))
        alone += _log_mean(np.concatenate(list(blocks)))
    return bool(log_together > alone + _LEAST_LIFT)


def _of_block(seed: np.random.SeedSequence, start: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed.entropy, spawn_key=(start // BLOCK + 1,)))


def _effective(log_weight: Floats) -> float:
    """As how many rows of one weight these count: Kish (1965)."""
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum())


def _log_mean(log_weight: Floats) -> float:
    return float(np.logaddexp.reduce(log_weight) - np.log(len(log_weight)))
