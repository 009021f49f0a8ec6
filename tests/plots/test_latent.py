"""Pictures of the latent space: every row has its dot, and what is drawn is what was decoded or measured."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from sklearn.ensemble import IsolationForest

from vae_anomaly import (
    CalibratedDetector,
    Contamination,
    MissingExtraError,
    ParameterError,
    TableError,
    VAEDetector,
    reconstruction_quality,
)
from vae_anomaly.plots import LatentDisplay, LatentGridDisplay, LatentTraversalDisplay, ReconstructionDisplay
from vae_anomaly.plots._projection import plane_of


@pytest.fixture(scope="module")
def on_a_plane(payments):
    return VAEDetector(max_steps=50, n_members=1, latent=2).fit(payments)


@pytest.fixture(scope="module")
def ensemble(payments):
    return VAEDetector(max_steps=40, n_members=2, latent=3).fit(payments)


DRAWN = {
    LatentDisplay: lambda detector, rows, **given: LatentDisplay.from_estimator(
        detector, rows, colour_by="city", **given
    ),
    LatentGridDisplay: lambda detector, rows, **given: LatentGridDisplay.from_estimator(
        detector, rows, "city", steps=12, **given
    ),
    LatentTraversalDisplay: lambda detector, rows, **given: LatentTraversalDisplay.from_estimator(
        detector, rows, **given
    ),
    ReconstructionDisplay: lambda detector, rows, **given: ReconstructionDisplay.from_estimator(
        detector, rows, max_rows=200, **given
    ),
}
KINDS = list(DRAWN)

# ---------------------------------------------------------------- every picture


@pytest.mark.parametrize("kind", KINDS)
def test_given_axes_are_drawn_on_and_current_ones_stay(kind, detector, payments):
    _, (left, right) = plt.subplots(1, 2)
    plt.sca(right)
    before = plt.get_fignums()
    display = DRAWN[kind](detector, payments, ax=left)
    assert display.ax_ is left
    assert display.figure_ is left.figure
    assert plt.get_fignums() == before
    assert plt.gca() is right
    assert left.has_data()
    assert not right.has_data()


@pytest.mark.parametrize("kind", KINDS)
def test_without_axes_there_is_one_new_figure_and_it_can_be_drawn_again(kind, detector, payments):
    settings = dict(mpl.rcParams)
    display = DRAWN[kind](detector, payments)
    assert plt.get_fignums() == [display.figure_.number]
    assert dict(mpl.rcParams) == settings
    first = display.ax_
    second = display.plot().ax_
    assert second is not first
    assert (second.get_xlim(), second.get_ylim()) == (first.get_xlim(), first.get_ylim())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_texts_stand_out_and_do_not_lie_on_each_other(kind, style, detector, payments, overlaps):
    with plt.style.context(style):
        display = DRAWN[kind](detector, payments)
        display.figure_.canvas.draw()
        ax = display.ax_
        ticks = [tick.label1 for axis in (ax.xaxis, ax.yaxis) for tick in axis._update_ticks()]  # those drawn
        labels = [label for label in (*ax.texts, *ticks, ax.xaxis.label, ax.yaxis.label) if label.get_text()]
        assert not overlaps(labels)
        frame = display.figure_.bbox
        for text in labels:
            box = text.get_window_extent()
            assert box.x0 >= frame.x0 - 1
            assert box.x1 <= frame.x1 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_fitted_vae_is_drawn_and_no_figure_is_left(kind, detector, payments):
    for other in (VAEDetector(), IsolationForest()):
        with pytest.raises(ParameterError, match=f"fitted VAEDetector.*Got {type(other).__name__}"):
            DRAWN[kind](other, payments)
    with pytest.raises(TableError):
        DRAWN[kind](detector, payments.drop(columns="net"))
    assert not plt.get_fignums()


def test_the_alerts_are_those_of_a_calibrated_detector(detector, payments):
    calibrated = CalibratedDetector(detector, Contamination(0.05), cv="prefit").fit(payments)
    display = LatentDisplay.from_estimator(calibrated, payments)
    assert (display.alert == (calibrated.predict(payments) == -1)).all()
    assert display.colours.values == pytest.approx(detector.anomaly_score(payments))
    for kind in KINDS:
        DRAWN[kind](calibrated, payments)


@pytest.mark.parametrize("kind", KINDS)
def test_polars_and_few_rows_are_drawn(kind, detector, payments):
    DRAWN[kind](detector, pl.from_pandas(payments)).figure_.canvas.draw()
    DRAWN[kind](detector, payments.head(2)).figure_.canvas.draw()


def test_an_import_of_the_pictures_imports_no_torch():
    code = "import vae_anomaly.plots, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0  # noqa: S603


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vae-anomaly\[plot\]'"):
        LatentDisplay.from_positions([[0.0, 1.0], [2.0, 3.0]])


# ---------------------------------------------------------------- the map


def dots(display):
    return np.concatenate([np.asarray(drawn.get_offsets()) for drawn in display.dots_])


def sorted_rows(at):
    return at[np.lexsort(at.T)]


@pytest.mark.parametrize("colour_by", ["score", "city", "net", "time", "new", None])
def test_every_row_has_a_dot(detector, payments, colour_by):
    display = LatentDisplay.from_estimator(detector, payments, colour_by=colour_by)
    assert sorted_rows(dots(display)) == pytest.approx(sorted_rows(display.at))
    alerts = display.at[detector.predict(payments) == -1]
    assert np.asarray(display.rings_.get_offsets()) == pytest.approx(alerts)
    display.figure_.canvas.draw()


def test_two_dimensions_are_drawn_as_they_are(on_a_plane, payments):
    display = LatentDisplay.from_estimator(on_a_plane, payments)
    assert (display.at == on_a_plane.transform(payments)).all()
    assert display.labels == ("latent 0, member 0", "latent 1, member 0")


def test_the_latent_space_is_that_of_the_member_or_of_all(ensemble, payments):
    Z = ensemble.transform(payments)
    of_all = LatentDisplay.from_estimator(ensemble, payments)
    of_second = LatentDisplay.from_estimator(ensemble, payments, member=1)
    for display, positions, name in ((of_all, Z, "all 2 members"), (of_second, Z[:, 3:], "member 1")):
        assert display.at == pytest.approx(LatentDisplay.from_positions(positions).at)
        assert all(label.endswith(name) for label in display.labels)


def test_principal_components_keep_what_they_say_of_the_variance(ensemble, payments):
    Z = ensemble.transform(payments)
    display = LatentDisplay.from_positions(Z)
    share = display.at.var(axis=0) / Z.var(axis=0).sum()
    assert display.labels == tuple(f"PC {i + 1} ({100 * of:.0f} %)" for i, of in enumerate(share))


def test_neighbours_stay_neighbours_by_t_sne():
    rng = np.random.default_rng(0)
    Z = np.concatenate([rng.normal(size=(40, 6)) + 20 * np.eye(6)[i] for i in range(3)])
    display = LatentDisplay.from_positions(Z, colour_by=np.repeat(["a", "b", "c"], 40), method="tsne")
    nearest = np.linalg.norm(display.at[:, None] - display.at, axis=2) + 1e9 * np.eye(120)
    assert (nearest.argmin(axis=1) // 40 == np.arange(120) // 40).all()


def test_umap_is_an_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'vae-anomaly\[umap\]'"):
        LatentDisplay.from_positions(np.zeros((20, 3)), method="umap")


def test_labels_are_anomalies_and_the_commonest_groups_have_colours(detector, payments):
    y = np.arange(len(payments)) % 100 == 0
    display = LatentDisplay.from_estimator(detector, payments, colour_by=y, alerts=False)
    counts = {drawn.get_label(): len(drawn.get_offsets()) for drawn in display.dots_}
    assert counts == {"normal rows": (~y).sum(), "anomalies": y.sum()}
    assert display.rings_ is None
    many = np.arange(len(payments)) % 50
    display = LatentDisplay.from_positions(detector.transform(payments), colour_by=[f"shop {i}" for i in many])
    assert len(display.dots_) == 7
    assert "44 others" in display.colours.names
    gaps = LatentDisplay.from_estimator(detector, payments, colour_by="city").colours
    assert (gaps.of_row == gaps.names.index("missing")).sum() == payments["city"].isna().sum()


def test_of_many_rows_the_alerts_are_drawn():
    rng = np.random.default_rng(0)
    alert = rng.random(3_000) < 0.01
    display = LatentDisplay.from_positions(rng.normal(size=(3_000, 3)), alerts=alert, max_rows=500)
    assert len(display.at) == 500
    assert display.alert.sum() == alert.sum()
    assert LatentDisplay.from_positions(np.zeros((30, 3)), alerts=np.ones(30, bool), max_rows=7).alert.sum() == 7


def test_the_map_is_the_same_however_many_rows_are_drawn(ensemble, payments):
    whole = LatentDisplay.from_estimator(ensemble, payments, alerts=False)
    some = LatentDisplay.from_estimator(ensemble, payments, alerts=False, max_rows=100)
    assert some.labels == whole.labels
    assert len(some.at) == 100
    assert {tuple(at) for at in some.at} <= {tuple(at) for at in whole.at}


def test_dots_and_rings_stand_out_from_the_axes(detector, payments):
    for style in ("default", "dark_background"):
        with plt.style.context(style):
            display = LatentDisplay.from_estimator(detector, payments, colour_by="city")
            face = np.array(to_rgb(display.ax_.get_facecolor()))
            for colour in [d.get_facecolor()[0, :3] for d in display.dots_] + [display.rings_.get_edgecolor()[0, :3]]:
                assert np.abs(colour - face).max() > 0.3


@pytest.mark.parametrize(
    "Z",
    [np.zeros((1, 4)), np.zeros((5, 4)), np.ones((3, 1)), np.arange(4.0)[:, None], [[0.0, 0.0]], np.full((4, 3), 1e5)],
    ids=["one row", "all alike", "one dimension", "a line", "one row of two", "far off"],
)
def test_awkward_positions_are_drawn(Z):
    display = LatentDisplay.from_positions(Z)
    assert np.isfinite(display.at).all()
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    "colour_by",
    [
        np.full(30, np.nan),
        np.full(30, 3.5),
        np.append(np.zeros(29), np.inf),
        [None] * 30,
        ["$a\nb", "📱", "القاهرة"] * 10,
        np.arange(30).astype("M8[D]"),
        pl.Series("days", list(range(30))),
    ],
    ids=["all missing", "constant", "infinite", "nothing", "letters", "dates", "polars"],
)
def test_awkward_colours_are_drawn(colour_by):
    display = LatentDisplay.from_positions(np.random.default_rng(0).normal(size=(30, 3)), colour_by=colour_by)
    assert len(dots(display)) == 30
    display.figure_.canvas.draw()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"Z": np.zeros((0, 3))}, TableError, "finite numbers of shape"),
        ({"Z": [[np.nan, 1.0]]}, TableError, "finite numbers"),
        ({"Z": ["a"]}, TableError, "finite numbers"),
        ({"method": "lda"}, ParameterError, "'method' parameter"),
        ({"method": "direct"}, ParameterError, "needs two latent dimensions, found 3"),
        ({"method": "tsne", "Z": np.zeros((4, 3))}, ParameterError, "at least 5 rows, found 4"),
        ({"max_rows": 0}, ParameterError, "'max_rows'"),
        ({"colour_by": [1.0]}, TableError, "one value to colour by for each of the 6 rows. Found 1"),
        ({"colour_by": np.zeros((6, 2))}, TableError, "array of shape"),
        ({"alerts": [1, 0, 0, 0, 0, 0]}, ParameterError, "True or False of each row"),
        ({"alerts": [True]}, TableError, "each of the 6 rows"),
    ],
)
def test_what_cannot_be_drawn_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        LatentDisplay.from_positions(**{"Z": np.zeros((6, 3)), **given})
    assert not plt.get_fignums()


def test_a_member_or_column_that_is_not_there_is_refused(ensemble, payments):
    with pytest.raises(ParameterError, match=r"one of the 2 members.*Got 2"):
        LatentDisplay.from_estimator(ensemble, payments, member=2)
    with pytest.raises(ParameterError, match="'shop' instead; the table has net, gross"):
        LatentDisplay.from_estimator(ensemble, payments, colour_by="shop")
    with pytest.raises(ParameterError, match=r"column that is modelled\. Got 'shop'"):
        LatentGridDisplay.from_estimator(ensemble, payments, "shop")


# ---------------------------------------------------------------- the grid


@pytest.mark.parametrize("which", ["on_a_plane", "ensemble"])
def test_a_grid_has_what_is_decoded_there(request, payments, which):
    detector = request.getfixturevalue(which)
    display = LatentGridDisplay.from_estimator(detector, payments, "gross", steps=9)
    plane = plane_of(detector.transform(payments), "")
    corner = detector.inverse_transform(plane.lifted(np.array([[display.x[0], display.y[-1]]])))["gross"].item()
    assert display.areas_.get_array()[-1, 0] == pytest.approx(corner)
    assert display.x[0] < display.at[:, 0].min() < display.at[:, 0].max() < display.x[-1]
    with plt.style.context("dark_background"):
        for column in ("city", "time", "new"):
            LatentGridDisplay.from_estimator(detector, payments, column, steps=5).figure_.canvas.draw()


# ---------------------------------------------------------------- ways


def test_a_traversal_moves_along_its_direction(ensemble, payments):
    Z = ensemble.transform(payments)
    display = LatentTraversalDisplay.from_estimator(ensemble, payments, direction=4, row=7, steps=3, reach=1.5)
    places = np.tile(Z[7], (3, 1))
    places[:, 4] += np.array([-1.5, 0, 1.5]) * Z[:, 4].std()
    pd.testing.assert_frame_equal(display.rows, ensemble.inverse_transform(places))
    assert display.label == "latent4 (standard deviations)"
    own = LatentTraversalDisplay.from_estimator(
        ensemble, payments, direction=2.0 * np.eye(6)[4], row=7, steps=3, reach=1.5
    )
    pd.testing.assert_frame_equal(own.rows, display.rows)


def test_the_columns_that_change_are_shown_with_their_cells():
    way = pd.DataFrame(
        {
            "amount": [9.5, 1_234_567.0, np.nan],
            "city": ["Łódź", None, "📱"],
            "time": pd.to_datetime(["2026-03-01 09:30", "2026-03-02 00:00", None]),
            "new": [True, False, True],
            "currency": "EUR",
        }
    )
    display = LatentTraversalDisplay.from_rows(way)
    assert display.columns_ == ["amount", "city", "time", "new"]
    assert "1 stay the same" in display.ax_.get_xlabel()
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts[:3] == ["9.5", "1,234,567", "missing"]
    assert texts[6:] == ["01 Mar\n09:30", "02 Mar", "missing", "true", "false", "true"]
    display.figure_.canvas.draw()
    few = LatentTraversalDisplay.from_rows(way, max_columns=2)
    assert few.columns_ == ["amount", "city"]
    assert "2 more change and 1 stay the same" in few.ax_.get_xlabel()
    LatentTraversalDisplay.from_rows(pd.concat([way.head(1)] * 3)).figure_.canvas.draw()  # nothing changes
    LatentTraversalDisplay.from_rows(pd.concat([way] * 10)).figure_.canvas.draw()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"direction": 6}, ParameterError, "one of|dimension of the 6"),
        ({"direction": [1.0, 0.0]}, ParameterError, "6 finite numbers, not all 0"),
        ({"direction": np.zeros(6)}, ParameterError, "not all 0"),
        ({"row": 1_500}, TableError, "below the number of rows, 1,500"),
        ({"steps": 1}, ParameterError, "'steps'"),
        ({"reach": 0}, ParameterError, "'reach'"),
    ],
)
def test_ways_that_lead_nowhere_are_refused(ensemble, payments, given, error, message):
    with pytest.raises(error, match=message):
        LatentTraversalDisplay.from_estimator(ensemble, payments, **given)
    assert not plt.get_fignums()


def test_a_way_needs_two_rows(payments):
    for rows, along in ((payments.head(1), None), (payments.head(3), [1.0, 2.0])):
        with pytest.raises(TableError, match="two or more rows along a way"):
            LatentTraversalDisplay.from_rows(rows, along=along)


# ---------------------------------------------------------------- reconstruction


def test_bars_are_as_long_as_what_is_explained(detector, payments):
    display = ReconstructionDisplay.from_estimator(detector, payments, max_rows=None)
    quality = reconstruction_quality(detector, payments, max_rows=None)
    drawn = {}
    for container in display.ax_.containers:
        for bar in container:
            drawn[display.ax_.get_yticklabels()[round(bar.get_y() + bar.get_height() / 2)].get_text()] = bar.get_width()
    names = [
        c if p in ("value", "level") else f"{c}, {p}" for c, p in zip(quality["column"], quality["part"], strict=True)
    ]
    expected = dict(zip(names, quality["explained"].clip(lower=-0.2), strict=True))
    assert drawn == pytest.approx(expected)
    assert display.shown_["explained"].is_monotonic_increasing


def test_marks_stand_at_the_shares_that_are_covered(detector, payments):
    quality = reconstruction_quality(detector, payments, conditional=True)
    display = ReconstructionDisplay.from_quality(quality, conditional=True, what="calibration")
    marks = [line for line in display.ax_.get_lines() if line.get_linestyle() == "None"]
    assert [line.get_label() for line in marks] == ["50 %", "80 %", "95 %"]
    for line, name in zip(marks, ["coverage_50", "coverage_80", "coverage_95"], strict=True):
        assert (line.get_xdata() == display.shown_[name]).all()
    assert "other columns" in display.ax_.get_xlabel()


def test_of_many_columns_the_worst_are_shown(detector, payments):
    quality = reconstruction_quality(detector, payments)
    display = ReconstructionDisplay.from_quality(quality, max_lines=2)
    assert len(display.shown_) == 2
    assert display.shown_["explained"].max() <= quality["explained"].nsmallest(2).max()
    assert "better ones left out" in display.ax_.get_xlabel()


def test_quality_that_cannot_be_drawn_is_refused(detector, payments):
    quality = reconstruction_quality(detector, payments)
    with pytest.raises(TableError, match="none of its columns \\['rmse'\\]"):
        ReconstructionDisplay.from_quality(quality.drop(columns="rmse"))
    with pytest.raises(TableError, match="something to tell"):
        ReconstructionDisplay.from_quality(quality.assign(explained=np.nan))
    with pytest.raises(ParameterError, match="'what' parameter"):
        ReconstructionDisplay.from_quality(quality, what="error")
    assert not plt.get_fignums()
