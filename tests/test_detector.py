"""Laws of the detector."""

import copy
import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import stats
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from vae_anomaly import (
    Checkpoint,
    ParameterError,
    SchemaMismatchError,
    SchemaWarning,
    TableError,
    TrainingWarning,
    VAEDetector,
    make_transactions,
)

# Most of these detectors train too briefly to learn much, and say so.
pytestmark = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")

SMALL = {"n_members": 2, "hidden": (32,), "latent": 4, "max_steps": 100}


@pytest.fixture(scope="module")
def payments():
    rows = make_transactions(1_500, fraud_rate=0.02, random_state=0)
    return rows.drop(columns=["is_fraud", "typology", "transaction_id", "customer_id", "merchant_id", "terminal_id"])


@pytest.fixture(scope="module")
def detector(payments):
    return VAEDetector(**SMALL).fit(payments)


@pytest.fixture(scope="module")
def scores(detector, payments):
    return detector.score_samples(payments)


# ------------------------------------------------------------------ one row, one score


@pytest.mark.parametrize("size", [1, 3, 255, 1023, 1024, 1025])
def test_a_score_does_not_depend_on_the_batch_it_comes_in(detector, payments, scores, size):
    for start in (0, 475, len(payments) - size):
        piece = payments.iloc[start : start + size]
        np.testing.assert_array_equal(detector.score_samples(piece), scores[start : start + size])


def test_a_score_does_not_depend_on_the_order_of_rows_or_columns(detector, payments, scores):
    order = np.random.default_rng(0).permutation(len(payments))
    shuffled = payments.iloc[order][payments.columns[::-1]]
    np.testing.assert_array_equal(detector.score_samples(shuffled), scores[order])


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_a_score_does_not_depend_on_the_number_of_threads(detector, payments, scores, n_threads):
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        np.testing.assert_array_equal(detector.score_samples(payments), scores)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)


def test_a_score_does_not_depend_on_the_process(detector, payments, scores, tmp_path):
    detector.save(tmp_path / "model.vaea")
    payments.to_parquet(tmp_path / "rows.parquet")
    program = (
        "import sys, numpy as np, pandas as pd; from vae_anomaly import VAEDetector; "
        "rows = pd.read_parquet(sys.argv[2]); np.save(sys.argv[3], VAEDetector.load(sys.argv[1]).score_samples(rows))"
    )
    files = [str(tmp_path / name) for name in ("model.vaea", "rows.parquet", "scores.npy")]
    subprocess.run([sys.executable, "-c", program, *files], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})  # noqa: S603
    np.testing.assert_array_equal(np.load(tmp_path / "scores.npy"), scores)


def test_the_same_rows_in_another_library_get_the_same_scores(payments, detector, scores):
    for frame in (pl.from_pandas(payments), pa.Table.from_pandas(payments, preserve_index=False)):
        np.testing.assert_array_equal(detector.score_samples(frame), scores)


def test_fitting_repeats_itself_and_touches_no_global_generator(payments, scores):
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    np.testing.assert_array_equal(VAEDetector(**SMALL).fit(payments).score_samples(payments), scores)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_fitting_does_not_depend_on_the_row_order(payments, scores):
    shuffled = payments.sample(frac=1.0, random_state=3)
    again = VAEDetector(**SMALL).fit(shuffled)
    np.testing.assert_array_equal(again.score_samples(payments), scores)


def test_another_seed_is_another_model(payments, scores):
    assert not np.array_equal(VAEDetector(**SMALL, random_state=1).fit(payments).score_samples(payments), scores)


# ------------------------------------------------------------------ what a score is made of


def test_column_terms_sum_to_the_reconstruction_score(payments, detector, scores):
    reconstruction = clone(detector)
    reconstruction = reconstruction.set_params(score_type="reconstruction").fit(payments)
    terms = reconstruction.column_surprisal(payments)
    np.testing.assert_array_equal(terms.to_numpy().sum(axis=1), reconstruction.anomaly_score(payments))
    assert list(terms.columns) == list(detector.schema_.modelled)
    assert (terms.index == payments.index).all()
    # The ELBO adds a KL, which is never negative, and tames columns of many levels, which this setting leaves alone.
    untamed = copy.deepcopy(detector).set_params(numeric_spread=None, discrete_spread=None)
    assert (untamed.score_samples(payments) <= reconstruction.score_samples(payments)).all()
    assert (untamed.score_samples(payments) != scores).any()


def test_without_exemplars_and_tamed_categories_the_elbo_is_the_reconstruction_score(payments, detector):
    plain = copy.deepcopy(detector).set_params(exemplar_weight=0.0, numeric_spread=None, discrete_spread=None)
    reconstruction = copy.deepcopy(detector).set_params(score_type="reconstruction")
    np.testing.assert_array_equal(plain.score_samples(payments), reconstruction.score_samples(payments))


def test_epochs_are_limited_unless_the_rows_are_clean(payments):
    settings = {"max_steps": 40, "max_epochs": 0.1, "n_members": 1}
    steps = [VAEDetector(contamination=c, **settings).fit(payments).profile_["n_steps"] for c in ("auto", 0.0)]
    assert steps == [32, 40]


def test_decision_and_prediction_follow_from_the_score(detector, payments, scores):
    np.testing.assert_array_equal(detector.decision_function(payments), scores - detector.offset_)
    np.testing.assert_array_equal(detector.predict(payments) == -1, scores < detector.offset_)
    np.testing.assert_array_equal(detector.anomaly_score(payments), -scores)
    np.testing.assert_array_equal(clone(detector).fit_predict(payments), detector.predict(payments))


def test_missing_cells_add_nothing(detector, payments):
    holes = payments.copy()
    holes.loc[holes.index[:50], "amount"] = np.nan
    holes.loc[holes.index[:50], "category"] = None
    terms = detector.column_surprisal(holes)
    assert (terms.loc[holes.index[:50], ["amount", "category"]] == 0).all().all()
    assert (terms["amount"].iloc[50:] != 0).all()


def test_a_row_with_nothing_in_it_is_finite(detector, payments):
    empty = payments.iloc[:3].astype(object)
    empty.loc[:] = None
    assert np.isfinite(detector.score_samples(empty)).all()
    assert (detector.column_surprisal(empty) == 0).all().all()


def test_an_unseen_category_is_more_surprising_than_any_known_one(detector, payments):
    strange = payments.iloc[:200].copy()
    strange["channel"] = "carrier pigeon"
    known = detector.column_surprisal(payments.iloc[:200])["channel"]
    assert (detector.column_surprisal(strange)["channel"] >= known).mean() > 0.95


def test_iwae_bound_repeats_and_has_an_error(payments, detector):
    estimate = detector.iwae(payments.iloc[:300], n_samples=16)
    np.testing.assert_array_equal(estimate.bound, detector.iwae(payments.iloc[:300], n_samples=16).bound)
    assert (estimate.standard_error >= 0).all()
    scored = (
        clone(detector)
        .set_params(score_type="iwae", n_iwae_samples=16)
        .fit(payments)
        .score_samples(payments.iloc[:300])
    )
    np.testing.assert_array_equal(scored, estimate.bound)


def test_a_known_joint_density_is_ranked_like_the_truth():
    """Two columns on a noisy parabola: the order of the scores is the order of the true log density."""
    rng = np.random.default_rng(0)

    def draw(n):
        x = rng.normal(size=n)
        return np.column_stack([x, x**2 + 0.3 * rng.normal(size=n)])

    def log_density(X):
        return stats.norm.logpdf(X[:, 0]) + stats.norm.logpdf(X[:, 1], X[:, 0] ** 2, 0.3)

    test = np.vstack([draw(1_000), rng.uniform([-3, -2], [3, 9], (1_000, 2))])
    scores = VAEDetector(contamination=0.0, max_steps=600).fit(draw(4_000)).score_samples(test)
    assert stats.spearmanr(scores, log_density(test)).statistic > 0.9


def test_training_beats_the_columns_on_their_own_and_finds_planted_fraud():
    rows = make_transactions(6_000, fraud_rate=0.02, random_state=1)
    X = rows.drop(columns=["is_fraud", "typology", "transaction_id"])
    detector = VAEDetector(max_steps=400).fit(X)
    assert detector.profile_["held_out_elbo"] > detector.profile_["baseline_elbo"]
    ap = average_precision_score(rows["is_fraud"], detector.anomaly_score(X))
    assert ap > 3 * rows["is_fraud"].mean()


# ------------------------------------------------------------------ contamination, weights, labels


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_contamination_is_the_share_below_the_offset(payments, share):
    flags = VAEDetector(**SMALL, contamination=share).fit_predict(payments)
    assert (flags == -1).mean() == pytest.approx(share, abs=1 / len(payments))


def test_labels_are_ignored(payments, scores):
    labels = np.random.default_rng(0).integers(0, 2, len(payments))
    np.testing.assert_array_equal(VAEDetector(**SMALL).fit(payments, labels).score_samples(payments), scores)


def test_a_weight_is_a_number_of_repetitions(payments):
    weight = np.random.default_rng(1).integers(0, 3, len(payments))
    repeated = payments.loc[payments.index.repeat(weight)]
    one = VAEDetector(**SMALL).fit(payments, sample_weight=weight)
    other = VAEDetector(**SMALL).fit(repeated)
    np.testing.assert_array_equal(one.score_samples(payments), other.score_samples(payments))
    assert one.offset_ == other.offset_


def test_a_label_left_in_by_mistake_is_named():
    rows = make_transactions(400, random_state=0).drop(columns=["typology", "transaction_id"])
    with pytest.warns(SchemaWarning, match="is_fraud"):
        VAEDetector(**SMALL).fit(rows)


# ------------------------------------------------------------------ going on, watching, stopping


def test_partial_fit_learns_new_rows_and_keeps_the_schema(payments):
    detector = VAEDetector(**SMALL).partial_fit(payments)
    schema = detector.schema_
    new = payments.copy()
    new["amount"] = new["amount"] * 3
    before = detector.column_surprisal(new)["amount"].mean()
    for _ in range(4):
        detector.partial_fit(new)
    assert detector.column_surprisal(new)["amount"].mean() < before
    assert detector.schema_ is schema


def test_warm_start_continues(payments):
    detector = VAEDetector(**SMALL, warm_start=True).fit(payments)
    first, n = detector.profile_["held_out_elbo"], len(detector.history_)
    detector.fit(payments)
    assert len(detector.history_) > n
    assert detector.profile_["held_out_elbo"] > first


class _StopAfter:
    def __init__(self, n):
        self.left = n

    def on_evaluation(self, evaluation, save):
        self.left -= 1
        return self.left <= 0


def test_a_callback_can_stop(payments):
    detector = VAEDetector(**SMALL, callbacks=[_StopAfter(3)]).fit(payments)
    assert detector.profile_["stopped_early"]
    assert len(detector.history_) == 3


class _SklearnCallback:
    """Follows scikit-learn's protocol."""

    def __init__(self):
        self.events = []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append("begin")

    def on_fit_task_end(self, estimator, context, *, metadata=None):
        self.events.append("end")
        return len(self.events) > 6


def test_callbacks_of_scikit_learn_watch_and_stop(payments):
    callback = _SklearnCallback()
    detector = VAEDetector(**SMALL).set_callbacks(callback).fit(payments)
    assert callback.events[0] == "setup"
    assert callback.events[-1] == "teardown"
    assert callback.events.count("begin") == callback.events.count("end") == len(detector.history_) + 1
    assert detector.profile_["stopped_early"]


def test_a_checkpoint_is_a_whole_model(payments, tmp_path):
    path = tmp_path / "checkpoint.vaea"
    callbacks = [Checkpoint(path), _StopAfter(4)]
    detector = VAEDetector(**SMALL, callbacks=callbacks).fit(payments)
    loaded = VAEDetector.load(path)
    np.testing.assert_array_equal(loaded.score_samples(payments), detector.score_samples(payments))
    assert loaded.offset_ == detector.offset_


def test_verbose_shows_nothing_where_there_is_no_terminal(payments, capfd):
    VAEDetector(**SMALL, verbose=True).fit(payments.iloc[:200])
    assert capfd.readouterr() == ("", "")


# ------------------------------------------------------------------ latent space and reconstruction


def test_transform_has_named_columns(detector, payments):
    latent = clone(detector).set_output(transform="pandas").fit(payments).transform(payments)
    assert latent.shape == (len(payments), 2 * 4)
    assert list(latent.columns) == list(detector.get_feature_names_out())
    assert (latent.index == payments.index).all()


def test_reconstruction_has_the_columns_and_dtypes_of_fit(detector, payments):
    back = detector.reconstruct(payments.iloc[:100])
    assert list(back.columns) == list(payments.columns)
    pd.testing.assert_series_equal(back.dtypes, payments.dtypes)
    assert isinstance(detector.reconstruct(pl.from_pandas(payments.iloc[:5])), pl.DataFrame)


def test_reconstruction_of_correlated_columns_is_close():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 2)) @ rng.normal(size=(2, 6))
    detector = VAEDetector(contamination=0.0, max_steps=400).fit(X)
    residual = detector.reconstruct(X) - X
    assert residual.var() < 0.05 * X.var()


# ------------------------------------------------------------------ files


def test_saving_and_loading_changes_no_bit(detector, payments, scores, tmp_path):
    path = tmp_path / "model.vaea"
    detector.save(path)
    loaded = VAEDetector.load(path)
    np.testing.assert_array_equal(loaded.score_samples(payments), scores)
    assert loaded.offset_ == detector.offset_
    assert loaded.schema_ == detector.schema_
    assert loaded.profile_ == detector.profile_
    assert loaded.history_ == detector.history_
    assert loaded.get_params() == {**detector.get_params(), "hidden": [32]}
    loaded.partial_fit(payments)  # and it can go on
    with pytest.raises(OSError, match="overwrite"):
        detector.save(path)


def test_arrays_survive_saving_too(tmp_path):
    X = np.random.default_rng(0).normal(size=(200, 3))
    detector = VAEDetector(**SMALL).fit(X)
    detector.save(tmp_path / "model.vaea")
    loaded = VAEDetector.load(tmp_path / "model.vaea")
    np.testing.assert_array_equal(loaded.score_samples(X), detector.score_samples(X))
    assert not hasattr(loaded, "feature_names_in_")


# ------------------------------------------------------------------ scikit-learn around it


def test_it_works_in_a_pipeline_and_a_search(payments):
    y = (np.arange(len(payments)) % 50 == 0).astype(int)
    X = payments[["amount", "account_age_days", "distance_km"]]
    X = X.assign(amount=np.where(y, 50 * X["amount"], X["amount"]))

    def scorer(estimator, X, y):
        return average_precision_score(y, -estimator.score_samples(X))

    pipeline = make_pipeline(FunctionTransformer(), StandardScaler(), VAEDetector(**SMALL))
    search = GridSearchCV(pipeline, {"vaedetector__latent": [2, 4]}, scoring=scorer, cv=3).fit(X, y)
    assert search.best_score_ > 3 * y.mean()
    assert np.isfinite(search.best_estimator_.score_samples(X)).all()


def test_it_has_the_methods_of_isolation_forest(detector):
    for name in ("fit", "predict", "fit_predict", "score_samples", "decision_function"):
        assert callable(getattr(detector, name))
        assert callable(getattr(IsolationForest(), name))


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("contamination", 0.9, r"'contamination' parameter of VAEDetector must be a number in \[0, 0.5\].*Got 0.9"),
        ("score_type", "mse", "'elbo' or 'reconstruction' or 'iwae'"),
        ("hidden", (), "a tuple of 1 or more"),
        ("n_members", 2.5, "an integer"),
        ("learning_rate", 0.0, r"\(0, inf\)"),
        ("callbacks", [print], "on_evaluation"),
        ("device", "abacus", "device"),
        ("kinds", {"nope": "numeric"}, "nope"),
    ],
)
def test_a_parameter_outside_its_domain_is_refused(payments, name, value, match):
    with pytest.raises(ParameterError, match=match):
        VAEDetector(**{**SMALL, name: value}).fit(payments)


def test_columns_that_differ_are_shown(detector, payments):
    with pytest.raises(SchemaMismatchError, match="amount"):
        detector.score_samples(payments.drop(columns="amount"))
    with pytest.raises(SchemaMismatchError, match="surplus"):
        detector.score_samples(payments.assign(surplus=1))
    with pytest.raises(SchemaMismatchError, match="twelve"):
        detector.score_samples(payments.astype({"amount": object}).assign(amount=["twelve"] * len(payments)))


@pytest.mark.parametrize(
    ("frame", "match"),
    [
        (pd.DataFrame({"a": []}), "at least one row"),
        (pd.DataFrame({"a": [1.0], "b": [2.0]}), "one sample"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), "a"),
        (pd.DataFrame({"a": [1.0, np.inf, 2.0], "b": [1.0, 2.0, 3.0]}), "infinit|inf"),
        (pd.DataFrame({"a": [1, "x", 2.5] * 10}), "mix|text"),
    ],
)
def test_rows_that_cannot_be_used_are_explained(frame, match):
    with pytest.raises(TableError, match=match):
        VAEDetector(**SMALL).fit(frame)


def test_an_unfitted_detector_says_so(payments, tmp_path):
    for call in (
        lambda d: d.score_samples(payments),
        lambda d: d.transform(payments),
        lambda d: d.reconstruct(payments),
        lambda d: d.save(tmp_path / "x.vaea"),
    ):
        with pytest.raises(NotFittedError):
            call(VAEDetector())


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": np.arange(20.0)}),
        pd.DataFrame({"a": [1.0, 2.0], "b": ["x", "y"]}),
        pd.DataFrame({"a": [None] * 30, "b": np.arange(30.0) % 7}),
        pd.DataFrame({"a": ["only"] * 30, "b": [3.0] * 30}),
        pd.DataFrame({"a": [f"level {i % 300}" for i in range(900)]}),
    ],
    ids=["one column", "two rows", "an empty column", "all constant", "many levels"],
)
def test_odd_tables_give_finite_scores(frame):
    detector = VAEDetector(**SMALL).fit(frame)
    assert np.isfinite(detector.score_samples(frame)).all()


def test_any_change_of_a_constant_is_surprising():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"version": ["v1"] * 300, "x": rng.normal(size=300)})
    detector = VAEDetector(**SMALL).fit(frame)
    changed = frame.assign(version="v2")
    assert (detector.anomaly_score(changed) > detector.anomaly_score(frame) + 3).all()


def test_a_collapse_is_reported(payments):
    with pytest.warns(TrainingWarning, match="collapsed|no better"):
        VAEDetector(**{**SMALL, "beta": 1e4, "max_steps": 200}).fit(payments)


# ------------------------------------------------------------------ what goes wrong leaves what was right


class _Interruption:
    def on_evaluation(self, evaluation, save):
        raise KeyboardInterrupt


@pytest.mark.parametrize("bad", [np.full((30, 2), np.inf), np.zeros((3, 3, 3)), "payments.csv", pd.DataFrame()])
def test_a_failed_fit_leaves_the_fitted_detector_as_it_was(bad):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    detector = VAEDetector(n_members=1, hidden=(8,), max_steps=5).fit(rows)
    before = detector.score_samples(rows)
    with pytest.raises(ValueError):  # noqa: PT011  (of scikit-learn's words or of ours)
        detector.fit(bad)
    assert detector.n_features_in_ == 2
    assert detector.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(detector.score_samples(rows[["b", "a"]]), before)
    with pytest.raises(SchemaMismatchError):
        detector.partial_fit(rows.rename(columns={"a": "c"}))


@pytest.mark.parametrize("again", ["fit", "partial_fit"])
def test_an_interrupted_training_leaves_the_fitted_detector_as_it_was(again):
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(60, 2)), columns=["a", "b"])
    detector = VAEDetector(n_members=1, hidden=(8,), max_steps=20, warm_start=True).fit(rows)
    before = detector.score_samples(rows)
    detector.set_params(callbacks=[_Interruption()])
    with pytest.raises(KeyboardInterrupt):
        getattr(detector, again)(rows * 100)
    np.testing.assert_array_equal(detector.score_samples(rows), before)


def test_what_a_mask_hides_is_missing():
    numbers = np.random.default_rng(0).normal(size=(60, 3))
    masked = np.ma.masked_array(np.where(numbers > 1, 1e6, numbers), mask=numbers > 1)
    with_gaps = np.where(numbers > 1, np.nan, numbers)
    detector = VAEDetector(n_members=1, hidden=(8,), max_steps=40).fit(masked)
    expected = clone(detector).fit(with_gaps).score_samples(with_gaps)
    np.testing.assert_array_equal(detector.score_samples(masked), expected)


def test_no_rows_and_rows_not_in_memory_are_told(detector, payments):
    for method in (detector.score_samples, detector.partial_fit, detector.reconstruct, detector.transform):
        with pytest.raises(TableError, match="at least one row"):
            method(payments[:0])
    with pytest.raises(TableError, match="collect"):
        VAEDetector(max_steps=5).fit(pl.from_pandas(payments).lazy())


def test_a_fitted_network_keeps_its_members_when_it_goes_on(payments):
    detector = VAEDetector(**SMALL).fit(payments)
    n_members = detector.model_.config.n_members
    assert detector.set_params(n_members=n_members + 1).partial_fit(payments).model_.config.n_members == n_members


def test_a_checkpoint_says_as_much_of_its_training_as_a_model(payments, tmp_path):
    detector = VAEDetector(**SMALL, callbacks=[Checkpoint(tmp_path / "c.vaea")]).fit(payments)
    checkpoint = VAEDetector.load(tmp_path / "c.vaea")
    assert set(checkpoint.profile_) == set(detector.profile_)
    assert checkpoint.history_ == detector.history_


def test_columns_without_dependence_are_reported_and_others_are_not(payments):
    """An autoencoder can copy independent columns, and its ELBO is then high; but shuffled rows it copies as well."""
    independent = np.random.default_rng(0).normal(size=(1_000, 6))
    with pytest.warns(TrainingWarning, match="no dependence"):
        VAEDetector(max_steps=200).fit(independent)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learnt = VAEDetector(max_steps=200).fit(payments)
    assert learnt.profile_["dependence"] > 5 * learnt.profile_["dependence_error"]
