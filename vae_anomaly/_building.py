"""From a detector's parameters and its rows to the network and the way to train it."""

from __future__ import annotations

import hashlib
import math
from contextlib import AbstractContextManager, nullcontext
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vae_anomaly._params import to_json
from vae_anomaly._rules import rows_of_an_exemplar, step_budget, trim_shares
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.latent import Posterior
from vae_anomaly.model.network import NetworkConfig, TabularVAE
from vae_anomaly.model.objective import posterior
from vae_anomaly.model.own_network import OwnNetworks, seeded
from vae_anomaly.table.layout import EncodedTable, Layout
from vae_anomaly.training.device import training_dtype
from vae_anomaly.training.parallel import Processes
from vae_anomaly.training.rows import RowMeasure, RowSource, row_hashes
from vae_anomaly.training.trainer import TrainingConfig

_ONES_OWN = ("callbacks", "verbose", "device", "random_state")
"""Parameters that may differ between processes that train together; they share the first one's seed."""


def check_alike(processes: Processes, detector: Any, table: EncodedTable, measure: RowMeasure, seed: int) -> None:
    """Raise a `ParameterError` unless all processes have the same rows, in any order, and the same parameters."""
    if processes.is_alone:
        return
    own = {name: to_json(value) for name, value in detector.get_params(deep=False).items() if name not in _ONES_OWN}
    rows = np.sort(row_hashes(table, seed)).tobytes() + np.float64(measure.total).tobytes()
    processes.check_alike({"parameters": _digest(repr(own).encode()), "rows": _digest(rows)})


def _digest(content: bytes) -> int:
    return int.from_bytes(hashlib.sha256(content).digest()[:7])


def new_model(detector: Any, layout: Layout, table: EncodedTable, measure: RowMeasure, seed: int) -> TabularVAE:
    """The network that `detector` asks for, its decoder at the columns' marginals."""
    # A latent space wider than the table would only learn to copy it.
    latent = min(detector.latent, max(2, layout.n_parts))
    hidden = tuple(int(width) for width in detector.hidden)
    n_exemplars = min(detector.n_exemplars, math.ceil(measure.total / rows_of_an_exemplar(detector.contamination)))
    config = NetworkConfig(detector.n_members, hidden, latent, float(detector.dof), n_exemplars)
    model = TabularVAE(layout, config, OwnNetworks(detector.encoder, detector.decoder, seed))
    for network in model.own_networks:
        network.check()
    model.initialise(seed, Batch.of(table[measure.sample(4096).numpy()]))
    return model


def seeded_layers(model: TabularVAE, seed: int, device: torch.device) -> AbstractContextManager[None]:
    """Let what the user's own networks draw while they train, such as dropout, follow the seed too."""
    return seeded(seed, device) if model.own_networks else nullcontext()


def exemplar_candidates(detector: Any, model: TabularVAE, rows: RowSource, measure: RowMeasure) -> Batch:
    """The rows of each member that its exemplars are chosen among."""
    n_rows = model.prior.n_exemplars * rows_of_an_exemplar(detector.contamination)
    return next(rows.batches(measure.exemplars(n_rows)[None]))


@torch.no_grad()
def remember_exemplars(model: TabularVAE, candidates: Batch, weight: NDArray[np.float64]) -> None:
    """Take as exemplars, for each member, the candidates that fit the ensemble best: all of them, if they are no more.

    A row that fits worse than half of the others is no example of what is usual, and an anomaly among the exemplars
    would vouch for those like it. Rousseeuw (1985), "Multivariate estimation with high breakdown point", rests the
    minimum covariance determinant on the better half of the rows for the same reason.
    """
    weights = torch.as_tensor(weight, dtype=torch.float32, device=model.device)
    mu, log_var = [], []
    for member in range(model.config.n_members):
        own = candidates.map(itemgetter(slice(member, member + 1))).map(lambda block: block.to(model.device))
        q = posterior(model, own)
        fit = (model.decoder(q.mu).log_prob(own) @ weights).mean(0)
        chosen = fit.topk(model.prior.n_exemplars).indices.sort().values
        mu.append(q.mu[member, chosen])
        log_var.append(q.log_var[member, chosen])
    model.prior.remember(Posterior(torch.stack(mu), torch.stack(log_var)))


def training_config(
    detector: Any, n_steps: int, learning_rate: float, n_rows: float, device: torch.device
) -> TrainingConfig:
    """How `detector` trains on so many rows, in at most `n_steps` steps."""
    budget = step_budget(detector.contamination, n_steps, detector.max_epochs, detector.batch_size, n_rows)
    trim, trim_far_out = trim_shares(detector.contamination, budget * detector.batch_size / n_rows)
    return TrainingConfig(
        budget,
        detector.batch_size,
        learning_rate,
        beta=detector.beta,
        trim=trim,
        trim_far_out=trim_far_out,
        dtype=training_dtype(detector.precision, device, max(detector.hidden)),
    )
