import warnings

import numpy as np
import pytest
from scipy import stats

from vae_anomaly.decision.tail import TailFit, fit_tail
from vae_anomaly.decision.thresholds import CalibrationRows, TailRate
from vae_anomaly.errors import CalibrationWarning, ParameterError, TableError

RATE, N_REPETITIONS = 1e-4, 250
TAILS = {"Student-t": stats.t(3), "log-normal": stats.lognorm(1), "Gaussian": stats.norm()}


@pytest.mark.parametrize("tail", TAILS)
def test_one_in_10_000_from_5_000_rows(tail):
    # Of 500 calibrations 63, 59 and 53 % were within a factor of 2, and 87, 79 and 77 % within a factor of 3.
    rng = np.random.default_rng(0)
    law, reports = TAILS[tail], []
    for _ in range(N_REPETITIONS):
        reports.append(
            TailRate(RATE).calibrate(CalibrationRows.from_arrays(law.rvs(5_000, random_state=rng))).guarantee
        )
    factor = law.sf([report.threshold for report in reports]) / RATE
    within = [((factor >= 1 / by) & (factor <= by)).mean() for by in (2, 3)]
    assert within[0] > 0.5
    assert within[1] >= 0.72
    assert 0.5 <= np.median(factor) <= 2
    too_low = np.mean([f * RATE > report.interval[1] for f, report in zip(factor, reports, strict=True)])
    too_high = np.mean([f * RATE < report.interval[0] for f, report in zip(factor, reports, strict=True)])
    assert too_low <= 0.09  # 5 % if the tail were generalised Pareto
    assert too_high <= 0.19


def test_where_the_model_is_true_the_shape_is_found_and_the_error_is_what_is_said():
    rng = np.random.default_rng(1)
    fits = [fit_tail(stats.genpareto.rvs(0.2, scale=3.0, size=5_000, random_state=rng)) for _ in range(200)]
    assert np.mean([fit.shape for fit in fits]) == pytest.approx(0.2, abs=0.02)
    at = float(stats.genpareto.isf(1e-3, 0.2, scale=3.0))
    spread = np.std([np.log(fit.rate(at)) for fit in fits])
    assert np.median([fit.log_rate_error(at) for fit in fits]) == pytest.approx(spread, rel=0.25)
    for fit in fits[:5]:
        assert fit.rate(fit.quantile(1e-5)) == pytest.approx(1e-5)


def test_the_exponential_tail_lies_between_its_neighbours():
    fits = [TailFit(1.0, 400, 0.1, shape, 2.0, 1.0) for shape in (-1e-4, 0.0, 1e-4)]
    for of in (lambda fit: fit.quantile(1e-4), lambda fit: fit.rate(9.0), lambda fit: fit.log_rate_error(9.0)):
        low, middle, high = map(of, fits)
        assert middle == pytest.approx((low + high) / 2, rel=1e-4)


def test_a_linear_map_of_the_score_maps_the_threshold():
    score = np.random.default_rng(2).standard_t(4, 4_000)
    one, other = (
        TailRate(RATE).calibrate(CalibrationRows.from_arrays(s)).threshold for s in (score, 5e6 * score - 3e7)
    )
    assert other == pytest.approx(5e6 * one - 3e7, rel=1e-3)


def test_the_goodness_of_fit_refuses_a_true_tail_as_often_as_its_level():
    rng = np.random.default_rng(3)
    first_choice = [fit_tail(rng.exponential(size=2_000)).n_peaks == 200 for _ in range(300)]
    assert 0.01 <= 1 - np.mean(first_choice) <= 0.12  # 5 %, but for 199 simulations


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        (np.random.default_rng(4).normal(size=300), "too few rows"),
        (np.round(np.random.default_rng(5).normal(size=5_000), 1), "ties"),
        (np.full(5_000, 2.0), "ties"),
        (np.random.default_rng(6).random(5_000), "shape"),
        (
            np.append(np.random.default_rng(7).normal(size=5_000), np.linspace(9, 9.5, 500)),
            "not generalised Pareto|shape",
        ),
    ],
    ids=["few", "rounded", "constant", "bounded", "two heaps"],
)
def test_where_the_tail_cannot_be_fitted_it_says_so_and_exact_bounds_stand(score, reason):
    with pytest.warns(CalibrationWarning, match=reason):
        calibration = TailRate(RATE).calibrate(CalibrationRows.from_arrays(score))
    assert calibration.threshold == score.max()
    assert calibration.guarantee.interval == pytest.approx((0.0, -np.expm1(np.log(0.05) / len(score))))
    assert "could not be fitted" in str(calibration.guarantee)


def test_rows_that_show_the_rate_themselves_need_no_model():
    score = np.random.default_rng(8).permutation(30_000).astype(float)
    calibration = TailRate(0.01).calibrate(CalibrationRows.from_arrays(score))
    assert calibration.alerts(score).sum() == 300
    assert "no model was needed" in str(calibration.guarantee)


def test_labelled_anomalies_are_left_out_and_unlabelled_ones_raise_the_threshold():
    rng = np.random.default_rng(9)
    score, y = np.append(rng.normal(size=5_000), rng.normal(5, 1, 5)), np.repeat([0, 1], [5_000, 5])
    rule = TailRate(RATE)
    labelled = rule.calibrate(CalibrationRows.from_arrays(score, y=y))
    assert labelled.threshold == rule.calibrate(CalibrationRows.from_arrays(score[:5_000])).threshold
    assert rule.calibrate(CalibrationRows.from_arrays(score)).threshold > labelled.threshold


def test_a_stated_contamination_does_not_cut_the_tail_as_if_it_were_known_which_rows_to_cut():
    rng, over = np.random.default_rng(10), []
    for _ in range(100):
        y = rng.random(5_000) < 0.02
        rows = CalibrationRows.from_arrays(rng.normal(size=5_000) + 2 * y, contamination=0.02)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CalibrationWarning)
            calibration = TailRate(1e-3).calibrate(rows)
        over.append(stats.norm.sf(calibration.threshold) > calibration.guarantee.interval[1])
    assert np.mean(over) <= 0.05  # where the highest 2 % were taken for the anomalies it was always
    assert "contamination that was stated is not used" in str(calibration.guarantee)
    assert calibration.threshold == TailRate(1e-3).calibrate(CalibrationRows.from_arrays(rows.score)).threshold


@pytest.mark.parametrize("rate", [0.0, 0.06, -1e-3])
def test_rates_outside_the_domain_are_refused(rate):
    with pytest.raises(ParameterError, match="'rate'"):
        TailRate(rate)


def test_a_tail_of_too_few_rows_is_an_error_of_its_own():
    with pytest.raises(TableError, match="too few rows"):
        fit_tail(np.arange(10.0))
