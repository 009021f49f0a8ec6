"""Features and detector in one file: what is loaded scores as what was saved, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vae_anomaly import (
    BehaviorFeatures,
    CalibratedDetector,
    FalseAlarmRate,
    ModelFileError,
    OutputError,
    ParameterError,
    VAEDetector,
    load_pipeline,
    save_pipeline,
)
from vae_anomaly._behavior import files
from vae_anomaly.artifact import read_artifact, write_artifact
from vae_anomaly.pipelines import stored_behavior

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.TrainingWarning")


def payments(n_rows, seed=0, start="2025-01-06"):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "card": rng.choice(["4000", "متجر", "🍕", None], n_rows),
            "moment": pd.Timestamp(start) + np.arange(n_rows) * pd.Timedelta("20min"),
            "amount": np.where(rng.random(n_rows) < 0.1, np.nan, rng.exponential(40, n_rows)),
            "shop": rng.choice(["a", "b", None], n_rows),
        }
    )


X, LATER = payments(400), payments(120, 1, "2025-02-01")


def behavior(**changed):
    return BehaviorFeatures("card", "moment", "amount", **{"windows": ("1D", "7D"), "keys": ("shop",), **changed})


def detector():
    return VAEDetector(n_members=1, max_steps=30)


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(behavior(), detector()).fit(X)


def test_what_is_loaded_scores_as_what_was_saved(pipeline, tmp_path):
    save_pipeline(pipeline, path := tmp_path / "model.vaea")
    loaded = load_pipeline(path, device="cpu")
    assert [name for name, _ in loaded.steps] == ["behavior", "detector"]
    for rows in (X, LATER, LATER[:1], LATER.assign(card=None), LATER.assign(card="never seen", shop="new")):
        np.testing.assert_array_equal(loaded.score_samples(rows), pipeline.score_samples(rows))
    before = loaded.score_samples(LATER)
    loaded[0].update(LATER[:50])
    np.testing.assert_array_equal(loaded.score_samples(LATER[50:]), before[50:])  # it goes on where it stands


def test_a_calibration_is_kept_beside_the_past(tmp_path):
    calibrated = CalibratedDetector(detector(), FalseAlarmRate(0.1))
    pipeline = make_pipeline(behavior(), calibrated).fit(X)
    save_pipeline(pipeline, path := tmp_path / "model.vaea")
    loaded = load_pipeline(path, device="cpu")
    assert isinstance(loaded[-1], CalibratedDetector)
    np.testing.assert_array_equal(loaded.predict(LATER), pipeline.predict(LATER))
    rows = pipeline[0].transform(LATER)
    for kind in (VAEDetector, CalibratedDetector):  # the detector by itself takes rows that have their features
        np.testing.assert_array_equal(kind.load(path, device="cpu").score_samples(rows), pipeline.score_samples(LATER))


def test_equal_pipelines_give_equal_bytes(pipeline, tmp_path):
    for name in ("a.vaea", "b.vaea"):
        save_pipeline(pipeline, tmp_path / name)
    assert (tmp_path / "a.vaea").read_bytes() == (tmp_path / "b.vaea").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        save_pipeline(pipeline, tmp_path / "a.vaea")
    save_pipeline(load_pipeline(tmp_path / "a.vaea"), tmp_path / "b.vaea", overwrite=True)
    assert read_artifact(tmp_path / "b.vaea").behavior == read_artifact(tmp_path / "a.vaea").behavior


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (make_pipeline(detector()), "VAEDetector"),
        (make_pipeline(behavior(), StandardScaler(), detector()), "BehaviorFeatures, StandardScaler, VAEDetector"),
        (make_pipeline(behavior(), IsolationForest()), "BehaviorFeatures, IsolationForest"),
        (detector(), "VAEDetector"),
    ],
)
def test_other_pipelines_are_refused(other, found, tmp_path):
    with pytest.raises(ParameterError, match=f"Got {found} instead"):
        save_pipeline(other, tmp_path / "model.vaea")
    assert not list(tmp_path.iterdir())


def test_a_pipeline_of_an_array_is_refused_as_files_go_by_names(tmp_path):
    rows = np.column_stack([np.arange(200) % 5, np.arange(200) * 60.0, np.arange(200) % 7])
    past = BehaviorFeatures("x0", "x1", "x2", windows=("1h",))
    pipeline = make_pipeline(past, detector()).fit(rows)
    with pytest.raises(ParameterError, match="fitted on a frame"):
        save_pipeline(pipeline, tmp_path / "model.vaea")
    assert not list(tmp_path.iterdir())


def test_a_detector_by_itself_is_no_pipeline(pipeline, tmp_path):
    pipeline[-1].save(path := tmp_path / "model.vaea")
    assert stored_behavior(read_artifact(path)) is None
    with pytest.raises(ModelFileError, match="found a detector by itself"):
        load_pipeline(path)


def test_spark_refuses_it_before_it_looks_at_the_frame(pipeline, tmp_path):
    pytest.importorskip("pyspark", reason="the extra [spark] is not installed")
    from vae_anomaly import spark

    save_pipeline(pipeline, path := tmp_path / "model.vaea")
    with pytest.raises(ParameterError, match="found one that knows the past of cards") as caught:
        spark.score(None, path)
    assert str(path) in str(caught.value)
    pipeline[-1].save(path, overwrite=True)
    with pytest.raises(AttributeError):  # the detector by itself is no reason to stop
        spark.score(None, path)


@pytest.mark.parametrize(
    ("of_file", "reason"),
    [
        (lambda content: b"", "what save of BehaviorFeatures wrote"),
        (lambda content: b"PAR1" + content[4:200], "what save of BehaviorFeatures wrote"),
        (lambda content: behavior(windows=("2D",)).fit(X)._to_bytes(), "card__count_1D"),
    ],
    ids=["empty", "cut", "of another model"],
)
def test_a_past_that_does_not_fit_is_refused(pipeline, tmp_path, of_file, reason):
    save_pipeline(pipeline, path := tmp_path / "model.vaea")
    artifact = read_artifact(path)
    write_artifact(path, artifact.manifest, artifact.weights, behavior=of_file(artifact.behavior), overwrite=True)
    with pytest.raises(ModelFileError, match=reason) as caught:
        load_pipeline(path)
    assert str(path) in str(caught.value)


def test_few_bytes_that_stand_for_very_many_rows_are_refused(monkeypatch):
    content = behavior().fit(X)._to_bytes()
    monkeypatch.setattr(files, "_ROWS_OF_ANY_FILE", -8 * len(content) + 10)
    with pytest.raises(ModelFileError, match=r"can hold no more than 10"):
        BehaviorFeatures._of_bytes(content, "model.vaea")
