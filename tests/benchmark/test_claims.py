"""What the README's table says of peers is true of the versions that we run."""

import contextlib
import inspect
import io
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest

vae = pytest.importorskip("pyod.models.vae", reason="pyod is not installed: pip install 'vae-anomaly[benchmark]'")


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def peer(rows):
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        return vae.VAE(epoch_num=1, random_state=0).fit(rows)


def test_pyod_scores_the_same_rows_differently_each_time(peer, rows):
    with contextlib.redirect_stderr(io.StringIO()):
        first, second = peer.decision_function(rows), peer.decision_function(rows)
    assert not np.array_equal(first, second)


def test_pyod_takes_neither_text_nor_missing_cells(peer, rows):
    gaps = rows.copy()
    gaps[0, 0] = np.nan
    for table in (gaps, pd.DataFrame({"a": ["x", "y"] * 50})):
        with pytest.raises(ValueError, match=r"NaN|convert"):
            vae.VAE(epoch_num=1).fit(table)


def test_pyod_has_no_score_of_each_column(peer):
    assert not hasattr(peer, "column_surprisal")
    assert not hasattr(peer, "partial_fit")


def test_isolation_forest_takes_missing_cells_but_no_text(rows):
    gaps = rows.copy()
    gaps[0, 0] = np.nan
    assert np.isfinite(IsolationForest(n_estimators=5).fit(gaps).score_samples(gaps)).all()
    with pytest.raises(ValueError, match="convert"):
        IsolationForest().fit(pd.DataFrame({"a": ["x", "y"] * 50}))


def test_neither_peer_learns_from_known_frauds(rows):
    known = np.arange(len(rows)) < 5
    told, untold = (IsolationForest(n_estimators=5, random_state=0).fit(rows, y) for y in (known, None))
    np.testing.assert_array_equal(told.score_samples(rows), untold.score_samples(rows))
    assert "Not used in unsupervised methods" in vae.VAE.fit.__doc__
    assert "known" not in inspect.signature(vae.VAE.fit).parameters
