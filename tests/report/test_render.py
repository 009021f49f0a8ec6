"""The page is one file of our own markup, whatever the cells hold."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_anomaly._visible import visible
from vae_anomaly.report._payload import MOST_CHARACTERS, payload
from vae_anomaly.report.render import _embedded, render

MADE = datetime(2026, 3, 1, 9, 30)
VOID = {"meta", "input", "img", "br"}


class Page(HTMLParser):
    """Tags in their order, the text of each script and style, and all other text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.inside, self.text = [], [], {"script": [], "style": []}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in self.inside:
            self.inside[tag].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in self.inside:
            self.inside[self.open[-1]][-1] += data
        else:
            self.text.append(data)

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def report(made_by_hand):
    return made_by_hand(30)


@pytest.fixture(scope="module")
def page(report):
    return Page(render(report, MADE))


def test_cells_bring_no_tag_and_no_attribute_with_them(page, made_by_hand):
    plain = Page(render(made_by_hand(30, tuple(f"plain {i}" for i in range(8))), MADE))
    assert [(tag, sorted(attributes)) for tag, attributes in page.tags] == [
        (tag, sorted(attributes)) for tag, attributes in plain.tags
    ]
    assert [attributes.get("type") for attributes in page.of("script")] == ["application/json", None]
    assert not any(name.startswith("on") or name == "style" for _, attributes in page.tags for name in attributes)
    assert page.open == []


def test_cells_are_text_as_they_are(page, report):
    text = "".join(page.text)
    for pattern in report.patterns:
        assert pattern.example in text
    assert report.title in text
    assert report.scope.files[0] in text


def test_no_cell_turns_the_text_after_it_round(made_by_hand):
    text = render(made_by_hand(9, tuple(f"pay \u202e{i}\u2066 txt.exe" for i in range(8))), MADE)
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)
    assert r"pay \u202e3\u2066 txt.exe too high" in text


def test_nothing_is_loaded_from_anywhere(page):
    links = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert links
    assert all(link.startswith(("#", "data:image/svg+xml;base64,")) for link in links)
    assert not re.search(r"@import|url\(", page.inside["style"][0])
    assert not re.search(
        r"fetch\(|XMLHttpRequest|import\(|innerHTML|outerHTML|insertAdjacent|eval\(", page.inside["script"][1]
    )
    assert not page.of("link")
    assert not page.of("iframe")


def test_the_policy_lets_our_own_script_and_style_run_alone(page):
    (policy,) = (a["content"] for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in (page.inside["script"][1], page.inside["style"][0])
    ]
    assert allowed == {
        "default-src": "'none'",
        "script-src": digests[0],
        "style-src": digests[1],
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_the_script_gets_what_the_report_has(page, report):
    data = json.loads(page.inside["script"][0])
    assert data == payload(report) | {"printed": 200}
    cells = data["cells"][3]
    found = cells.get("values") or [cells["levels"][code] for code in cells["codes"]]
    assert found == [visible(alert.cells[3], lines=True) for alert in report.alerts]
    assert len(found[1]) > 10_000
    assert data["alerts"]["score"] == pytest.approx([alert.score for alert in report.alerts], rel=1e-7)


@given(st.lists(st.text(), max_size=5))
def test_no_text_ends_the_data_or_begins_a_tag(texts):
    embedded = str(_embedded({"cells": texts}))
    assert not re.search("[<>&'\u2028\u2029]", embedded)
    assert embedded.isascii()
    assert json.loads(embedded)["cells"] == texts


def test_of_a_cell_that_no_page_can_hold_the_beginning_is_shown_and_that_is_said(made_by_hand):
    data = payload(made_by_hand(3, ("y" * 250_000,) * 8))
    assert all(
        len(cell) < MOST_CHARACTERS + 60 for cell in data["cells"][3].get("values", data["cells"][3].get("levels"))
    )
    assert "the first 100,000 of 250,000 characters" in json.dumps(data["cells"][3])


def test_the_same_report_is_the_same_page(report):
    assert render(report, MADE) == render(report, MADE)
    assert render(report, MADE) != render(report, datetime(2026, 3, 2))


def test_what_is_left_out_is_said(page, made_by_hand):
    text = "".join(page.text)
    assert re.search(r"7\s+alerts left out", text)
    assert "3 rows without a time" in text
    assert "200 highest alerts" in "".join(Page(render(made_by_hand(201), MADE)).text)


def test_without_alerts_there_is_no_script_and_it_is_said(made_by_hand):
    page = Page(render(made_by_hand(0), MADE))
    assert "No row alerts" in "".join(page.text)
    assert page.of("script") == []


@pytest.mark.parametrize("name", ["report.html", "report.css", "report.js"])
def test_the_templates_lie_in_the_package(name):
    assert (files("vae_anomaly.report") / "templates" / name).is_file()
