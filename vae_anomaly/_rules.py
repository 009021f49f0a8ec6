"""What each parameter of VAEDetector may be, and what a contamination means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import nn

from vae_anomaly._params import Instance, Number, OneOf, Rule, Several
from vae_anomaly.training.callbacks import Callback


@dataclass(frozen=True)
class _Factory:
    """A function or class that makes networks."""

    def allows(self, value: Any) -> bool:
        """Whether `value` can be called to make a network, and is none itself."""
        return callable(value) and not isinstance(value, nn.Module)

    def __str__(self) -> str:
        return "a function or class that makes a new nn.Module from a NetworkShape"


RULES: dict[str, tuple[Rule, ...]] = {
    "score_type": (OneOf(("elbo", "reconstruction", "iwae")),),
    "contamination": (Number(0, 0.5), OneOf(("auto",))),
    "n_members": (Number(1, 256, integer=True),),
    "hidden": (Several(Number(1, 65_536, integer=True)),),
    "latent": (Number(1, 65_536, integer=True),),
    "encoder": (_Factory(), OneOf((None,))),
    "decoder": (_Factory(), OneOf((None,))),
    "beta": (Number(0, open_high=True),),
    "n_exemplars": (Number(0, 65_536, integer=True),),
    "exemplar_weight": (Number(0, open_high=True),),
    "numeric_spread": (Number(0, open_low=True, open_high=True), OneOf((None,))),
    "discrete_spread": (Number(0, open_low=True, open_high=True), OneOf((None,))),
    "dof": (Number(0, open_low=True, open_high=True),),
    "max_steps": (Number(1, integer=True),),
    "max_epochs": (Number(0, open_low=True, open_high=True), OneOf((None,))),
    "batch_size": (Number(1, integer=True),),
    "learning_rate": (Number(0, open_low=True, open_high=True),),
    "validation_fraction": (Number(0, 0.5),),
    "patience": (Number(1, integer=True), OneOf((None,))),
    "max_categories": (Number(1, 65_536, integer=True),),
    "kinds": (Instance((Mapping,), "a mapping of column names to kinds"), OneOf((None,))),
    "n_iwae_samples": (Number(2, integer=True),),
    "warm_start": (OneOf((True, False)),),
    "device": (Instance((str,), "'auto' or a device of torch such as 'cpu' or 'cuda:0'"),),
    "precision": (OneOf(("auto", "float32", "bfloat16")),),
    "callbacks": (Several(Instance((Callback,), "a callback with an on_evaluation method"), 0), OneOf((None,))),
    "verbose": (OneOf((True, False)),),
    "random_state": (
        Number(0, 2**32 - 1, integer=True),
        Instance((np.random.RandomState,), "a RandomState"),
        OneOf((None,)),
    ),
}

AUTO_ALERTS = 0.01
"""Share of training rows that "auto" puts below `offset_`: where to look first, not an estimate."""

AUTO_TRIM, LEAST_AUTO_TRIM, LEARNT_BY_HEART = 0.12, 0.03, 15
"""Most and least of a batch that "auto" does not learn from, and the epochs from which on it is the most. What is seen
once or twice is hardly learnt by heart, and what is left out is not learnt at all."""

TRIM_MARGIN = 0.05
"""Added to a stated contamination, since the rows of a batch that fit worst are never all of them anomalies."""

FEWEST_STEPS = 32
"""Steps that even the smallest table gets, if `max_steps` allows: fewer teach nothing."""


def alert_share(contamination: float | str) -> float:
    """Share of the training rows that lies below `offset_`."""
    return AUTO_ALERTS if isinstance(contamination, str) else contamination


def trim_shares(contamination: float | str, n_epochs: float) -> tuple[float, float]:
    """Share of each batch that is not learnt from, and that up to which rows far out are not learnt from either.

    Examples
    --------
    >>> trim_shares("auto", 30), trim_shares("auto", 1), trim_shares(0.0, 30), trim_shares(0.25, 30)
    ((0.12, 0.12), (0.03, 0.12), (0.0, 0.0), (0.3, 0.0))
    """
    if isinstance(contamination, str):
        often = min(1.0, n_epochs / LEARNT_BY_HEART) ** 2
        return max(LEAST_AUTO_TRIM, AUTO_TRIM * often), AUTO_TRIM
    return min(0.5, contamination + TRIM_MARGIN) if contamination else 0.0, 0.0


def rows_of_an_exemplar(contamination: float | str) -> int:
    """How many rows an exemplar is the best of: of two where there may be anomalies among them.

    Examples
    --------
    >>> rows_of_an_exemplar("auto"), rows_of_an_exemplar(0.0)
    (2, 1)
    """
    return 1 if contamination == 0 else 2


def step_budget(
    contamination: float | str, max_steps: int, max_epochs: float | None, batch_size: int, n_rows: float
) -> int:
    """Training steps: fewer where rows that may be anomalies would be seen so often that they are learnt by heart.

    Examples
    --------
    >>> step_budget("auto", 800, 30, 96, n_rows=320), step_budget(0.0, 800, 30, 96, n_rows=320)
    (100, 800)
    """
    if max_epochs is None or contamination == 0:
        return max_steps
    return min(max_steps, max(FEWEST_STEPS, math.ceil(max_epochs * n_rows / batch_size)))
