import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm
from sklearn.metrics import fbeta_score

from vae_anomaly.decision.thresholds import CalibrationRows, ExpectedCost, FBeta, PrecisionAt, RecallAt
from vae_anomaly.errors import ParameterError, TableError

labelled = (
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=25)
    .filter(lambda rows: {y for _, y in rows} == {0, 1})
    .map(
        lambda rows: CalibrationRows.from_arrays(
            [s for s, _ in rows], y=[y for _, y in rows], amount=AMOUNT[: len(rows)]
        )
    )
)
AMOUNT = np.random.default_rng(0).integers(1, 100, 25).astype(float)


def decisions(rows):
    """Every set of alerts that a threshold can make, those with more alerts later."""
    levels = np.unique(rows.score)[::-1]
    return [rows.score > level for level in (*levels, levels[-1] - 1)]


@given(labelled, st.sampled_from([0.5, 1.0, 2.0]))
def test_no_threshold_has_a_higher_f_beta(rows, beta_):
    calibration = FBeta(beta_).calibrate(rows)
    scores = [fbeta_score(rows.y, alerts, beta=beta_, zero_division=0) for alerts in decisions(rows)]
    assert calibration.guarantee.estimate == pytest.approx(max(scores))
    assert fbeta_score(rows.y, calibration.alerts(rows.score), beta=beta_) == pytest.approx(max(scores))


@given(labelled, st.sampled_from([0.25, 0.5, 0.75, 1.0]))
def test_the_precision_is_had_with_as_many_alerts_as_it_allows(rows, precision):
    reached = [alerts for alerts in decisions(rows) if alerts.any() and rows.y[alerts].mean() >= precision]
    if reached:
        alerts = PrecisionAt(precision).calibrate(rows).alerts(rows.score)
        np.testing.assert_array_equal(alerts, reached[-1])
    else:
        best = max(rows.y[alerts].mean() for alerts in decisions(rows) if alerts.any())
        with pytest.raises(TableError, match=f"best precision .* {100 * best:.3g} %"):
            PrecisionAt(precision).calibrate(rows)


@given(labelled, st.sampled_from([0.2, 0.5, 0.9, 1.0]))
def test_the_recall_is_had_with_as_few_alerts_as_it_allows(rows, recall):
    reached = [alerts for alerts in decisions(rows) if alerts[rows.y].mean() >= recall]
    np.testing.assert_array_equal(RecallAt(recall).calibrate(rows).alerts(rows.score), reached[0])


@pytest.mark.parametrize("rule", [ExpectedCost(30, 2), FBeta()])
def test_what_is_best_on_its_own_rows_has_no_bounds_and_says_why(rule):
    rng = np.random.default_rng(3)
    rows = CalibrationRows.from_arrays(rng.normal(size=300), y=np.arange(300) < 30)
    report = rule.calibrate(rows).guarantee
    assert report.interval is None
    assert "chosen on these very rows as the best" in str(report)
    assert " to " not in next(remark for remark in report.remarks if remark.startswith("recall"))


def test_a_precision_that_was_chosen_is_said_to_be_optimistic():
    rows = CalibrationRows.from_arrays([1.0, 2.0, 3.0, 4.0], y=[0, 1, 0, 1])
    assert "optimistic" in PrecisionAt(0.6).calibrate(rows).guarantee.holds


def test_the_bounds_of_a_recall_hold_for_rows_to_come():
    rng = np.random.default_rng(1)
    low, high, n = 0, 0, 500
    for _ in range(n):
        rows = CalibrationRows.from_arrays(
            np.append(rng.normal(size=300), rng.normal(2, 1, 60)), y=np.repeat([0, 1], [300, 60])
        )
        calibration = RecallAt(0.8).calibrate(rows)
        truth = norm.sf(calibration.threshold - 2)
        low += truth < calibration.guarantee.interval[0]
        high += truth > calibration.guarantee.interval[1]
    assert max(low, high) <= 45  # 25 expected at most, and four standard errors


# Costs


def cost(rows, alerts, missed, alarm, weight=None):
    weight = np.ones(len(rows)) if weight is None else weight
    return (weight * np.where(alerts, alarm, np.where(rows.y, missed, 0.0))).sum()


@given(labelled, st.sampled_from([1, 7, 40, "amount"]), st.sampled_from([0.5, 5.0]))
def test_no_threshold_costs_less(rows, missed, alarm):
    calibration = ExpectedCost(missed, alarm).calibrate(rows)
    lost = rows.amount if missed == "amount" else np.full(len(rows), float(missed))
    costs = [cost(rows, alerts, lost, alarm) for alerts in decisions(rows)]
    found = cost(rows, calibration.alerts(rows.score), lost, alarm)
    assert found == pytest.approx(min(costs))
    assert calibration.guarantee.estimate == pytest.approx(min(costs) / len(rows))


@given(labelled, st.sampled_from([0.001, 0.1, 0.6]))
def test_rows_are_weighted_to_a_prevalence(rows, prevalence):
    calibration = ExpectedCost(20, 3, prevalence).calibrate(rows)
    weight = np.where(rows.y, prevalence / rows.y.mean(), (1 - prevalence) / (1 - rows.y.mean()))
    costs = [cost(rows, alerts, 20.0, 3.0, weight) for alerts in decisions(rows)]
    assert cost(rows, calibration.alerts(rows.score), 20.0, 3.0, weight) == pytest.approx(min(costs))


@given(st.floats(1.5, 500), st.floats(1e-4, 0.3), st.floats(0.55, 0.99))
def test_without_labels_the_share_of_alerts_is_that_of_the_least_modelled_cost(missed, prevalence, auc):
    a = 1 / auc - 1
    t = np.append(0.0, np.geomspace(1e-12, 1, 20_001))
    share = (1 - prevalence) * t + prevalence * t**a
    costs = share + missed * prevalence * (1 - t**a)
    rows = CalibrationRows.from_arrays(np.arange(20_000.0))
    report = ExpectedCost(missed, 1.0, prevalence, auc).calibrate(rows).guarantee
    assert report.estimate <= costs.min() * (1 + 1e-9)
    assert report.estimate == pytest.approx(costs.min(), rel=1e-3)
    assert report.n_alerts / 20_000 == pytest.approx(share[costs.argmin()], rel=0.01, abs=1e-4)


def test_where_the_assumptions_are_true_the_modelled_cost_is_what_comes():
    rng = np.random.default_rng(2)
    prevalence, auc, n = 0.02, 0.92, 200_000

    def draw():
        y = rng.random(n) < prevalence
        p = np.where(y, beta.rvs(1 / auc - 1, 1, size=n, random_state=rng), rng.random(n))
        return -np.log(p), y

    calibration = ExpectedCost(100, 2, prevalence, auc).calibrate(CalibrationRows.from_arrays(draw()[0]))
    score, y = draw()
    costs = np.where(calibration.alerts(score), 2.0, np.where(y, 100.0, 0.0))
    assert costs.mean() == pytest.approx(calibration.guarantee.estimate, abs=4 * costs.std() / np.sqrt(n))
    best = min(np.where(score > t, 2.0, np.where(y, 100.0, 0.0)).mean() for t in np.linspace(0, 10, 201))
    assert costs.mean() == pytest.approx(best, rel=0.02)


def test_an_alert_dearer_than_what_it_saves_never_pays():
    rows = CalibrationRows.from_arrays(np.arange(50.0))
    calibration = ExpectedCost(1, 2, prevalence=0.1).calibrate(rows)
    assert not calibration.alerts(rows.score).any()
    assert "no alert pays" in str(calibration.guarantee)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ExpectedCost(-1, 5),
        lambda: ExpectedCost(10, -5),
        lambda: ExpectedCost("sum", 5),
        lambda: ExpectedCost(10, 5, prevalence=0.0),
        lambda: ExpectedCost(10, 5, auc=0.5),
        lambda: FBeta(0.0),
        lambda: PrecisionAt(1.1),
        lambda: RecallAt(0.0),
    ],
)
def test_parameters_outside_their_domain_are_refused(wrong):
    with pytest.raises(ParameterError, match="parameter of"):
        wrong()


@pytest.mark.parametrize("rule", [FBeta(), PrecisionAt(0.5), RecallAt(0.5), ExpectedCost(10, 1)])
def test_missing_labels_and_labels_of_one_class_are_refused(rule):
    assert "y" in rule.needs
    with pytest.raises(TableError, match="needs labels"):
        rule.calibrate(CalibrationRows.from_arrays([1.0, 2.0]))
    with pytest.raises(TableError, match="both classes"):
        rule.calibrate(CalibrationRows.from_arrays([1.0, 2.0], y=[0, 0]))


def test_missing_amounts_are_refused():
    with pytest.raises(TableError, match="amount"):
        ExpectedCost("amount", 1).calibrate(CalibrationRows.from_arrays([1.0, 2.0], y=[0, 1]))
    assert ExpectedCost("amount", 1, prevalence=0.1).needs == {"amount"}
