"""Networks of the user's own in place of the fully connected ones: one of its own for each member of the ensemble."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_anomaly.errors import ParameterError
from vae_anomaly.model.latent import LANES

_KEPT = (torch.float32, torch.int32, torch.int64, torch.bool)
"""What the arrays of a model file may be of; float64 is not, since scores are computed in float32."""

_TRIAL_ROWS, _PLACE_CHANGES = 64, 1e-3
"""Rows of the trial, and the share of an output by which it may change with the row's place: roundings are far less."""

_EACH = "each."
"""Before the names of the weights of all members, stacked, as the model file has them."""


@dataclass(frozen=True)
class NetworkShape:
    """What a network of one's own takes and gives: a factory is called with it, once for each member of the ensemble.

    The network maps float32 rows of shape (rows, n_in) to (rows, n_out), each row by itself.

    The inputs of a decoder are z. Those of an encoder are, in this order, of which a table may lack any but the first:

    - the level of the noise on the row in training, 0 in scores: one number;
    - the numbers of `columns`, standardised, 0 where missing; then for each 1 where it is there, and else 0;
    - angles of dates: all cosines, all sines, 0 where missing; then for each 1 where it is there, and else 0;
    - booleans and categories of two levels, as -1 and 1, 0 where missing; then for each 1 where it is a known level;
    - categories of more levels, 8 learnt numbers for each, missing and unseen ones included.

    Parameters
    ----------
    n_in : int
        Width of the rows that come in.
    n_out : int
        Width of the rows to return: what is needed, rounded up to a multiple of 16, so that torch's linear layers round
        a row in the same way wherever it stands in the batch. What each output stands for is settled in training; the
        last are not used.
    columns : tuple of str, default=()
        Of an encoder: the columns whose numbers come in, in table order. Where a date comes in as a number, its column
        is among them. A whole-numbered column of few values is a category and comes in as one, unless `kinds` says
        "numeric". A decoder has none.

    Notes
    -----
    The weights that torch's layers draw, and what layers such as dropout draw in training, follow `random_state`.
    Scores are computed in ``eval()`` mode and on several threads: `forward` must not keep anything in the module. A
    network whose output for a row depends there on the rows beside it is refused before training. Dropout and batch
    normalisation are fine; layer norm is the better choice for few rows, and the only one of which several processes
    that train together make what one makes.

    What a decoder returns is added to a bias that begins at the marginals of the columns, so that it need not learn
    them; members are computed one after the other. On a processor a step took a quarter more time than with the default
    networks of the same widths.

    Examples
    --------
    An encoder for 24 hourly amounts in the order of their columns:

    >>> from torch import nn
    >>> from vae_anomaly import NetworkShape
    >>> class Hourly(nn.Module):
    ...     def __init__(self, shape):
    ...         super().__init__()
    ...         self.shape = shape
    ...         self.hours = nn.Sequential(nn.Conv1d(2, 8, 3, padding="same"), nn.SiLU(), nn.Flatten())
    ...         self.last = nn.Linear(8 * len(shape.columns), shape.n_out)
    ...
    ...     def forward(self, x):
    ...         series = [x[:, self.shape.values], x[:, self.shape.observed]]
    ...         return self.last(self.hours(torch.stack(series, dim=1)))
    >>> shape = NetworkShape(n_in=49, n_out=16, columns=tuple(f"h{hour}" for hour in range(24)))
    >>> Hourly(shape)(torch.zeros(5, 49)).shape
    torch.Size([5, 16])
    """

    n_in: int
    n_out: int
    columns: tuple[str, ...] = ()

    @property
    def values(self) -> slice:
        """Where the numbers of `columns` lie among the inputs."""
        return slice(1, 1 + len(self.columns))

    @property
    def observed(self) -> slice:
        """Where it lies which of these numbers are there."""
        return slice(1 + len(self.columns), 1 + 2 * len(self.columns))


NetworkFactory = Callable[[NetworkShape], nn.Module]
"""Makes a network with new weights."""


@dataclass(frozen=True)
class OwnNetworks:
    """Which networks are the user's own; None for the fully connected ones.

    Parameters
    ----------
    encoder, decoder : callable or None
        Factories.
    seed : int
        Of the weights that they draw.
    """

    encoder: NetworkFactory | None = None
    decoder: NetworkFactory | None = None
    seed: int = 0

    @property
    def any(self) -> bool:
        """Whether one is the user's own."""
        return self.encoder is not None or self.decoder is not None


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Let layers of torch, which draw from its global generators, draw by a seed; then these are as they were before.

    Parameters
    ----------
    seed : int
        Of the draws.
    device : torch.device or None
        A CUDA device whose generator is meant as well.
    """
    with_cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng([device] if with_cuda else []):
        torch.default_generator.manual_seed(seed)
        if with_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@final
class OwnNetwork(nn.Module):
    """The members' networks of a user's own, in place of a `MemberMLP`, and a bias that is added to what they return.

    Members are computed one after the other. In `state_dict` the weights of all members are stacked, so that every
    array has the members first, as those of the fully connected networks have.

    Parameters
    ----------
    name : str
        Of the parameter, for messages.
    factory : callable
        Makes the network of a member.
    shape : NetworkShape
        What is needed; its `n_out` not rounded up.
    n_members : int
        Networks in the ensemble.
    seed : int
        Of the weights.

    Raises
    ------
    ParameterError
        If the factory fails, or what it makes cannot be used.
    """

    def __init__(self, name: str, factory: NetworkFactory, shape: NetworkShape, n_members: int, seed: int) -> None:
        super().__init__()
        self.name, self.n_out = name, shape.n_out
        self.shape = NetworkShape(shape.n_in, -(-shape.n_out // LANES) * LANES, shape.columns)
        with seeded(seed):
            self.members = nn.ModuleList(self._made(factory) for _ in range(n_members))
        self._check_weights()
        self.bias = nn.Parameter(torch.zeros(n_members, 1, shape.n_out))
        self.register_state_dict_post_hook(_stack)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_unstack)  # type: ignore[no-untyped-call]

    def forward(self, x: Float[Tensor, "members rows n_in"]) -> Float[Tensor, "members rows n_out"]:
        """Each member's rows through its own network."""
        outputs = [member(rows) for member, rows in zip(self.members, x.unbind(), strict=True)]
        return torch.stack(outputs)[..., : self.n_out] + self.bias

    def begin_at(self, outputs: Float[Tensor, " n_out"]) -> None:
        """Let the bias be these outputs: what the networks return at first is added to them."""
        self.bias.copy_(outputs)

    @torch.no_grad()
    def check(self) -> None:
        """Raise a `ParameterError` unless every member maps rows to rows of the right width, each row by itself."""
        was_training = self.training
        self.eval()
        with seeded(0):
            for member in self.members:
                self._check_rows(member)
        self.train(was_training)

    def _made(self, factory: NetworkFactory) -> nn.Module:
        try:
            network = factory(self.shape)
        except Exception as error:
            raise self._refusal("be called with a NetworkShape", f"{type(error).__name__}: {error}") from error
        if not isinstance(network, nn.Module):
            raise self._refusal("return an nn.Module", f"a {type(network).__name__}")
        return network

    def _check_weights(self) -> None:
        """Raise unless a model file can keep the weights, and members have none in common."""
        weights = [list(chain(member.parameters(), member.buffers())) for member in self.members]
        if any(isinstance(weight, nn.UninitializedParameter | nn.UninitializedBuffer) for weight in chain(*weights)):
            raise self._refusal("make layers of a known width, from NetworkShape.n_in", "a lazy layer")
        places = [{id(weight) for weight in own} for own in weights]
        if len(set().union(*places)) < sum(map(len, places)):
            raise self._refusal("make a new network each time it is called", "members with weights in common")
        for key, kept in self.members[0].state_dict().items():
            if not isinstance(kept, Tensor) or kept.dtype not in _KEPT:
                found = kept.dtype if isinstance(kept, Tensor) else type(kept).__name__
                raise self._refusal("have weights in float32 and whole or boolean buffers", f"{key} of {found}")

    def _check_rows(self, member: nn.Module) -> None:
        """Raise unless the network maps rows to rows, and a row to the same whatever is beside it."""
        rows = torch.randn(_TRIAL_ROWS, self.shape.n_in)
        expected = (_TRIAL_ROWS, self.shape.n_out)
        task = f"map {tuple(rows.shape)} to {expected}"
        try:
            found = member(rows)
            beside_others = member(torch.cat([9.0 * rows[1:], rows[:1]]))[-1]
        except Exception as error:
            raise self._refusal(task, f"{type(error).__name__}: {error}") from error
        if not isinstance(found, Tensor) or found.shape != expected or found.dtype != torch.float32:
            got = f"{tuple(found.shape)} of {found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise self._refusal(task, got)
        if not found.isfinite().all():
            raise self._refusal("return finite numbers", "infinite ones or NaN for standard normal inputs")
        change = (beside_others - found[0]).abs().max() / found[0].abs().max().clamp_min(1e-6)
        if change > _PLACE_CHANGES:
            got = f"outputs that change by {change:.2g} of their size"
            raise self._refusal("return the same for a row in eval() mode, whatever rows are beside it", got)

    def _refusal(self, expected: str, found: str) -> ParameterError:
        return ParameterError(
            f"The {self.name!r} parameter of VAEDetector must make networks for rows of {self.shape.n_in} inputs and "
            f"{self.shape.n_out} outputs, and {expected}. Got {found} instead."
        )


def _stack(module: OwnNetwork, state: OrderedDict[str, Any], prefix: str, *_: Any) -> None:
    """Put, in place of each member's weights, those of all members together."""
    first, n_members = f"{prefix}members.0.", len(module.members)
    for name in [key.removeprefix(first) for key in state if key.startswith(first)]:
        own = [state.pop(f"{prefix}members.{member}.{name}") for member in range(n_members)]
        state[f"{prefix}{_EACH}{name}"] = torch.stack(own)


def _unstack(_: OwnNetwork, state: dict[str, Any], prefix: str, *__: Any) -> None:
    """Give each member its weights again."""
    for key in [key for key in state if key.startswith(f"{prefix}{_EACH}")]:
        for member, own in enumerate(state.pop(key).unbind()):
            state[f"{prefix}members.{member}.{key.removeprefix(f'{prefix}{_EACH}')}"] = own
