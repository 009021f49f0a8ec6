"""Diagnostics: the figures are those of the reconstruction, and what is well calibrated is called so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.metrics import accuracy_score, r2_score

from vae_anomaly import (
    CalibratedDetector,
    ParameterError,
    SchemaMismatchError,
    VAEDetector,
    latent_activity,
    reconstruction_quality,
)
from vae_anomaly._cell_quality import LEVELS, cell_quality
from vae_anomaly.model.explaining import Outlook
from vae_anomaly.table.layout import FIRST_LEVEL, RARE, UNSEEN, Part, PartKind

N = 800
COVERAGE = [f"coverage_{100 * level:g}" for level in LEVELS]


@pytest.fixture(scope="module")
def payments():
    rng = np.random.default_rng(0)
    net = rng.gamma(9, 9, N).round(2)
    rows = pd.DataFrame(
        {
            "id": [f"P{i:05}" for i in range(N)],
            "net": net,
            "gross": (net * 1.2).round(2),
            "size": np.where(net < 60, "small", np.where(net < 100, "middle", "large")),
            "city": rng.choice(["Łódź", "Bonn", "📱"], N, p=[0.7, 0.2, 0.1]),
            "time": np.datetime64("2026-03-01T08:00:00") + rng.integers(0, 90 * 86_400, N).astype("timedelta64[s]"),
            "currency": "EUR",
        }
    )
    rows.loc[rng.random(N) < 0.1, "city"] = None
    return rows


@pytest.fixture(scope="module")
def detector(payments):
    return VAEDetector(max_steps=200, n_members=1, kinds={"id": "identifier"}).fit(payments)


@pytest.fixture(scope="module")
def quality(payments, detector):
    return reconstruction_quality(detector, payments).set_index(["column", "part"])


# ---------------------------------------------------------------- reconstruction


def test_every_part_of_every_modelled_column_has_a_line(quality, payments):
    assert quality.index.tolist() == [
        ("net", "value"),
        ("gross", "value"),
        ("size", "level"),
        ("city", "level"),
        ("time", "time of day"),
        ("time", "day of month"),
        ("time", "weekday"),
        ("currency", "level"),
    ]
    assert quality.loc[("city", "level"), "n_observed"] == payments["city"].notna().sum()


def test_errors_are_those_of_the_reconstruction(payments, detector, quality):
    made = detector.reconstruct(payments)
    for column in ("net", "gross"):
        of_column = quality.loc[(column, "value")]
        assert of_column["explained"] == pytest.approx(r2_score(payments[column], made[column]), abs=1e-4)
        error = np.sqrt(((made[column] - payments[column]) ** 2).mean()) / payments[column].std(ddof=0)
        assert of_column["rmse"] == pytest.approx(error, rel=1e-3)
    for column in ("size", "city"):
        seen = payments[column].notna()
        of_column = quality.loc[(column, "level")]
        assert of_column["accuracy"] == accuracy_score(payments[column][seen], made[column][seen])
        assert of_column["baseline_accuracy"] == payments[column].value_counts(normalize=True).iloc[0]


def test_the_cross_entropy_is_the_mean_surprisal(payments, detector, quality):
    surprisal = detector.column_surprisal(payments)
    seen = payments["city"].notna()
    assert quality.loc[("size", "level"), "cross_entropy"] == pytest.approx(surprisal["size"].mean(), rel=1e-5)
    assert quality.loc[("city", "level"), "cross_entropy"] == pytest.approx(surprisal["city"][seen].mean(), rel=1e-5)
    shares = payments["city"].value_counts(normalize=True)
    assert quality.loc[("city", "level"), "baseline_cross_entropy"] == pytest.approx(-(shares * np.log(shares)).sum())


def test_what_the_others_say_is_told_and_what_they_do_not_is_not(payments, detector):
    from_others = reconstruction_quality(detector, payments, conditional=True).set_index("column")["explained"]
    assert from_others["gross"].min() > 0.8
    assert from_others["size"] > 0.5
    assert from_others["city"] < 0.05
    assert from_others["time"].max() < 0.05
    assert np.isnan(from_others["currency"])  # a constant leaves nothing to explain


def test_order_and_company_of_rows_do_not_matter(payments, detector):
    shuffled = payments.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(
        reconstruction_quality(detector, shuffled), reconstruction_quality(detector, payments), rtol=1e-9
    )


def test_few_rows_gaps_and_levels_never_seen_are_taken(payments, detector):
    gone = payments.head(3).assign(net=np.nan, size="gigantic", time=pd.NaT)
    quality = reconstruction_quality(detector, gone).set_index(["column", "part"])
    assert quality.loc["net", "n_observed"].item() == 0
    assert quality.loc["net"].drop(columns=["kind", "n_observed"]).isna().all(axis=None)
    assert quality.loc[("time", "weekday"), "n_observed"] == 0
    unseen = quality.loc[("size", "level")]
    assert unseen["accuracy"] == 0
    assert unseen[COVERAGE].tolist() == [0, 0, 0]
    assert np.isfinite(unseen["cross_entropy"])
    one = reconstruction_quality(detector, payments.head(1))
    assert one["n_observed"].max() == 1
    assert one["explained"].isna().all()


def test_so_many_rows_are_looked_at(payments, detector):
    found = reconstruction_quality(detector, payments, max_rows=100)
    assert found["n_observed"].max() == 100
    assert reconstruction_quality(detector, payments, max_rows=None)["n_observed"].max() == N


# ---------------------------------------------------------------- calibration


def members(*numbers):
    """What two members say, for each of many rows."""
    return tuple(np.tile(np.array(of, dtype=np.float64), (40_000, 1)) for of in numbers)


def drawn_from(kind, numbers, rng):
    """Cells of the members' mixture."""
    which = rng.integers(0, 2, 40_000)
    first, second = (of[np.arange(len(of)), which] for of in numbers)
    if kind is PartKind.VALUE:
        return first + second * rng.standard_t(3, len(first))
    eta = first + 1j * second
    return rng.vonmises(np.angle(eta), np.abs(eta)) % (2 * np.pi)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (PartKind.VALUE, members((0, 0), (1, 1))),
        (PartKind.VALUE, members((-3, 3), (0.5, 2))),
        (PartKind.ANGLE, members((3, 3), (0, 0))),
        (PartKind.ANGLE, members((0.5, 10), (-1, 5))),
        (PartKind.ANGLE, members((0, 0), (0, 0))),
    ],
    ids=["one distribution", "two", "one direction", "two directions", "no direction"],
)
def test_what_is_drawn_from_a_distribution_is_covered_by_it(kind, numbers):
    rng = np.random.default_rng(0)
    cells = drawn_from(kind, numbers, rng)
    outlook = Outlook(0, np.arange(len(cells)), numbers)
    assert cell_quality(Part(0, kind), outlook, cells, 3.0).coverage == pytest.approx(LEVELS, abs=0.01)


@pytest.mark.parametrize(("times", "sign"), [(0.5, 1), (2.0, -1)])
def test_a_spread_that_is_too_wide_or_too_narrow_is_seen(times, sign):
    cells = np.random.default_rng(0).standard_t(3, 40_000) * times
    outlook = Outlook(0, np.arange(len(cells)), members((0, 0), (1, 1)))
    assert (sign * (np.array(cell_quality(Part(0, PartKind.VALUE), outlook, cells, 3.0).coverage) - LEVELS) > 0).all()


@pytest.mark.parametrize("has_rare", [False, True])
@pytest.mark.parametrize("shares", [(0.5, 0.3, 0.2), (0.98, 0.01, 0.01), (1 / 3, 1 / 3, 1 / 3)])
def test_levels_drawn_by_their_probabilities_are_covered(has_rare, shares):
    rng = np.random.default_rng(0)
    symbols = rng.choice(3, 40_000, p=shares)
    p = np.array(shares)
    own, likelier = p[symbols], np.array([p[p > of].sum() for of in p])[symbols]
    top = np.tile(np.argsort(-p, kind="stable"), (len(symbols), 1)).astype(float)
    outlook = Outlook(0, np.arange(len(symbols)), (p[top.astype(int)], top, own[:, None], likelier[:, None]))
    part = Part(0, PartKind.CATEGORY, 3 - has_rare, has_rare, 0.001)
    found = cell_quality(part, outlook, symbols + (RARE if has_rare else FIRST_LEVEL), 3.0)
    if len(set(shares)) == 3:
        assert found.coverage == pytest.approx(LEVELS, abs=0.01)
    assert found.explained == pytest.approx(0, abs=0.02)
    assert found.accuracy == pytest.approx(max(shares), abs=0.01)
    none_known = cell_quality(part, outlook, np.full(len(symbols), UNSEEN), 3.0)
    assert none_known.coverage == (0, 0, 0)
    assert none_known.cross_entropy == pytest.approx(-np.log(0.001))


# ---------------------------------------------------------------- latent space


def test_variances_are_those_of_transform(payments, detector):
    activity = latent_activity(detector, payments)
    assert activity["name"].tolist() == detector.get_feature_names_out().tolist()
    assert activity["variance"].to_numpy() == pytest.approx(detector.transform(payments).var(axis=0))
    assert (activity["active"] == (activity["variance"] > 0.01)).all()
    assert activity["active"].sum() == detector.profile_["active_latents"]
    assert (activity["mean_kl"] >= 0).all()


def test_each_member_has_its_dimensions(payments):
    two = VAEDetector(max_steps=40, n_members=2, latent=3, kinds={"id": "identifier"}).fit(payments)
    activity = latent_activity(two, payments.head(5))
    assert activity[["member", "dimension"]].to_numpy().tolist() == [[m, d] for m in range(2) for d in range(3)]


@pytest.mark.filterwarnings("ignore::vae_anomaly.errors.TrainingWarning")
def test_a_posterior_that_was_pressed_onto_the_prior_has_collapsed(payments, detector):
    pressed = VAEDetector(max_steps=100, n_members=1, beta=1_000.0, kinds={"id": "identifier"}).fit(payments)
    assert latent_activity(pressed, payments)["collapsed"].all()
    assert not latent_activity(pressed, payments)["active"].any()
    assert not latent_activity(detector, payments)["collapsed"].all()


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("diagnose", [reconstruction_quality, latent_activity])
def test_only_a_fitted_vae_can_be_looked_into(payments, detector, diagnose):
    calibrated = CalibratedDetector(detector, cv="prefit").fit(payments)
    pd.testing.assert_frame_equal(diagnose(calibrated, payments), diagnose(detector, payments))
    for other in (VAEDetector(), IsolationForest()):
        with pytest.raises(ParameterError, match=f"fitted VAEDetector.*Got {type(other).__name__}"):
            diagnose(other, payments)
    with pytest.raises(ParameterError, match="'max_rows'"):
        diagnose(detector, payments, max_rows=0)
    with pytest.raises(SchemaMismatchError, match="1 missing"):
        diagnose(detector, payments.drop(columns="net"))
