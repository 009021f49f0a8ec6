"""Files of every format that was ever released load, and score as they did."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector
from vae_anomaly.artifact import FORMAT

GOLDEN = Path(__file__).parent / "golden"
FORMATS = range(1, FORMAT + 1)


@pytest.mark.parametrize("number", FORMATS)
def test_an_old_file_scores_as_it_did(number):
    rows = pd.read_csv(GOLDEN / f"format-{number}.csv", parse_dates=["timestamp"])
    detector = VAEDetector.load(GOLDEN / f"format-{number}.vaea")
    scores = detector.anomaly_score(rows.drop(columns="anomaly_score"))
    np.testing.assert_allclose(scores, rows["anomaly_score"], rtol=1e-5)


@pytest.mark.parametrize("number", FORMATS)
def test_an_old_file_can_be_trained_on(number):
    rows = pd.read_csv(GOLDEN / f"format-{number}.csv", parse_dates=["timestamp"]).drop(columns="anomaly_score")
    detector = VAEDetector.load(GOLDEN / f"format-{number}.vaea")
    before = detector.score_samples(rows)
    assert not np.array_equal(detector.partial_fit(rows).score_samples(rows), before)


@pytest.mark.parametrize("number", FORMATS)
def test_an_old_file_can_be_sampled_from(number):
    detector = VAEDetector.load(GOLDEN / f"format-{number}.vaea")
    drawn = detector.sample(50, random_state=0)
    assert drawn.columns.tolist() == list(detector.schema_.names)
    assert np.isfinite(detector.anomaly_score(drawn)).all()
