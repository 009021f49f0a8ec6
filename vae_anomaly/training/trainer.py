"""The training loop."""

from __future__ import annotations

import copy
import math
import os
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vae_anomaly.errors import DeviceWarning, ParameterError, TrainingError, TrainingWarning
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.network import TabularVAE
from vae_anomaly.model.objective import Noise, mean_elbo, posterior, training_elbo
from vae_anomaly.training.callbacks import Callback, Evaluation
from vae_anomaly.training.parallel import ALONE, Processes
from vae_anomaly.training.rows import RowMeasure, RowSource

Save = Callable[["TabularVAE", "TrainingResult", "str | os.PathLike[str]"], None]
"""Writes a model that is still being trained, with what came of it so far."""

STEPS_TRIMMED_AT_ONCE = 8
"""Steps whose rows are judged by one call: it costs less, and the averaged weights move little in so few steps."""

_QUANTILE_CELLS = 2**24
"""What `torch.quantile` takes at most: of larger batches the first rows, drawn at random as all are, stand for all."""

ACTIVE_VARIANCE = 0.01
"""A latent whose mean varies less than this over the rows carries nothing (Burda et al. 2016)."""


@dataclass(frozen=True)
class TrainingConfig:
    """How to train.

    Parameters
    ----------
    n_steps : int
        Step budget, whatever the number of rows.
    batch_size : int
        Rows of a step, for each member.
    learning_rate : float
        Highest rate of the one-cycle schedule (Smith & Topin 2018).
    weight_decay : float
        Of AdamW (Loshchilov & Hutter 2019).
    clip : float
        Largest norm of a step's gradient, as a mean over members: that of all together is limited to
        clip · √n_members.
    ema : float
        Decay of the averaged weights; the average is the model (Polyak & Juditsky 1992).
    beta : float
        Weight of the KL.
    trim : float
        Share of each batch that is left out of the step because it fits the averaged weights worst, seen without noise:
        where the training rows hold anomalies, these should not be learnt.
    trim_far_out : float
        A larger share is left out, up to this one, where so many rows lie far out: see `far_out`.
    n_evaluations : int
        How often the held-out ELBO is measured.
    max_rollbacks : int
        How often a diverged run is taken back to its last good weights, at half the learning rate.
    dtype : torch.dtype
        Precision of the matrix products.
    """

    n_steps: int = 800
    batch_size: int = 96
    learning_rate: float = 6e-3
    weight_decay: float = 1e-4
    clip: float = 5.0
    ema: float = 0.995
    beta: float = 0.1
    trim: float = 0.0
    trim_far_out: float = 0.0
    noise: Noise = field(default_factory=Noise)
    n_evaluations: int = 16
    max_rollbacks: int = 5
    dtype: torch.dtype = torch.float32


@dataclass(frozen=True)
class TrainingResult:
    """What came of it.

    Parameters
    ----------
    history : list of Evaluation
        Every evaluation.
    held_out_elbo, baseline_elbo : float
        Mean over held-out rows in nats per row: of the weights that were kept, and of the columns' marginals alone.
    dependence, dependence_error : float
        How many nats per row held-out rows lose when each of their parts is shuffled over the rows by itself, and the
        standard error of that. An ELBO above the baseline is no proof of dependence learnt: an autoencoder can copy
        independent columns through its latent space. Shuffled rows it copies as well, unless it knows better.
    active_latents : int
        Latent dimensions in use, of the member that uses fewest.
    n_rollbacks : int
        How often training was taken back.
    stopped_early : bool
        Whether a callback ended it.
    """

    history: list[Evaluation]
    held_out_elbo: float
    baseline_elbo: float
    dependence: float
    dependence_error: float
    active_latents: int
    n_rollbacks: int
    stopped_early: bool

    def figures(self) -> dict[str, float]:
        """What is worth keeping beside the model."""
        last = self.history[-1]
        return {
            "n_steps": last.step,
            "seconds": last.seconds,
            "stopped_early": self.stopped_early,
            "held_out_elbo": self.held_out_elbo,
            "baseline_elbo": self.baseline_elbo,
            "dependence": self.dependence,
            "dependence_error": self.dependence_error,
            "active_latents": self.active_latents,
            "n_rollbacks": self.n_rollbacks,
        }


def one_cycle(progress: float) -> float:
    """Share of the highest learning rate: a cosine up over the first 30 % of the steps, and a cosine down to 0.

    Examples
    --------
    >>> [round(one_cycle(p), 2) for p in (0.0, 0.3, 1.0)]
    [0.04, 1.0, 0.0]
    """
    warm_up = 0.3
    if progress < warm_up:
        return 0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * progress / warm_up))
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warm_up) / (1 - warm_up))))


def far_out(elbo: Float[Tensor, "members rows"]) -> float:
    """Share of rows whose ELBO lies more than three interquartile ranges below the lower quartile.

    Tukey (1977), "Exploratory data analysis", calls them far out. Of a normal distribution one row in 850,000 is.

    Examples
    --------
    >>> far_out(torch.cat([torch.linspace(0, 1, 7), torch.tensor([-3.0])])[None])
    0.125
    """
    judged = elbo[:, : _QUANTILE_CELLS // len(elbo)].float()
    low, high = torch.quantile(judged, torch.tensor([0.25, 0.75], device=elbo.device), dim=1, keepdim=True)
    share: float = (elbo < low - 3 * (high - low)).float().mean().item()
    return share


@final
class Trainer:
    """Trains one model on one source of rows.

    Parameters
    ----------
    model : TabularVAE
        Initialised, on its device. Its weights become the best averaged weights.
    rows : RowSource
        Where batches come from.
    measure : RowMeasure
        Which rows are drawn, and which are held out.
    config : TrainingConfig
        How to train.
    seed : int
        Of the draws and of the noise.
    processes : Processes
        Those that train together, each with the same model, rows and seed.
    """

    def __init__(
        self,
        model: TabularVAE,
        rows: RowSource,
        measure: RowMeasure,
        config: TrainingConfig,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        _check_shares(config, processes)
        self.model, self.rows, self.measure, self.config, self._processes = model, rows, measure, config, processes
        self.average = copy.deepcopy(model).requires_grad_(False).eval()
        model.train()
        self._draws = torch.Generator().manual_seed(seed)
        self._noise = torch.Generator(device=model.device).manual_seed(seed)
        self._held_out = next(iter(rows.batches(measure.held_out()[None])))
        self._batch_size, self._rate_scale, self._step = config.batch_size, 1.0, 0
        self._trim = config.trim
        self._best = torch.full((model.config.n_members,), -math.inf, device=model.device)
        self._best_weights = _weights(model)
        self._good_weights, self._good_average = _weights(model), _weights(self.average)
        self._parameters, self._averages = list(model.parameters()), list(self.average.parameters())
        self._buffers, self._average_buffers = _own_buffers(model), _own_buffers(self.average)
        self._optimizer = self._new_optimizer()

    def run(
        self,
        callbacks: Sequence[Callback] = (),
        save: Save | None = None,
    ) -> TrainingResult:
        """Train until the step budget is used, a callback asks to stop, or the run cannot be saved from divergence.

        Raises
        ------
        TrainingError
            If the loss stays infinite or NaN at ever smaller learning rates, or one row does not fit in memory.
        """
        history: list[Evaluation] = []
        began, stopped, n_rollbacks = time.perf_counter(), False, 0
        while self._step < self.config.n_steps and not stopped:
            train_elbo = self._run_chunk(math.ceil(self.config.n_steps / self.config.n_evaluations))
            held_out = self._held_out_elbo(self.average)
            if not (math.isfinite(train_elbo) and bool(held_out.isfinite().all())):
                n_rollbacks += 1
                self._roll_back(n_rollbacks)
                continue
            self._keep_best(held_out)
            seconds = time.perf_counter() - began
            history.append(
                Evaluation(self._step, self.config.n_steps, train_elbo, held_out.mean().item(), self._rate(), seconds)
            )
            keep = partial(self._save, save, history, n_rollbacks)
            asked = callbacks if self._processes.is_first else ()
            votes = [callback.on_evaluation(history[-1], keep) for callback in asked]
            stopped = bool(self._processes.of_first(any(votes)))
        if not history:
            raise TrainingError(
                "The loss was never finite. Look for columns with extreme values, or lower learning_rate."
            )
        self._processes.copy_first([self._best, *self._best_weights.values()])
        self.model.load_state_dict(self._best_weights)
        self.model.eval()
        result = self._result(self.model, history, n_rollbacks, stopped)
        _warn_if_useless(result)
        return result

    def _result(self, model: TabularVAE, history: list[Evaluation], n_rollbacks: int, stopped: bool) -> TrainingResult:
        """What came of training, if `model` with the best weights is kept."""
        return TrainingResult(
            list(history),
            self._best.mean().item(),
            self._baseline_elbo(),
            *self._dependence(model),
            self._active_latents(model),
            n_rollbacks,
            stopped,
        )

    def _run_chunk(self, n_steps: int) -> float:
        """Some steps; returns the mean ELBO of their rows."""
        n_steps = min(n_steps, self.config.n_steps - self._step)
        indices = self.measure.draw(n_steps, self._batch_size, self._draws)
        total = torch.zeros((), device=self.model.device)
        steps = self.rows.batches(indices)
        while batches := list(islice(steps, STEPS_TRIMMED_AT_ONCE)):
            for batch in self._trimmed(batches):
                total += self._fit_in_memory(batch)
                self._step += 1
        self._processes.copy_first([*self._parameters, *self._averages, *self._buffers, *self._average_buffers])
        return self._processes.summed(total).item() / n_steps

    @torch.no_grad()
    def _trimmed(self, batches: list[Batch]) -> list[Batch]:
        """The rows of some steps without each member's worst share.

        The averaged weights judge, and on rows without noise: judged by the step itself, it is the rows with most noise
        on them that fit worst, and anomalies are learnt.
        """
        if not max(self.config.trim, self.config.trim_far_out):
            return batches
        rows = Batch(*(torch.cat(blocks, dim=1) for blocks in zip(*map(Batch.blocks, batches), strict=True)))
        elbo = self._judged(rows)
        self._trim = max(self.config.trim, min(self.config.trim_far_out, far_out(elbo)))
        n_rows = batches[0].codes.shape[1]
        n_kept = n_rows - round(self._trim * n_rows)
        kept = [judged.topk(n_kept, dim=1).indices.sort().values for judged in torch.split(elbo, n_rows, dim=1)]
        return [batch.rows_of_members(index) for batch, index in zip(batches, kept, strict=True)]

    def _judged(self, rows: Batch) -> Float[Tensor, "members rows"]:
        """The ELBO of rows under the averaged weights."""
        n_rows = rows.codes.shape[1]
        own = self._processes.share(n_rows)
        elbo = mean_elbo(self.average, rows.map(lambda block: block[:, own]), self.config.beta).total
        return self._processes.gathered(elbo, n_rows)

    def _fit_in_memory(self, batch: Batch) -> Tensor:
        """One step, with half the rows whenever the device's memory does not hold them."""
        while True:
            try:
                return self._update(batch.map(lambda block: block[:, : self._batch_size]))
            except torch.OutOfMemoryError as error:
                if not self._processes.is_alone:  # the others may have memory left, and would go on with larger batches
                    raise TrainingError(
                        f"The batch of process {self._processes.rank} does not fit in its device's memory. Use more "
                        "processes, a lower batch_size, fewer members, or a lower max_categories."
                    ) from error
                if self._batch_size == 1:
                    raise TrainingError(
                        "One row for each member does not fit in the device's memory. "
                        "Use device='cpu', fewer members, or a lower max_categories."
                    ) from error
                self._batch_size //= 2
                self._optimizer.zero_grad()
                message = f"The device's memory is full: training goes on with batches of {self._batch_size} rows."
                warnings.warn(message, DeviceWarning, stacklevel=2)

    def _update(self, batch: Batch) -> Tensor:
        """One optimiser step and one step of the average; returns this process's part of the batch's mean ELBO."""
        config, n_rows = self.config, batch.codes.shape[1]
        own = self._processes.share(n_rows)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate()
        with self._precision():
            elbo = training_elbo(self.model, batch, config.beta, config.noise, self._noise, own).total
        row_mean = elbo.mean(-1) * (elbo.shape[1] / n_rows)
        self._optimizer.zero_grad()
        (-row_mean.sum()).backward()  # type: ignore[no-untyped-call]
        self._processes.sum_gradients(self._parameters)
        torch.nn.utils.clip_grad_norm_(self._parameters, config.clip * math.sqrt(self.model.config.n_members))
        self._optimizer.step()
        decay = min(config.ema, (1 + self._step) / (10 + self._step))
        move_average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        move_average(self._averages, self._parameters, self._step)
        for average, buffer in zip(self._average_buffers, self._buffers, strict=True):
            average.copy_(buffer)
        return row_mean.detach().mean()

    def _precision(self) -> AbstractContextManager[object]:
        """Reduced precision where it was chosen; entering autocast to no end would cost a noticeable part of a step."""
        full = self.config.dtype == torch.float32
        return nullcontext() if full else torch.autocast(self.model.device.type, self.config.dtype)

    def _keep(self, elbo: Float[Tensor, "members rows"]) -> Bool[Tensor, "members rows"]:
        """The held-out rows that count: all but the worst share."""
        n_dropped = round(self._trim * elbo.shape[1])
        if n_dropped == 0:
            return torch.ones_like(elbo, dtype=torch.bool)
        return elbo >= elbo.kthvalue(n_dropped + 1, dim=1, keepdim=True).values

    def _rate(self) -> float:
        return self.config.learning_rate * self._rate_scale * one_cycle(self._step / self.config.n_steps)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        fused = self.model.device.type in ("cpu", "cuda")
        return torch.optim.AdamW(
            self._parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay, fused=fused
        )

    @torch.no_grad()
    def _held_out_elbo(self, model: TabularVAE) -> Float[Tensor, " members"]:
        """Mean ELBO of the held-out rows that are not trimmed."""
        elbo = mean_elbo(model, self._held_out, self.config.beta).total
        keep = self._keep(elbo)
        return (elbo * keep).sum(-1) / keep.sum(-1)

    @torch.no_grad()
    def _baseline_elbo(self) -> float:
        """The same mean when each column is described by its marginal alone, whatever z is."""
        decoder = self.model.decoder
        rows = self._held_out.map(lambda block: block.flatten(0, 1).unsqueeze(0).cpu())
        marginal = decoder.marginal(rows).to(self.model.device)
        log_p = decoder.distributions(marginal.expand(*self._held_out.codes.shape[:2], -1)).log_prob(self._held_out)
        elbo = log_p.sum(-1)
        keep = self._keep(elbo)
        return ((elbo * keep).sum(-1) / keep.sum(-1)).mean().item()

    def _keep_best(self, held_out: Float[Tensor, " members"]) -> None:
        """Keep, for each member on its own, the averaged weights with the best held-out ELBO."""
        better = held_out > self._best
        self._best = torch.where(better, held_out, self._best)
        current = _weights(self.average)
        for name, best in self._best_weights.items():
            best[better] = current[name][better]
        self._good_weights, self._good_average = _weights(self.model), current

    def _roll_back(self, n_rollbacks: int) -> None:
        """Take the weights back to the last good evaluation and go on at half the learning rate."""
        if n_rollbacks > self.config.max_rollbacks:
            raise TrainingError(
                f"The loss was not finite {n_rollbacks} times, at learning rates down to {self._rate():.1e}. "
                "Look for columns with extreme values, or lower learning_rate."
            )
        self._rate_scale /= 2
        self.model.load_state_dict(self._good_weights)
        self.average.load_state_dict(self._good_average)
        self._optimizer = self._new_optimizer()
        message = f"The loss was not finite at step {self._step}: rolled back, learning rate halved."
        warnings.warn(message, TrainingWarning, stacklevel=3)

    @torch.no_grad()
    def _dependence(self, model: TabularVAE) -> tuple[float, float]:
        """Mean ELBO of the held-out rows less that of the rows with every part shuffled, and its standard error."""
        generator = torch.Generator(device=model.device).manual_seed(0)

        def shuffled(block: Tensor) -> Tensor:
            order = torch.rand(block.shape, generator=generator, device=block.device).argsort(1)
            return block.gather(1, order)

        rows = mean_elbo(model, self._held_out, self.config.beta).total
        mixed = mean_elbo(model, self._held_out.map(shuffled), self.config.beta).total
        error = ((rows.var() + mixed.var()) / rows.numel()).sqrt()
        return (rows.mean() - mixed.mean()).item(), error.item()

    @torch.no_grad()
    def _active_latents(self, model: TabularVAE) -> int:
        mu = posterior(model, self._held_out).mu
        return int((mu.var(1, correction=0) > ACTIVE_VARIANCE).sum(-1).min())

    def _save(
        self, save: Save | None, history: list[Evaluation], n_rollbacks: int, path: str | os.PathLike[str]
    ) -> None:
        if save is not None:
            model = copy.deepcopy(self.model).eval()
            model.load_state_dict(self._best_weights)
            save(model, self._result(model, history, n_rollbacks, stopped=False), path)


def _check_shares(config: TrainingConfig, processes: Processes) -> None:
    n_kept = config.batch_size - round(max(config.trim, config.trim_far_out) * config.batch_size)
    if n_kept < processes.size:
        raise ParameterError(
            f"The 'batch_size' parameter must leave a row of each batch for each of {processes.size} processes. Got "
            f"{config.batch_size} instead, of which {n_kept} may be left to learn from: raise it, or use fewer "
            "processes."
        )


def _weights(model: TabularVAE) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _own_buffers(model: TabularVAE) -> list[Tensor]:
    """What layers of the user's own networks count, as batch normalisation does; no average is taken of it."""
    return [buffer for network in model.own_networks for buffer in network.buffers()]


def _warn_if_useless(result: TrainingResult) -> None:
    if result.active_latents == 0:
        message = (
            "The posterior has collapsed: no latent dimension depends on the row, so the score sees each column on its "
            "own. Lower beta, or check that the columns have anything to do with each other."
        )
        warnings.warn(message, TrainingWarning, stacklevel=6)
    elif result.held_out_elbo <= result.baseline_elbo:
        message = (
            f"The model is no better than a per-column baseline on held-out rows (ELBO {result.held_out_elbo:.2f} "
            f"against {result.baseline_elbo:.2f} nats a row): it has learnt too little. More rows or more max_steps "
            "may help."
        )
        warnings.warn(message, TrainingWarning, stacklevel=6)
    elif result.dependence <= result.dependence_error:
        message = (
            f"The model has learnt no dependence between columns: held-out rows lose {result.dependence:.2f} ± "
            f"{result.dependence_error:.2f} nats when their columns are shuffled. More rows or more max_steps may "
            "help; if the columns are independent, there is none to learn."
        )
        warnings.warn(message, TrainingWarning, stacklevel=6)
