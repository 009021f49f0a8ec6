import json
from contextlib import suppress
from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vae_anomaly._params import to_json
from vae_anomaly.decision.guarantee import Guarantee
from vae_anomaly.decision.segments import calibrate_segments
from vae_anomaly.decision.stored import from_parts, to_parts
from vae_anomaly.decision.thresholds import (
    AlertBudget,
    CalibrationRows,
    Contamination,
    DiscoveryRate,
    ExpectedCost,
    FalseAlarmRate,
    TailRate,
    rule_from_json,
)
from vae_anomaly.errors import ModelFileError, ParameterError

RNG = np.random.default_rng(0)
N = 2_000
SCORE, GROUP = RNG.gumbel(size=N), RNG.choice(["DE", "FR", "rare"], N, p=[0.6, 0.37, 0.03])
ROWS = CalibrationRows.from_arrays(
    SCORE,
    y=RNG.random(N) < 0.05,
    time=np.datetime64("2026-03-01") + np.arange(N).astype("timedelta64[m]") * 20,
    group=GROUP,
    weight=RNG.random(N),
)
RULES = (
    FalseAlarmRate(0.02),
    AlertBudget(4),
    DiscoveryRate(0.1),
    ExpectedCost(50, 2),
    TailRate(0.001),
    Contamination(0.01),
)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_calibration_comes_back_from_json_and_arrays_bit_for_bit(rule):
    calibration = calibrate_segments(rule, ROWS)
    document, arrays = to_parts(calibration)
    again = from_parts(json.loads(json.dumps(document, allow_nan=False)), arrays)
    assert again.rule == calibration.rule
    assert again.guarantee == calibration.guarantee
    assert str(again.guarantee) == str(calibration.guarantee)
    assert len(again.segments) >= 1
    judged, of = RNG.gumbel(size=300), RNG.choice(["DE", "FR", "rare", "new"], 300)
    for method in ("thresholds", "margin", "p_value", "risk_score"):
        np.testing.assert_array_equal(getattr(again, method)(judged, of), getattr(calibration, method)(judged, of))


def altered(change):
    document, arrays = to_parts(calibrate_segments(FalseAlarmRate(0.02), ROWS))
    document = json.loads(json.dumps(document))
    arrays = {name: array.copy() for name, array in arrays.items()}
    change(document, arrays)
    return document, arrays


def swap(array):
    array[[0, -1]] = array[[-1, 0]]


DAMAGE = {
    "a part is missing": lambda document, arrays: document.pop("rule"),
    "a part is too many": lambda document, arrays: document.update(extra=1),
    "an unknown rule": lambda document, arrays: document["rule"].update(rule="Magic"),
    "a rule outside its domain": lambda document, arrays: document["rule"].update(alpha=7.0),
    "a rule of a segment outside its domain": lambda document, arrays: document["segments"]["DE"].update(alpha=7.0),
    "a rule of a batch with a threshold": lambda document, arrays: document.update(
        rule={"rule": "DiscoveryRate", "fdr": 0.1, "method": "bh"}
    ),
    "no threshold": lambda document, arrays: document["report"].update(threshold=None),
    "an infinite threshold": lambda document, arrays: document["report"].update(threshold=float("inf")),
    "a threshold of another type": lambda document, arrays: document["report"].update(threshold="high"),
    "a boolean threshold": lambda document, arrays: document["report"].update(threshold=True),
    "a report without a field": lambda document, arrays: document["report"].pop("holds"),
    "no report": lambda document, arrays: document.update(report=[]),
    "an interval of three": lambda document, arrays: document["report"].update(interval=[0.0, 0.1, 0.2]),
    "a remark that is a number": lambda document, arrays: document["report"].update(remarks=[1]),
    "normal rows without anomalies": lambda document, arrays: document["report"].update(n_anomalies=None),
    "counts that do not add up": lambda document, arrays: document["report"].update(n_normal=1),
    "more alerts than rows": lambda document, arrays: document["report"].update(n_alerts=N + 1),
    "another rule than the report's": lambda document, arrays: document["rule"].update(alpha=0.5),
    "a report of a book's length": lambda document, arrays: document["report"].update(holds="x" * 10**7),
    "no rows": lambda document, arrays: document["report"].update(n_rows=0),
    "an interval of booleans": lambda document, arrays: document["report"].update(interval=[False, True]),
    "an estimate beyond numbers": lambda document, arrays: document["report"].update(estimate=10**400),
    "a rule whose name is a list": lambda document, arrays: document["rule"].update(rule=["FalseAlarmRate"]),
    "a rule with a huge parameter": lambda document, arrays: document["rule"].update(alpha=10**400),
    "no rule of the rest": lambda document, arrays: document.update(rest=None),
    "no report of the rest": lambda document, arrays: document["report"].update(rest=None),
    "no scores of the rest": lambda document, arrays: arrays.pop("rest.score"),
    "a rest without segments": lambda document, arrays: (
        document.update(segments={}),
        document["report"].update(segments={}),
        [arrays.pop(f"segment0.{name}") for name in ("score", "weight")],
    ),
    "segments in a segment": lambda document, arrays: document["report"]["rest"].update(
        segments={"DE": document["report"]["segments"]["DE"]}
    ),
    "a segment that is missing": lambda document, arrays: document["segments"].pop("DE"),
    "segments that are a list": lambda document, arrays: document.update(segments=["DE", "FR"]),
    "scores out of order": lambda document, arrays: swap(arrays["score"]),
    "a score that is NaN": lambda document, arrays: arrays["score"].__setitem__(-1, np.nan),
    "scores of another type": lambda document, arrays: arrays.update(score=arrays["score"].astype(np.float32)),
    "scores in two columns": lambda document, arrays: arrays.update(score=arrays["score"][:, None]),
    "scores that are missing": lambda document, arrays: arrays.pop("segment0.score"),
    "a weight below 0": lambda document, arrays: arrays["weight"].__setitem__(0, -1.0),
    "weights of another length": lambda document, arrays: arrays.update(weight=arrays["weight"][1:]),
    "an array too many": lambda document, arrays: arrays.update(extra=arrays["score"]),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_what_was_altered_is_refused(change):
    with pytest.raises(ModelFileError):
        from_parts(*altered(change))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400)
ANYTHING = st.recursive(
    SCALARS | st.sampled_from(["FalseAlarmRate", "DiscoveryRate", "AlertBudget", "score", "segments", "rest"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def places(document, path=()):
    """Every place in a document of JSON values."""
    yield path
    children = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, child in children:
        yield from places(child, (*path, key))


WHOLE, ARRAYS = altered(lambda document, arrays: None)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(places(WHOLE))[1:]), ANYTHING)
def test_whatever_is_put_in_any_place_is_refused_or_can_be_used_and_printed(path, value):
    document = deepcopy(WHOLE)
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    try:
        calibration = from_parts(document, ARRAYS)
    except ModelFileError:
        return
    assert str(calibration.guarantee)
    assert calibration.alerts(SCORE, GROUP).shape == calibration.risk_score(SCORE).shape


@given(ANYTHING | st.dictionaries(st.sampled_from(["rule", "alpha", "n", "per", "missed"]), ANYTHING))
def test_a_rule_from_whatever_is_a_rule_or_refused(document):
    with suppress(ParameterError):
        assert rule_from_json(document).needs is not None


def test_what_was_not_altered_is_not():
    from_parts(*altered(lambda document, arrays: None))
    with pytest.raises(ModelFileError, match="must be an object"):
        from_parts(None, {})


def test_a_report_prints_what_was_asked_found_and_assumed_line_by_line():
    report = calibrate_segments(FalseAlarmRate(0.02), ROWS).guarantee
    lines = str(report).splitlines()
    starts = [line.split()[0] for line in lines]
    assert starts[:6] == ["rule", "asked", "threshold", "rows", "found", "holds"]
    assert starts.count("assumed") == len(report.assumptions)
    assert starts.count("note") == len(report.remarks) == 5
    assert starts.count("segment") == 1
    assert lines[-1].startswith("the rest     threshold ")
    assert Guarantee.from_json(deepcopy(report.to_json())) == report


def test_one_is_counted_in_the_singular():
    report = Contamination(0.4).calibrate(CalibrationRows.from_arrays([1.0, 2.0, 3.0, 4.0], y=[0, 0, 0, 1])).guarantee
    assert "3 normal and 1 anomaly\n" in str(report)
    assert "1 alert on the calibration rows" in str(report)


def test_numbers_of_numpy_in_a_rule_are_kept_as_numbers():
    rule = FalseAlarmRate(np.float64(0.02), confidence=np.float32(0.5))
    document, arrays = to_parts(rule.calibrate(CalibrationRows.from_arrays(np.arange(500.0))))
    document["rule"] = {name: to_json(value) for name, value in document["rule"].items()}
    assert from_parts(document, arrays).rule.alpha == 0.02
