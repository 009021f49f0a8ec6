"""A calibration beside its detector in one model file, and back.

The manifest has it under "calibration", the weights under names that begin with "calibration.". Writing one leaves
every other array as it is, to the last bit; a file without one is a detector by itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from vae_anomaly._params import Instance, Number, OneOf, Rule, check_params, to_json
from vae_anomaly.artifact import Artifact, read_artifact, write_artifact
from vae_anomaly.decision.calibration import Calibration, ThresholdRule
from vae_anomaly.decision.stored import from_parts, to_parts
from vae_anomaly.decision.thresholds import RULES
from vae_anomaly.errors import ModelFileError, ParameterError

if TYPE_CHECKING:
    from vae_anomaly.model.own_network import NetworkFactory

_KEY = "calibration"
_PREFIX = f"{_KEY}."
_REMEDY = "Use the file as it was first written, or calibrate again."
_SETTINGS: dict[str, tuple[Rule, ...]] = {
    "segment_column": (Instance((str, NoneType), "the name of a column or None"),),
    "min_segment_rows": (Number(1, integer=True),),
    "assumed_contamination": (Number(0, 0.5), OneOf((None,))),
    "usual_rule": (OneOf((True, False)),),
}


@dataclass(frozen=True, eq=False)
class StoredCalibration:
    """A calibration, and what it takes to use it on a file and to calibrate again.

    Parameters
    ----------
    calibration : Calibration
        What the rule made of the calibration rows.
    segment_column : str or None
        The column whose values are the segments, where there are any and its name is known.
    min_segment_rows : int
        Calibration rows from which a segment has a threshold of its own.
    assumed_contamination : float or None
        Share of anomalies assumed among calibration rows without labels.
    usual_rule : bool
        Whether the rule was left to the package.
    """

    calibration: Calibration
    segment_column: str | None = None
    min_segment_rows: int = 200
    assumed_contamination: float | None = None
    usual_rule: bool = False

    def beside(
        self, manifest: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Manifest and weights of a detector with this calibration, in place of one that they may have.

        Raises
        ------
        ParameterError
            The rule is none of this package, so that nobody could read it.
        """
        rule = self.calibration.rule
        if RULES.get(type(rule).__name__) is not type(rule):
            raise ParameterError(
                f"A model file can hold the rules {', '.join(RULES)}. Got {rule!r} instead: recalibrate with one of "
                "them before saving."
            )
        document, arrays = to_parts(self.calibration)
        document["rule"] = _plain(document["rule"])
        document["segments"] = {name: _plain(part) for name, part in document["segments"].items()}
        document["rest"] = None if document["rest"] is None else _plain(document["rest"])
        document["settings"] = {name: to_json(getattr(self, name)) for name in _SETTINGS}
        others = {name: array for name, array in weights.items() if not name.startswith(_PREFIX)}
        return {**manifest, _KEY: document}, others | {f"{_PREFIX}{name}": array for name, array in arrays.items()}


def stored_calibration(artifact: Artifact) -> StoredCalibration | None:
    """The calibration of an audited file, audited too; None if it has none.

    Raises
    ------
    ModelFileError
        There is something of the name, but it is no calibration.
    """
    where = "The model file" if artifact.path is None else str(artifact.path)
    arrays = {name.removeprefix(_PREFIX): array for name, array in artifact.weights.items() if name.startswith(_PREFIX)}
    if _KEY not in artifact.manifest:
        if arrays:
            raise ModelFileError(f"{where}: expected no calibration, found arrays of one, {sorted(arrays)}. {_REMEDY}")
        return None
    try:
        return _stored(artifact.manifest[_KEY], arrays)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelFileError(f"{where}: the manifest does not describe a calibration: {error!r}. {_REMEDY}") from error


def _stored(document: Any, arrays: dict[str, NDArray[Any]]) -> StoredCalibration:
    settings = document["settings"]
    if set(settings) != set(_SETTINGS):
        raise ModelFileError(f"The settings of a calibration must be {sorted(_SETTINGS)}. Found {sorted(settings)}.")
    check_params("a stored calibration", settings, _SETTINGS)
    parts = {name: part for name, part in document.items() if name != "settings"}
    calibration = from_parts(parts, arrays)
    for part in (calibration, calibration.of_rest, *calibration.segments.values()):
        _check_scores(part)
    str(calibration.guarantee)  # a report that cannot be printed is none
    return StoredCalibration(calibration, **settings)


def _check_scores(part: Calibration) -> None:
    n_rows = part.guarantee.n_rows
    if not 0 < len(part.score) <= n_rows:
        raise ModelFileError(
            f"Expected calibration scores of 1 to {n_rows:,} rows, as the report has it. Found {len(part.score):,}."
        )
    with np.errstate(over="ignore"):
        total = 1.0 if part.weight is None else part.weight.sum()
    if not 0 < total < np.inf:
        raise ModelFileError(f"Expected weights with a finite sum above 0. Found {total:g}.")


def _plain(rule: Mapping[str, Any]) -> dict[str, Any]:
    return {name: to_json(value) for name, value in rule.items()}


class KeptInModelFile:
    """What a fit of `CalibratedDetector` leaves behind, kept in a model file."""

    estimator: Any
    rule: ThresholdRule | None
    min_segment_rows: int
    assumed_contamination: float | None
    estimator_: Any
    calibration_: Calibration
    _wish: ThresholdRule | None

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False, segment_column: str | None = None) -> None:
        """Write detector and calibration to one model file, which `VAEDetector.load` and the command line read too.

        Parameters
        ----------
        path : path-like
            By custom ``*.vaea``.
        overwrite : bool, default=False
            Replace an existing file.
        segment_column : str, optional
            The column that `groups` came from. ``vae-anomaly score`` looks for it where segments have thresholds.

        Raises
        ------
        ParameterError
            The detector is no `VAEDetector`, or the rule none of this package: a file holds no pickle, so it can hold
            only what this package can rebuild.
        OutputError
            The file exists and may not be overwritten, or cannot be written.

        Examples
        --------
        >>> import tempfile, os
        >>> import numpy as np
        >>> from vae_anomaly import CalibratedDetector, VAEDetector
        >>> X = np.random.default_rng(0).normal(size=(2_000, 1)) * [1, 2, 3]
        >>> detector = CalibratedDetector(VAEDetector(n_members=1, max_steps=50)).fit(X)
        >>> path = os.path.join(tempfile.mkdtemp(), "model.vaea")
        >>> detector.save(path)
        >>> bool((CalibratedDetector.load(path).predict(X) == detector.predict(X)).all())
        True
        """
        check_is_fitted(self)
        from vae_anomaly._stored import contents  # torch is for those who use it
        from vae_anomaly.detector import VAEDetector

        frozen = isinstance(self.estimator_, FrozenEstimator)
        estimator = self.estimator_.estimator if frozen else self.estimator_
        if not isinstance(estimator, VAEDetector):
            raise ParameterError(
                f"CalibratedDetector.save writes a VAEDetector. Got {type(estimator).__name__} instead, for which only "
                "a pickle would do, and loading a pickle can run code. Keep that detector by a library of its own, "
                "such as skops, and recalibrate after loading."
            )
        settings: dict[str, Any] = {
            "segment_column": segment_column,
            "min_segment_rows": self.min_segment_rows,
            "assumed_contamination": self.assumed_contamination,
            "usual_rule": self._wish is None,
        }
        check_params("CalibratedDetector.save", settings, _SETTINGS)
        stored = StoredCalibration(self.calibration_, **settings)
        write_artifact(path, *stored.beside(*contents(estimator)), overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        encoder: NetworkFactory | None = None,
        decoder: NetworkFactory | None = None,
    ) -> Self:
        """Read detector and calibration from a model file, which is audited first and never executed.

        Parameters
        ----------
        path : path-like
            A file that `save`, or ``vae-anomaly calibrate``, wrote.
        device : str, default="auto"
            Where the weights go.
        encoder, decoder : callable or None, default=None
            As for `VAEDetector.load`.

        Returns
        -------
        detector : CalibratedDetector
            With ``cv="prefit"``: it scores, decides and recalibrates as before saving, without `calibration_rows_`.

        Raises
        ------
        ModelFileError
            The file is damaged, altered, of a newer format, no model file, or has no calibration.
        """
        from vae_anomaly.detector import VAEDetector

        stored = stored_calibration(read_artifact(path))
        if stored is None:
            raise ModelFileError(
                f"{os.fspath(path)}: expected a calibration beside the detector, found none. Load the detector with "
                'VAEDetector.load, and calibrate it: CalibratedDetector(detector, rule, cv="prefit").fit(rows).'
            )
        create: Any = cls
        loaded: Self = create(
            VAEDetector.load(path, device=device, encoder=encoder, decoder=decoder),
            None if stored.usual_rule else stored.calibration.rule,
            cv="prefit",
            assumed_contamination=stored.assumed_contamination,
            min_segment_rows=stored.min_segment_rows,
        )
        loaded._adopt(loaded.estimator, loaded.rule, stored.calibration)
        return loaded

    def _adopt(self, estimator: Any, wish: ThresholdRule | None, calibration: Calibration) -> None:
        self.estimator_, self._wish, self.calibration_ = estimator, wish, calibration
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
            if hasattr(estimator, name):
                setattr(self, name, getattr(estimator, name))
