import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly.decision.conformal import conformal_p_values, recency_weights, risk_score, step_up
from vae_anomaly.errors import ParameterError, TableError

scores = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=12)


@given(scores, scores, st.data())
def test_p_values_count_the_calibration_rows_that_score_as_high(calibration, judged, data):
    n = len(calibration)
    expected = [(1 + sum(other >= score for other in calibration)) / (n + 1) for score in judged]
    np.testing.assert_allclose(conformal_p_values(calibration, judged), expected)
    weight = data.draw(st.lists(st.integers(1, 9), min_size=n, max_size=n))
    expected = [
        (2 + sum(w for w, other in zip(weight, calibration, strict=True) if other >= score)) / (2 + sum(weight))
        for score in judged
    ]
    np.testing.assert_allclose(conformal_p_values(calibration, judged, weight, test_weight=2), expected)


def test_p_values_of_exchangeable_rows_are_uniform_over_the_ranks():
    rng = np.random.default_rng(0)
    p = np.array([conformal_p_values(both[:9], both[9:])[0] for both in rng.normal(size=(20_000, 10))])
    share = [(p <= k / 10 + 1e-9).mean() for k in range(1, 11)]
    np.testing.assert_allclose(share, np.arange(1, 11) / 10, atol=0.014)  # four standard errors


def test_true_likelihood_ratios_keep_p_values_honest_under_covariate_shift():
    rng = np.random.default_rng(1)
    n, shift, repetitions = 60, 0.8, 5_000
    ratio = lambda x: np.exp(shift * x - shift**2 / 2)  # noqa: E731
    plain, weighted = np.empty(repetitions), np.empty(repetitions)
    for i in range(repetitions):
        old, new = rng.normal(size=n), rng.normal(shift, size=1)
        plain[i] = conformal_p_values(old, new)[0]
        weighted[i] = conformal_p_values(old, new, ratio(old), float(ratio(new)[0]))[0]
    slack = 3.7 * np.sqrt(0.1 * 0.9 / repetitions)
    assert (plain <= 0.1).mean() > 0.1 + 5 * slack
    assert (weighted <= 0.1).mean() <= 0.1 + slack


@given(scores, scores, st.randoms(use_true_random=False))
def test_only_the_order_of_scores_counts(calibration, judged, random):
    expected = conformal_p_values(calibration, judged)
    shuffled = random.sample(calibration, len(calibration))
    np.testing.assert_array_equal(conformal_p_values(shuffled, judged), expected)
    np.testing.assert_array_equal(conformal_p_values(np.exp(calibration), np.exp(judged)), expected)


def test_infinite_scores_are_ranked_and_nan_is_refused():
    np.testing.assert_array_equal(conformal_p_values([1.0, 2.0, 3.0], [np.inf, -np.inf]), [0.25, 1.0])
    with pytest.raises(TableError, match="NaN at row 1"):
        conformal_p_values([1.0], [0.0, np.nan])
    with pytest.raises(TableError, match="finite"):
        conformal_p_values([1.0, np.nan], [0.0])


def test_weights_halve_with_each_half_life_in_any_order():
    times = np.datetime64("2026-03-01T00:00") + np.array([4, 0, 2]).astype("timedelta64[h]")
    np.testing.assert_allclose(recency_weights(times, dt.timedelta(hours=2)), [1.0, 0.25, 0.5])
    for wrong in (3.0, dt.timedelta(0), np.timedelta64(-1, "D")):
        with pytest.raises(ParameterError, match="half_life"):
            recency_weights(times, wrong)


@given(st.lists(st.integers(1, 40).map(lambda k: k / 40), min_size=1, max_size=15), st.sampled_from(["bh", "by"]))
def test_step_up_is_the_largest_set_that_its_line_allows(p, method):
    fdr, m = 0.27, len(p)  # no multiple of 1 / (40 m) lies on the line
    factor = sum(1 / i for i in range(1, m + 1)) if method == "by" else 1.0
    ranked = sorted(p)
    sizes = [k for k in range(1, m + 1) if ranked[k - 1] <= fdr * k / m / factor]
    cut = ranked[max(sizes) - 1] if sizes else -1.0
    np.testing.assert_array_equal(step_up(p, fdr, method), np.array(p) <= cut)


def test_p_values_out_of_their_range_are_refused():
    for function in (risk_score, lambda p: step_up(p, 0.1)):
        with pytest.raises(TableError, match=r"\[0, 1\]"):
            function([0.5, 1.5])
    with pytest.raises(ParameterError, match="'fdr'"):
        step_up([0.5], 0.0)


def test_each_factor_of_ten_is_250_points():
    p = 10.0 ** -np.arange(8)
    np.testing.assert_allclose(risk_score(p), [0, 250, 500, 750, 1000, 1000, 1000, 1000])
    assert not np.signbit(risk_score([1.0])).any()
    assert risk_score([0.0]) == 1000
