"""The fitted detector in what users pass."""

from __future__ import annotations

from typing import Any

from vae_anomaly.errors import ParameterError


def fitted_vae(detector: Any) -> Any:
    """The detector that has a latent space: itself, or the one in a CalibratedDetector.

    Raises
    ------
    ParameterError
        There is none, or it is not fitted.
    """
    vae = getattr(detector, "estimator_", detector)
    if not hasattr(vae, "model_"):
        raise ParameterError(
            "A look into latent space needs a fitted VAEDetector, alone or in a CalibratedDetector. Got "
            f"{type(vae).__name__} instead: fit one first."
        )
    return vae
