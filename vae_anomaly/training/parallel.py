"""Several processes that train one model together, each on its share of every batch.

All of them have all the rows, and draw the same batches and the same noise from the same seed. Each goes forward and
back with its own part of a batch; the gradients are summed, so that all take the same step, the step that one process
would take on the whole batch but for the order in which floats are added.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import count
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from vae_anomaly.errors import ParameterError, TrainingError, VaeAnomalyWarning
from vae_anomaly.training.device import choose_device

_LAUNCHER = "Start the processes with torchrun, which sets it."
_KEEPS_GROUPS = "torch.distributed.nn.functional"
"""Its functions take the group that there is when it is imported, as by the first optimiser, for their defaults, and so
for ever. A group that outlives the interpreter has threads that may still let go of a tensor, and abort the process."""


@final
@dataclass(frozen=True)
class Processes:
    """One process among those that train together; by default it is alone, and nothing is exchanged.

    Parameters
    ----------
    rank : int
        Its number, from 0.
    size : int
        How many there are.

    Examples
    --------
    >>> Processes().share(96), Processes(rank=1, size=3).share(96)
    (slice(0, 96, None), slice(32, 64, None))
    """

    rank: int = 0
    size: int = 1

    @staticmethod
    def here() -> Processes:
        """Those of the innermost `data_parallel` around the call."""
        return _together.get()

    @property
    def is_first(self) -> bool:
        """Whether this is the one that shows, writes and decides."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other."""
        return self.size == 1

    def share(self, n_rows: int) -> slice:
        """The rows of a batch that this process works on: shares differ by one row at most."""
        return slice(self.rank * n_rows // self.size, (self.rank + 1) * n_rows // self.size)

    def summed(self, own: Tensor) -> Tensor:
        """The sum of what each process has, in place and the same for all.

        Raises
        ------
        TrainingError
            Another process has ended.
        """
        if not self.is_alone:
            with _others_lost(self):
                distributed.all_reduce(own)
        return own

    def gathered(self, own: Float[Tensor, "members some"], n_rows: int) -> Float[Tensor, "members rows"]:
        """The shares of all processes, side by side."""
        if self.is_alone:
            return own
        together = own.new_zeros((len(own), n_rows))
        together[:, self.share(n_rows)] = own
        return self.summed(together)

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Give every process the sum of the gradients, in one message."""
        if self.is_alone:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        sizes = [gradient.numel() for gradient in gradients]
        message = self.summed(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(gradients, torch.split(message, sizes), strict=True):
            gradient.copy_(part.view_as(gradient))

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors: processors of two makes may round differently."""
        if not self.is_alone:
            with torch.no_grad(), _others_lost(self):
                for tensor in tensors:
                    distributed.broadcast(tensor, 0)

    def of_first(self, number: int) -> int:
        """The number that the first process has."""
        return self._numbers(number)[0]

    def check_alike(self, digests: Mapping[str, int]) -> None:
        """Raise a `ParameterError` where a process was given something else than the first.

        Parameters
        ----------
        digests : mapping of str to int
            What must be the same, and a number of at most 63 bits that stands for it.
        """
        for what, digest in digests.items():
            found = self._numbers(digest)
            others = [rank for rank in range(self.size) if found[rank] != found[0]]
            if others:
                raise ParameterError(
                    f"Processes that train together need the same {what}: of {self.size}, process {others[0]} was given"
                    " others than process 0. Give all of them the same files and options."
                )

    def _numbers(self, own: int) -> list[int]:
        """The number of each process."""
        numbers = torch.zeros(self.size, dtype=torch.int64)
        numbers[self.rank] = own
        return [int(number) for number in self.summed(numbers)]


ALONE: Final = Processes()
_times_entered: Final = count()
_together: Final[ContextVar[Processes]] = ContextVar("together", default=ALONE)


@contextmanager
def data_parallel(device: str = "auto") -> Iterator[Processes]:
    """Train with the other processes that ``torchrun`` started: each fit inside is one fit of all of them.

    Every process runs the same program on the same rows, and computes its share of each batch. All of them end up with
    the same detector; the first should write it. Callbacks are called, and warnings given, in the first only. Without
    ``torchrun``, or with one process, a fit is what it is without this.

    Parameters
    ----------
    device : str, default="auto"
        Where the detectors compute, as their own `device`: on CPUs gloo carries the messages, on GPUs NCCL, a GPU of
        its own for each process.

    Yields
    ------
    processes : Processes
        `rank`, `size` and `is_first` of this process.

    Raises
    ------
    ParameterError
        The environment does not say which process this is; there are more processes than GPUs; or, in a fit, processes
        were given different rows or parameters.
    TrainingError
        Another process ended before its time.

    Notes
    -----
    Gradients are added in another order than by one process, so that scores agree with its scores to some 1e-5 of their
    size, not to the bit. One thing can part the two: of a row that lies at the very edge of the worst ones, which are
    left out of a step, rounding decides whether it is learnt from. From there on the trainings are two draws of equal
    worth: in one of five trainings of 800 steps scores came to differ by a thousandth, at most by a hundredth.
    With ``contamination=0.0`` no row is left out. ``python -m vae_anomaly.benchmark spark`` measures both.

    Li et al. (2020), "PyTorch Distributed: experiences on accelerating data parallel training". It pays for wide
    networks and large batches; at default settings a step takes less time than the message after it.

    Examples
    --------
    Of ``torchrun --nproc-per-node 2 train.py``, and without it:

    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector, data_parallel
    >>> X = np.random.default_rng(0).normal(size=(500, 1)) * [1, 2, 3]
    >>> with data_parallel("cpu") as processes:
    ...     detector = VAEDetector(max_steps=20, n_members=1, device="cpu").fit(X)
    >>> if processes.is_first:
    ...     print(len(detector.history_))
    10
    """
    processes = _launched()
    if processes.is_alone:
        yield processes
        return
    backend = _backend(device)
    import_module(_KEEPS_GROUPS)
    with _others_lost(processes):
        store = PrefixStore(f"data_parallel {next(_times_entered)}", _meeting_place())
        distributed.init_process_group(backend, store=store, rank=processes.rank, world_size=processes.size)
    token = _together.set(processes)
    try:
        with warnings.catch_warnings():
            if not processes.is_first:
                warnings.simplefilter("ignore", VaeAnomalyWarning)
            yield processes
        processes.of_first(0)  # the others leave when the first has written what there is to write
    finally:
        _together.reset(token)
        distributed.destroy_process_group()


@cache
def _meeting_place() -> Store:
    """Where processes find each other; kept, because who comes first to another on its port could meet the last one."""
    store: Store = next(rendezvous("env://"))[0]
    return store


def _launched() -> Processes:
    """Which process the environment says that this is."""
    size = _number("WORLD_SIZE", 1)
    rank = _number("RANK", 0 if size == 1 else None)
    if not 0 <= rank < size:
        raise ParameterError(f"Expected RANK to be from 0 to WORLD_SIZE - 1 ({size - 1}), found {rank}. {_LAUNCHER}")
    return Processes(rank, size)


def _number(name: str, default: int | None) -> int:
    found = os.environ.get(name, "" if default is None else str(default))
    if not found.isdecimal():
        raise ParameterError(f"Expected a whole number in the variable {name}, found {found!r}. {_LAUNCHER}")
    return int(found)


def _backend(device: str) -> str:
    """What carries the messages; on GPUs this process takes its own."""
    kind = choose_device(device)
    if kind.type == "cpu":
        return "gloo"
    if str(kind) != "cuda":
        raise ParameterError(
            "The 'device' of processes that train together must be 'auto', 'cpu' or 'cuda', by which each takes a GPU"
            f" of its own. Got {str(kind)!r} instead."
        )
    own, found = _number("LOCAL_RANK", None), torch.cuda.device_count()
    if own >= found:
        raise ParameterError(
            f"Expected a GPU for each process, found {found} for process {own + 1} of this machine. Start"
            f" {found} processes here (torchrun --nproc-per-node {found}), or use device='cpu'."
        )
    torch.cuda.set_device(own)
    return "cpu:gloo,cuda:nccl"


@contextmanager
def _others_lost(processes: Processes) -> Iterator[None]:
    """Turn the ways in which a message can fail into one error."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise TrainingError(
            f"Process {processes.rank} of {processes.size} could not reach the others: one of them has ended, and says"
            " why by itself, or the network between them failed. Start all of them anew."
        ) from error
