"""A calibration in a model file: it comes back bit for bit, touches nothing else, and is never believed unread."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from vae_anomaly import (
    AlertBudget,
    CalibratedDetector,
    CalibrationWarning,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    ModelFileError,
    OutputError,
    ParameterError,
    RecallAt,
    VAEDetector,
    make_transactions,
)
from vae_anomaly._calibration_file import stored_calibration
from vae_anomaly.artifact import read_artifact, write_artifact

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")

COLUMNS = ["amount", "channel", "country", "distance_km"]
PAYMENTS = make_transactions(900, n_merchants=625, fraud_rate=0.03, random_state=0)
TRAINING, LATER = PAYMENTS.iloc[:300], PAYMENTS.iloc[300:]
BESIDE = {"amount": LATER["amount"], "time": LATER["timestamp"], "groups": LATER["channel"]}
SCORED = make_transactions(400, n_merchants=625, fraud_rate=0.03, random_state=1)
METHODS = ("score_samples", "decision_function", "predict", "p_value", "risk_score")


@pytest.fixture(scope="module")
def fitted():
    return VAEDetector(n_members=2, hidden=(16,), latent=3, max_steps=100, random_state=0).fit(TRAINING[COLUMNS])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.vaea"


def calibrated(fitted, rule=FalseAlarmRate(0.03), **settings):  # noqa: B008  (frozen)
    detector = CalibratedDetector(fitted, rule, cv="prefit", min_segment_rows=100, use_y=True, **settings)
    return detector.fit(LATER[COLUMNS], LATER["is_fraud"], **BESIDE)


def decisions(detector):
    groups = {"groups": SCORED["channel"]}
    return [getattr(detector, name)(SCORED[COLUMNS], **(groups if name != METHODS[0] else {})) for name in METHODS]


@pytest.mark.parametrize(
    "rule",
    [
        FalseAlarmRate(0.03),
        AlertBudget(np.int64(3)),
        AlertBudget(5, per=100),
        DiscoveryRate(0.2, method="by"),
        ExpectedCost("amount", 5),
        RecallAt(0.5),
        Contamination(0.01),
    ],
    ids=repr,
)
def test_what_was_decided_before_is_decided_after_bit_for_bit(fitted, path, rule):
    before = calibrated(fitted, rule)
    before.save(path)
    after = CalibratedDetector.load(path)
    for first, second in zip(decisions(before), decisions(after), strict=True):
        np.testing.assert_array_equal(first, second)
    assert after.report_ == before.report_
    assert after.rule_ == before.rule_
    assert after.segment_thresholds_ == before.segment_thresholds_
    assert len(after.segment_thresholds_) >= 2
    assert list(after.feature_names_in_) == COLUMNS


def test_weights_come_back_and_recalibrating_goes_on_as_before(fitted, path):
    weight = np.linspace(0, 1, len(LATER))
    before = calibrated(fitted).recalibrate(LATER[COLUMNS], sample_weight=weight, rule=FalseAlarmRate(0.05))
    before.save(path)
    after = CalibratedDetector.load(path)
    np.testing.assert_array_equal(after.calibration_.weight, before.calibration_.weight)
    for detector in (before, after):
        detector.recalibrate(SCORED[COLUMNS])
    assert after.report_ == before.report_


def test_a_rule_that_was_left_out_is_left_out_after_loading_too(fitted, path):
    few = CalibratedDetector(fitted, cv="prefit")
    with pytest.warns(CalibrationWarning, match="needs 299"):
        few.fit(LATER[COLUMNS].iloc[:100])
    few.save(path)
    loaded = CalibratedDetector.load(path)
    assert loaded.rule_ == few.rule_ != FalseAlarmRate(0.01)
    assert loaded.recalibrate(LATER[COLUMNS]).rule_ == FalseAlarmRate(0.01)


def test_settings_and_the_segment_column_come_back(fitted, path):
    detector = CalibratedDetector(fitted, cv="prefit", assumed_contamination=0.02, min_segment_rows=7)
    detector.fit(LATER[COLUMNS]).save(path, segment_column="channel")
    assert stored_calibration(read_artifact(path)).segment_column == "channel"
    loaded = CalibratedDetector.load(path)
    assert (loaded.assumed_contamination, loaded.min_segment_rows, loaded.cv) == (0.02, 7, "prefit")
    with pytest.raises(ParameterError, match="the name of a column"):
        detector.save(path, overwrite=True, segment_column=3)


def test_the_detector_alone_is_read_from_the_same_file(fitted, path):
    calibrated(fitted).save(path)
    alone = VAEDetector.load(path)
    np.testing.assert_array_equal(alone.score_samples(SCORED[COLUMNS]), fitted.score_samples(SCORED[COLUMNS]))
    assert alone.offset_ == fitted.offset_


def test_nothing_but_the_calibration_is_added_to_the_detectors_file(fitted, path, tmp_path):
    fitted.save(tmp_path / "alone.vaea")
    calibrated(fitted).save(path)
    alone, both = read_artifact(tmp_path / "alone.vaea"), read_artifact(path)
    others = {name: array for name, array in both.weights.items() if not name.startswith("calibration.")}
    assert {name: array.tobytes() for name, array in others.items()} == {
        name: array.tobytes() for name, array in alone.weights.items()
    }
    assert set(both.weights) > set(others)
    own = {"members", "manifest_sha256", "calibration"}
    assert {k: v for k, v in both.manifest.items() if k not in own} == {
        k: v for k, v in alone.manifest.items() if k not in own
    }


def test_a_detector_in_the_freezer_is_saved_as_itself(fitted, path):
    detector = CalibratedDetector(FrozenEstimator(fitted), Contamination(0.01), cv="prefit").fit(LATER[COLUMNS])
    detector.save(path)
    np.testing.assert_array_equal(
        CalibratedDetector.load(path).predict(SCORED[COLUMNS]), detector.predict(SCORED[COLUMNS])
    )


def test_what_cannot_be_rebuilt_is_not_written(fitted, path):
    @dataclass(frozen=True)
    class Mine(Contamination):
        needs: ClassVar[frozenset[str]] = frozenset()

    forest = CalibratedDetector(IsolationForest(n_estimators=5, random_state=0)).fit(np.eye(1_200)[:, :3])
    with pytest.raises(ParameterError, match=r"writes a VAEDetector. Got IsolationForest .* pickle"):
        forest.save(path)
    with pytest.raises(ParameterError, match=r"can hold the rules FalseAlarmRate, .* Got .*Mine"):
        calibrated(fitted, Mine(0.01)).save(path)
    with pytest.raises(NotFittedError):
        CalibratedDetector().save(path)
    assert not path.exists()


def test_a_file_is_replaced_only_if_that_was_said(fitted, path):
    calibrated(fitted).save(path)
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        calibrated(fitted, Contamination(0.1)).save(path)
    assert path.read_bytes() == before
    calibrated(fitted, Contamination(0.1)).save(path, overwrite=True)
    assert CalibratedDetector.load(path).rule_ == Contamination(0.1)


def test_a_file_without_a_calibration_says_so(fitted, path):
    fitted.save(path)
    with pytest.raises(ModelFileError, match=r"expected a calibration .* found none. Load the detector with VAE"):
        CalibratedDetector.load(path)
    golden = Path(__file__).parent / "golden" / "format-1.vaea"
    assert stored_calibration(read_artifact(golden)) is None


def _set(*path_and_value):
    *path, value = path_and_value

    def change(manifest, weights):
        part = manifest["calibration"]
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value

    return change


def _array(name, make):
    def change(manifest, weights):
        weights[f"calibration.{name}"] = make(weights[f"calibration.{name}"])

    return change


def _drop_key(manifest, weights):
    del manifest["calibration"]


def _no_object(manifest, weights):
    manifest["calibration"] = [1, 2]


def _no_settings(manifest, weights):
    del manifest["calibration"]["settings"]


DAMAGE = {
    "arrays without a calibration": _drop_key,
    "no object": _no_object,
    "no settings": _no_settings,
    "settings of another type": _set("settings", "all"),
    "a setting too many": _set("settings", "extra", 1),
    "a segment column that is a number": _set("settings", "segment_column", 7),
    "a contamination above one half": _set("settings", "assumed_contamination", 0.9),
    "no rows for a segment": _set("settings", "min_segment_rows", 0),
    "a rule that is a list": _set("rule", ["FalseAlarmRate"]),
    "a rule whose name is a list": _set("rule", "rule", ["FalseAlarmRate"]),
    "an unknown rule": _set("rule", "rule", "os.system"),
    "a rule with a parameter of another": _set("rule", "fdr", 0.1),
    "a rule outside its domain": _set("rule", "alpha", 2**63),
    "a report that cannot be printed": _set("report", "n_anomalies", None),
    "fewer rows than scores": _set("report", "n_rows", 3),
    "rows below zero": _set("report", "n_rows", -1),
    "a threshold that is text": _set("report", "threshold", "0"),
    "segments of the report that are none": _set("report", "segments", {"web": 1}),
    "segments of another name": _set("segments", {"web": {"rule": "Contamination", "share": 0.1}}),
    "no scores": _array("score", lambda score: score[:0]),
    "a score too many": _array("weight", lambda weight: weight[1:]),
    "scores out of order": _array("score", lambda score: score[::-1].copy()),
    "an infinite score": _array("score", lambda score: np.append(score[:-1], np.inf)),
    "scores as 32-bit numbers": _array("score", lambda score: score.astype(np.float32)),
    "scores in two columns": _array("score", lambda score: score[:, None].copy()),
    "weights that are too large to add": _array("weight", lambda weight: np.full_like(weight, 1e308)),
    "weights of zero alone": _array("weight", np.zeros_like),
    "a weight below zero": _array("weight", lambda weight: weight - 0.5),
}


@pytest.fixture(scope="module")
def whole(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.vaea"
    detector = calibrated(fitted)
    y = LATER["is_fraud"]
    weight = np.linspace(0, 1, len(LATER))
    detector.recalibrate(LATER[COLUMNS], y, groups=LATER["channel"], sample_weight=weight).save(path)
    CalibratedDetector.load(path)
    return read_artifact(path)


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_file_whose_calibration_is_none_is_refused_with_its_name(whole, path, change):
    manifest, weights = copy.deepcopy(dict(whole.manifest)), dict(whole.weights)
    change(manifest, weights)
    write_artifact(path, manifest, weights)
    with pytest.raises(ModelFileError, match=r"model\.vaea: "):
        CalibratedDetector.load(path)
    VAEDetector.load(path)  # the detector itself is as it was
