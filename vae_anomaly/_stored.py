"""A fitted VAEDetector as the contents of a model file, and back."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vae_anomaly._filling import Filling
from vae_anomaly._known import KnownHead, n_cells
from vae_anomaly._params import check_params, to_json
from vae_anomaly._rules import RULES
from vae_anomaly._sampler.files import sampler_from_arrays, sampler_to_arrays
from vae_anomaly._usual import usual_from_arrays, usual_to_arrays
from vae_anomaly._version import __version__
from vae_anomaly.artifact import Artifact, check_weights
from vae_anomaly.errors import ModelFileError, ParameterError
from vae_anomaly.model.network import NetworkConfig, TabularVAE
from vae_anomaly.model.own_network import OwnNetworks
from vae_anomaly.table.schema import Schema
from vae_anomaly.training.callbacks import Evaluation

PROFILE = (
    "n_rows",
    "n_steps",
    "seconds",
    "stopped_early",
    "held_out_elbo",
    "baseline_elbo",
    "dependence",
    "dependence_error",
    "active_latents",
    "n_rollbacks",
    "column_surprisal",
)
"""What `profile_` holds, and a model file with it."""

_KNOWN = "known."
"""Before the names of the arrays of `KnownHead`, beside those of the network."""

_USUAL = "usual."
"""Before the names of the arrays that say what surprisals are usual."""

_SAMPLER = "sampler."
"""Before the names of the arrays that rows are sampled from."""

_FILLING = "filling."
"""Before the names of the arrays that missing numbers are filled by."""

CALIBRATION = "calibration."
"""Before the names of the arrays of a calibration, which is none of the detector's: it is left aside here."""


_NOT_KEPT = ("callbacks", "encoder", "decoder")
"""Parameters that are code."""

_OWN = "own_networks"
"""Which networks are the user's own, by the names of their factories, which are told and never imported."""


def contents(detector: Any) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Manifest and weights of a fitted detector."""
    given = detector.get_params(deep=False)
    params = {key: to_json(value) for key, value in given.items() if key not in _NOT_KEPT}
    manifest = {
        "estimator": "VAEDetector",
        "params": params,
        "schema": detector.schema_.to_json(),
        "network": asdict(detector.model_.config),
        "fitted": {
            "offset": detector.offset_,
            "part_spread": detector.part_spread_.tolist(),
            "kl_scale": detector.kl_scale_,
            "history": detector.history_,
            "profile": detector.profile_,
        },
        "versions": {"vae_anomaly": __version__, "torch": torch.__version__},
    }
    if own := detector.model_.own_networks:
        manifest[_OWN] = {network.name: to_json(given[network.name]) for network in own}
    weights = {name: tensor.cpu().numpy() for name, tensor in detector.model_.state_dict().items()}
    weights |= {f"{_USUAL}{name}": array for name, array in usual_to_arrays(detector.usual_).items()}
    sampler = {} if detector.sampler_ is None else sampler_to_arrays(detector.sampler_)
    weights |= {f"{_SAMPLER}{name}": array for name, array in sampler.items()}
    filling = {} if detector.filling_ is None else detector.filling_.to_arrays()
    weights |= {f"{_FILLING}{name}": array for name, array in filling.items()}
    if detector.known_head_ is not None:
        weights |= {f"{_KNOWN}{name}": array for name, array in detector.known_head_.to_arrays().items()}
    return manifest, weights


def restored(detector_class: Any, artifact: Artifact, path: str, own: OwnNetworks) -> Any:
    """Build the detector that an audited file describes, after its weights have the shapes that it says.

    Raises
    ------
    ModelFileError
        If the file describes no detector, or one that cannot be, or not one with `own` networks.
    """
    try:
        _check_own(artifact, path, own)
        return _restored(detector_class, artifact, own)
    except ModelFileError:
        raise
    except ParameterError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RuntimeError) as error:
        raise ModelFileError(f"{path}: the manifest does not describe a VAEDetector: {error!r}") from error


def _check_own(artifact: Artifact, path: str, own: OwnNetworks) -> None:
    """Raise unless there are factories for the networks of the user's own in the file, and for no others."""
    written = artifact.manifest.get(_OWN, {})
    kept = isinstance(written, dict) and all(isinstance(name, str) for name in written.values())
    if not kept or not set(written) <= {"encoder", "decoder"}:
        raise ModelFileError(f"{path}: expected the names of an encoder and a decoder, found {written!r}.")
    for name in ("encoder", "decoder"):
        given = getattr(own, name) is not None
        if name in written and not given:
            raise ModelFileError(
                f"{path}: was fitted with {name}={written[name]}, and a model file holds weights but no code. Load it "
                f"from Python with that factory: VAEDetector.load(path, {name}=...)."
            )
        if given and name not in written:
            raise ModelFileError(f"{path}: was fitted with the {name} of this package. Load it without {name}=.")


def _restored(detector_class: Any, artifact: Artifact, own: OwnNetworks) -> Any:
    manifest = artifact.manifest
    if manifest["estimator"] != "VAEDetector":
        raise ModelFileError(f"The file holds a {manifest['estimator']!r}; expected a 'VAEDetector'.")
    detector = detector_class(**manifest["params"], encoder=own.encoder, decoder=own.decoder)
    check_params("VAEDetector", detector.get_params(deep=False), RULES)
    network = manifest["network"]
    config = NetworkConfig(**{**network, "hidden": tuple(network["hidden"])})
    check_params("VAEDetector", asdict(config), {key: RULES[key] for key in asdict(config)})
    schema = Schema.from_json(manifest["schema"])
    known, usual, sampler, filling = (_named(artifact, prefix) for prefix in (_KNOWN, _USUAL, _SAMPLER, _FILLING))
    others = (_KNOWN, _USUAL, _SAMPLER, _FILLING, CALIBRATION)
    network_weights = {name: array for name, array in artifact.weights.items() if not name.startswith(others)}
    artifact = replace(artifact, weights=network_weights)
    with torch.device("meta"):  # shapes only: nothing is allocated before the file's own sizes are known to fit
        shapes = TabularVAE(schema.layout(), config, own).state_dict()
    expected = {name: (tuple(of.shape), str(of.dtype).removeprefix("torch.")) for name, of in shapes.items()}
    check_weights(artifact, expected)
    if not all(np.isfinite(array).all() for array in artifact.weights.values()):
        raise ModelFileError("The weights hold numbers that are not finite: use the file as it was first written.")
    model = TabularVAE(schema.layout(), config, own)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in artifact.weights.items()})
    model.eval()
    for network in model.own_networks:
        network.check()
    fitted = manifest["fitted"]
    detector._set_schema(schema)
    detector.model_, detector.offset_ = model, float(fitted["offset"])
    detector.part_spread_ = _spread(fitted["part_spread"], schema.layout().n_parts)
    detector.kl_scale_ = _kl_scale(fitted["kl_scale"])
    detector.history_ = [Evaluation(**evaluation).to_json() for evaluation in fitted["history"]]
    detector.profile_ = {key: fitted["profile"][key] for key in PROFILE}
    detector.known_head_ = KnownHead.from_arrays(known, n_cells(schema.layout())) if known else None
    detector.usual_ = usual_from_arrays(usual, len(schema.modelled))
    detector._fill_from(Filling.from_arrays(filling, schema.layout().n_values) if filling else None)
    detector._sample_from(sampler_from_arrays(sampler, schema, config.latent, config.dof) if sampler else None)
    return detector


def _named(artifact: Artifact, prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in artifact.weights.items() if name.startswith(prefix)}


def _spread(values: Any, n_parts: int) -> NDArray[np.float64]:
    spread = np.asarray(values, dtype=np.float64)
    if spread.shape != (n_parts,) or not np.isfinite(spread).all() or (spread < 0).any():
        raise ModelFileError(f"The file's part_spread must be {n_parts} numbers, none below 0.")
    return spread


def _kl_scale(value: Any) -> float:
    if not 0 <= float(value) <= 1:  # nor NaN
        raise ModelFileError(f"The file's kl_scale must be a number from 0 to 1, found {value!r}.")
    return float(value)
