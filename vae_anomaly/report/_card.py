"""The model card: what a model was made of, what it promises, and what it cannot do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from vae_anomaly._params import to_json
from vae_anomaly._version import __version__
from vae_anomaly.decision.calibration import Calibration
from vae_anomaly.decision.guarantee import percent
from vae_anomaly.report.facts import Card
from vae_anomaly.table.columns import IdentifierColumn

_MOST_SEGMENTS = 50
_UNSAID = ("callbacks", "verbose", "kinds")
_LIMITS = (
    "A score says how unusual a row is beside the rows that the model learnt from. Unusual is not fraudulent, and a"
    " fraud that looks like any other row is not found.",
    "Reasons say which cells the model did not expect beside the others of the row. They are no causes, and the nearest"
    " normal row is what the model would take for usual, not what is true.",
    "Rows are judged one at a time: what an account did before counts only where columns say so.",
    "Elapsed time is not modelled: of a date only its place in the day, week, month and year.",
    "A missing cell adds nothing to a score. That it is missing is judged by the column's share of gaps in training.",
    "What is usual changes. Thresholds and their guarantees hold for rows like those that they were set on.",
)
Facts = tuple[tuple[str, str], ...]


def model_card(detector: Any, calibration: Calibration | None, origin: Mapping[str, str]) -> Card:
    """The card of a fitted detector.

    Parameters
    ----------
    detector : VAEDetector
        Fitted.
    calibration : Calibration or None
        Its calibration.
    origin : mapping of str to str
        What is known of the model file, such as its versions.

    Examples
    --------
    >>> import numpy as np
    >>> from vae_anomaly import VAEDetector
    >>> rows = np.random.default_rng(0).normal(size=(500, 1)) * [1, 2]
    >>> detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
    >>> dict(model_card(detector, None, {}).sections["Training data"])["columns"]
    '2: 2 numeric'
    """
    sections = {
        "Training data": tuple(_data(detector)),
        "Training": tuple(_training(detector)),
        "Threshold": tuple(_threshold(detector, calibration)),
        "Parameters": tuple(_parameters(detector)),
        "Versions": (*origin.items(), ("this report", f"vae_anomaly {__version__}, torch {torch.__version__}")),
    }
    return Card(sections, _LIMITS)


def _data(detector: Any) -> Iterator[tuple[str, str]]:
    columns = detector.schema_.columns
    yield "rows", f"{detector.schema_.n_rows:,.0f}"
    kinds = Counter(str(column.kind) for column in columns)
    yield "columns", f"{len(columns):,}: {', '.join(f'{n:,} {kind}' for kind, n in kinds.most_common())}"
    aside = [column.name for column in columns if isinstance(column, IdentifierColumn)]
    if aside:
        yield "set aside, not modelled", ", ".join(aside)
    n_networks = detector.model_.config.n_members
    others = f", others for each of the {n_networks} networks" if n_networks > 1 else ""
    yield "held out of training", f"{percent(detector.validation_fraction)} of the rows{others}"
    known = "known frauds: likeness to them adds to the score" if detector.known_head_ is not None else "none used"
    yield "labels", known


def _training(detector: Any) -> Iterator[tuple[str, str]]:
    profile = detector.profile_
    yield "model", "variational autoencoder with a likelihood for each column (Kingma & Welling 2014)"
    yield "score", f"{detector.score_type}, in nats; higher is more anomalous"
    yield "steps", f"{profile['n_steps']:,}{', stopped early' if profile['stopped_early'] else ''}"
    yield "held-out ELBO", f"{profile['held_out_elbo']:.2f} nats a row"
    yield "columns on their own", f"{profile['baseline_elbo']:.2f} nats a row, the baseline"
    yield (
        "dependence of the columns",
        f"{profile['dependence']:.2f} ± {profile['dependence_error']:.2f} nats a row, lost when they are shuffled",
    )


def _threshold(detector: Any, calibration: Calibration | None) -> Iterator[tuple[str, str]]:
    if calibration is None:
        yield "threshold", f"{-float(detector.offset_):.6g} nats, from the training rows"
        yield "guarantee", "none: the model is not calibrated. `vae-anomaly calibrate` sets a threshold that has one"
        return
    for line in str(calibration.guarantee).splitlines()[: 8 + _MOST_SEGMENTS]:
        name, _, text = line.partition(" ")
        yield name, text.strip()
    if len(calibration.segments) > _MOST_SEGMENTS:
        yield "segments", f"{len(calibration.segments):,} have thresholds of their own; `vae-anomaly inspect` lists all"


def _parameters(detector: Any) -> Iterator[tuple[str, str]]:
    for name, value in sorted(detector.get_params(deep=False).items()):
        if name not in _UNSAID:
            yield name, to_json(value) if callable(value) else str(value)
