"""Protocols on tables of text and numbers: vehicle-insurance claims, and connections of KDD Cup 1999."""

from __future__ import annotations

from functools import partial

from vae_anomaly.benchmark.files import FILES
from vae_anomaly.benchmark.protocol import Suite, by_label, one_file
from vae_anomaly.benchmark.reading import read_labelled
from vae_anomaly.benchmark.splits import contaminated, normal50, normal_sample

_claims = partial(
    Suite,
    paths=one_file("vehicle_claims", FILES["vehicle_claims"].path),
    read=partial(read_labelled, FILES["vehicle_claims"]),
    encodings=("one-hot",),
)

FRAME_SUITES: dict[str, Suite] = {
    "claims-normal": _claims(split=by_label(normal50), clean=True),
    "claims-contaminated": _claims(split=by_label(contaminated), clean=False),
    "kdd99-normal": Suite(
        paths=one_file("kdd99", FILES["kdd99"].path),
        read=partial(read_labelled, FILES["kdd99"]),
        split=by_label(normal_sample),
        clean=True,
        encodings=("one-hot",),
    ),
}
