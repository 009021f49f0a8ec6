"""What peers get that need numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.benchmark.cache import encoding_identity
from vae_anomaly.benchmark.encodings import ENCODINGS, Z_SCORES, ordinal_encoder

TRAIN = pd.DataFrame(
    {
        "x": [1.0, np.nan, 3.0, 4.0],
        "city": ["Oslo", None, "Bergen", "Oslo"],
        "paid": pd.to_datetime(["2025-01-06 12:00", "2025-01-07 18:30", "2025-01-08 00:00", "2025-01-11 09:00"]),
        "bank": ["A"] * 4,
        "empty": [np.nan] * 4,
    }
)
LATER = pd.DataFrame(
    {"x": [np.nan], "city": ["Rome"], "paid": pd.to_datetime(["2026-01-05 12:00"]), "bank": ["B"], "empty": [1.0]}
)
MIXED = [name for name in ENCODINGS if name != Z_SCORES]


def test_codes_are_finite_whatever_is_missing_or_new():
    columns = ["x", "city", "empty"]
    encoder = ordinal_encoder().fit(TRAIN[columns])
    assert np.isfinite(encoder.transform(TRAIN[columns])).all()
    city, x, _ = encoder.transform(LATER[columns])[0]
    assert (city, x) == (-1, 3.0)


@pytest.mark.parametrize("name", MIXED)
def test_numbers_are_finite_and_as_wide_whatever_is_missing_or_new(name):
    encoder = ENCODINGS[name]().fit(TRAIN)
    train, later = encoder.transform(TRAIN), encoder.transform(LATER)
    assert np.isfinite(train).all()
    assert np.isfinite(later).all()
    assert later.shape == (1, train.shape[1])


@pytest.mark.parametrize("name", MIXED)
def test_the_same_hour_and_weekday_are_the_same_whenever_they_are(name):
    encoder = ENCODINGS[name]().fit(TRAIN)
    first, later = TRAIN.iloc[:1], TRAIN.iloc[:1].assign(paid=LATER["paid"].to_numpy())  # two Mondays, at noon
    assert np.array_equal(encoder.transform(first), encoder.transform(later))


def test_one_hot_columns_are_one_for_each_category_and_none_is_constant():
    encoder = ENCODINGS["one-hot"]().fit(TRAIN)
    train = encoder.transform(TRAIN)
    assert train.shape[1] == 3 + 1 + 2  # Oslo, Bergen, missing; x; hour and weekday; neither bank nor empty
    assert (train.std(axis=0) > 0).all()
    assert set(np.unique(train[:, :3])) == {0.0, 1.0}
    assert not encoder.transform(LATER)[0, :3].any()


@pytest.mark.parametrize("name", ENCODINGS)
def test_numbers_are_z_scores_of_the_training_rows(name):
    rows = pd.DataFrame(np.random.default_rng(0).normal(3.0, [1.0, 50.0], size=(40, 2)), columns=["a", "b"])
    encoded = ENCODINGS[name]().fit(rows).transform(rows)
    assert encoded.mean(axis=0) == pytest.approx([0, 0])
    assert encoded.std(axis=0) == pytest.approx([1, 1])


def test_encodings_tell_results_apart_and_z_scores_keep_those_of_before():
    assert encoding_identity(None) == encoding_identity(Z_SCORES) == {}
    assert len({encoding_identity(name)["encoding"] for name in MIXED}) == len(MIXED)
