"""Training histories: what was evaluated is what is drawn, fits that went on one after the other."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.ensemble import IsolationForest

from vae_anomaly import CalibratedDetector, Evaluation, History, ParameterError, VAEDetector
from vae_anomaly.plots import TrainingHistoryDisplay


def test_the_lines_are_the_history_of_the_fit(detector):
    display = TrainingHistoryDisplay.from_estimator(detector)
    history = detector.history_
    for line, name in ((display.train_, "train_elbo"), (display.held_out_, "held_out_elbo")):
        expected = [(one["step"], one[name]) for one in history]
        assert line.get_xydata().tolist() == [list(point) for point in expected]
    assert set(display.kept_.get_ydata()) == {detector.profile_["held_out_elbo"]}
    assert set(display.baseline_.get_ydata()) == {detector.profile_["baseline_elbo"]}
    assert display.held_out_elbo.max() <= display.kept_elbo + 1e-9


def test_what_was_kept_is_in_the_picture(detector):
    display = TrainingHistoryDisplay.from_estimator(detector)
    low, high = display.ax_.get_ylim()
    assert low < min(display.baseline_elbo, display.kept_elbo)
    assert high > max(display.kept_elbo, display.train_elbo.max())


def test_a_fit_that_went_on_follows_the_first_after_a_gap(detector, payments):
    continued = copy.deepcopy(detector).partial_fit(payments)
    display = TrainingHistoryDisplay.from_estimator(continued)
    n_first = len(detector.history_)
    assert display.continued.tolist() == [n_first]
    assert (np.diff(display.step) > 0).all()
    assert display.step[n_first] == detector.history_[-1]["step"] + continued.history_[n_first]["step"]
    assert np.isnan(display.held_out_.get_ydata()).nonzero()[0].tolist() == [n_first]


def test_a_history_of_callbacks_a_loaded_model_and_a_wrapped_one_will_do(detector, payments, tmp_path):
    first = TrainingHistoryDisplay.from_estimator(detector)
    history = History([Evaluation(**evaluation) for evaluation in detector.history_])
    assert (TrainingHistoryDisplay.from_predictions(history).step == first.step).all()
    detector.save(tmp_path / "model.vaea")
    loaded = TrainingHistoryDisplay.from_estimator(VAEDetector.load(tmp_path / "model.vaea", device="cpu"))
    assert (loaded.held_out_elbo == first.held_out_elbo).all()
    assert loaded.kept_elbo == first.kept_elbo
    wrapped = CalibratedDetector(detector, cv="prefit").fit(payments)
    assert (TrainingHistoryDisplay.from_estimator(wrapped).step == first.step).all()


@pytest.mark.parametrize("elbo", [[-3.0], [-1e9, -2.0, -1.0, -1.0], [-1.0, -1.0], [np.nan, -1.0], [np.nan]], ids=str)
def test_awkward_histories_are_drawn(elbo):
    _, ax = plt.subplots(figsize=(4, 3), layout="constrained")
    history = [{"step": i + 1, "train_elbo": one, "held_out_elbo": one} for i, one in enumerate(elbo)]
    display = TrainingHistoryDisplay.from_predictions(history, kept_elbo=-1.0, ax=ax)
    ax.figure.canvas.draw()
    low, high = ax.get_ylim()
    assert low < -1 < high
    assert display.held_out_.get_ydata() == pytest.approx(elbo, nan_ok=True)


def test_evaluations_of_a_model_that_knows_nothing_yet_do_not_flatten_the_rest():
    history = [{"step": step, "train_elbo": -5.0, "held_out_elbo": -1e6 / step**4 - 2} for step in range(1, 100)]
    low, high = TrainingHistoryDisplay.from_predictions(history).ax_.get_ylim()
    assert high - low < 100


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ([], "at least one evaluation"),
        ([{"step": 1, "train_elbo": -1.0}], "evaluation 0 has none for held_out_elbo"),
        ([3.0], "evaluation 0 has none for step"),
        ([{"step": 1, "train_elbo": -1.0, "held_out_elbo": "low"}], "none for held_out_elbo"),
    ],
)
def test_what_is_no_history_is_refused(history, message):
    with pytest.raises(ParameterError, match=message):
        TrainingHistoryDisplay.from_predictions(history)
    assert not plt.get_fignums()


def test_other_detectors_have_none():
    with pytest.raises(ParameterError, match=r"fitted VAEDetector\. Got IsolationForest"):
        TrainingHistoryDisplay.from_estimator(IsolationForest())
    with pytest.raises(ParameterError, match=r"fitted VAEDetector\. Got VAEDetector"):
        TrainingHistoryDisplay.from_estimator(VAEDetector())
    with pytest.raises(ParameterError, match="'kept_elbo' parameter"):
        TrainingHistoryDisplay.from_predictions([], kept_elbo="high")
