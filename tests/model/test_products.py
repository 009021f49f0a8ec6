from __future__ import annotations

import numpy as np
import pytest
import torch

from vae_anomaly.model import products
from vae_anomaly.model.products import affine

SHAPES = [(512, 61, 96), (512, 96, 64), (512, 32, 512), (512, 5, 16)]


def factors(n_rows, n_in, n_out):
    generator = torch.Generator().manual_seed(0)
    shapes = ((3, 1, n_out), (3, n_rows, n_in), (3, n_in, n_out))
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by_numpy", [True, False])
def test_both_libraries_find_the_same_product(shape, by_numpy, monkeypatch):
    monkeypatch.setattr(products, "_by_numpy", lambda *_: by_numpy)
    bias, x, weight = factors(*shape)
    weight.requires_grad_()
    with torch.inference_mode():
        found = affine(bias, x, weight).numpy()
    exact = bias.numpy().astype(float) + x.numpy().astype(float) @ weight.detach().numpy().astype(float)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_has_the_same_product_wherever_it_stands(shape):
    bias, x, weight = factors(*shape)
    order = torch.randperm(shape[0], generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.equal(affine(bias, x, weight)[:, order], affine(bias, x[:, order], weight))


def test_training_has_gradients():
    bias, x, weight = factors(8, 4, 16)
    weight.requires_grad_()
    affine(bias, x, weight).sum().backward()
    np.testing.assert_allclose(weight.grad, x.sum(1, keepdim=True).transpose(1, 2).expand(3, 4, 16), rtol=1e-5)
