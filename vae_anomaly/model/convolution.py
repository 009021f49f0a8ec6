"""An encoder for tables whose numbers have an order: hours of a day, days of a statement, points of a signal."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vae_anomaly._params import Number, check_params
from vae_anomaly.errors import ParameterError
from vae_anomaly.model.own_network import NetworkShape

_RULES = {name: (Number(1, integer=True),) for name in ("channels", "width", "hidden")}


@final
class ConvolutionalEncoder(nn.Module):
    """Two 1-D convolutions over the numbers of a row in the order of their columns, and one layer over all inputs.

    LeCun et al. (1998), "Gradient-based learning applied to document recognition": what a few neighbours have in common
    is learnt once for all places. For the `encoder` parameter of `VAEDetector`; other widths by `functools.partial`.

    Parameters
    ----------
    shape : NetworkShape
        What is needed, with two numeric columns or more.
    channels : int, default=16
        Of each convolution.
    width : int, default=5
        Neighbouring columns that a convolution sees at once.
    hidden : int, default=96
        Width of the layer over what the convolutions found and the columns that are no numbers.

    Raises
    ------
    ParameterError
        If a width is below 1, or the table has no two columns of numbers.

    Examples
    --------
    >>> from functools import partial
    >>> import numpy as np
    >>> from vae_anomaly import ConvolutionalEncoder, VAEDetector
    >>> rng = np.random.default_rng(0)
    >>> start, hours = rng.uniform(0, 24, (1_000, 1)), np.arange(24)
    >>> loads = np.cos((hours - start) * np.pi / 12) + rng.normal(0, 0.1, (1_000, 24))
    >>> detector = VAEDetector(encoder=partial(ConvolutionalEncoder, channels=8), n_members=1, max_steps=60).fit(loads)
    >>> detector.score_samples(loads).shape
    (1000,)
    """

    def __init__(self, shape: NetworkShape, channels: int = 16, width: int = 5, hidden: int = 96) -> None:
        super().__init__()
        widths = {"channels": channels, "width": width, "hidden": hidden}
        check_params("ConvolutionalEncoder", widths, _RULES)
        self.shape, n_columns = shape, len(shape.columns)
        if n_columns < 2:
            raise ParameterError(
                f"The 'shape' parameter of ConvolutionalEncoder must have two columns of numbers or more. Got "
                f"{n_columns} instead: convolutions are for numbers that have an order."
            )
        self.series = nn.Sequential(
            nn.Conv1d(3, channels, width, padding="same"),
            nn.SiLU(),
            nn.Conv1d(channels, channels, width, padding="same"),
            nn.SiLU(),
            nn.Flatten(),
        )
        n_others = shape.n_in - 2 * n_columns
        self.whole = nn.Sequential(
            nn.Linear(channels * n_columns + n_others, hidden),
            nn.LayerNorm(hidden),
            nn.SiLU(),
            nn.Linear(hidden, shape.n_out),
        )

    def forward(self, x: Float[Tensor, "rows n_in"]) -> Float[Tensor, "rows n_out"]:
        """Numbers, which of them are there, and the level of the noise on them, side by side."""
        values, observed = x[:, self.shape.values], x[:, self.shape.observed]
        noise, others = x[:, :1], x[:, self.shape.observed.stop :]
        series = torch.stack([values, observed, noise.expand_as(values)], dim=1)
        outputs: Tensor = self.whole(torch.cat([self.series(series), noise, others], dim=-1))
        return outputs
