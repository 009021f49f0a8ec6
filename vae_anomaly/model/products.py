"""The matrix products of scores.

On a CPU torch's own use the widest registers of one maker's processors only, and NumPy's OpenBLAS those of all. Where
it does, scores take it: a tile then takes three quarters of the time. Training, which needs gradients, and other
devices stay with torch.

bfloat16, tried on a processor that has it, made a product twice as fast and a score no faster, for the casts around it,
and moved scores by up to 0.3 nats.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vae_anomaly.model.threads import libraries

_WIDE = ("SkylakeX", "Cooperlake", "SapphireRapids")
"""What OpenBLAS calls its kernels for registers of 512 bits."""


def affine(
    bias: Float[Tensor, "members 1 n_out"],
    x: Float[Tensor, "members rows n_in"],
    weight: Float[Tensor, "members n_in n_out"],
) -> Float[Tensor, "members rows n_out"]:
    """Compute ``bias + x @ weight`` of all members.

    Examples
    --------
    >>> bias, x, weight = torch.ones(2, 1, 1), torch.ones(2, 3, 4), torch.full((2, 4, 1), 0.5)
    >>> affine(bias, x, weight).flatten()
    tensor([3., 3., 3., 3., 3., 3.])
    """
    return product(x, weight).add_(bias) if _is_numpys(x, weight) else torch.baddbmm(bias, x, weight)


def product(
    x: Float[Tensor, "members rows n_in"], weight: Float[Tensor, "members n_in n_out"]
) -> Float[Tensor, "members rows n_out"]:
    """Compute ``x @ weight`` of all members."""
    return (
        torch.from_numpy(np.matmul(x.numpy(), weight.detach().numpy()))
        if _is_numpys(x, weight)
        else torch.bmm(x, weight)
    )


def _is_numpys(x: Tensor, weight: Tensor) -> bool:
    scoring = torch.is_inference_mode_enabled() and x.device.type == "cpu" and x.dtype == torch.float32
    return scoring and _by_numpy(x.shape[1], x.shape[2], weight.shape[2])


@cache
def _by_numpy(n_rows: int, n_in: int, n_out: int) -> bool:
    """Whether NumPy's product of this shape uses wide registers, and gives a row the same bits wherever it stands.

    Some of its kernels do not: there a score would depend on the rows that come with it.
    """
    if not any(library.get("architecture") in _WIDE for library in libraries().info()):
        return False
    rng = np.random.default_rng(0)
    row, weight = rng.normal(size=(1, n_in)).astype(np.float32), rng.normal(size=(n_in, n_out)).astype(np.float32)
    product = np.matmul(np.repeat(row, n_rows, axis=0), weight)
    return bool((product == product[0]).all())
