"""Rows in the latent space of a detector."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vae_anomaly._fitted import fitted_vae
from vae_anomaly.decision._labelled import Floats
from vae_anomaly.errors import ParameterError


def positions_of(detector: Any, X: Any, member: int | None) -> tuple[Floats, str]:
    """Latent positions of rows, of one member of the ensemble or of all side by side, and in words whose they are.

    Raises
    ------
    ParameterError
        There is no such member, or no latent space.
    """
    vae = fitted_vae(detector)
    config = vae.model_.config
    if member is not None and member >= config.n_members:
        raise ParameterError(
            f"The 'member' parameter must be one of the {config.n_members} members, counted from 0, or None for all. "
            f"Got {member} instead."
        )
    positions = np.asarray(vae.transform(X), dtype=np.float64)
    if member is None:
        return positions, "member 0" if config.n_members == 1 else f"all {config.n_members} members"
    return positions.reshape(len(positions), config.n_members, -1)[:, member], f"member {member}"


def evenly(places: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    """So many of the places at most, at even distances.

    Examples
    --------
    >>> evenly(np.arange(10), 4)
    array([0, 3, 6, 9])
    """
    if len(places) <= most:
        return places
    return np.asarray(places[np.linspace(0, len(places) - 1, most).astype(np.intp)])
