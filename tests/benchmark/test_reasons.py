"""What is planted, what explainers say of it, what is made of that, and what is printed."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import VAEDetector
from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.reasons import (
    ALERTING,
    ALERTS,
    ALL,
    OF_SHAP,
    OF_SHAP_ALERTING,
    PLANTED,
    QUICK,
    SECONDS,
    ReasonRun,
    cases,
    fitted,
    run_planted,
)
from vae_anomaly.benchmark.reasons_additivity import EXPLAIN, LARGEST, TERMS, relative_difference, run_additivity
from vae_anomaly.benchmark.reasons_command import Share, pooled, show_reasons, standing, tables
from vae_anomaly.benchmark.reasons_explainers import (
    CONDITIONAL,
    EXPLAINERS,
    SHAP,
    Explained,
    credit,
    importance,
    of_shap,
    of_squared_error,
    of_tails,
    of_z_scores,
)
from vae_anomaly.benchmark.reasons_nearest import COLUMNS, GREEDY, MORE, OURS, STILL_ALERT, run_nearest
from vae_anomaly.benchmark.reasons_planting import (
    BROKEN,
    KINDS,
    OUT_OF_RANGE,
    PLANTING_SETS,
    SWAPPED,
    categories_of,
    numbers_of,
    planted,
    read_planting,
)
from vae_anomaly.benchmark.reasons_timing import _beside, run_time, timed_table
from vae_anomaly.errors import MissingExtraError, ParameterError, VaeAnomalyError

pytest.importorskip("pyod", reason="PyOD is not installed: pip install 'vae-anomaly[benchmark]'")
pytest.importorskip("shap", reason="shap is not installed: pip install 'vae-anomaly[benchmark]'")
SIMULATED = [name for name, entry in PLANTING_SETS.items() if entry.path is None]
QUIET = pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")


@pytest.fixture(scope="module")
def rows():
    return read_planting("mixed columns", None, 800, 200, seed=0)


@pytest.fixture(scope="module")
def explained(rows):
    train = rows.train.assign(country=rows.train["country"].where(rows.train.index % 7 > 0))  # with gaps
    detector = VAEDetector(max_steps=60, n_members=1).fit(train)
    return Explained(detector, train)


# ---------------------------------------------------------------- what is planted


@pytest.mark.parametrize("name", SIMULATED)
def test_no_row_trains_and_is_planted_in_and_a_seed_is_a_table(name):
    first, again, other = (read_planting(name, None, 400, 100, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first.normal, again.normal)
    assert not first.normal.equals(other.normal)
    both = pd.concat([first.train, first.normal])
    assert len(first.normal) == 100
    assert len(both.drop_duplicates()) == len(both)


@pytest.mark.parametrize("kind", KINDS)
def test_one_cell_is_wrong_in_the_way_that_its_kind_says_and_all_others_are_a_normal_rows(rows, kind):
    columns = categories_of(rows.train) if kind == SWAPPED else numbers_of(rows.train)
    wrong = planted(rows, kind, columns, 60, seed=3)
    assert len(wrong.rows) == len(wrong.column) == 60
    assert set(wrong.column) == set(columns)
    assert wrong.rows.dtypes.equals(rows.normal.dtypes)
    for name in columns:
        some, usual = wrong.rows[wrong.column == name], rows.train[name]
        others = [other for other in rows.normal if other != name]
        beside = some.merge(rows.normal, on=others, suffixes=("", " before"))
        assert len(beside) == len(some)
        cells, before = beside[name], beside[f"{name} before"]
        if kind == OUT_OF_RANGE:
            assert not cells.between(usual.quantile(0.01), usual.quantile(0.99)).any()
        elif kind == SWAPPED:
            assert cells.isin(usual).all()
            assert (cells != before).all()
        else:
            assert cells.between(usual.quantile(0.05), usual.quantile(0.95)).all()
            assert ((cells - before).abs() >= usual.std()).all()


def test_whole_numbers_stay_whole_and_amounts_do_not_fall_below_zero():
    rows = read_planting("simulated payments", None, 400, 100, seed=0)
    wrong = planted(rows, OUT_OF_RANGE, ["amount", "account_age_days"], 40, seed=0)
    assert (wrong.rows["amount"] > 0).all()
    assert wrong.rows["account_age_days"].dtype == rows.train["account_age_days"].dtype
    assert (wrong.rows["account_age_days"] % 1 == 0).all()


def test_gaps_are_never_what_is_wrong(rows):
    normal = rows.normal.assign(shop=rows.normal["shop"].where(rows.normal.index % 2 > 0))
    wrong = planted(replace(rows, normal=normal), SWAPPED, ["shop"], 50, seed=0)
    assert wrong.rows["shop"].notna().all()


@QUIET
def test_rows_alert_by_a_threshold_that_few_normal_rows_are_above_and_those_take_no_part(rows):
    found, threshold, quiet = fitted(rows, 0, QUICK)
    scores = found.detector.anomaly_score(rows.normal)
    assert (scores > threshold).mean() == pytest.approx(ALERTS, abs=1 / len(scores))
    assert len(quiet.normal) == (scores <= threshold).sum()
    assert [kind for kind, _ in cases(found, quiet, 0, 12)] == [OUT_OF_RANGE, SWAPPED, BROKEN]


# ---------------------------------------------------------------- who explains


@pytest.mark.parametrize("method", EXPLAINERS)
def test_every_explainer_has_a_number_for_every_cell_that_is_modelled(explained, rows, method):
    found = importance(method, explained, rows.normal.head(2))
    assert found.shape == (2, len(explained.columns))
    assert np.isfinite(found).all()


def test_shap_values_add_up_to_the_score_less_that_of_the_background_and_seed_nobody(explained, rows):
    before, some = np.random.get_state()[1].copy(), rows.normal.head(2)  # noqa: NPY002
    shares = of_shap(explained, some, evaluations=40)
    score = explained.detector.anomaly_score
    expected = score(some) - score(explained.background).mean()
    np.testing.assert_allclose(shares.sum(axis=1), expected, rtol=1e-9)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_z_scores_are_those_of_pyod(explained):
    from pyod.utils.ad_engine import ADEngine

    numbers = explained.train[["x0", "x1", "x2", "x3", "noisy"]]
    found = of_z_scores(explained, explained.train, encoding="ordinal")[:, :5]
    scores = np.arange(float(len(numbers)))
    lines = ADEngine().explain_findings({"scores_train": scores, "threshold": 0.0}, [3, 70], X=numbers.to_numpy())
    for line in lines:
        told = line["contributing_features"]
        theirs = {feature["feature"]: feature["z_score"] for feature in told}
        np.testing.assert_allclose(found[line["index"]], [theirs[place] for place in range(5)], rtol=1e-9)
        assert found[line["index"]].argmax() == told[0]["feature"]


def test_tails_add_up_to_the_score_of_ecod(explained, rows):
    some = rows.normal.head(20)
    codes = np.concatenate(list(explained.encoded(some, "ordinal").values()), axis=1)
    np.testing.assert_allclose(of_tails(explained, some).sum(axis=1), explained.ecod.decision_function(codes))


def test_a_cell_like_its_reconstruction_has_no_squared_error(explained, rows):
    again = explained.detector.reconstruct(rows.normal.head(30))
    error = of_squared_error(explained, again.assign(x0=9.0))
    assert (error[:, 0] > 1).all()
    kept = explained.detector.reconstruct(again.assign(x0=9.0))["town"] == again["town"]
    np.testing.assert_array_equal(error[kept, explained.columns.index("town")], 0)


def test_credit_is_handed_out_once():
    found = np.random.default_rng(0).integers(0, 3, (50, 4)).astype(float)
    total = sum(credit(found, np.full(50, column)) for column in range(4))
    np.testing.assert_allclose(total, 1)


# ---------------------------------------------------------------- what is measured


@QUIET
def test_the_command_measures_and_writes_every_figure_that_it_prints(tmp_path, capsys):
    target = tmp_path / "reasons.csv"
    arguments = ["--quick", "--only", "mixed columns", "--parts", "planted", "nearest", "--output", str(target)]
    assert command.main(["reasons", *arguments]) == 0
    text = capsys.readouterr().out
    found = pd.read_csv(target)
    shares = found[(found["part"] == PLANTED) & (found["quantity"] != SECONDS)]
    assert set(shares["method"]) == set(EXPLAINERS)
    assert set(shares["case"]) == set(KINDS)
    assert set(shares["quantity"]) == {ALL, ALERTING, OF_SHAP, OF_SHAP_ALERTING}
    assert shares["value"].dropna().between(0, 1).all()
    assert (shares["value"].isna() == (shares["rows"] == 0)).all()
    assert (shares.loc[shares["quantity"] == OF_SHAP, "rows"] == QUICK.shap).all()
    assert (found.loc[found["quantity"] == SECONDS, "value"] > 0).all()
    for kind in KINDS:
        assert f"| mixed columns | {kind}" in text
    out_of_range = shares[(shares["method"] == CONDITIONAL) & (shares["case"] == OUT_OF_RANGE)]
    assert out_of_range.loc[out_of_range["quantity"] == ALL, "value"].item() > 0.8
    of_nearest = found[found["part"] == "nearest"].set_index(["case", "method", "quantity"])["value"]
    for case in of_nearest.index.unique("case"):
        assert of_nearest[case, OURS, STILL_ALERT] == 0
        assert of_nearest[case, OURS, COLUMNS] >= 1
        assert 0 <= of_nearest[case, OURS, MORE] <= 1


def test_a_table_that_fails_says_why_and_the_others_are_measured(tmp_path, capsys):
    (run,) = run_planted(["creditcard"], tmp_path, sizes=QUICK)
    assert f"expected creditcard in {tmp_path}, found none" in run.failure
    (nearest,) = run_nearest(["creditcard"], tmp_path, sizes=QUICK)
    assert nearest.failure == run.failure
    assert capsys.readouterr().err.count("failed: ") == 2
    with pytest.raises(VaeAnomalyError, match="Its layout is in"):
        read_planting("sparkov", None, 10, 10, seed=0)


def test_an_absent_peer_is_told_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "shap", None)
    assert command.main(["reasons", "--quick", "--parts", "planted"]) == 1
    said = capsys.readouterr().err
    assert "pip install 'vae-anomaly[benchmark]'" in said
    assert "planting" not in said
    with pytest.raises(MissingExtraError):
        run_planted(["mixed columns"], None, sizes=QUICK)


def test_files_need_a_folder():
    assert tables(None, None) == SIMULATED
    with pytest.raises(ParameterError, match="expected --data-dir"):
        tables(["mixed columns", "sparkov"], None)


def test_a_part_without_its_files_is_told_of(capsys):
    assert command.main(["reasons", "--quick", "--parts", "additivity"]) == 1
    said = capsys.readouterr().err
    assert "left out additivity" in said
    assert "expected creditcard or sparkov, found none" in said


@QUIET
@pytest.mark.slow
def test_the_commands_are_timed_on_a_file():
    runs = run_time(sizes=replace(QUICK, train=300, whole=300))
    assert [run.failure for run in runs] == [None] * len(runs)
    assert {run.method for run in runs if run.quantity == "times score"} == {"explain", "explain, plain"}
    assert {run.case for run in runs} == {"in memory", "shell commands"}


@QUIET
def test_the_shares_of_every_row_of_a_file_are_its_score(tmp_path):
    rng = np.random.default_rng(1)
    y = rng.permutation(np.repeat([0, 1], [380, 20]))
    rows = pd.DataFrame(rng.normal(size=(400, 3)) + 3 * y[:, None], columns=["V1", "V2", "V3"])
    rows = rows.assign(Time=rng.integers(0, 172_800, 400), Amount=rng.exponential(80, 400), Class=y)
    (tmp_path / "creditcard").mkdir()
    rows.to_csv(tmp_path / "creditcard" / "creditcard_sample.csv.gz", index=False)
    runs = run_additivity(["creditcard"], tmp_path, sizes=QUICK)
    assert {run.case for run in runs} == {"elbo", "reconstruction", "iwae", "elbo, known frauds"}
    assert {run.rows for run in runs if run.method == TERMS and run.case != "iwae"} == {400}
    assert max(run.value for run in runs) < 1e-12
    assert any(run.value > 0 for run in runs)  # they were added up in another order


def test_a_difference_of_one_row_is_seen_and_a_score_of_nothing_needs_shares_of_nothing():
    score = np.linspace(-5, 5, 100)
    shares = score.copy()
    assert relative_difference(shares, score) == 0
    shares[40] *= 1 + 1e-4
    assert relative_difference(shares, score) == pytest.approx(1e-4)
    assert relative_difference(np.zeros(1), np.zeros(1)) == 0
    assert relative_difference(np.full(1, 1e-9), np.zeros(1)) > 1


def test_ratios_are_quotients_and_the_timed_table_is_wide():
    scored = ReasonRun("time", "9 rows", "in memory", "score", "seconds", rows=9, value=2.0)
    run, ratio = _beside(scored, replace(scored, method="explain", value=5.0))
    assert (run.value, ratio.value) == (5.0, 2.5)
    assert len(list(_beside(replace(scored, value=None), run))) == 1
    assert timed_table(50).shape == (50, 30)
    pd.testing.assert_frame_equal(timed_table(50), timed_table(50))


# ---------------------------------------------------------------- what is printed


def planted_run(method, value, quantity=ALL, rows=100, **options):
    return ReasonRun(PLANTED, "t", OUT_OF_RANGE, method, quantity, rows=rows, value=value, **options)


def test_shares_are_pooled_by_rows_and_whoever_is_ahead_is_named(capsys):
    runs = [planted_run(CONDITIONAL, 0.6), planted_run(CONDITIONAL, 0.9, rows=200, seed=1)]
    runs += [planted_run("z ordinal", 0.95, rows=300), planted_run(SHAP, 1.0, OF_SHAP, rows=300)]
    runs += [planted_run(CONDITIONAL, 0.5, OF_SHAP), planted_run(CONDITIONAL, None, ALERTING, rows=0)]
    assert pooled(runs[:2]).value == pytest.approx(0.8)
    show_reasons(runs + [planted_run(who, seconds, SECONDS) for who, seconds in ((CONDITIONAL, 0.01), (SHAP, 0.9))])
    text = capsys.readouterr().out
    assert "80.0 ± 2.3" in text
    assert "BEHIND z ordinal" in text
    assert "BEHIND SHAP" in text
    assert re.search(r"\|\s+90 \| NOT met \|", text)


def test_standing_is_symmetric():
    low, high = Share(0.4, 200), Share(0.8, 200)
    assert standing(high, [("a", low)]) == "ahead"
    assert standing(low, [("a", high)]) == "BEHIND a"
    assert standing(low, [("a", low)]) == standing(high, [("a", high)]) == "level with a"


@pytest.mark.parametrize(("value", "verdict"), [(9e-7, " met"), (2e-6, "NOT met")])
def test_the_bar_of_additivity(capsys, value, verdict):
    show_reasons([ReasonRun("additivity", "t", "elbo", EXPLAIN, LARGEST, rows=9, value=value)])
    assert capsys.readouterr().out.rstrip(" |\n").endswith(f"| {verdict.strip():>3}")


@pytest.mark.parametrize(
    ("still", "ours", "verdict"), [(0.0, 1.5, " met"), (0.1, 1.5, "NOT met"), (0.0, 2.5, "NOT met")]
)
def test_the_bar_of_nearest_normal(capsys, still, ours, verdict):
    run = ReasonRun("nearest", "t", "training rows", OURS, STILL_ALERT, rows=9, value=still)
    runs = [run, replace(run, quantity=COLUMNS, value=ours), replace(run, method=GREEDY, quantity=COLUMNS, value=2.0)]
    show_reasons(runs)
    assert capsys.readouterr().out.rstrip(" |\n").endswith(verdict)


@pytest.mark.parametrize(("ratio", "verdict"), [(2.0, " met"), (2.1, "NOT met")])
def test_the_bar_of_the_command(capsys, ratio, verdict):
    run = ReasonRun("time", "9 rows", "shell commands", "explain", "seconds", rows=9, value=3.0)
    show_reasons([run, replace(run, quantity="times score", value=ratio)])
    assert capsys.readouterr().out.rstrip(" |\n").endswith(verdict)
