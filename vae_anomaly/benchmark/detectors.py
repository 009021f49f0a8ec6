"""The detectors that are measured, by name: how each is built and which way its scores run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly.errors import MissingExtraError, ParameterError

OURS = "VAEDetector"
EXTRA = "benchmark"


@dataclass(frozen=True)
class Detector:
    """A detector at its defaults.

    Parameters
    ----------
    build : callable
        ``build(seed, settings)`` makes an unfitted one; `settings` is empty in every measurement, tests shorten it.
    score : callable
        ``score(fitted, X)`` gives each row a number, higher for more anomalous.
    warm_up : mapping
        Settings that make a fit as short as can be, for what a first fit imports and never again.
    requires : tuple of str
        Packages that only the `EXTRA` extra brings.
    library : str
        The distribution whose version decides its scores.
    clean : mapping
        Settings that tell it that the training rows are known to be normal, if it has any.
    scaled : bool
        Whether `vae_anomaly.benchmark.quality` gives it numbers, in the suite's encodings, not the rows as they are.
    """

    build: Callable[[int, Mapping[str, Any]], Any]
    score: Callable[[Any, Any], NDArray[np.float64]]
    warm_up: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    library: str = "scikit-learn"
    clean: Mapping[str, Any] = field(default_factory=dict)
    scaled: bool = True


class DeepSVDDOfAnyWidth:
    """PyOD's DeepSVDD at its defaults; it wants the number of columns before it has seen a row.

    Parameters
    ----------
    **settings
        Of ``pyod.models.deep_svdd.DeepSVDD``, without `n_features`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def get_params(self) -> dict[str, Any]:
        """Settings, as scikit-learn's estimators tell them."""
        return dict(self.settings)

    def fit(self, X: Any) -> DeepSVDDOfAnyWidth:
        """Build it for the columns of `X`, and fit it."""
        from pyod.models.deep_svdd import DeepSVDD

        self.model = DeepSVDD(n_features=X.shape[1], **self.settings).fit(X)
        return self

    def decision_function(self, X: Any) -> Any:
        """Higher for more anomalous."""
        return self.model.decision_function(X)


def _vae_detector(seed: int, settings: Mapping[str, Any]) -> Any:
    from vae_anomaly.detector import VAEDetector

    return VAEDetector(random_state=seed, **settings)


def _pyod_vae(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.vae import VAE

    return VAE(random_state=seed, verbose=0, **settings)  # without its progress bar


def _isolation_forest(seed: int, settings: Mapping[str, Any]) -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(random_state=seed, n_jobs=-1, **settings)  # n_jobs changes the seconds and no score


def _lof(seed: int, settings: Mapping[str, Any]) -> Any:
    from sklearn.neighbors import LocalOutlierFactor

    return LocalOutlierFactor(novelty=True, **settings)


def _one_class_svm(seed: int, settings: Mapping[str, Any]) -> Any:
    from sklearn.svm import OneClassSVM

    return OneClassSVM(**settings)


def _elliptic_envelope(seed: int, settings: Mapping[str, Any]) -> Any:
    from sklearn.covariance import EllipticEnvelope

    return EllipticEnvelope(random_state=seed, **settings)


def _neighbours(seed: int, settings: Mapping[str, Any]) -> Any:
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=5, **settings)


def _pyod_auto_encoder(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.auto_encoder import AutoEncoder

    return AutoEncoder(random_state=seed, verbose=0, **settings)


def _pyod_deep_svdd(seed: int, settings: Mapping[str, Any]) -> Any:
    return DeepSVDDOfAnyWidth(random_state=seed, verbose=0, **settings)


def _pyod_lunar(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.lunar import LUNAR

    return LUNAR(random_state=seed, **settings)


def _pyod_ecod(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.ecod import ECOD

    return ECOD(**settings)


def _pyod_copod(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.copod import COPOD

    return COPOD(**settings)


def _pyod_hbos(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.hbos import HBOS

    return HBOS(**settings)


def _anomaly_score(fitted: Any, X: Any) -> NDArray[np.float64]:
    return np.asarray(fitted.anomaly_score(X))


def _decision_function(fitted: Any, X: Any) -> NDArray[np.float64]:
    return np.asarray(fitted.decision_function(X))


def _minus_score_samples(fitted: Any, X: Any) -> NDArray[np.float64]:
    return -np.asarray(fitted.score_samples(X))


def _farthest_neighbour(fitted: Any, X: Any) -> NDArray[np.float64]:
    return np.asarray(fitted.kneighbors(X)[0].max(axis=1))


def _mean_neighbour(fitted: Any, X: Any) -> NDArray[np.float64]:
    """DTE-NP of Livernoche et al. (2024), "On diffusion modeling for anomaly detection": it is this formula."""
    return np.asarray(fitted.kneighbors(X)[0].mean(axis=1))


def _pyod(build: Callable[[int, Mapping[str, Any]], Any], **warm_up: Any) -> Detector:
    return Detector(build, _decision_function, warm_up, requires=("pyod", "tqdm"), library="pyod")


DETECTORS: dict[str, Detector] = {
    OURS: Detector(
        build=_vae_detector,
        score=_anomaly_score,
        warm_up={"max_steps": 1},
        library="torch",
        clean={"contamination": 0.0},
        scaled=False,
    ),
    "PyOD-VAE": _pyod(_pyod_vae, epoch_num=1),
    "IsolationForest": Detector(_isolation_forest, _minus_score_samples, warm_up={"n_estimators": 1}),
    "LOF": Detector(_lof, _minus_score_samples),
    "OneClassSVM": Detector(_one_class_svm, _minus_score_samples),
    "EllipticEnvelope": Detector(_elliptic_envelope, _minus_score_samples),
    "kNN": Detector(_neighbours, _farthest_neighbour),
    "DTE-NP": Detector(_neighbours, _mean_neighbour),
    "PyOD-AutoEncoder": _pyod(_pyod_auto_encoder, epoch_num=1),
    "PyOD-DeepSVDD": _pyod(_pyod_deep_svdd, epochs=1),
    "PyOD-ECOD": _pyod(_pyod_ecod),
    "PyOD-COPOD": _pyod(_pyod_copod),
    "PyOD-HBOS": _pyod(_pyod_hbos),
    "PyOD-LUNAR": _pyod(_pyod_lunar, n_epochs=1),
}


def detector(name: str) -> Detector:
    """Look a detector up.

    Parameters
    ----------
    name : str
        A key of `DETECTORS`.

    Raises
    ------
    ParameterError
        If there is none of that name.

    Examples
    --------
    >>> detector("IsolationForest").build(0, {})
    IsolationForest(n_jobs=-1, random_state=0)
    """
    if name not in DETECTORS:
        raise ParameterError(f"A detector of the benchmark must be one of {list(DETECTORS)}. Got {name!r} instead.")
    return DETECTORS[name]


def check_installed(names: Iterable[str]) -> None:
    """Find out before the first measurement, not after an hour, that a detector is not there.

    Parameters
    ----------
    names : iterable of str
        Keys of `DETECTORS`.

    Raises
    ------
    MissingExtraError
        If a package that one of them needs is not installed.

    Examples
    --------
    >>> check_installed(["VAEDetector", "IsolationForest"])
    """
    for name in names:
        for package in detector(name).requires:
            if find_spec(package) is None:
                raise MissingExtraError(package, EXTRA)
