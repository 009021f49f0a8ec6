"""A model of payments, rows of which some alert, and a report made by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from vae_anomaly import CalibratedDetector, Contamination, VAEDetector, make_transactions
from vae_anomaly.report.facts import (
    Alert,
    Card,
    Change,
    ColumnNote,
    Driver,
    History,
    Nearest,
    Pattern,
    Picture,
    Reason,
    Report,
    Scope,
    Visit,
)

KNOWN = ["timestamp", "category", "amount", "country", "channel", "distance_km", "is_foreign"]
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %}",
    "עסקה חשודה \u202e txt.exe",
    "🦊 café \u2028 line &amp; &lt;b&gt;",
    "=HYPERLINK('http://evil.example')",
)


@pytest.fixture(scope="session")
def payments():
    return make_transactions(3_000, fraud_rate=0.02, random_state=3)


@pytest.fixture(scope="session")
def training(payments):
    return payments[:1_500][KNOWN]


@pytest.fixture(scope="session")
def detector(training):
    return VAEDetector(max_steps=150, n_members=1).fit(training)


@pytest.fixture(scope="session")
def calibrated(detector, payments):
    groups = payments[1_500:2_300]["is_foreign"].map({True: "abroad", False: "home"})
    wish = CalibratedDetector(detector, Contamination(0.02), cv="prefit", min_segment_rows=20)
    return wish.fit(payments[1_500:2_300][KNOWN], groups=groups)


@pytest.fixture(scope="session")
def later(payments):
    return payments[2_300:].reset_index(drop=True)


@pytest.fixture(scope="session")
def made_by_hand():
    """A report of any number of alerts, with what a cell must not do in its texts."""

    def make(n_alerts, texts=HOSTILE):
        rng = np.random.default_rng(0)
        score = np.sort(rng.gamma(4, 8, n_alerts))[::-1] + 20
        names = ("when", "card", "amount", texts[0], "country")
        alerts = tuple(_alert(i, float(score[i]), names, texts) for i in range(n_alerts))
        visits = tuple(
            Visit(row, f"2026-03-{row % 28 + 1:02d}", row * 86_400.0, 21.0, row < 9, ("9", None)) for row in range(9)
        )
        return Report(
            title=f"Alerts of {texts[1]}",
            scope=Scope(
                (f"{texts[2]}.csv",),
                "m.vaea",
                100_000,
                n_alerts + 7,
                n_alerts,
                min(n_alerts, 200),
                "the wish",
                (20.0, 20.0),
                True,
                "when",
                "card",
                "country",
                "2026-03-01",
                "2026-03-28",
                3,
            ),
            columns=tuple(ColumnNote(name, "categorical", 0.1, 0.0, (f"unseen: {texts[0]}",)) for name in names),
            alerts=alerts,
            histories={f"card {number}": History(12, 9, visits) for number in range(50)},
            history_columns=("amount", names[3]),
            drivers=(
                Driver("amount", 9, 12, 0.5, 0.7, 4.5, "too high"),
                Driver(names[3], 1, 2, 0.1, 0.2, 0.5, "unseen"),
            ),
            patterns=tuple(Pattern(f"{texts[place]} too high", 3, 30.0, texts[place], 1) for place in range(4)),
            card=Card({"Training data": (("rows", "9"), (texts[0], texts[1]))}, ("limits",)),
            pictures=(Picture("Scores", "of rows", "<svg xmlns='http://www.w3.org/2000/svg' width='9' height='5'/>"),),
        )

    return make


def _alert(i, score, names, texts):
    text = texts[i % len(texts)]
    day = f"2026-03-{i % 28 + 1:02d}"
    reasons = (
        Reason(
            "amount", f"{i}.5", "8 to 61, median 24", "too high", f"amount {i}.5 where 8 to 61 is usual", 9.0, 9.5, 99.9
        ),
        Reason(names[3], text, "a (71 %), b (20 %)", "unseen", f"{names[3]} {text} was never seen", 4.0, 5.0, None),
    )
    nearest = Nearest((Change("amount", f"{i}.5", "41.2", "−100"),), 19.0, True) if i < 200 else None
    cells = (day, f"card {i % 50}", f"{i}.5", text * (2_000 if i == 1 else 1), None if i % 3 else "DE")
    return Alert(
        row=7 * i,
        score=score,
        threshold=20.0,
        p_value=0.001,
        risk=750.0,
        segment=cells[4],
        entity=cells[1],
        time=day,
        moment=i % 28 * 86_400.0,
        pattern=i % 4,
        reasons=reasons[: 1 if i % 5 else 2],
        nearest=nearest,
        cells=cells,
    )


@pytest.fixture(scope="session")
def frame_of():
    """A report's alerts, a line each."""
    return lambda report: pd.DataFrame([vars(alert) for alert in report.alerts])
