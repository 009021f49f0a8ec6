"""Every one of scikit-learn's estimator checks, none excepted."""

import pytest
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from vae_anomaly import VAEDetector

TINY = {"n_members": 2, "hidden": (16,), "latent": 2, "max_steps": 16, "batch_size": 16}


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.VaeAnomalyWarning")
@parametrize_with_checks(
    [
        VAEDetector(**TINY),
        VAEDetector(**TINY, score_type="reconstruction", contamination=0.1, patience=None, warm_start=False),
        VAEDetector(**TINY, score_type="iwae", n_iwae_samples=4, contamination=0.05, validation_fraction=0.0),
    ]
)
def test_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.VaeAnomalyWarning")
def test_the_default_configuration_passes_too():
    results = check_estimator(VAEDetector(), on_fail=None, on_skip=None)
    failed = [f"{r['check_name']}: {r['exception']!r}" for r in results if r["status"] == "failed"]
    assert not failed
    assert len(results) > 40
