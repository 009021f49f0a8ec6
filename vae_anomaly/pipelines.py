"""`BehaviorFeatures` and a detector as one model file: what gives rows their features, and what scores them.

The file is that of the detector with one more member, ``behavior.parquet``: parameters, and what is remembered. It
holds rows of the longest window, so card numbers, times and amounts: keep it as safe as these.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vae_anomaly.artifact import Artifact, read_artifact, write_artifact
from vae_anomaly.errors import ModelFileError, ParameterError

if TYPE_CHECKING:
    import pyarrow as pa
    from sklearn.pipeline import Pipeline

    from vae_anomaly.behavior import BehaviorFeatures
    from vae_anomaly.model.own_network import NetworkFactory


def save_pipeline(pipeline: Pipeline, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Write a pipeline of `BehaviorFeatures` and a detector to one model file.

    The command line reads it too, and gives raw rows their features before it scores them. `VAEDetector.load` and
    `CalibratedDetector.load` read the detector of it, which takes rows that have their features.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted on a frame; `BehaviorFeatures`, then `VAEDetector` or `CalibratedDetector` of one, and no other step.
    path : path-like
        By custom ``*.vaea``.
    overwrite : bool, default=False
        Replace an existing file.

    Raises
    ------
    ParameterError
        The pipeline has other steps, or was fitted on an array, whose columns have no names to find them by.
    OutputError
        The file exists and may not be overwritten, or cannot be written.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn.pipeline import make_pipeline
    >>> from vae_anomaly import BehaviorFeatures, VAEDetector, load_pipeline, make_transactions, save_pipeline
    >>> payments = make_transactions(1_200)[["timestamp", "customer_id", "amount", "category"]]
    >>> behavior = BehaviorFeatures("customer_id", "timestamp", "amount")
    >>> pipeline = make_pipeline(behavior, VAEDetector(n_members=1, max_steps=50)).fit(payments[:1_000])
    >>> path = os.path.join(tempfile.mkdtemp(), "payments.vaea")
    >>> save_pipeline(pipeline, path)
    >>> later = payments[1_000:]
    >>> bool((load_pipeline(path).score_samples(later) == pipeline.score_samples(later)).all())
    True
    """
    behavior, detector = _steps(pipeline)
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, "detector.vaea")
        detector.save(part)
        artifact = read_artifact(part)
    write_with_behavior(path, artifact, behavior, overwrite=overwrite)


def load_pipeline(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    encoder: NetworkFactory | None = None,
    decoder: NetworkFactory | None = None,
) -> Pipeline:
    """Read what `save_pipeline`, or ``vae-anomaly fit --behavior``, wrote. Nothing in it is executed.

    Parameters
    ----------
    path : path-like
        A model file that knows the past of cards.
    device : str, default="auto"
        Where the weights go.
    encoder, decoder : callable or None, default=None
        As for `VAEDetector.load`.

    Returns
    -------
    pipeline : Pipeline
        Its steps are "behavior" and "detector": a `CalibratedDetector` if the file has a calibration, else a
        `VAEDetector`. It scores as before saving, and goes on from what was remembered then.

    Raises
    ------
    ModelFileError
        The file is damaged, altered, of a newer format, no model file, or knows no past.
    """
    from sklearn.pipeline import Pipeline

    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.calibrated import CalibratedDetector
    from vae_anomaly.detector import VAEDetector

    artifact = read_artifact(path)
    behavior = stored_behavior(artifact)
    if behavior is None:
        raise ModelFileError(
            f"{os.fspath(path)}: expected a model that knows the past of cards, found a detector by itself. Load it "
            "with VAEDetector.load or CalibratedDetector.load."
        )
    kind: Any = VAEDetector if stored_calibration(artifact) is None else CalibratedDetector
    detector = kind.load(path, device=device, encoder=encoder, decoder=decoder)
    return Pipeline([("behavior", behavior), ("detector", detector)])


def stored_behavior(artifact: Artifact) -> BehaviorFeatures | None:
    """What gives the rows of an audited file their features, audited too; None if they need none.

    Raises
    ------
    ModelFileError
        It is damaged, or does not make what the detector takes.
    """
    if artifact.behavior is None:
        return None
    from vae_anomaly.behavior import BehaviorFeatures

    where = "The model file" if artifact.path is None else artifact.path
    behavior = BehaviorFeatures._of_bytes(artifact.behavior, where)
    made = set(behavior.get_feature_names_out())
    try:
        taken = [column["name"] for column in artifact.manifest["schema"]["columns"]]
        lacking = [name for name in taken if name not in made]
    except (KeyError, TypeError) as error:
        raise ModelFileError(f"{where}: expected the columns of a detector, found none ({error!r}).") from error
    if lacking:
        raise ModelFileError(
            f"{where}: expected the features that the detector takes, found none of the names {lacking}. Use the file "
            "as it was first written."
        )
    return behavior


def write_with_behavior(
    path: str | os.PathLike[str], artifact: Artifact, behavior: BehaviorFeatures, *, overwrite: bool
) -> None:
    """Write a detector, and perhaps its calibration, with what gives rows their features.

    Raises
    ------
    OutputError
        The file exists and may not be overwritten, or cannot be written.
    """
    write_artifact(path, artifact.manifest, artifact.weights, overwrite=overwrite, behavior=behavior._to_bytes())


def check_knows_past(artifact: Artifact) -> None:
    """Raise a `ParameterError` if rows are to be remembered by a model that knows no past."""
    if artifact.behavior is None:
        raise ParameterError(
            "--update-state is for a model that knows the past of cards: expected one of fit --behavior, found none in"
            " MODEL. Leave it out."
        )


def with_features(table: pa.Table, behavior: BehaviorFeatures, rows: pa.Table) -> pa.Table:
    """A table with the features of its rows, which `behavior` has made, as its last columns."""
    for name in made_by(behavior):
        table = table.append_column(name, rows[name])
    return table


def made_by(behavior: BehaviorFeatures) -> list[str]:
    """The names of the features alone."""
    read = set(behavior.feature_names_in_)
    return [name for name in behavior.get_feature_names_out() if name not in read]


def _steps(pipeline: Any) -> tuple[BehaviorFeatures, Any]:
    from vae_anomaly.behavior import BehaviorFeatures
    from vae_anomaly.calibrated import CalibratedDetector
    from vae_anomaly.detector import VAEDetector

    steps = [step for _, step in getattr(pipeline, "steps", [])]
    if (
        len(steps) != 2
        or not isinstance(steps[0], BehaviorFeatures)
        or not isinstance(steps[1], VAEDetector | CalibratedDetector)
    ):
        found = ", ".join(type(step).__name__ for step in steps) or type(pipeline).__name__
        raise ParameterError(
            "The 'pipeline' parameter of save_pipeline must be a Pipeline of BehaviorFeatures and then VAEDetector or "
            f"CalibratedDetector. Got {found} instead."
        )
    behavior = steps[0]
    if hasattr(behavior, "history_") and not hasattr(behavior, "feature_names_in_"):
        raise ParameterError(
            "The 'pipeline' parameter of save_pipeline must be fitted on a frame, by whose names a file's columns are"
            " found. Got one that was fitted on an array instead. Fit it on a DataFrame."
        )
    return behavior, steps[1]
