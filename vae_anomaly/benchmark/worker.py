"""What runs in a fresh interpreter: ``python -m vae_anomaly.benchmark.worker TASK OPTIONS`` prints one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any


def _echo(**options: Any) -> dict[str, Any]:
    return options


def _speed(**options: Any) -> dict[str, Any]:
    from vae_anomaly.benchmark.timing import time_detector

    return time_detector(**options)


def _peer_on_file(**options: Any) -> dict[str, Any]:
    from vae_anomaly.benchmark.ordinal import measure_peer

    return measure_peer(**options)


def _in_memory(**options: Any) -> dict[str, Any]:
    from vae_anomaly.benchmark.streaming import time_in_memory

    return time_in_memory(**options)


def _copy(**options: Any) -> dict[str, Any]:
    from vae_anomaly.benchmark.streaming import time_copy

    return time_copy(**options)


def _scoring(**options: Any) -> dict[str, Any]:
    from vae_anomaly.benchmark.scoring import time_scoring

    return time_scoring(**options)


def _peak() -> dict[str, Any]:
    from vae_anomaly.benchmark.scoring import peak

    return peak()


def _synthetic(**options: Any) -> dict[str, Any]:
    from vae_anomaly.benchmark.synthesizers import measure_synthetic

    return measure_synthetic(**options)


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "echo": _echo,
    "speed": _speed,
    "peer": _peer_on_file,
    "in-memory": _in_memory,
    "copy": _copy,
    "scoring": _scoring,
    "peak": _peak,
    "synthetic": _synthetic,
}


def main(task: str, options: str) -> None:
    """Do one task.

    Parameters
    ----------
    task : str
        A key of `TASKS`.
    options : str
        Its arguments as a JSON object.

    Examples
    --------
    >>> main("echo", '{"rows": 3}')
    {"rows": 3}
    """
    with redirect_stdout(sys.stderr):  # whatever a peer prints is no result
        result = TASKS[task](**json.loads(options))
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
