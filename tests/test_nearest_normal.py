"""The nearest row that does not alert: it does not, could stand in the table, and differs in as little as possible."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from vae_anomaly import (
    CalibratedDetector,
    Contamination,
    DiscoveryRate,
    ParameterError,
    SchemaMismatchError,
    TableError,
    VaeAnomalyWarning,
    VAEDetector,
    _nearest,
    make_transactions,
)
from vae_anomaly.benchmark.greedy import greedy_normal
from vae_anomaly.decision.fewest import fewest_changes

NAMES = ("transaction_id", "customer_id", "terminal_id", "city")
QUICK = {"max_steps": 100, "n_members": 1, "n_iwae_samples": 8}


def payments(n_rows, seed):
    """As the simulator makes them, with times, gaps and many levels, and a constant."""
    rows = make_transactions(max(n_rows, 100), random_state=seed, fraud_rate=0.0).head(n_rows)
    return rows.drop(columns=["is_fraud", "typology"]).assign(bank="north")


def mixed(n_rows, seed):
    """Numbers, categories and a flag of six kinds of customers; whole numbers, cents, and gaps."""
    rng, kinds = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(6, 3)) * 2
    kind = rng.integers(0, 6, n_rows)
    numbers = kinds[kind] + rng.normal(0, 0.5, (n_rows, 3))
    rows = pd.DataFrame(numbers, columns=["x0", "x1", "x2"])
    rows["cents"] = np.exp(0.5 * numbers[:, 0] + 3).round(2)
    rows["days"] = rng.poisson(20 + 5 * kind)
    rows["shop"] = [f"shop {i}" for i in np.where(rng.random(n_rows) < 0.95, kind, 0)]
    rows["online"] = (kind % 2 == 0) ^ (rng.random(n_rows) < 0.03)
    return rows.mask(rng.random(rows.shape) < 0.03)


def correlated(n_rows, seed):
    """Eight numbers that three causes go through."""
    rng, loadings = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(3, 8))
    numbers = rng.normal(size=(n_rows, 3)) @ loadings + 0.3 * rng.normal(size=(n_rows, 8))
    return pd.DataFrame(numbers, columns=[f"x{i}" for i in range(8)])


def extreme(n_rows, seed):
    """The same eight, far out in several together and beside each other as they should be; and then some noise."""
    rng, loadings = np.random.default_rng(seed), np.random.default_rng(9).normal(size=(3, 8))
    numbers = 2.2 * rng.normal(size=(n_rows, 3)) @ loadings + 0.5 * rng.normal(size=(n_rows, 8))
    return pd.DataFrame(numbers, columns=[f"x{i}" for i in range(8)])


def timed(n_rows, seed):
    """Two shops by the hour: the bakery sells in the morning of weekdays, the bar at night."""
    rng = np.random.default_rng(seed)
    bar = rng.random(n_rows) < 0.5
    day = rng.integers(0, 20, n_rows) * 7 + np.where(bar, rng.integers(4, 7, n_rows), rng.integers(0, 4, n_rows))
    hour = np.where(bar, rng.normal(22, 0.7, n_rows), rng.normal(7.5, 0.7, n_rows)).clip(0.1, 23.9)
    sold = pd.Timestamp("2024-01-01") + pd.to_timedelta(day * 86_400 + (hour * 3_600).astype(int), unit="s")
    spent = np.where(bar, rng.gamma(9, 4, n_rows), rng.gamma(9, 1, n_rows)).round(2)
    return pd.DataFrame({"sold": sold, "shop": np.where(bar, "bar", "bakery"), "spent": spent})


TABLES = (payments, mixed, correlated, timed)


@cache
def detector_of(make, score_type="elbo", *, known=False):
    rows = make(2_500, 0)
    labels = np.where(np.arange(len(rows)) < 5, 1, -1) if known else None
    kinds = dict.fromkeys(NAMES, "identifier") if make is payments else None
    return VAEDetector(score_type=score_type, kinds=kinds, **QUICK).fit(rows, known=labels)


@cache
def shuffled(make, n_rows=250, share=0.15):
    """New rows, of whose cells some come from other rows: some alert."""
    rows, rng = make(n_rows, 1), np.random.default_rng(2)
    for name in rows:
        swapped = rows[name].where(rng.random(n_rows) >= share, rng.permutation(rows[name].to_numpy()))
        rows[name] = swapped.astype(rows[name].dtype)
    return rows


def low(detector, rows, share=0.25):
    """A threshold that so many of the rows are above."""
    return float(np.quantile(detector.anomaly_score(rows), 1 - share))


def same(a, b):
    return (a == b) | (a.isna() & b.isna())


# ---------------------------------------------------------------- it does not alert


@pytest.mark.parametrize("make", TABLES)
def test_no_row_alerts_any_more(make):
    detector, rows = detector_of(make), shuffled(make)
    for threshold in (None, low(detector, rows)):
        limit = -detector.offset_ if threshold is None else threshold
        assert (detector.anomaly_score(rows) > limit).sum() >= (2 if threshold is None else 60)
        _, normal = detector.nearest_normal(rows, threshold=threshold, return_rows=True)
        assert (detector.anomaly_score(normal) <= limit).all()
    assert (detector.predict(detector.nearest_normal(rows, return_rows=True)[1]) == 1).all()


@pytest.mark.parametrize(("score_type", "known"), [("reconstruction", False), ("elbo", True), ("iwae", True)])
def test_no_row_alerts_any_more_by_other_scores(score_type, known):
    detector, rows = detector_of(mixed, score_type, known=known), shuffled(mixed, 40)
    limit = low(detector, rows)
    _, normal = detector.nearest_normal(rows, threshold=limit, return_rows=True)
    assert (detector.anomaly_score(normal) <= limit).all()


def test_a_row_with_all_cells_odd_can_be_made_normal():
    detector = detector_of(correlated)
    odd = pd.DataFrame(np.random.default_rng(0).normal(0, 30, (40, 8)), columns=correlated(1, 0).columns)
    changes, normal = detector.nearest_normal(odd, return_rows=True)
    assert (detector.predict(odd) == -1).all()
    assert (detector.predict(normal) == 1).all()
    assert changes.groupby("row").size().max() > 4


def test_only_gaps_are_filled_where_nothing_else_is_there_to_change():
    detector = detector_of(mixed)
    rows = mixed(20, 3).mask(np.full((20, 7), True)).astype(mixed(20, 3).dtypes)
    limit = detector.anomaly_score(rows)[0] - 0.5
    changes, normal = detector.nearest_normal(rows, threshold=limit, return_rows=True)
    assert (detector.anomaly_score(normal) <= limit).all()
    assert changes["observed"].isna().all()
    assert changes["sentence"].str.endswith(" instead of no value").all()
    some = shuffled(mixed)
    assert detector.nearest_normal(some)["observed"].notna().all()


# ---------------------------------------------------------------- what the frame says is what is there


@pytest.mark.parametrize("make", TABLES)
def test_the_lines_are_the_cells_that_differ(make):
    detector, rows = detector_of(make), shuffled(make)
    limit = low(detector, rows)
    changes, normal = detector.nearest_normal(rows, threshold=limit, return_rows=True)
    assert normal.columns.equals(rows.columns)
    assert normal.index.equals(rows.index)
    assert (normal.dtypes == rows.dtypes).all()
    differs = ~np.array([same(rows[name], normal[name]) for name in rows]).T
    assert set(zip(*np.nonzero(differs), strict=True)) == set(
        zip(changes["row"], rows.columns.get_indexer(changes["column"]), strict=True)
    )
    before, after = detector.anomaly_score(rows), detector.anomaly_score(normal)
    np.testing.assert_array_equal(changes["anomaly_score"], before[changes["row"]])
    np.testing.assert_array_equal(changes["new_score"], after[changes["row"]])
    assert set(changes["row"]) == set(np.flatnonzero(before > limit))
    for line in changes.itertuples():
        assert line.observed == rows.iloc[line.row][line.column]
        assert line.suggested == normal.iloc[line.row][line.column]
        assert line.sentence.startswith(f"{line.column}: ")
        assert line.kind == str(detector.schema_.modelled_columns[detector.schema_.modelled.index(line.column)].kind)
        if line.kind == "datetime":
            assert line.difference == line.suggested - line.observed
        elif line.kind == "numeric":
            assert line.difference == pytest.approx(line.suggested - line.observed, rel=1e-9, abs=1e-9)
        else:
            assert line.difference is None


@pytest.mark.parametrize("make", TABLES)
def test_what_is_suggested_could_stand_in_the_table(make):
    detector, rows, train = detector_of(make), shuffled(make), make(2_500, 0)
    changes, normal = detector.nearest_normal(rows, threshold=low(detector, rows, 0.5), return_rows=True)
    for column in detector.schema_.modelled_columns:
        suggested = changes.loc[changes["column"] == column.name, "suggested"]
        if str(column.kind) == "numeric":
            numbers = suggested.astype(float)
            assert numbers.between(train[column.name].min(), train[column.name].max()).all()
            if column.integer:
                assert (numbers % 1 == 0).all()
            if column.name in ("cents", "amount", "spent"):
                np.testing.assert_array_equal(numbers, numbers.round(2))
        elif str(column.kind) == "datetime":
            times = normal.loc[normal[column.name] != rows[column.name], column.name]
            assert (times.dt.microsecond == 0).all()
        else:
            assert set(suggested) <= set(train[column.name].dropna())


def test_ranks_go_by_what_each_change_is_worth():
    detector, rows = detector_of(mixed), shuffled(mixed, share=0.5)
    limit = low(detector, rows, 0.7)
    changes, normal = detector.nearest_normal(rows, threshold=limit, return_rows=True)
    assert changes["rank"].max() > 2
    without = normal.iloc[changes["row"]].reset_index(drop=True)
    for name in rows:
        where = (changes["column"] == name).to_numpy()
        without.loc[where, name] = rows[name].to_numpy()[changes["row"][where]]
    score = detector.anomaly_score(without.astype(rows.dtypes))
    several = changes["row"].duplicated(keep=False)
    assert (score[several] > limit).all()  # so no change can be left out
    assert (pd.Series(score).groupby(changes["row"]).diff().dropna() <= 0).all()
    assert (changes.groupby("row").cumcount() + 1 == changes["rank"]).all()


# ---------------------------------------------------------------- as little as possible


@pytest.mark.parametrize(
    ("make", "odd", "share"), [*((make, shuffled, 0.25) for make in TABLES), (correlated, extreme, 0.9)]
)
def test_no_row_takes_more_columns_than_the_greedy_search(make, odd, share):
    detector = detector_of(make)
    rows = extreme(250, 1) if odd is extreme else shuffled(make)
    limit = low(detector, rows, share)
    ours = detector.nearest_normal(rows, threshold=limit).groupby("row").size()
    found = greedy_normal(detector, rows, limit)
    assert ours.index.equals(found["row"].drop_duplicates().pipe(pd.Index))
    greedy = found.groupby("row").size()
    reached = found.groupby("row")["new_score"].first() <= limit
    assert reached.sum() > 50
    assert (ours <= greedy)[reached].all()
    assert ours.mean() < greedy.mean()


def test_hardly_a_set_is_larger_than_the_smallest_there_is():
    rng = np.random.default_rng(0)
    n_rows, n_columns = 150, 6
    nats = rng.exponential(3, (n_rows, n_columns))
    # Of some pairs, one column changed without the other makes it worse.
    pairs = np.triu(rng.exponential(2, (n_rows, n_columns, n_columns)) * (rng.random((n_rows, 6, 6)) < 0.2), 1)

    def judge(rows, sets):
        odd, unlike = np.where(sets, 0.0, nats[rows]), sets[:, :, None] != sets[:, None]
        return odd.sum(axis=1) + (pairs[rows] * unlike).sum(axis=(1, 2))

    free, limit = rng.random((n_rows, n_columns)) < 0.9, np.full(n_rows, 5.0)
    chosen, score = fewest_changes(judge, free, limit)
    assert not (chosen & ~free).any()
    np.testing.assert_allclose(score, judge(np.arange(n_rows), chosen))
    smallest = np.full(n_rows, 99)
    for subset in itertools.product([False, True], repeat=n_columns):
        sets = np.tile(subset, (n_rows, 1))
        fine = ~(sets & ~free).any(axis=1) & (judge(np.arange(n_rows), sets) <= limit)
        smallest[fine] = np.minimum(smallest[fine], sum(subset))
    reached = score <= limit
    assert (smallest < 99).sum() > 100
    assert (reached == (smallest < 99)).mean() > 0.98
    assert (chosen.sum(axis=1) > smallest)[reached].mean() < 0.03


def test_numbers_move_no_further_than_they_must():
    detector, rows = detector_of(correlated), shuffled(correlated)
    limit = low(detector, rows)
    changes = detector.nearest_normal(rows, threshold=limit)
    assert (changes["new_score"] > limit - 0.1).mean() > 0.95
    # A planted number comes back from far out, on its own side.
    odd = correlated(100, 5).assign(x3=1e6)
    back = detector.nearest_normal(odd)
    assert (back["column"] == "x3").mean() > 0.9
    typical = detector.reconstruct(odd.assign(x3=np.nan))["x3"].to_numpy()
    alone = back[(back["column"] == "x3") & ~back["row"].duplicated(keep=False)]
    assert (alone["suggested"].astype(float) >= typical[alone["row"]] - 0.01).all()


def test_a_time_is_moved_on_its_day_and_a_day_keeps_its_time():
    detector = detector_of(timed)
    rows = timed(300, 4)
    late = rows.assign(sold=rows["sold"] + pd.Timedelta(hours=9)).loc[rows["shop"] == "bakery"].reset_index(drop=True)
    late = late[detector.predict(late) == -1].reset_index(drop=True)
    assert len(late) > 50
    changes = detector.nearest_normal(late, fixed=["shop", "spent"])
    same_day = pd.to_datetime(changes["suggested"]).dt.date == pd.to_datetime(changes["observed"]).dt.date
    assert (changes["column"] == "sold").all()
    assert same_day.mean() > 0.95
    assert (pd.to_timedelta(changes["difference"]).abs() <= pd.Timedelta(hours=12)).mean() > 0.95


# ---------------------------------------------------------------- fixed columns


def test_fixed_columns_are_never_touched():
    detector, rows = detector_of(mixed), shuffled(mixed)
    limit = low(detector, rows)
    usual = detector.nearest_normal(rows, threshold=limit)
    for name in usual["column"].unique():
        odd = rows.iloc[usual.loc[usual["column"] == name, "row"].head(20)]
        changes, normal = detector.nearest_normal(odd, threshold=limit, fixed=[name], return_rows=True)
        assert len(changes) >= len(odd)
        assert name not in set(changes["column"])
        pd.testing.assert_series_equal(normal[name], odd[name])
        assert (detector.anomaly_score(normal) <= limit).all()


def test_rows_that_a_fixed_column_keeps_alerting_are_counted():
    detector, odd = detector_of(correlated), correlated(30, 5)
    odd.loc[odd.index >= 10, "x3"] = 1e6
    limit = float(detector.anomaly_score(odd.head(10)).max()) - 0.05
    with pytest.warns(VaeAnomalyWarning, match="still do with all that may be changed") as given:
        changes, normal = detector.nearest_normal(odd, threshold=limit, fixed=["x3"], return_rows=True)
    after, before = detector.anomaly_score(normal), detector.anomaly_score(odd)
    late = np.flatnonzero(after > limit)
    assert late.tolist() == list(range(10, 30))
    assert str(given[0].message).startswith("20 of the 21 rows that alert still do")
    assert given[0].filename == __file__
    assert (after[late] < before[late]).all()  # what can be done is said
    np.testing.assert_array_equal(changes["new_score"], after[changes["row"]])


def test_what_no_change_helps_has_a_warning_and_no_lines():
    detector, odd = detector_of(payments), payments(5, 1).assign(amount=60_000.0)
    others = [name for name in odd if name != "bank"]  # which never was another
    with pytest.warns(VaeAnomalyWarning, match=r"5 of the 5 rows that alert still do .* \(rows 0, 1, 2, 3, 4\)"):
        changes, same_rows = detector.nearest_normal(odd, fixed=others, return_rows=True)
    assert len(changes) == 0
    pd.testing.assert_frame_equal(same_rows, odd)


# ---------------------------------------------------------------- the same answer every time, for any table


def test_a_row_has_the_same_answer_whatever_comes_with_it(monkeypatch):
    detector, rows = detector_of(payments), shuffled(payments, 100)
    limit = low(detector, rows, 0.6)
    whole, normal = detector.nearest_normal(rows, threshold=limit, return_rows=True)
    some = whole["row"].drop_duplicates().to_numpy()[[7, 3]]
    alone, changed = detector.nearest_normal(rows.iloc[some, ::-1], threshold=limit, return_rows=True)
    expected = pd.concat([whole[whole["row"] == row].assign(row=place) for place, row in enumerate(some)])
    pd.testing.assert_frame_equal(alone, expected.reset_index(drop=True), check_exact=True)
    pd.testing.assert_frame_equal(changed[rows.columns], normal.iloc[some], check_exact=True)
    monkeypatch.setattr(_nearest, "_CELLS_AT_ONCE", 1_000)
    pd.testing.assert_frame_equal(detector.nearest_normal(rows, threshold=limit), whole, check_exact=True)


def test_a_loaded_detector_gives_the_same_answer(tmp_path):
    detector, rows = detector_of(mixed, known=True), shuffled(mixed, 30)
    detector.save(tmp_path / "mixed.vaea")
    again = VAEDetector.load(tmp_path / "mixed.vaea", device="cpu")
    limit = low(detector, rows)
    expected = detector.nearest_normal(rows, threshold=limit)
    pd.testing.assert_frame_equal(again.nearest_normal(rows, threshold=limit), expected, check_exact=True)


def test_frames_of_all_libraries_come_back_as_they_are():
    detector, rows = detector_of(payments), shuffled(payments, 30)
    limit = low(detector, rows)
    expected, normal = detector.nearest_normal(rows, threshold=limit, return_rows=True)
    for convert in (pl.from_pandas, lambda frame: pa.Table.from_pandas(frame, preserve_index=False)):
        table = convert(rows)
        changes, changed = detector.nearest_normal(table, threshold=limit, return_rows=True)
        assert changed.schema == table.schema
        assert "index" not in changes
        np.testing.assert_array_equal(changes["new_score"], expected["new_score"])
        again = changed.to_pandas()
        assert all(same(again[name], normal[name]).all() for name in rows)
    twice = rows.set_index(np.zeros(len(rows), dtype=int))
    changes, changed = detector.nearest_normal(twice, threshold=limit, return_rows=True)
    assert changed.index.equals(twice.index)
    assert (changes["index"] == 0).all()
    np.testing.assert_array_equal(changes["row"], expected["row"])


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64, object])
def test_arrays_come_back_as_arrays(kind):
    train = correlated(1_500, 0).to_numpy() * 10
    detector = VAEDetector(**QUICK).fit(train)
    odd = np.rint(correlated(30, 1).to_numpy() * 10)
    odd[:, 2] += 200
    odd = odd.astype(kind)
    changes, normal = detector.nearest_normal(odd, return_rows=True)
    assert isinstance(normal, np.ndarray)
    assert (detector.predict(odd) == -1).all()
    assert (detector.predict(normal) == 1).all()
    assert set(changes["column"]) <= {f"x{i}" for i in range(8)}
    assert normal.dtype == (np.float32 if kind is np.float32 else np.float64)


@pytest.mark.parametrize("as_level", ["category", "enum", "object"])
def test_levels_that_fit_never_saw_become_levels_that_it_saw(as_level):
    detector, rows = detector_of(mixed), mixed(30, 6)
    strange = "متجر 🚀"
    odd = rows.assign(shop=pd.Series([strange] * 30, dtype=object))
    if as_level == "category":
        odd["shop"] = odd["shop"].astype("category")  # in which no other level has a place
    if as_level == "enum":
        odd = pl.from_pandas(odd).with_columns(pl.col("shop").cast(pl.Enum([strange])))
    limit = low(detector, rows, 0.9) - 0.05
    others = [name for name in rows if name != "shop"]
    with pytest.warns(VaeAnomalyWarning, match="still do"):  # the level alone does not help every row
        changes, normal = detector.nearest_normal(odd, threshold=limit, fixed=others, return_rows=True)
    assert len(changes) > 5
    assert set(changes["suggested"]) <= {f"shop {i}" for i in range(6)}
    assert (changes["observed"] == strange).all()
    assert changes["sentence"].iloc[0].endswith(f"instead of {strange}")
    assert set(normal["shop"]) <= {f"shop {i}" for i in range(6)} | {strange}
    np.testing.assert_array_equal(detector.anomaly_score(normal)[changes["row"]], changes["new_score"])


@pytest.mark.parametrize(
    "changed",
    [
        {"amount": str},
        {"amount": "float32", "distance_km": "float32"},
        {"account_age_days": "Int64", "amount": "Float64"},
        {"account_age_days": float},
        {"timestamp": str},
        {"timestamp": "datetime64[s]"},
    ],
    ids=str,
)
def test_the_types_of_a_table_may_be_others_than_those_of_fit(changed):
    detector, rows = detector_of(payments), payments(40, 1).assign(amount=60_000.0)
    rows = rows.assign(timestamp=rows["timestamp"].dt.normalize() + pd.Timedelta(hours=3)).astype(changed)
    changes, normal = detector.nearest_normal(rows, return_rows=True)
    assert (normal.dtypes == rows.dtypes).all()
    assert (detector.predict(normal) == 1).all()
    assert len(changes) >= 40


def test_nothing_happens_to_rows_that_do_not_alert():
    detector, rows = detector_of(mixed), mixed(25, 1)
    changes, normal = detector.nearest_normal(rows, threshold=np.inf, return_rows=True)
    assert len(changes) == 0
    assert changes.columns.tolist() == detector.nearest_normal(shuffled(mixed)).columns.tolist()
    pd.testing.assert_frame_equal(normal, rows)
    assert normal is not rows
    limits = np.where(np.arange(25) < 2, -np.inf, np.inf)
    with pytest.warns(VaeAnomalyWarning, match=r"2 of the 2 rows .*\(rows 0, 1\)"):
        changes = detector.nearest_normal(rows, threshold=limits)
    assert set(changes["row"]) == {0, 1}


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"fixed": ["amuont"]}, "must name columns of the table. Got 'amuont' instead; the table has x0"),
        ({"fixed": "x9"}, "Got 'x9' instead"),
        ({"fixed": [f"x{i}" for i in range(8)]}, "must leave a column that can be changed"),
        ({"threshold": "high"}, "must be an anomaly score in nats, or one for each row, or None. Got 'high'"),
        ({"threshold": float("nan")}, "must be an anomaly score"),
        ({"return_rows": "yes"}, "must be True or False. Got 'yes'"),
    ],
)
def test_parameters_are_checked(given, message):
    with pytest.raises(ParameterError, match=message):
        detector_of(correlated).nearest_normal(correlated(3, 0), **given)


def test_on_a_quiet_day_nothing_is_to_change():
    detector = detector_of(correlated)
    rows = correlated(300, 0)
    some = detector.nearest_normal(rows)
    none, unchanged = detector.nearest_normal(rows.head(0), return_rows=True)
    pd.testing.assert_frame_equal(none, some.head(0))
    pd.testing.assert_frame_equal(unchanged, rows.head(0))
    calibrated = CalibratedDetector(detector, Contamination(0.1), cv="prefit").fit(rows)
    pd.testing.assert_frame_equal(calibrated.nearest_normal(rows.head(0), groups=[]), some.head(0))
    with pytest.raises(SchemaMismatchError):
        detector.nearest_normal(rows.head(0).drop(columns=rows.columns[0]))


def test_rows_are_checked():
    detector = detector_of(correlated)
    with pytest.raises(TableError, match=r"one number for each of the 3 rows\. Found 2"):
        detector.nearest_normal(correlated(3, 0), threshold=[1.0, 2.0])
    with pytest.raises(NotFittedError):
        VAEDetector().nearest_normal(correlated(3, 0))


# ---------------------------------------------------------------- by the thresholds of a calibration


def test_a_calibrated_detector_explains_by_its_own_thresholds():
    fitted, rows = detector_of(mixed), mixed(1_000, 7)
    groups = np.where(np.arange(1_000) % 2, "web", "shop")
    scored = fitted.anomaly_score(rows)
    for estimator in (fitted, FrozenEstimator(fitted)):
        detector = CalibratedDetector(estimator, Contamination(0.05), cv="prefit")
        detector.fit(rows.assign(x0=rows["x0"] + 9 * (groups == "web")), groups=groups)
        pd.testing.assert_frame_equal(detector.explain(rows.head(5), 2), fitted.explain(rows.head(5), 2))
        assert detector.segment_thresholds_["web"] > detector.segment_thresholds_["shop"] + 0.5
        changes, normal = detector.nearest_normal(rows, groups=groups, return_rows=True)
        alerts = detector.predict(rows, groups) == -1
        assert set(changes["row"]) == set(np.flatnonzero(alerts))
        assert (detector.predict(normal, groups) == 1).all()
        changes, normal = detector.nearest_normal(rows, fixed=["days"], return_rows=True)
        assert set(changes["row"]) == set(np.flatnonzero(scored > detector.threshold_))
        assert "days" not in set(changes["column"])


def test_a_rule_without_a_threshold_is_refused_with_what_to_do():
    rows = correlated(1_000, 7)
    detector = CalibratedDetector(detector_of(correlated), DiscoveryRate(0.2), cv="prefit").fit(rows)
    assert len(detector.explain(rows.head(2), 1)) == 2
    with pytest.raises(ParameterError, match=r"Got DiscoveryRate.* Recalibrate with a rule that sets a threshold"):
        detector.nearest_normal(rows)


@pytest.mark.parametrize("method", ["explain", "nearest_normal"])
def test_only_a_vae_detector_can_explain(method):
    rows = correlated(500, 7)
    detector = CalibratedDetector(IsolationForest(n_estimators=5), Contamination(0.05)).fit(rows)
    with pytest.raises(ParameterError, match=f"takes a VAEDetector.*Got IsolationForest .*has no '{method}'"):
        getattr(detector, method)(rows)
    with pytest.raises(NotFittedError):
        getattr(CalibratedDetector(VAEDetector()), method)(rows)
