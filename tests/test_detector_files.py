"""Files that are whole and correctly signed, but do not describe a detector: each is refused, and nothing is built."""

import copy
import pickle
import tracemalloc

import numpy as np
import pytest

from vae_anomaly import ModelFileError, VAEDetector, make_transactions
from vae_anomaly.artifact import read_artifact, write_artifact

pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    rows = make_transactions(300, n_merchants=625, random_state=0)[["amount", "channel", "country", "distance_km"]]
    path = tmp_path_factory.mktemp("files") / "model.vaea"
    VAEDetector(n_members=2, hidden=(16,), latent=3, max_steps=100).fit(rows).save(path)
    return read_artifact(path)


def _set(*path_and_value):
    *path, value = path_and_value

    def change(manifest, weights):
        for key in path[:-1]:
            manifest = manifest[key]
        manifest[path[-1]] = value

    return change


def _drop(*path):
    def change(manifest, weights):
        for key in path[:-1]:
            manifest = manifest[key]
        del manifest[path[-1]]

    return change


def _reshape(manifest, weights):
    name = next(iter(weights))
    weights[name] = weights[name][..., :1].copy()


def _surplus(manifest, weights):
    weights["encoder.backdoor"] = np.zeros(3, dtype=np.float32)


def _not_finite(manifest, weights):
    name = next(iter(weights))
    weights[name] = np.full_like(weights[name], np.nan)


@pytest.mark.parametrize(
    "change",
    [
        _set("estimator", "Backdoor"),
        _set("network", "hidden", [65_536, 65_536]),
        _set("network", "hidden", [65_536] * 200),
        _set("network", "hidden", []),
        _set("network", "n_members", 10**9),
        _set("network", "n_members", "two"),
        _set("network", "latent", -1),
        _set("network", "surplus", 1),
        _set("params", "contamination", 7),
        _set("params", "callbacks", ["os.system"]),
        _set("params", "__class__", "os.system"),
        _set("params", None),
        _set("schema", {}),
        _set("schema", "columns", []),
        _set("schema", "columns", [{"kind": "numeric"}] * 4),
        _set("fitted", "offset", "high"),
        _set("fitted", "part_spread", [1.0]),
        _set("fitted", "part_spread", "wide"),
        _set("fitted", "history", 5),
        _set("fitted", "history", [1, 2]),
        _set("fitted", "history", [{}]),
        _set("fitted", "profile", None),
        _set("fitted", "profile", {}),
        _drop("fitted"),
        _drop("schema"),
        _drop("params"),
        _drop("fitted", "offset"),
        _reshape,
        _surplus,
        _not_finite,
    ],
)
def test_a_file_that_describes_no_detector_is_refused_without_building_it(artifact, tmp_path, change):
    manifest, weights = copy.deepcopy(dict(artifact.manifest)), dict(artifact.weights)
    change(manifest, weights)
    path = tmp_path / "model.vaea"
    write_artifact(path, manifest, weights)
    tracemalloc.start()
    try:
        with pytest.raises(ModelFileError):
            VAEDetector.load(path)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


def test_a_pickle_is_refused_and_not_run(tmp_path):
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self):
            return open, (str(witness), "w")

    path = tmp_path / "model.vaea"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelFileError, match="pickle"):
        VAEDetector.load(path)
    assert not witness.exists()
