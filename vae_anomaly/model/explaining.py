"""What each cell of a row costs given the others, and what the others would have led the model to expect in its place.

A reconstruction has seen the cell that it is to reconstruct, and can copy an anomaly. So the cell is hidden from the
encoder, and by the chain rule

    −log p(x_j | the others) = −log p(x) − (−log p(the others)),

with −log p(x) as scores have it: Σ_k surprisal_k + λ KL. What is left when a cell is hidden includes what hiding it
does to the other cells: where one of two numbers that belong together is wrong, hiding the wrong one makes the rest
fit, and hiding the right one does not. Reading the hidden cell's own likelihood would miss that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from vae_anomaly.model.batch import Batch
from vae_anomaly.model.likelihoods import Bernoulli, Categorical, StudentT, VonMises
from vae_anomaly.model.network import Likelihood, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.model.scoring import on_every_core, rows_of_a_tile, tile_of
from vae_anomaly.model.threads import at_most
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, RARE, EncodedTable, Layout

Floats = NDArray[np.float64]

MOST_JUDGED = 16_384
"""Rows times columns, of each member, from which it is taken what is usual: fewer rows of wider tables."""


N_LIKELIEST = 3
"""Symbols of a code that are named."""


def hide(batch: Batch, hidden: Bool[Tensor, "rows parts"]) -> Batch:
    """The rows with some cells missing."""
    n_values, n_angles = batch.values.shape[-1], batch.angles.shape[-1]
    values, angles, codes = torch.split(hidden, [n_values, n_angles, batch.codes.shape[-1]], dim=-1)
    return Batch(
        batch.values.masked_fill(values, torch.nan),
        batch.angles.masked_fill(angles, torch.nan),
        batch.codes.masked_fill(codes, MISSING),
    )


def _costs(
    model: TabularVAE, batch: Batch, kl_weight: float
) -> tuple[Float[Tensor, "members rows parts"], Float[Tensor, "members rows"]]:
    """Surprisal of each part, and their sum with the weighted KL, on the host: not every device has float64."""
    q = posterior(model, batch)
    surprisal = -model.decoder(q.mu).log_prob(batch).cpu().double()
    return surprisal, surprisal.sum(-1) + kl_weight * model.prior.kl()(q).cpu().double()


def conditional_surprisals(model: TabularVAE, table: EncodedTable, kl_weight: float) -> Floats:
    """Surprisal of each cell given the others of its row, averaged over the members.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    table : EncodedTable
        Rows.
    kl_weight : float
        λ, of the KL in the score.

    Returns
    -------
    surprisal : float64 ndarray of shape (n_rows, n_columns)
        In nats, 0 where the cell is missing. It does not depend on the other rows.
    """
    layout, device = model.layout, model.device
    out = np.zeros((len(table), len(layout.columns)))
    row, column = np.nonzero(present_cells(table, layout))
    # Each row is there once as it is, under the number of no column, and once for each cell that can be hidden.
    row = np.concatenate([np.arange(len(table)), row])
    column = np.concatenate([np.full(len(table), len(layout.columns)), column])
    step = rows_of_a_tile(device)
    costs = np.empty(
        len(row)
    )  # filled in place: small arrays kept between the tiles' large ones would pin their memory

    def run(start: int) -> None:
        some = slice(start, start + step)
        with torch.inference_mode():
            batch = tile_of(table[row[some]], device)
            _, total = _costs(model, hide(batch, _hidden(layout, column[some], device)), kl_weight)
            costs[some] = total.mean(0)[: len(row[some])].numpy()

    on_every_core(device, run, range(0, len(row), step))
    out[row[len(table) :], column[len(table) :]] = costs[row[len(table) :]] - costs[len(table) :]
    return out


def present_cells(table: EncodedTable, layout: Layout) -> NDArray[np.bool_]:
    """Which cells are there, of shape (n_rows, n_columns)."""
    present = np.zeros((len(table), len(layout.columns)), dtype=bool)
    for column, parts in zip(layout.column_of_part, table.observed.T, strict=True):
        present[:, column] |= parts
    return present


def _hidden(layout: Layout, column: NDArray[np.intp], device: torch.device) -> Bool[Tensor, "rows parts"]:
    """Which parts belong to the column of each row of a tile; none in the rows that pad it."""
    hidden = np.zeros((rows_of_a_tile(device), layout.n_parts), dtype=bool)
    hidden[: len(column)] = column[:, None] == layout.column_of_part
    return torch.from_numpy(hidden).to(device)


@dataclass(frozen=True)
class Judged:
    """How surprising rows are that members have not learnt from, each by its own member.

    Parameters
    ----------
    plain, conditional : float64 ndarray of shape (n_rows, n_columns)
        Surprisals as in a reconstruction, and given the other cells, in nats.
    present : bool ndarray of shape (n_rows, n_columns)
        Which cells are.
    total : float64 ndarray of shape (n_rows,)
        Surprisal of the rows, with the weighted KL, in nats.
    """

    plain: Floats
    conditional: Floats
    present: NDArray[np.bool_]
    total: Floats


def judged(model: TabularVAE, batch: Batch, kl_weight: float) -> Judged:
    """Have each member judge its own rows.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    batch : Batch
        The rows that each member holds out.
    kl_weight : float
        λ, of the KL in the score.
    """
    layout = model.layout
    n_columns = len(layout.columns)
    with torch.inference_mode(), at_most(1):
        n_rows = max(1, min(batch.codes.shape[1], MOST_JUDGED // max(1, n_columns)))
        batch = batch.map(lambda block: block[:, :: -(-block.shape[1] // n_rows)].to(model.device))
        surprisal, total = _costs(model, batch, kl_weight)
        observed = batch.observed().cpu().double()
        of_column = torch.from_numpy(layout.column_of_part[:, None] == np.arange(n_columns))
        hidden = of_column.T[:, None].to(model.device)
        without = [_costs(model, hide(batch, column), kl_weight)[1] for column in hidden]
        conditional = total.unsqueeze(-1) - torch.stack(without, dim=-1)
        plain, present = surprisal @ of_column.double(), observed @ of_column.double() > 0
        of_rows = [block.flatten(0, 1).numpy() for block in (plain, conditional * present, present)]
        return Judged(of_rows[0], of_rows[1], of_rows[2], total.flatten().numpy())


@dataclass(frozen=True)
class Outlook:
    """What the members expect of one part in some rows.

    Parameters
    ----------
    part : int
        Which part.
    rows : intp ndarray of shape (n,)
        Places of these rows among those asked for.
    numbers : tuple of float64 ndarray
        Of a number: locations and scales, of shape (n, n_members). Of an angle: the cosine and sine parts of the
        natural parameter, of that shape. Of a code, its symbols being the rare bucket if there is one and then the
        levels, and their probabilities averaged over the members: those of the likeliest symbols, of shape
        (n, at most `N_LIKELIEST`), and which these are; that of the cell's own symbol and of all likelier ones, of
        shape (n, 1). All of them would be too many to keep where there are thousands of levels.
    """

    part: int
    rows: NDArray[np.intp]
    numbers: tuple[Floats, ...]

    @classmethod
    def of_tiles(cls, tiles: Sequence[Outlook]) -> Outlook:
        """Join what is expected of one part in the rows of several tiles."""
        numbers = zip(*(tile.numbers for tile in tiles), strict=True)
        return cls(
            tiles[0].part, np.concatenate([tile.rows for tile in tiles]), tuple(np.concatenate(n) for n in numbers)
        )


def outlooks(model: TabularVAE, table: EncodedTable, column: NDArray[np.intp], *, hidden: bool) -> list[Outlook]:
    """What the model expects in one cell of each row.

    Parameters
    ----------
    model : TabularVAE
        A trained network.
    table : EncodedTable
        Rows, several times where several of their cells are asked about.
    column : intp ndarray of shape (n_rows,)
        Which cell.
    hidden : bool
        Whether the cell is hidden from the encoder.

    Returns
    -------
    list of Outlook
        For every part of the columns that are asked about.
    """
    layout, device = model.layout, model.device
    step = rows_of_a_tile(device)
    order = np.argsort(column, kind="stable")  # few columns in each tile

    def run(start: int) -> list[Outlook]:
        rows = order[start : start + step]
        with torch.inference_mode():
            batch = tile_of(table[rows], device)
            seen = hide(batch, _hidden(layout, column[rows], device)) if hidden else batch
            likelihood = model.decoder(posterior(model, seen).mu)
            return _of_tile(likelihood, batch.codes[0], layout, rows, column[rows])

    return [outlook for found in on_every_core(device, run, range(0, len(column), step)) for outlook in found]


def _of_tile(
    likelihood: Likelihood, codes: Tensor, layout: Layout, rows: NDArray[np.intp], column: NDArray[np.intp]
) -> list[Outlook]:
    found = []
    for part in np.flatnonzero(np.isin(layout.column_of_part, column)):
        places = np.flatnonzero(column == layout.column_of_part[part])
        at = torch.from_numpy(places).to(codes.device)
        tensors = _parameters(likelihood, layout, int(part), codes, at)
        picked = tuple(np.asarray(tensor.cpu().double().numpy()) for tensor in tensors)
        found.append(Outlook(int(part), rows[places], picked))
    return found


def _parameters(likelihood: Likelihood, layout: Layout, part: int, codes: Tensor, at: Tensor) -> tuple[Tensor, ...]:
    """What `Outlook` says of one part, in the rows `at`."""
    value, angle, _, _ = likelihood.heads
    if isinstance(value, StudentT) and part < layout.n_values:
        return value.loc[:, at, part].T, value.log_scale[:, at, part].exp().T
    place = part - layout.n_values
    if isinstance(angle, VonMises) and place < layout.n_angles:
        return angle.eta_cos[:, at, place].T, angle.eta_sin[:, at, place].T
    place -= layout.n_angles
    described = layout.parts[part]
    probability = _probabilities(likelihood, place, max(1, described.n_levels + described.has_rare), at)
    symbol = codes[at, place] - (RARE if described.has_rare else FIRST_LEVEL)
    own = probability.gather(1, symbol.clamp(min=0).long()[:, None])
    likelier = torch.where(probability > own, probability, 0.0).sum(1, keepdim=True)
    return *probability.topk(min(N_LIKELIEST, probability.shape[1])), own, likelier


def _probabilities(likelihood: Likelihood, place: int, n_symbols: int, at: Tensor) -> Float[Tensor, "some symbols"]:
    """Of the symbols of one code, averaged over the members."""
    _, _, binary, category = likelihood.heads
    if isinstance(binary, Bernoulli) and place < likelihood.n_binary:
        second = binary.logit[:, at, place].sigmoid().mean(0)
        return torch.stack([1 - second, second], dim=-1)
    if not isinstance(category, Categorical):
        raise TypeError(f"Expected the place of a code, found {place}.")
    place -= likelihood.n_binary
    groups = zip(category.head.groups, category.log_probs, strict=True)
    group, log_p = next((group, log_p) for group, log_p in groups if place in group.columns)
    return log_p[:, at, group.columns.index(place), :n_symbols].exp().mean(0)
