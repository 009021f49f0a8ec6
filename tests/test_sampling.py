"""Laws of sampled rows: they are of the table's kind, they go together as its rows do, and none of them is one."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest

from vae_anomaly import VAEDetector
from vae_anomaly._sampler.files import sampler_from_arrays, sampler_to_arrays
from vae_anomaly.errors import ModelFileError, ParameterError, VaeAnomalyError
from vae_anomaly.table.encoding import TableEncoder
from vae_anomaly.table.layout import UNSEEN
from vae_anomaly.training.callbacks import Checkpoint

SMALL = {"max_steps": 150, "n_members": 1, "hidden": (32,), "latent": 8, "contamination": 0.0, "device": "cpu"}
N_ROWS, N_DRAWN = 3_000, 3_000
CITY_OF = {"café ☕": "Köln", "متجر": "Köln", "🛒 store": "Wien", "corner": "Graz"}

untaught = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.VaeAnomalyWarning")
"""Of models that are to learn next to nothing."""


def made(n_rows=N_ROWS, seed=0):
    """Payments whose columns go together in ways that can be told."""
    rng = np.random.default_rng(seed)
    shop = rng.choice(list(CITY_OF), n_rows, p=[0.5, 0.3, 0.15, 0.05])
    online = rng.random(n_rows) < np.where(shop == "corner", 0.9, 0.2)
    net = np.round(np.exp(rng.normal(3, 1, n_rows)), 2)
    paid = pd.Timestamp("2025-01-06") + pd.to_timedelta(rng.integers(0, 90 * 86_400, n_rows), unit="s")
    rows = pd.DataFrame(
        {
            "reference": [f"R{i:05}" for i in range(n_rows)],
            "paid": paid.astype("datetime64[us]"),
            "shop": shop,
            "city": [CITY_OF[name] for name in shop],
            "net": net,
            "gross": np.round(net * 1.2, 2),
            "items": rng.poisson(3, n_rows),
            "fee": rng.choice([0.0, 0.25, 1.5], n_rows, p=[0.7, 0.2, 0.1]),
            "online": online,
            "device": pd.Categorical(np.where(online, rng.choice(["ios", "android"], n_rows), None)),
            "lat": rng.normal(48, 1, n_rows),
            "country": "AT",
        }
    )
    unknown = rng.random(n_rows) < 0.2
    rows["lon"] = rows["lat"] / 3 + rng.normal(0, 0.1, n_rows)
    rows.loc[unknown, ["lat", "lon"]] = np.nan
    return rows


@pytest.fixture(scope="module")
def rows():
    return made()


@pytest.fixture(scope="module")
def detector(rows):
    return VAEDetector(**SMALL, kinds={"reference": "identifier"}).fit(rows)


@pytest.fixture(scope="module")
def drawn(detector):
    return detector.sample(N_DRAWN, random_state=1)


# ---------------------------------------------------------------- of the table's kind


def test_every_row_passes_the_schema(detector, rows, drawn):
    encoded = TableEncoder(detector.schema_).encode(drawn)
    assert not (encoded.codes == UNSEEN).any()
    assert drawn.columns.equals(rows.columns)
    assert drawn.dtypes.equals(rows.dtypes)
    assert np.isfinite(detector.anomaly_score(drawn)).all()


def test_ranges_precision_and_calendar_are_those_of_the_fit(rows, drawn):
    for name in ("net", "gross", "items", "fee", "lat", "lon", "paid"):
        assert rows[name].min() <= drawn[name].min()
        assert drawn[name].max() <= rows[name].max()
    cents = drawn[["net", "gross"]].to_numpy()
    assert (cents == np.round(cents, 2)).all()
    assert set(drawn["fee"]) <= set(rows["fee"])
    assert (drawn["paid"] == drawn["paid"].dt.floor("s")).all()
    assert set(drawn["country"]) == {"AT"}


def test_identifiers_name_nobody(drawn):
    assert drawn["reference"].isna().all()


def test_columns_are_distributed_as_in_the_fit(rows, drawn):
    for name in ("shop", "online", "device", "fee"):
        share = rows[name].value_counts(normalize=True, dropna=False)
        again = drawn[name].value_counts(normalize=True, dropna=False).reindex(share.index, fill_value=0)
        assert (share - again).abs().max() < 0.04
    for name in ("net", "items", "lat"):
        levels = [0.1, 0.25, 0.5, 0.75, 0.9]
        spread = rows[name].std()
        assert (rows[name].quantile(levels) - drawn[name].quantile(levels)).abs().max() < 0.15 * spread


# ---------------------------------------------------------------- going together


def test_a_column_that_another_determines_is_determined(drawn):
    wrong = drawn["city"] != drawn["shop"].map(CITY_OF)
    assert wrong.mean() < 0.02


def test_gaps_come_where_they_came(rows, drawn):
    assert (drawn["lat"].isna() == drawn["lon"].isna()).mean() > 0.98
    assert (drawn["device"].isna() == ~drawn["online"]).mean() > 0.98
    assert abs(drawn["lat"].isna().mean() - rows["lat"].isna().mean()) < 0.03


def test_numbers_go_together(rows, drawn):
    def correlation(frame):
        return frame[["net", "gross", "lat", "lon"]].corr("spearman").to_numpy()

    assert np.abs(correlation(drawn) - correlation(rows)).max() < 0.15


def test_a_level_shifts_what_follows_it(rows, drawn):
    for frame in (rows, drawn):
        assert frame.loc[frame["shop"] == "corner", "online"].mean() > 0.7
        assert frame.loc[frame["shop"] != "corner", "online"].mean() < 0.3


def test_a_mixture_of_two_normals_comes_back():
    rng = np.random.default_rng(0)
    first = rng.multivariate_normal([-3, 0], [[1.0, 0.8], [0.8, 1.0]], 1_400)
    second = rng.multivariate_normal([3, 2], [[0.5, -0.2], [-0.2, 0.3]], 600)
    drawn = VAEDetector(**SMALL).fit(np.concatenate([first, second])).sample(4_000, random_state=0)
    assert isinstance(drawn, np.ndarray)
    right = drawn[:, 0] > 0
    assert abs(right.mean() - 0.3) < 0.03
    for own, made_rows in ((drawn[~right], first), (drawn[right], second)):
        assert np.abs(own.mean(axis=0) - made_rows.mean(axis=0)).max() < 0.15
        assert np.abs(np.cov(own.T) - np.cov(made_rows.T)).max() < 0.2


def test_no_row_of_the_fit_is_remembered(rows, drawn):
    names = ["net", "lat", "lon", "items"]
    whole, fresh, other = (frame[names].dropna() for frame in (rows, drawn, made(N_ROWS, seed=1)))
    assert not len(fresh.merge(whole.drop_duplicates()))

    def nearest(frame):
        scale = whole.std()
        some, all_rows = ((of / scale).to_numpy() for of in (frame.head(400), whole))
        return np.median(np.sqrt(((some[:, None] - all_rows[None]) ** 2).sum(axis=-1)).min(axis=1))

    assert nearest(fresh) > 0.7 * nearest(other)


# ---------------------------------------------------------------- seeds and files


def test_a_seed_repeats_and_more_rows_begin_with_fewer(detector, drawn):
    pd.testing.assert_frame_equal(detector.sample(N_DRAWN, random_state=1), drawn)
    pd.testing.assert_frame_equal(detector.sample(7, random_state=1), drawn.head(7))
    assert not detector.sample(7, random_state=2).equals(drawn.head(7))


@pytest.mark.parametrize("source", [np.random.RandomState, np.random.default_rng])
def test_what_has_a_state_goes_on_from_it(detector, source):
    state = source(0)
    first, second = (detector.sample(5, random_state=state) for _ in range(2))
    assert not first.equals(second)
    pd.testing.assert_frame_equal(detector.sample(5, random_state=source(0)), first)


def test_a_saved_copied_or_pickled_detector_draws_the_same_rows(detector, drawn, tmp_path):
    detector.save(tmp_path / "model.vaea")
    loaded = VAEDetector.load(tmp_path / "model.vaea", device="cpu")
    for twin in (loaded, copy.copy(detector), copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):  # noqa: S301
        pd.testing.assert_frame_equal(twin.sample(50, random_state=1), drawn.head(50))


@untaught
def test_a_fit_that_goes_on_is_sampled_anew(rows):
    detector = VAEDetector(**{**SMALL, "max_steps": 40}).fit(rows[["net", "items"]])
    detector.partial_fit(pd.DataFrame({"net": np.full(500, 20.0), "items": np.arange(500) % 3 + 20}))
    assert detector.sample(200, random_state=0)["items"].min() >= rows["items"].min()
    assert (detector.sample(200, random_state=0)["net"] == 20.0).all()


@untaught
def test_a_checkpoint_says_that_it_keeps_nothing_to_sample_from(rows, tmp_path):
    path = tmp_path / "checkpoint.vaea"
    VAEDetector(**{**SMALL, "max_steps": 20}, callbacks=[Checkpoint(path)]).fit(rows[["net", "items"]])
    with pytest.raises(VaeAnomalyError, match="checkpoint"):
        VAEDetector.load(path, device="cpu").sample(3)


# ---------------------------------------------------------------- conditions


def test_fixed_cells_are_in_all_rows_and_the_others_come_with_them(detector):
    fixed = {"shop": "corner", "net": 55.5, "items": 4, "lat": None}
    drawn = detector.sample(60, random_state=0, conditions=fixed)
    assert (drawn[["shop", "net", "items"]] == ["corner", 55.5, 4]).all(axis=None)
    assert drawn[["lat", "lon"]].isna().mean().min() > 0.95
    assert (drawn["city"] == "Graz").mean() > 0.95
    assert drawn["online"].mean() > 0.7
    assert abs(drawn["gross"].median() - 66.6) < 10
    assert drawn["paid"].nunique() > 30


def test_a_fixed_number_moves_those_that_go_with_it(detector):
    low, high = (detector.sample(200, random_state=0, conditions={"lat": lat})["lon"].mean() for lat in (46.5, 49.5))
    assert abs((high - low) - 1.0) < 0.5


def test_a_date_can_be_fixed(detector):
    at = pd.Timestamp("2025-02-01 12:30:05")
    for value in (at, str(at), at.to_pydatetime()):
        assert (detector.sample(3, random_state=0, conditions={"paid": value})["paid"] == at).all()


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ({"shopp": "corner"}, "near: 'shop'"),
        ({"reference": "R00001"}, "identifier"),
        ({"shop": "cornr"}, "near: 'corner'"),
        ({"net": 1e9}, "range of fit"),
        ({"net": "much"}, "range of fit"),
        ({"net": float("inf")}, "range of fit"),
        ({"items": 2.5}, "whole number"),
        ({"fee": 0.7}, "near: 0.0, 0.25, 1.5"),
        ({"paid": "2031-01-01"}, "range of fit"),
        ({"online": "maybe"}, "such as 'false', 'true'"),
        ({"online": None}, "saw no row without one"),
        ({"country": ["AT"]}, "such as 'AT'"),
        ({"shop": "corner", "city": "Köln"}, "go together"),
    ],
)
def test_conditions_that_cannot_be_are_refused(detector, conditions, told):
    with pytest.raises(ParameterError, match="'conditions' parameter") as refused:
        detector.sample(3, random_state=0, conditions=conditions)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    "arguments", [{"n": -1}, {"n": 2.5}, {"n": True}, {"random_state": "x"}, {"conditions": ["shop"]}]
)
def test_parameters_outside_their_domain_are_refused(detector, arguments):
    with pytest.raises(ParameterError, match=r"VAEDetector\.sample"):
        detector.sample(**arguments)


# ---------------------------------------------------------------- odd tables


@pytest.mark.parametrize("conditions", [None, {"shop": "corner"}])
def test_no_rows_have_the_columns(detector, rows, conditions):
    none = detector.sample(0, conditions=conditions)
    assert none.shape == (0, rows.shape[1])
    assert none.drop(columns="reference").dtypes.equals(rows.drop(columns="reference").dtypes)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1.0, 2.0]}),
        pd.DataFrame({"a": [1.5, 1.5, 1.5], "b": [None, None, None]}, index=[1, 1, 2]),
        pd.DataFrame({"a": [1, 2, None, 4] * 10, "b": ["x", None, "y", "x"] * 10}),
        pl.DataFrame({"a": [0.5, 1.5, None] * 20, "b": ["x", "y", None] * 20}),
        pd.DataFrame({"day": pd.to_datetime(["2020-02-29", "2024-02-29", None] * 20).date, "n": range(60)}),
        pd.DataFrame(
            {"t": pd.date_range("2025-01-01", periods=60, freq="7h", tz="Europe/Vienna"), "n": [1, 2, 3] * 20}
        ),
        pd.DataFrame({"text": ["1.5", "2.25", "NA"] * 20, "yes": ["yes", "no", "yes"] * 20}),
        np.array([[1, 2], [3, 4], [5, 9]] * 20),
        np.array([["x", 1.5], ["y", None], ["x", 2.5]] * 20, dtype=object),
    ],
    ids=["two rows", "constants", "gaps", "polars", "days", "zone", "text", "whole array", "objects"],
)
@untaught
def test_small_and_odd_tables_are_sampled(frame, tmp_path):
    detector = VAEDetector(**{**SMALL, "max_steps": 10}).fit(frame)
    drawn = detector.sample(40, random_state=0)
    assert len(drawn) == 40
    assert not (TableEncoder(detector.schema_).encode(drawn).codes == UNSEEN).any()
    detector.save(tmp_path / "model.vaea")
    again = VAEDetector.load(tmp_path / "model.vaea", device="cpu").sample(40, random_state=0)
    assert repr(again) == repr(drawn)


@untaught
def test_rare_levels_among_thousands_come_too():
    rng = np.random.default_rng(0)
    names = np.array([f"shop {i}" for i in range(3_000)])
    frame = pd.DataFrame({"shop": pd.Categorical(rng.choice(names, 3_000)), "n": rng.normal(size=3_000)})
    drawn = VAEDetector(**{**SMALL, "max_steps": 10}, max_categories=50).fit(frame).sample(1_000, random_state=0)
    assert drawn["shop"].nunique() > 300
    assert set(drawn["shop"].unique()) <= set(frame["shop"].unique())
    assert drawn["shop"].dtype == frame["shop"].cat.remove_unused_categories().dtype


# ---------------------------------------------------------------- damaged files


def damaged(name, change):
    def alter(arrays):
        return {**arrays, name: change(arrays[name].copy())}

    return alter


def changed(array, place, value):
    array[place] = value
    return array


@pytest.mark.parametrize(
    "alter",
    [
        lambda arrays: {name: array for name, array in arrays.items() if name != "raw"},
        lambda arrays: {**arrays, "extra": np.zeros(1)},
        damaged("pair", lambda a: changed(a, 0, 2**30)),
        damaged("pair", lambda a: a[:-1]),
        damaged("follows", lambda a: changed(a, (0, 0), 99)),
        damaged("follows", lambda a: changed(a, (0, 2), -1)),
        damaged("levels", lambda a: changed(a, (0, 1), 99)),
        damaged("levels", lambda a: changed(a, (0, 0), 7)),
        damaged("levels", lambda a: a[:-1]),
        damaged("level_values", lambda a: a[::-1]),
        damaged("value", lambda a: a[:, ::-1]),
        damaged("raw", lambda a: changed(a, (0, 0), np.nan)),
        damaged("continuous", lambda a: changed(a, (0, 0), -1)),
        damaged("log_rest", lambda a: a.astype(np.float64)),
        damaged("mixture.mean", lambda a: a[:, :-1]),
        damaged("mixture.weight", lambda a: a * 0),
        damaged("mixture.factor", lambda a: changed(a, (0, 0), np.inf)),
    ],
)
def test_a_damaged_sampler_is_refused(detector, alter):
    config = detector.model_.config
    arrays = sampler_to_arrays(detector.sampler_)
    sampler_from_arrays(arrays, detector.schema_, config.latent, config.dof)
    with pytest.raises(ModelFileError):
        sampler_from_arrays(alter(arrays), detector.schema_, config.latent, config.dof)
