"""Rows to draw, and figures that are closed."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from vae_anomaly import CalibrationRows, VAEDetector

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.text import Text

N = 4_000


@pytest.fixture(autouse=True)
def closed_figures():
    plt.close("all")
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def week():
    """Scores, labels, amounts and times of two weeks; the calibration rows have their labels."""
    rng = np.random.default_rng(0)
    y = rng.random(N) < 0.02
    score = rng.gamma(3, 2, N) + y * rng.gamma(4, 3, N)
    time = np.datetime64("2026-03-01") + rng.integers(0, 14 * 86_400, N).astype("timedelta64[s]")
    return CalibrationRows.from_arrays(score, y, amount=rng.lognormal(4, 1, N), time=time)


@pytest.fixture(scope="session")
def payments():
    """A mixed table with gaps."""
    rng = np.random.default_rng(0)
    net = rng.gamma(9, 9, 1_500).round(2)
    rows = pd.DataFrame(
        {
            "net": net,
            "gross": (net * 1.2).round(2),
            "city": rng.choice(["Łódź", "Bonn", "Oslo"], len(net)),
            "time": np.datetime64("2026-03-01T08") + rng.integers(0, 14 * 86_400, len(net)).astype("timedelta64[s]"),
            "new": rng.random(len(net)) < 0.2,
        }
    )
    rows.loc[rng.random(len(rows)) < 0.1, "city"] = None
    return rows


@pytest.fixture(scope="session")
def detector(payments):
    return VAEDetector(max_steps=100, n_members=1).fit(payments)


def box_of(text):
    """Of the letters alone, without an arrow that goes with them."""
    return Text.get_window_extent(text)


def _overlaps(texts):
    """Pairs of texts that lie on each other, in pixels of the drawn figure."""
    if texts:
        texts[0].figure.canvas.draw()
    boxes = [(text.get_text(), box_of(text)) for text in texts if text.get_visible() and text.get_text()]
    return [(a, b) for i, (a, of_a) in enumerate(boxes) for b, of_b in boxes[i + 1 :] if of_a.overlaps(of_b)]


@pytest.fixture
def overlaps():
    return _overlaps
