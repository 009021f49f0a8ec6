"""The latent space: what is decoded is what was reconstructed, and ways through it end where they should."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from vae_anomaly import ParameterError, SchemaMismatchError, TableError, VAEDetector

N = 700  # more than a tile of 512


@pytest.fixture(scope="module")
def payments():
    """A table of every kind of column, with gaps."""
    rng = np.random.default_rng(0)
    net = rng.gamma(9, 9, N).round(2)
    moments = np.datetime64("2026-03-01T08:00:00") + rng.integers(0, 90 * 86_400, N).astype("timedelta64[s]")
    rows = pd.DataFrame(
        {
            "id": [f"P{i:05}" for i in range(N)],
            "net": net,
            "gross": (net * 1.2).round(2),
            "items": rng.integers(1, 60, N),
            "city": pd.Categorical(rng.choice(["Łódź", "Bonn", "القاهرة", "📱"], N)),
            "time": moments,
            "due": moments.astype("datetime64[D]").astype("datetime64[s]"),
            "new": rng.random(N) < 0.2,
            "currency": "EUR",
        }
    )
    for column in ("net", "city", "time"):
        rows.loc[rng.random(N) < 0.1, column] = None
    return rows


@pytest.fixture(scope="module")
def detector(payments):
    return VAEDetector(max_steps=60, n_members=2, latent=5, kinds={"id": "identifier"}).fit(payments)


def assert_same_cells(made, reconstructed):
    """Equal in every modelled cell; of dates the time of day, which is all that a place in latent space knows."""
    assert made.columns.tolist() == reconstructed.columns.tolist()
    assert made["id"].isna().all()
    for column in made.columns.drop(["id", "time", "due"]):
        pd.testing.assert_series_equal(made[column], reconstructed[column], check_categorical=False)
    dated = reconstructed["time"].notna()
    assert dated.any()
    assert (made["time"].dt.time[dated] == reconstructed["time"].dt.time[dated]).all()
    assert made[["time", "due"]].notna().all(axis=None)
    assert made["time"].dtype == reconstructed["time"].dtype


# ---------------------------------------------------------------- inverse_transform


def test_decoded_positions_are_the_reconstructions(payments, detector):
    assert_same_cells(detector.inverse_transform(detector.transform(payments)), detector.reconstruct(payments))


def test_a_position_gets_the_same_row_whatever_comes_with_it(payments, detector):
    Z = detector.transform(payments)
    whole = detector.inverse_transform(Z)
    some = np.random.default_rng(1).permutation(len(Z))[:50]
    pd.testing.assert_frame_equal(detector.inverse_transform(Z[some]), whole.iloc[some].reset_index(drop=True))
    pd.testing.assert_frame_equal(detector.inverse_transform(Z[[3]]), whole.iloc[[3]].reset_index(drop=True))


def test_a_saved_detector_decodes_to_the_same_rows(payments, detector, tmp_path):
    detector.save(tmp_path / "model.vaea")
    again = VAEDetector.load(tmp_path / "model.vaea", device="cpu")
    Z = detector.transform(payments)
    pd.testing.assert_frame_equal(again.inverse_transform(Z), detector.inverse_transform(Z))


def test_rows_come_in_the_library_and_with_the_index_of_the_positions(payments, detector):
    plain = detector.inverse_transform(detector.transform(payments))
    names = detector.get_feature_names_out()
    indexed = pd.DataFrame(detector.transform(payments), columns=names, index=payments.index[::-1] // 2)
    made = detector.inverse_transform(indexed[names[::-1]])  # columns are found by name
    pd.testing.assert_frame_equal(made.reset_index(drop=True), plain)
    assert made.index.equals(indexed.index)
    numbered = pd.DataFrame(detector.transform(payments))  # no names: by place
    pd.testing.assert_frame_equal(detector.inverse_transform(numbered), plain)
    pd.testing.assert_frame_equal(detector.inverse_transform(numbered.to_numpy().tolist()), plain)
    polars = detector.inverse_transform(pl.DataFrame(dict(zip(names, indexed.to_numpy().T, strict=True))))
    assert isinstance(polars, pl.DataFrame)
    assert polars["gross"].to_list() == plain["gross"].tolist()
    assert polars["city"].to_list() == plain["city"].tolist()
    assert isinstance(
        detector.inverse_transform(pa.table(dict(zip(names, indexed.to_numpy().T, strict=True)))), pa.Table
    )


def test_made_rows_are_rows_of_the_table(payments, detector):
    """Whatever the place: the detector reads them, every level is known, and every date is a real one."""
    Z = np.random.default_rng(2).normal(scale=3, size=(300, 10))
    made = detector.inverse_transform(Z)
    assert np.isfinite(detector.score_samples(made)).all()
    assert set(made["city"]) <= set(payments["city"].dropna())
    assert (made["due"].dt.normalize() == made["due"]).all()
    assert made["items"].dtype == payments["items"].dtype
    assert made["new"].dtype == payments["new"].dtype


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # nothing can be learnt of noise
@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(size=(300, 3)),
        np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32),
        np.random.default_rng(0).integers(0, 40, size=(300, 3)),
        np.random.default_rng(0).random((300, 3)) < 0.3,
        np.random.default_rng(0).choice(["a", "b", "c"], size=(300, 3)),
        np.column_stack([np.random.default_rng(0).normal(size=(300, 1)), ["x", "y", None] * 100]).astype(object),
    ],
    ids=["floats", "float32", "integers", "booleans", "text", "objects"],
)
def test_a_detector_of_arrays_gives_arrays(X):
    detector = VAEDetector(max_steps=20, n_members=1, latent=2).fit(X)
    made, expected = detector.inverse_transform(detector.transform(X)), detector.reconstruct(X)
    assert isinstance(made, np.ndarray)
    assert made.dtype == expected.dtype
    assert (made == expected).all()


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # nothing can be learnt of noise
def test_dates_in_an_array_keep_its_type():
    X = np.datetime64("2026-03-01T08:00:00", "us") + np.random.default_rng(0).integers(0, 10**12, (300, 2))
    detector = VAEDetector(max_steps=20, n_members=1).fit(X)
    made = detector.inverse_transform(detector.transform(X))
    assert made.dtype == X.dtype
    assert (made - made.astype("M8[D]") == detector.reconstruct(X) - X.astype("M8[D]")).all()


@pytest.mark.parametrize(
    ("Z", "message"),
    [
        (np.zeros((3, 9)), r"shape \(n_rows, 10\).*2 x 5.*found shape \(3, 9\)"),
        (np.zeros(10), r"found shape \(10,\)"),
        (np.zeros((0, 10)), r"at least one row.*found shape \(0, 10\)"),
        (np.full((2, 10), np.nan), "found nan in row 1, dimension 0"),
        (np.full((2, 10), 1e30), "within 1e[+]06 of 0, found 1e[+]30"),
        ([["a"] * 10], "as numbers"),
        (pd.DataFrame(np.zeros((2, 10))).add_prefix("z"), "latent0 to latent9, found z0, z1.*Rename them"),
        (pl.DataFrame({"latent0": [0.0]}), "latent0 to latent9, found latent0"),
    ],
)
def test_what_is_no_latent_position_is_refused(detector, Z, message):
    with pytest.raises(TableError, match=message):
        detector.inverse_transform(Z)


# ---------------------------------------------------------------- interpolate


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_a_way_ends_at_the_reconstructions(payments, detector, path):
    a, b = payments.iloc[:40], payments.iloc[40:80]
    way = detector.interpolate(a, b, steps=4, path=path)
    assert len(way) == 160
    for end, rows in ((way.iloc[::4], a), (way.iloc[3::4], b)):
        reconstructed = detector.reconstruct(rows).reset_index(drop=True)
        assert_same_cells(end.reset_index(drop=True), reconstructed)
        dated = reconstructed["time"].notna()
        assert (end["time"].to_numpy()[dated] == reconstructed["time"][dated]).all()  # with their days
        assert (end["due"].to_numpy() == reconstructed["due"]).all()


def test_days_go_from_one_to_the_other_and_a_missing_one_is_the_others(payments, detector):
    a, b = payments.iloc[[0]].assign(time=pd.Timestamp("2026-03-02 09:00")), payments.iloc[[1]]
    way = detector.interpolate(a, b.assign(time=pd.Timestamp("2026-03-10 09:00")), steps=5)
    assert way["time"].dt.day.tolist() == [2, 4, 6, 8, 10]
    assert detector.interpolate(a, b.assign(time=pd.NaT), steps=3)["time"].dt.day.tolist() == [2, 2, 2]
    neither = detector.interpolate(a.assign(time=pd.NaT), b.assign(time=pd.NaT), steps=3)
    assert (neither["time"] > "2026-04-25").all()  # near the last day of fit


def test_rows_may_miss_different_cells_and_rows_on_the_way_miss_none(payments, detector):
    a, b = payments.iloc[[0]].assign(net=np.nan, city=None), payments.iloc[[1]].assign(gross=np.nan, items=np.nan)
    nothing = payments.iloc[[0]].assign(**dict.fromkeys(payments.columns.drop("id")))
    for first, last in ((a, b), (b, a), (nothing, a), (nothing, nothing)):
        way = detector.interpolate(first, last, steps=5)
        assert way.drop(columns="id").notna().all(axis=None)
        pd.testing.assert_series_equal(
            way.iloc[0][["net", "gross", "items"]], detector.reconstruct(first).iloc[0][["net", "gross", "items"]],
            check_names=False, check_dtype=False,
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # nothing can be learnt of noise
def test_a_row_may_be_a_mapping_a_series_or_a_table(payments, detector):
    a, b = payments.iloc[[2]], payments.iloc[[5]]
    expected = detector.interpolate(a, b, steps=3)
    for of in (lambda rows: rows.iloc[0], lambda rows: rows.iloc[0].to_dict()):
        pd.testing.assert_frame_equal(detector.interpolate(of(a), of(b), steps=3), expected)
    polars = detector.interpolate(pl.from_pandas(a), pl.from_pandas(b), steps=3)
    assert isinstance(polars, pl.DataFrame)
    assert polars["gross"].to_list() == expected["gross"].tolist()
    X = np.random.default_rng(0).normal(size=(200, 2))
    of_arrays = VAEDetector(max_steps=20, n_members=1).fit(X)
    way = of_arrays.interpolate(X[0], X[1].tolist(), steps=2)
    assert (way == of_arrays.reconstruct(X[:2])).all()


def test_a_way_to_itself_stands_still(payments, detector):
    for path in ("linear", "spherical"):
        way = detector.interpolate(payments.iloc[[0]], payments.iloc[[0]], steps=3, path=path)
        assert len(way.drop_duplicates()) == 1


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"steps": 1}, ParameterError, "'steps' parameter of VAEDetector.interpolate"),
        ({"steps": 2.5}, ParameterError, "'steps'"),
        ({"path": "curved"}, ParameterError, "'linear' or 'spherical'"),
    ],
)
def test_ways_that_cannot_be_gone_are_refused(payments, detector, given, error, message):
    with pytest.raises(error, match=message):
        detector.interpolate(payments.iloc[[0]], payments.iloc[[1]], **given)


def test_rows_that_do_not_belong_together_are_refused(payments, detector):
    with pytest.raises(TableError, match=r"as many rows in 'b' as in 'a', 2.*found 3"):
        detector.interpolate(payments.iloc[:2], payments.iloc[:3])
    with pytest.raises(TableError, match="at least one row"):
        detector.interpolate(payments.iloc[:0], payments.iloc[:0])
    with pytest.raises(SchemaMismatchError, match="missing"):
        detector.interpolate({"net": 1.0}, payments.iloc[[0]])


# ---------------------------------------------------------------- before other estimators


def test_it_stands_before_a_classifier_and_never_sees_the_labels(payments):
    y = (payments["gross"] > 110).to_numpy()
    pipeline = make_pipeline(VAEDetector(max_steps=60, n_members=1, kinds={"id": "identifier"}), LogisticRegression())
    right = pipeline.fit(payments, y).score(payments, y)
    assert right > 0.9
    alone = VAEDetector(max_steps=60, n_members=1, kinds={"id": "identifier"}).fit(payments)
    assert (pipeline[:-1].transform(payments) == alone.transform(payments)).all()  # y was ignored
    assert pipeline[:-1].get_feature_names_out().tolist() == alone.get_feature_names_out().tolist()


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")  # nothing can be learnt of noise
def test_its_parameters_are_searched_from_the_outside():
    X, y = make_blobs(200, 4, centers=3, random_state=0)
    pipeline = make_pipeline(VAEDetector(max_steps=20, n_members=1), LogisticRegression())
    search = GridSearchCV(pipeline, {"vaedetector__latent": [1, 3]}, cv=2).fit(X, y)
    assert search.cv_results_["mean_test_score"].shape == (2,)


@pytest.mark.parametrize(("library", "kind"), [("pandas", pd.DataFrame), ("polars", pl.DataFrame)])
def test_positions_come_as_frames_and_go_back(payments, library, kind):
    detector = VAEDetector(max_steps=20, n_members=2, latent=3, kinds={"id": "identifier"}).fit(payments)
    plain = detector.inverse_transform(detector.transform(payments))
    Z = detector.set_output(transform=library).transform(payments)
    assert isinstance(Z, kind)
    assert list(Z.columns) == detector.get_feature_names_out().tolist()
    made = detector.inverse_transform(Z)
    assert isinstance(made, kind)
    assert made["gross"].to_list() == plain["gross"].tolist()
    assert (detector.fit_transform(payments).columns == Z.columns) if library == "polars" else True
