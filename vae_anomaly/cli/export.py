"""``vae-anomaly export``: a model for other languages and runtimes."""

from __future__ import annotations

from typing import Annotated

import typer

from vae_anomaly.cli._options import AsJson, Force, Model, check_apart
from vae_anomaly.cli._print import emit_json, show_facts
from vae_anomaly.errors import ParameterError


def export(
    model: Model,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="The graph, such as model.onnx; how rows are encoded goes to model.encoding.json beside it.",
        ),
    ],
    onnx: Annotated[bool, typer.Option("--onnx", help="One ONNX graph from encoded columns to scores.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write a model as an ONNX graph, and how to encode rows for it as JSON that any language reads."""
    if not onnx:
        raise ParameterError("Expected the format to export to, found none. Say --onnx.")
    if output == "-":
        raise ParameterError("-o must be the name of a file: two are written. Got '-' instead.")
    check_apart(output, [model], "the model")
    from vae_anomaly._calibration_file import stored_calibration
    from vae_anomaly.artifact import read_artifact
    from vae_anomaly.detector import VAEDetector
    from vae_anomaly.onnx import export_onnx

    artifact = read_artifact(model)
    if artifact.behavior is not None:
        raise ParameterError(
            f"{model}: expected a model that takes rows as they are, found one that knows the past of cards, which no"
            " graph remembers. Save the detector by itself (load_pipeline(MODEL)[-1].save) and export that: it takes"
            " rows that have their features, which BehaviorFeatures gives."
        )
    stored = stored_calibration(artifact)
    calibration, column = (None, None) if stored is None else (stored.calibration, stored.segment_column)
    graph, encoding = export_onnx(
        VAEDetector.load(model, device="cpu"), output, calibration=calibration, segment_column=column, overwrite=force
    )
    facts = {"graph": str(graph), "encoding": str(encoding)}
    if as_json:
        emit_json(facts)
    else:
        show_facts(facts)
