"""Laws of the likelihoods: each is a density, knows missing and unseen cells, and starts at the column's marginal."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from vae_anomaly.model.likelihoods import (
    MAX_CONCENTRATION,
    Bernoulli,
    BernoulliHead,
    CategoricalHead,
    StudentT,
    StudentTHead,
    VonMises,
    VonMisesHead,
)
from vae_anomaly.table.layout import FIRST_LEVEL, MISSING, RARE, UNSEEN, Part, PartKind

N = 200_001


@pytest.mark.parametrize(("loc", "log_scale", "dof"), [(0.0, 0.0, 3.0), (2.5, -3.0, 3.0), (-1.0, 1.2, 8.0)])
def test_student_t_is_the_density_of_scipy_and_integrates_to_one(loc, log_scale, dof):
    x = torch.linspace(-400, 400, N, dtype=torch.float64).view(1, -1, 1)
    p = StudentT(torch.full_like(x, loc), torch.full_like(x, log_scale), dof).log_prob(x)
    reference = stats.t.logpdf(x.numpy(), dof, loc, math.exp(log_scale))
    np.testing.assert_allclose(p.numpy(), reference, rtol=1e-9)
    assert torch.trapezoid(p.exp().flatten(), x.flatten()).item() == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kappa", [0.0, 0.7, 5.0, MAX_CONCENTRATION])
@pytest.mark.parametrize("mu", [0.0, 2.0, 5.5])
def test_von_mises_is_the_density_of_scipy_and_integrates_to_one(kappa, mu):
    x = torch.linspace(0, 2 * math.pi, N, dtype=torch.float64).view(1, -1, 1)
    eta = torch.full_like(x, kappa * math.cos(mu)), torch.full_like(x, kappa * math.sin(mu))
    p = VonMises(*eta).log_prob(x)
    np.testing.assert_allclose(p.numpy(), stats.vonmises.logpdf(x.numpy(), kappa + 1e-300, mu), rtol=1e-6, atol=1e-9)
    assert torch.trapezoid(p.exp().flatten(), x.flatten()).item() == pytest.approx(1.0, abs=1e-6)


def test_bernoulli_sums_to_one_with_the_unseen_level():
    logits = torch.randn(3, 5, 2)
    distribution = Bernoulli(logits, torch.tensor([0.01, 0.2]))
    codes = torch.tensor([UNSEEN, FIRST_LEVEL, FIRST_LEVEL + 1], dtype=torch.int32)
    total = sum(distribution.log_prob(code.expand(3, 5, 2)).exp() for code in codes)
    torch.testing.assert_close(total, torch.ones(3, 5, 2))


def _categories(*sizes, rare=()):
    return [Part(j, PartKind.CATEGORY, size, j in rare, 0.03) for j, size in enumerate(sizes)]


def test_categories_sum_to_one_with_rare_and_unseen():
    parts = _categories(3, 17, 1, 4, rare=(1, 3))
    head = CategoricalHead(parts)
    distribution = head(torch.randn(2, 6, head.n_outputs))
    for j, part in enumerate(parts):
        codes = [UNSEEN, *([RARE] if part.has_rare else []), *range(FIRST_LEVEL, FIRST_LEVEL + part.n_levels)]
        rows = torch.full((2, 6, len(parts)), MISSING, dtype=torch.int32)
        total = torch.zeros(2, 6)
        for code in codes:
            rows[..., j] = code
            total += distribution.log_prob(rows)[..., j].exp()
        torch.testing.assert_close(total, torch.ones(2, 6))


def test_mode_of_categories_is_the_likeliest_code():
    parts = _categories(2, 9, 3, rare=(1,))
    head = CategoricalHead(parts)
    distribution = head(torch.randn(1, 50, head.n_outputs))
    mode = distribution.mode()
    best = distribution.log_prob(mode)
    for j, part in enumerate(parts):
        for code in [*([RARE] if part.has_rare else []), *range(FIRST_LEVEL, FIRST_LEVEL + part.n_levels)]:
            other = mode.clone()
            other[..., j] = code
            assert bool((distribution.log_prob(other)[..., j] <= best[..., j] + 1e-6).all())


def test_missing_cells_add_nothing_and_pass_no_gradient():
    outputs = torch.randn(1, 4, 4, requires_grad=True)
    x = torch.full((1, 4, 2), math.nan)
    heads = [StudentTHead(2, 3.0), VonMisesHead(2)]
    codes = torch.full((1, 4, 2), MISSING, dtype=torch.int32)
    log_p = [head(outputs).log_prob(x) for head in heads]
    log_p.append(BernoulliHead([Part(0, PartKind.BINARY, 2, False, 0.1)] * 2)(outputs[..., :2]).log_prob(codes))
    log_p.append(CategoricalHead(_categories(2, 2))(outputs).log_prob(codes))
    total = sum(p.abs().sum() for p in log_p)
    total.backward()
    assert total.item() == 0
    assert outputs.grad.abs().sum().item() == 0


def test_marginal_of_numbers_is_the_maximum_likelihood_fit():
    x = torch.from_numpy(stats.t.rvs(3, loc=0.4, scale=0.5, size=(20_000, 1), random_state=0)).float()
    head = StudentTHead(1, 3.0)
    marginal = head.marginal(x)
    fitted = head(marginal).log_prob(x).mean()
    assert marginal[0].item() == pytest.approx(0.4, abs=0.02)
    assert marginal[1].exp().item() == pytest.approx(0.5, abs=0.02)
    for shift in (-0.05, 0.05):
        for j in (0, 1):
            other = marginal.clone()
            other[j] += shift
            assert head(other).log_prob(x).mean() < fitted


def test_marginal_of_angles_is_close_to_the_best_fit():
    x = torch.from_numpy(stats.vonmises.rvs(4.0, loc=1.0, size=(20_000, 1), random_state=0) % (2 * math.pi)).float()
    head = VonMisesHead(1)
    eta = head(head.marginal(x))
    assert math.atan2(eta.eta_sin, eta.eta_cos) == pytest.approx(1.0, abs=0.05)
    assert math.hypot(eta.eta_sin, eta.eta_cos) == pytest.approx(4.0, rel=0.1)


def test_marginal_of_codes_is_their_frequencies():
    rng = np.random.default_rng(0)
    codes = torch.from_numpy(rng.choice([RARE, FIRST_LEVEL, FIRST_LEVEL + 1, MISSING], size=(9_000, 1))).int()
    head = CategoricalHead([Part(0, PartKind.CATEGORY, 2, True, 0.01)])
    p = head(head.marginal(codes)[None, None]).log_prob(torch.tensor([[[RARE]]], dtype=torch.int32)).exp()
    share = (codes == RARE).sum() / (codes != MISSING).sum()
    assert p.item() == pytest.approx(0.99 * share.item(), rel=1e-3)


def test_marginals_of_empty_columns_are_finite():
    x = torch.full((10, 2), math.nan)
    codes = torch.zeros((10, 2), dtype=torch.int32)
    parts = [Part(0, PartKind.BINARY, 2, False, 0.1)] * 2
    for head, block in (
        (StudentTHead(2, 3.0), x),
        (VonMisesHead(2), x),
        (BernoulliHead(parts), codes),
        (CategoricalHead(_categories(0, 4)), codes),
    ):
        assert bool(head.marginal(block).isfinite().all())
