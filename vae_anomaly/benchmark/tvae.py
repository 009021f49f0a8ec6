"""CTGAN's TVAE in an interpreter of its own, which need not know this package: ``python -P tvae.py OPTIONS``.

Its libraries ask for an older pandas than this package runs with, so that both rarely fit into one environment.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from time import perf_counter, process_time
from typing import Any


def main(
    train: str, output: str, discrete: list[str], n_rows: int, seed: int, threads: int, settings: dict[str, Any]
) -> dict[str, Any]:
    """Fit and sample.

    Parameters
    ----------
    train, output : str
        CSV files: of real rows, and where to write synthetic ones.
    discrete : list of str
        Columns of levels.
    n_rows : int
        How many to sample.
    seed, threads : int
        For torch and NumPy.
    settings : dict
        Parameters other than its defaults: tests shorten it, no measurement does.

    Returns
    -------
    dict
        Seconds of fit and sampling, in this process, and the version.
    """
    import pandas as pd
    import torch
    from ctgan import TVAE

    torch.set_num_threads(threads)
    levels = dict.fromkeys(discrete, str)
    rows = pd.read_csv(train, dtype=levels, keep_default_na=False, na_values={}, float_precision="round_trip")
    model = TVAE(**{"cuda": False, **settings})
    model.set_random_state(seed)
    start, cpu = perf_counter(), process_time()
    model.fit(rows, discrete)
    fit_seconds, fit_cpu_seconds, start = perf_counter() - start, process_time() - cpu, perf_counter()
    sampled = model.sample(n_rows)
    sample_seconds = perf_counter() - start
    sampled.to_csv(output, index=False)
    seconds = {"fit_seconds": fit_seconds, "fit_cpu_seconds": fit_cpu_seconds, "sample_seconds": sample_seconds}
    return {**seconds, "ctgan": version("ctgan")}


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):  # whatever it prints is no result
        found = main(**json.loads(sys.argv[1]))
    print(json.dumps(found))
