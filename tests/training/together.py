"""What each of two processes does, for `test_parallel`: fits, and what came of them, into one folder."""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vae_anomaly import History, VaeAnomalyError, VAEDetector, data_parallel
from vae_anomaly.training.trainer import Trainer

torch.set_num_threads(1)

SMALL = {"max_steps": 80, "n_members": 2, "hidden": (32,), "device": "cpu"}
FITS = {
    "defaults": {},
    "clean": {"contamination": 0.0, "n_members": 1},
    "contaminated": {"contamination": 0.2, "batch_size": 37},
    "seedless": {"random_state": None},
}


def table():
    """Rows of every kind, one in twenty with its sign flipped, some cells missing."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=1_200)
    amount = 10 * z + rng.normal(size=len(z))
    amount[::20] *= -1
    amount[::7] = np.nan
    rows = {"amount": amount, "rate": z, "shop": np.where(z > 0, "north", "south"), "online": z > 0.5}
    rows["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta((z * 40).round(), "D")
    return pd.DataFrame(rows)


def fit(**given):
    return VAEDetector(**(SMALL | given)).fit(table())


class StopAfter:
    def on_evaluation(self, evaluation, save):
        return evaluation.step >= 20


def fits(processes, folder):
    scores = {name: fit(**given).anomaly_score(table()) for name, given in FITS.items()}
    shuffled = table() if processes.is_first else table().sample(frac=1, random_state=1)
    scores["shuffled"] = VAEDetector(**SMALL).fit(shuffled).anomaly_score(table())
    np.savez(folder / f"scores-{processes.rank}.npz", **scores)


def watched(processes, folder):
    history = History()
    steps = fit(callbacks=[StopAfter(), history]).profile_["n_steps"]
    return {"seen": len(history.evaluations), "steps": steps}


def goes_on(processes, folder):
    """Another process has other rows, parameters or labels: the error is one of all."""
    found = []
    for given in ({"max_steps": 80 + processes.rank}, {"batch_size": 1}):
        try:
            fit(**given)
        except VaeAnomalyError as error:
            found.append(f"{type(error).__name__}: {error}")
    try:
        VAEDetector(**SMALL).fit(table().iloc[processes.rank :])
    except VaeAnomalyError as error:
        found.append(f"{type(error).__name__}: {error}")
    return found


def poisoned_once(rank, call, poison):
    """`Trainer._update` with something gone wrong in one process, once."""
    original, calls = Trainer._update, []

    def update(self, batch):
        calls.append(1)
        return original(self, poison(batch) if len(calls) == call and self._processes.rank == rank else batch)

    return original, update


def rolled_back(processes, folder):
    infinite = lambda batch: batch.map(lambda block: block * np.inf if block.is_floating_point() else block)  # noqa: E731
    original, Trainer._update = poisoned_once(1, 30, infinite)
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        n_rollbacks = fit().profile_["n_rollbacks"]
    Trainer._update = original
    return {"rollbacks": n_rollbacks, "said": [str(warning.message) for warning in given]}


def ended(processes, folder):
    """The second process fails in the middle; the first must not wait for it."""

    def fail(batch):
        raise MemoryError("no more rows")

    original, Trainer._update = poisoned_once(1, 12, fail)
    try:
        fit()
    finally:
        Trainer._update = original


def threads_left():
    """Those of groups that have ended, where the system tells."""
    named = [path.read_text(encoding="utf-8") for path in Path("/proc/self/task").glob("*/comm")]
    return [name.strip() for name in named if "gloo" in name]


def main(folder):
    told = {}
    for case in (fits, watched, goes_on, rolled_back, ended):
        try:
            with data_parallel("cpu") as processes:
                told[case.__name__] = case(processes, folder)
        except (VaeAnomalyError, MemoryError) as error:
            told[case.__name__] = f"{type(error).__name__}: {error}"
        told.setdefault("threads_left", []).append(threads_left())
    (folder / f"told-{processes.rank}.json").write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
