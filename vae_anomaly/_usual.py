"""What surprisals are usual, taken from held-out rows at the end of a fit, and kept in a model file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._rules import alert_share
from vae_anomaly.decision.reasons import Usual
from vae_anomaly.model.batch import Batch
from vae_anomaly.model.explaining import judged
from vae_anomaly.training.device import exact_products

PLAIN, CONDITIONAL = "plain", "conditional"


def usual_surprisals(detector: Any, held_out: Batch) -> dict[str, Usual]:
    """What is usual for each column, as each member finds it on the rows that it holds out.

    The rows that fit worst are left out, as many as `contamination` puts below `offset_`.

    Parameters
    ----------
    detector : VAEDetector
        With all that a score needs.
    held_out : Batch
        Rows of each member.

    Returns
    -------
    dict of str to Usual
        Of surprisals as in a reconstruction, and of those given the other cells.
    """
    with exact_products():
        found = judged(detector.model_, held_out, detector._score_weights()[1])
    normal = found.total <= np.quantile(found.total, 1 - alert_share(detector.contamination))
    kinds = {PLAIN: found.plain, CONDITIONAL: found.conditional}
    return {name: Usual.of_rows(surprisal[normal], found.present[normal]) for name, surprisal in kinds.items()}


def usual_to_arrays(usual: Mapping[str, Usual]) -> dict[str, NDArray[Any]]:
    """Name each array, for a model file."""
    return {f"{kind}.{name}": array for kind, of in usual.items() for name, array in of.to_arrays().items()}


def usual_from_arrays(arrays: Mapping[str, NDArray[Any]], n_columns: int) -> dict[str, Usual]:
    """Audit what a model file holds, and build it from that.

    Raises
    ------
    ModelFileError
        If it is not what `usual_to_arrays` gives for so many columns.
    """
    kinds: dict[str, dict[str, NDArray[Any]]] = {PLAIN: {}, CONDITIONAL: {}}
    for name, array in arrays.items():
        kind, _, field = name.partition(".")
        kinds.setdefault(kind, {})[field] = array
    return {kind: Usual.from_arrays(of, n_columns) for kind, of in kinds.items()}
