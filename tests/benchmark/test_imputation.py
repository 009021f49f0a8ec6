"""Which cells are removed, what peers make of them, how errors are counted, and what is printed."""

import numpy as np
import pandas as pd
import pytest

from vae_anomaly.benchmark import __main__ as command
from vae_anomaly.benchmark.detectors import OURS
from vae_anomaly.benchmark.imputation import (
    METHODS,
    SHARES,
    ImputationRun,
    coverages,
    remove,
    run_imputation,
    show_imputation,
)
from vae_anomaly.benchmark.imputation_peers import CHAINED, MEANS, NEIGHBOURS, NumberTable, fit_peer
from vae_anomaly.errors import VaeAnomalyError

KINDS = {"x": "numeric", "z": "numeric", "shop": "categorical", "town": "categorical", "paid": "datetime"}
QUICK = {"max_steps": 20, "n_members": 1}


def rows(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    shop, paid = rng.integers(0, 4, n_rows), pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.random(n_rows), unit="D")
    x = shop + 0.1 * rng.normal(size=n_rows)
    levels = {"shop": [f"s{i}" for i in shop], "town": [f"t{i}" for i in rng.integers(0, 90, n_rows)]}
    return pd.DataFrame({"x": x, "z": 5 * x + 40, **levels, "paid": paid})


# ---------------------------------------------------------------- cells and errors


def test_so_many_cells_are_removed_and_no_gap_is():
    whole = rows(2_000).mask(np.random.default_rng(1).random((2_000, 5)) < 0.1)
    removal = remove(whole, 0.3, KINDS, whole, seed=0)
    assert removal.cells.mean() == pytest.approx(0.27, abs=0.01)
    assert not (removal.cells & whole.isna().to_numpy()).any()
    assert removal.with_gaps.isna().to_numpy()[removal.cells].all()
    np.testing.assert_array_equal(removal.cells, remove(whole, 0.3, KINDS, whole, seed=0).cells)


def test_errors_are_in_standard_deviations_of_the_training_rows_and_count_removed_cells_alone():
    train, test = rows(500), rows(100, 1)
    removal = remove(test, 0.2, KINDS, train, seed=0)
    assert np.square(removal.errors(test)).sum() == 0
    assert removal.hits(test).all()
    off = removal.errors(test.assign(x=test["x"] + train["x"].std(), z=test["z"]))
    n_of_x = removal.cells[:, 0].sum()
    np.testing.assert_allclose(off[:n_of_x], 1.0)
    assert len(off) == removal.cells[:, :2].sum()
    assert removal.hits(test.assign(shop="none", town="none")).mean() == 0


def test_a_removed_whole_number_is_covered_as_often_as_draws_of_it_say():
    rng = np.random.default_rng(0)
    truth, drawn = rng.integers(0, 3, 4_000), rng.integers(0, 3, (50, 4_000))
    whole, split = coverages((drawn - truth).astype(float), seed=0)
    assert whole == 1.0
    assert split == pytest.approx(0.8, abs=0.03)
    numbers = rng.normal(size=(51, 4_000))
    for share in coverages(numbers[1:] - numbers[0], seed=0):
        assert share == pytest.approx(0.8, abs=0.03)


# ---------------------------------------------------------------- peers


def test_a_table_of_numbers_stands_for_the_rows():
    train = rows(2_000)
    table = NumberTable(("shop", "town")).fit(train)
    numbers = table.encode(train)
    assert numbers.shape == (2_000, 2 + 2 + 4 + 1)  # numbers, hour and weekday, a column for each shop, ranks of towns
    gaps = train.head(50).mask(np.random.default_rng(0).random((50, 5)) < 0.5)
    pd.testing.assert_frame_equal(
        table.decode(table.encode(train.head(50)), gaps)[["x", "z"]], train[["x", "z"]].head(50)
    )
    decoded = table.decode(table.encode(train.head(50)), gaps)
    assert (decoded[["shop", "town"]] == train[["shop", "town"]].head(50)).all(axis=None)


@pytest.mark.parametrize("name", [MEANS, NEIGHBOURS, CHAINED])
def test_peers_fill_every_gap_and_leave_the_rest(name):
    train, test = rows(600), rows(60, 1)
    gaps = test.mask(np.random.default_rng(0).random((60, 5)) < 0.3)
    filled = fit_peer(name, train, ("shop", "town"), seed=0).fill(gaps)
    judged = ["x", "z", "shop", "town"]
    assert not filled[judged].isna().any(axis=None)
    there = gaps[judged].notna()
    assert ((filled[judged] == test[judged]) | ~there).all(axis=None)
    off = (filled["z"] - test["z"])[gaps["z"].isna() & gaps["x"].notna()].abs()
    assert off.median() < (1.0 if name != MEANS else np.inf)


# ---------------------------------------------------------------- the whole


@pytest.fixture
def data_dir(tmp_path):
    (tmp_path / "vehicle_claims").mkdir()
    table = rows(400).drop(columns="paid").assign(PolicyNumber=range(400), FraudFound_P=np.arange(400) % 10 == 0)
    table.astype({"FraudFound_P": int}).to_csv(tmp_path / "vehicle_claims" / "claims.csv.gz", index=False)
    return tmp_path


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")
def test_every_method_is_measured_with_every_share(data_dir, capsys):
    runs = run_imputation(["vehicle_claims"], data_dir, settings=QUICK)
    assert [(run.method, run.share) for run in runs] == [(method, share) for method in METHODS for share in SHARES]
    assert not any(run.failure for run in runs)
    for run in runs:
        assert run.n_numbers > 0 < run.n_levels
        assert run.rmse >= run.mae > 0
        assert 0 <= run.accuracy <= 1
        assert (run.coverage is None) == (run.method != OURS)
    show_imputation(runs)
    assert "30 %" in capsys.readouterr().out


def test_a_failure_is_told_and_has_no_figures(capsys):
    show_imputation([ImputationRun("claims", OURS, 0.0, 0, failure="no memory")])
    assert "claims, seed 0: VAEDetector failed: no memory" in capsys.readouterr().out


def test_data_that_are_not_there_are_named(tmp_path):
    with pytest.raises(VaeAnomalyError, match="expected pendigits"):
        run_imputation(["pendigits"], tmp_path)


def test_the_command_names_its_options(capsys):
    with pytest.raises(SystemExit):
        command.main(["imputation", "--help"])
    assert "--methods" in capsys.readouterr().out
