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
    """

    build: Callable[[int, Mapping[str, Any]], Any]
    score: Callable[[Any, Any], NDArray[np.float64]]
    warm_up: Mapping[str, Any] = field(default_factory=dict)
    requires: tuple[str, ...] = ()


def _vae_detector(seed: int, settings: Mapping[str, Any]) -> Any:
    from vae_anomaly.detector import VAEDetector

    return VAEDetector(random_state=seed, **settings)


def _pyod_vae(seed: int, settings: Mapping[str, Any]) -> Any:
    from pyod.models.vae import VAE

    return VAE(random_state=seed, verbose=0, **settings)  # without its progress bar


def _isolation_forest(seed: int, settings: Mapping[str, Any]) -> Any:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(random_state=seed, n_jobs=-1, **settings)  # n_jobs changes the seconds and no score


DETECTORS: dict[str, Detector] = {
    OURS: Detector(
        build=_vae_detector,
        score=lambda fitted, X: np.asarray(fitted.anomaly_score(X)),
        warm_up={"max_steps": 1},
    ),
    "PyOD-VAE": Detector(
        build=_pyod_vae,
        score=lambda fitted, X: np.asarray(fitted.decision_function(X)),
        warm_up={"epoch_num": 1},
        requires=("pyod", "tqdm"),
    ),
    "IsolationForest": Detector(
        build=_isolation_forest,
        score=lambda fitted, X: -np.asarray(fitted.score_samples(X)),
        warm_up={"n_estimators": 1},
    ),
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
