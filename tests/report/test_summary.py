"""What a report says is what the detector says: nothing here knows of a page."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.ensemble import IsolationForest

from vae_anomaly import CalibratedDetector, MissingExtraError, OutputError, ParameterError, TableError, VAEDetector
from vae_anomaly.report import Origin, summarise, write_report
from vae_anomaly.report._history import MOST_VISITS
from vae_anomaly.report._pictures import pictures
from vae_anomaly.report._scored import Scored

KNOWN = ["timestamp", "category", "amount", "country", "channel", "distance_km", "is_foreign"]
QUICK = {"n_nearest": 0}


def remarks(report):
    return {column.name: " ".join(column.remarks) for column in report.columns}


@pytest.fixture(scope="module")
def report(detector, later):
    return summarise(detector, later, entity="customer_id", n_nearest=3)


def test_the_alerts_are_the_rows_above_the_threshold_the_furthest_first(report, detector, later):
    score = detector.anomaly_score(later[KNOWN])
    alerts = np.flatnonzero(score > -detector.offset_)
    rows = [alert.row for alert in report.alerts]
    assert sorted(rows) == alerts.tolist()
    np.testing.assert_array_equal([alert.score for alert in report.alerts], np.sort(score[alerts])[::-1])
    assert report.scope.n_alerts == report.scope.n_listed == len(alerts) > 3
    assert report.scope.n_left_out == 0


def test_alerts_are_ranked_by_how_far_they_are_above_thresholds_of_their_own():
    assert Scored(np.array([9.0, 8.0, 1.0, 7.0]), np.array([8.0, 2.0, 2.0, 6.5])).ranked().tolist() == [1, 0, 3]


def test_the_highest_alerts_are_listed_and_how_many_are_left_out_is_said(report, detector, later):
    short = summarise(detector, later, max_alerts=2, **QUICK)
    assert [alert.row for alert in short.alerts] == [alert.row for alert in report.alerts[:2]]
    assert short.scope.n_left_out == report.scope.n_alerts - 2
    assert short.scope.n_alerts == report.scope.n_alerts


def test_reasons_are_those_of_explain_and_what_they_leave_is_the_rest_of_the_score(detector, later):
    found = summarise(detector, later, n_reasons=len(KNOWN), **QUICK)
    whole = detector.explain(later[KNOWN].iloc[[alert.row for alert in found.alerts]], n_reasons=None)
    for place, alert in enumerate(found.alerts):
        lines = whole[whole["row"] == place]
        columns = lines[lines["column"].notna()]
        assert [reason.column for reason in alert.reasons] == columns["column"].tolist()
        assert [reason.sentence for reason in alert.reasons] == columns["sentence"].tolist()
        assert alert.rest == pytest.approx(lines.loc[lines["column"].isna(), "share"].sum(), abs=1e-9)


def test_an_alert_says_the_same_whatever_rows_come_with_it(report, detector, later):
    first = report.alerts[0]
    (alone,) = summarise(detector, later.iloc[[first.row]], entity="customer_id", **QUICK).alerts
    assert alone == replace(first, row=0, nearest=None, pattern=0)


def test_what_would_have_to_change_is_enough_and_only_looked_for_where_it_is_said(report):
    assert report.scope.n_nearest == 3
    for alert in report.alerts[:3]:
        assert alert.nearest.reached
        assert alert.nearest.new_score <= alert.threshold
        assert 1 <= len(alert.nearest.changes) <= len(KNOWN)
    assert all(alert.nearest is None for alert in report.alerts[3:])


def test_fixed_columns_do_not_change(detector, later):
    found = summarise(detector, later, fixed=["amount", "category"], n_nearest=5)
    changed = {change.column for alert in found.alerts for change in (alert.nearest.changes if alert.nearest else ())}
    assert changed
    assert not changed & {"amount", "category"}
    looked = [(alert, alert.nearest) for alert in found.alerts if alert.nearest]
    assert [nearest.reached for _, nearest in looked] == [near.new_score <= alert.threshold for alert, near in looked]


def test_every_column_is_shown_as_it_is_written(report, later):
    names = [column.name for column in report.columns]
    assert names == later.columns.tolist()
    for alert in report.alerts:
        row = later.iloc[alert.row]
        cells = dict(zip(names, alert.cells, strict=True))
        assert cells["transaction_id"] == row["transaction_id"]
        assert float(cells["amount"]) == row["amount"]
        assert cells["timestamp"] == str(row["timestamp"].round("us")).removesuffix(".000000")
        assert (cells["device"] is None) == pd.isna(row["device"])
    assert {column.kind for column in report.columns if column.name not in KNOWN} == {"not used"}


def test_what_people_wrote_is_shown_where_the_model_reads_otherwise(detector, later):
    written = later.assign(amount=later["amount"].map(lambda number: f"{number:.2f}".replace(".", ",")))
    found = summarise(detector, later, written=written, **QUICK)
    place = later.columns.get_loc("amount")
    assert all("," in alert.cells[place] for alert in found.alerts)


@pytest.mark.parametrize("other", [pl.from_pandas, lambda frame: pa.Table.from_pandas(frame, preserve_index=False)])
def test_the_library_of_a_table_does_not_matter(report, detector, later, other):
    found = summarise(detector, other(later), entity="customer_id", n_nearest=3)
    assert found.alerts == report.alerts
    assert (found.drivers, found.patterns, found.histories) == (report.drivers, report.patterns, report.histories)


def test_a_model_of_an_array_reads_any_table_by_place():
    X = np.random.default_rng(0).normal(size=(500, 1)) * [1.0, 2.0, 3.0]
    detector = VAEDetector(max_steps=100, n_members=1).fit(X)
    found = summarise(detector, X, **QUICK)
    assert [column.name for column in found.columns] == ["x0", "x1", "x2"]
    assert found.alerts[0].cells == tuple(map(str, X[found.alerts[0].row]))
    assert found.scope.time is None
    with pytest.warns(UserWarning, match="X has feature names"):
        named = summarise(detector, pd.DataFrame(X, columns=["a", "b", "c"]), **QUICK)
    assert (named.alerts, named.columns) == (found.alerts, found.columns)


def test_labels_of_rows_do_not_matter(report, detector, later):
    same = later.set_axis([7] * len(later), axis=0)
    assert summarise(detector, same, entity="customer_id", n_nearest=3).alerts == report.alerts


# ---------------------------------------------------------------- calibration


def test_p_values_and_thresholds_of_segments_are_those_of_the_calibration(calibrated, later):
    groups = later["is_foreign"].map({True: "abroad", False: "home"}).to_numpy()
    found = summarise(calibrated, later, groups=groups, segment="border", **QUICK)
    X = later[KNOWN]
    rows = [alert.row for alert in found.alerts]
    expected = calibrated.alerts(X, groups)
    assert rows == expected["row"].tolist()
    for name, of in (("p_value", "p_value"), ("risk", "risk_score"), ("threshold", "threshold"), ("segment", "group")):
        assert [getattr(alert, name) for alert in found.alerts] == expected[of].tolist()
    assert found.scope.segment == "border"
    assert found.scope.calibrated
    assert found.scope.thresholds[0] < found.scope.thresholds[1]


def test_the_card_has_the_guarantee_and_its_assumptions(calibrated, later):
    card = summarise(calibrated, later, origin=Origin(versions={"made with": "torch 9"}), **QUICK).card
    said = " ".join(text for _, text in card.sections["Threshold"])
    guarantee = calibrated.report_
    assert all(text in said for text in (guarantee.holds, guarantee.asked, *guarantee.assumptions))
    assert ("made with", "torch 9") in card.sections["Versions"]
    assert dict(card.sections["Training data"])["rows"] == "1,500"


def test_a_model_without_calibration_says_that_there_is_no_guarantee(report):
    assert report.alerts[0].p_value is None
    assert "not calibrated" in dict(report.card.sections["Threshold"])["guarantee"]
    assert "not calibrated" in report.scope.decision


# ---------------------------------------------------------------- patterns, drivers, histories


def test_every_alert_is_in_one_pattern_and_has_one_first_reason(report):
    counts = np.bincount([alert.pattern for alert in report.alerts], minlength=len(report.patterns))
    assert counts.tolist() == [pattern.n_alerts for pattern in report.patterns]
    for place, pattern in enumerate(report.patterns):
        of_pattern = [alert for alert in report.alerts if alert.pattern == place]
        assert pattern.row in [alert.row for alert in of_pattern]
        assert pattern.highest == max(alert.score for alert in of_pattern)
    assert sum(driver.n_first for driver in report.drivers) <= len(report.alerts)


def test_a_history_has_the_rows_of_its_entity_in_order_of_time(detector, later):
    mixed = later.sample(frac=1, random_state=0, ignore_index=True)
    report = summarise(detector, mixed, entity="customer_id", **QUICK)
    for alert in report.alerts:
        history = report.histories[alert.entity]
        own = mixed[mixed["customer_id"] == alert.entity].sort_values("timestamp", kind="stable")
        assert history.n_rows == len(own)
        assert history.n_alerts == sum(visit.alert for visit in history.visits) > 0
        assert [visit.row for visit in history.visits] == own.index.tolist()


def test_of_a_long_history_the_rows_next_to_the_alerts_are_shown(detector, later):
    alike = later.assign(customer_id="one")
    found = summarise(detector, alike, entity="customer_id", max_alerts=2, **QUICK)
    history = found.histories["one"]
    rows = [visit.row for visit in history.visits]
    assert history.n_rows == len(later)
    assert len(rows) == MOST_VISITS
    assert {alert.row for alert in found.alerts} <= set(rows)
    order = later["timestamp"].argsort(kind="stable").to_numpy()
    place = np.argsort(order)
    listed = place[[alert.row for alert in found.alerts]]
    distance = np.abs(place[:, None] - listed).min(axis=1)
    assert distance[rows].max() <= np.delete(distance, rows).min() + 1
    assert (np.diff(place[rows]) > 0).all()


def test_a_row_of_no_entity_has_no_history(detector, later):
    nobody = later.assign(customer_id=None)
    assert summarise(detector, nobody, entity="customer_id", **QUICK).histories == {}


# ---------------------------------------------------------------- time


def test_the_first_column_of_dates_says_when_rows_came(report, later):
    assert report.scope.time == "timestamp"
    assert report.scope.first == str(later["timestamp"].min())
    assert [picture.title for picture in report.pictures] == ["Anomaly scores", "Alerts per day"]


def test_seconds_will_do_and_missing_times_are_counted(detector, later):
    seconds = (later["timestamp"] - later["timestamp"].min()).dt.total_seconds()
    late = later.assign(seconds=seconds.where(later.index > 4))
    found = summarise(detector, late, time="seconds", **QUICK)
    assert found.scope.n_without_time == 5
    assert [alert.moment for alert in found.alerts] == [
        None if alert.row <= 4 else seconds[alert.row] for alert in found.alerts
    ]


def test_times_that_are_none_are_refused(detector, later):
    with pytest.raises(TableError, match="dates or seconds in column 'channel'"):
        summarise(detector, later, time="channel")
    with pytest.raises(TableError, match="milliseconds"):
        summarise(detector, later.assign(ms=1.7e12), time="ms")
    with pytest.raises(ParameterError, match="found 'moment'"):
        summarise(detector, later, time="moment")


# ---------------------------------------------------------------- quality


def test_the_training_rows_have_nothing_to_remark_on(detector, training):
    assert not any(remarks(summarise(detector, training, **QUICK)).values())


def test_what_differs_from_training_is_remarked_on(detector, later):
    odd = later.assign(
        category=["crypto"] * 3 + ["grocery"] * (len(later) - 3),
        amount=later["amount"].where(later.index != 8, 9e6),
        channel=None,
        country="DE",
        timestamp=later["timestamp"] + pd.Timedelta(days=400),
    )
    found = remarks(summarise(detector, odd, **QUICK))
    assert found["category"] == "3 rows with a level that training never saw: crypto (3)"
    assert "1 row outside the training range" in found["amount"]
    assert found["channel"].startswith("missing in 100 %")
    assert "one value in all rows, DE" in found["country"]
    assert "where the training rows ended" in found["timestamp"]


@pytest.mark.parametrize(("more", "remarked"), [(0.03, False), (0.1, True)])
def test_a_share_of_missing_cells_is_remarked_on_from_five_points_of_difference(detector, training, more, remarked):
    gaps = training["distance_km"].isna()
    here = np.flatnonzero(~gaps)[: round(more * len(training))]
    odd = training.assign(distance_km=training["distance_km"].mask(training.reset_index().index.isin(here)))
    assert gaps.any()
    assert bool(remarks(summarise(detector, odd, **QUICK))["distance_km"]) == remarked


def test_numbers_at_the_edge_of_the_training_range_are_within_it():
    x = np.r_[np.random.default_rng(0).normal(size=300), 1e7, -0.1]
    rows = pd.DataFrame({"x": x, "twice": np.minimum(2 * x, 9.0)})
    detector = VAEDetector(max_steps=100, n_members=1).fit(rows)
    assert not any(remarks(summarise(detector, rows, **QUICK)).values())
    beyond = rows.assign(x=rows["x"].where(rows["x"] < 1e6, 2e7))
    assert "1 row outside" in remarks(summarise(detector, beyond, **QUICK))["x"]


def test_dates_that_are_modelled_as_numbers_are_remarked_on_as_dates():
    rng = np.random.default_rng(0)
    days = rng.uniform(0, 90, 400)
    rows = pd.DataFrame({"when": pd.Timestamp("2026-01-01") + pd.to_timedelta(days, unit="D"), "amount": 3 * days})
    detector = VAEDetector(kinds={"when": "numeric"}, max_steps=100, n_members=1).fit(rows)
    found = remarks(summarise(detector, rows.assign(when=pd.Timestamp("2027-05-04 03:20")), **QUICK))["when"]
    assert "here it is 2027-05-04 03:20 to 2027-05-04 03:20" in found
    assert "one value in all rows, 2027-05-04 03:20;" in found


def test_a_single_hour_is_one_and_no_score_is_minus_nothing():
    seconds = np.array([60.0, 120.0, np.nan])
    scores, alerts = pictures(Scored(np.array([-0.04, -0.01, 0.01]), np.zeros(3)), seconds, None)
    assert scores.text.startswith("Anomaly scores of 3 rows: half are below 0.0 nats, 90 % lie between 0.0 and 0.0")
    assert alerts.text == "On average 0.0 alerts per hour, at most 0, in 1 hour. Left out: 1 row without a time."


# ---------------------------------------------------------------- odd input


def test_a_wrong_fixed_column_is_told_where_nothing_alerts_too(detector, training):
    normal = training.iloc[[int(detector.anomaly_score(training).argmin())]]
    with pytest.raises(ParameterError, match="Got 'card' instead"):
        summarise(detector, normal, fixed=("card",))


def test_rows_that_do_not_alert_make_an_empty_report(detector, training):
    normal = training.iloc[[int(detector.anomaly_score(training).argmin())]]
    found = summarise(detector, normal)
    assert found.alerts == found.patterns == found.drivers == ()
    assert found.scope.n_alerts == found.scope.n_nearest == 0


def test_rows_without_a_cell_are_told_of(detector, later):
    gone = pd.DataFrame(None, index=range(5), columns=later.columns, dtype=object)
    found = summarise(detector, gone, entity="customer_id")
    assert found.scope.n_rows == found.scope.n_without_time == 5
    assert all(column.missing == 1 for column in found.columns)


def test_columns_that_no_model_could_read_are_shown_all_the_same(detector, later):
    odd = later.assign(tags=[["a", place] for place in range(len(later))])
    found = summarise(detector, odd, **QUICK)
    assert found.alerts[0].cells[-1] == f"['a', {found.alerts[0].row}]"


def test_no_rows_are_refused(detector, later):
    with pytest.raises(TableError, match="at least one row"):
        summarise(detector, later[:0])


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"max_alerts": 0}, "max_alerts"),
        ({"n_reasons": 0}, "n_reasons"),
        ({"n_nearest": -1}, "n_nearest"),
        ({"entity": "card"}, "found 'card'"),
        ({"title": None}, "title"),
    ],
)
def test_wrong_wishes_are_refused(detector, later, wish, message):
    with pytest.raises(ParameterError, match=message):
        summarise(detector, later, **wish)


def test_a_detector_that_knows_no_reasons_is_refused():
    X = np.random.default_rng(0).normal(size=(1_500, 2))
    forest = CalibratedDetector(IsolationForest(n_estimators=5, random_state=0)).fit(X)
    with pytest.raises(ParameterError, match="Got IsolationForest"):
        summarise(forest, X)


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named_with_the_command_before_the_work(monkeypatch, detector, tmp_path, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"needs '{missing}'.*pip install 'vae-anomaly\[report\]'"):
        write_report(detector, "not even rows", tmp_path / "page.html")


def test_a_page_is_not_replaced_unless_asked(detector, later, tmp_path):
    page = write_report(detector, later[:50], tmp_path / "page.html", **QUICK)
    before = page.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_report(detector, later, page)
    assert page.read_bytes() == before
    write_report(detector, later, page, overwrite=True, **QUICK)
    assert page.read_bytes() != before
