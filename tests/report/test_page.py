"""The page in a browser: used by keyboard and mouse, printed, and looked at by an accessibility checker."""

from __future__ import annotations

import base64
import json
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from vae_anomaly._visible import visible
from vae_anomaly.report.render import render

BROWSER, DRIVER = shutil.which("chromium") or shutil.which("chromium-browser"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="chromium and chromedriver are not installed (Debian: chromium, chromium-driver)"
)
N_ALERTS = 5_000
_AXE = "node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="module")
def report(made_by_hand):
    return made_by_hand(N_ALERTS)


@pytest.fixture(scope="module")
def url(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(report), encoding="utf-8")
    return path.as_uri()


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1400,950",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, url):
    """The page, opened anew; whatever a test does, nothing may fail or be asked of a network."""
    for log in ("browser", "performance"):
        browser.get_log(log)
    browser.get(url)
    yield browser
    assert browser.get_log("browser") == []
    asked = [json.loads(line["message"])["message"] for line in browser.get_log("performance")]
    sent = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
    assert sent
    assert all(address.startswith(("file:", "data:")) for address in sent)


def all_of(page, selector):
    return page.find_elements("css selector", selector)


def one(page, selector):
    (found,) = all_of(page, selector)
    return found


def column(page, label):
    """The texts of a column of the list, as far as the page shows it."""
    labels = [head.text.strip("▲▼ ") for head in all_of(page, "#heads th")]
    return [cells[labels.index(label)] for cells in rows(page)]


def rows(page):
    return page.execute_script(
        "return [...document.querySelectorAll('#rows tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )


def status(page):
    return one(page, "#status").text


def wait_for(page, condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, status(page)
        time.sleep(0.02)


def press(page, *keys):
    page.switch_to.active_element.send_keys(*keys)


def keys():
    from selenium.webdriver.common.keys import Keys

    return Keys


def focused(page, attribute="id"):
    return page.switch_to.active_element.get_attribute(attribute)


def test_the_first_paint_of_5000_alerts_takes_less_than_two_seconds(page):
    paints = "return performance.getEntriesByType('paint').map(entry => entry.startTime)"
    wait_for(page, lambda: page.execute_script(paints))
    assert 0 < max(page.execute_script(paints)) < 2_000
    assert status(page) == "1 to 50; 5,000 alerts"


def test_every_column_sorts_both_ways_and_says_so(page, report):
    scores = sorted((alert.score for alert in report.alerts), reverse=True)
    one(page, "#sort-score").click()
    assert [float(text) for text in column(page, "Score")] == pytest.approx(scores[:50], abs=0.006)
    assert one(page, "th[aria-sort=descending]").text.startswith("Score")
    one(page, "#sort-score").click()
    assert [float(text) for text in column(page, "Score")] == pytest.approx(scores[::-1][:50], abs=0.006)
    names = [head.get_attribute("id") for head in all_of(page, "#heads button")]
    assert len(names) == 9
    for name in names:
        for _ in range(2):
            one(page, f"#{name}").click()
            assert len(rows(page)) == 50
            assert focused(page) == name


def test_what_is_missing_comes_last_either_way_round(page):
    one(page, "#sort-segment").click()
    assert column(page, "country")[0] == "DE"
    one(page, "#sort-segment").click()
    assert column(page, "country")[0] == "DE"


def test_filters_and_search_narrow_the_list(page, report):
    select = find_select(page, "#by-pattern")
    select.select_by_value("2")
    assert status(page).endswith("1,250 of 5,000 alerts")
    assert set(column(page, "Pattern")) == {"3"}
    find_select(page, "#by-segment").select_by_visible_text("DE")
    n_left = sum(alert.pattern == 2 and alert.segment == "DE" for alert in report.alerts)
    assert f"{n_left:,} of 5,000" in status(page)
    one(page, "#clear").click()
    wait_for(page, lambda: status(page) == "1 to 50; 5,000 alerts")
    one(page, "#search").send_keys("4999.5 AMOUNT")
    wait_for(page, lambda: status(page) == "1 to 1; 1 of 5,000 alerts")
    assert column(page, "Rank") == ["5,000"]
    one(page, "#search").send_keys("no such text anywhere")
    wait_for(page, lambda: status(page) == "No alert fits: 0 of 5,000 alerts")


def find_select(page, selector):
    from selenium.webdriver.support.select import Select

    return Select(one(page, selector))


def test_the_reason_filter_lists_alerts_with_that_column_among_their_reasons(page, report):
    hostile = report.columns[3].name
    select = find_select(page, "#by-column")
    texts = [option.text for option in select.options]
    assert texts[1] == "amount (5,000)"
    select.select_by_index(2)
    n_with = sum(hostile in [reason.column for reason in alert.reasons] for alert in report.alerts)
    assert f"{n_with:,} of 5,000" in status(page)


def test_an_alert_is_opened_stepped_through_and_closed_by_keyboard_alone(page, report):
    key = keys()
    for _ in range(60):
        press(page, key.TAB)
        if focused(page) == "alert-0":
            break
    assert focused(page) == "alert-0"
    press(page, key.ARROW_DOWN)
    press(page, key.ENTER)
    detail = one(page, "#detail")
    assert detail.is_displayed()
    assert one(page, "#detail-heading").text == "Alert 2"
    assert report.alerts[1].reasons[0].sentence in detail.text
    press(page, key.ESCAPE)
    assert not detail.is_displayed()
    assert focused(page) == "alert-1"
    press(page, key.END)
    assert focused(page) == f"alert-{N_ALERTS - 1}"
    press(page, key.PAGE_UP)
    press(page, key.HOME)
    assert focused(page) == "alert-0"
    press(page, " ")
    assert one(page, "#detail-heading").text == "Alert 1"
    one(page, "#after").send_keys(key.ENTER)
    assert one(page, "#detail-heading").text == "Alert 2"
    one(page, "#close").send_keys(key.ENTER)
    assert not detail.is_displayed()


def test_the_detail_has_reasons_changes_history_and_the_whole_row(page, report):
    alert = report.alerts[1]
    all_of(page, "#rows tr")[1].click()
    text = one(page, "#detail").get_attribute("textContent")
    for reason in alert.reasons:
        assert reason.sentence in text
        assert reason.expected in text
    assert "41.2" in text
    assert "would no longer alert" in text
    assert "12 rows in these files, 9 alerts. The 9 next to its alerts are shown." in text
    assert len(all_of(page, "#detail .visits tbody tr")) == 9
    cells = [cell.get_attribute("textContent") for cell in all_of(page, "#detail .cells td")]
    assert cells[2] == alert.cells[2]
    assert f"Show all {len(alert.cells[3]):,} characters" in cells[3]
    one(page, "#detail .cells button").click()
    assert all_of(page, "#detail .cells td")[3].get_attribute("textContent").strip() == alert.cells[3].strip()


def test_hostile_cells_are_text_in_the_page(page, report):
    for place in range(8):
        page.execute_script("document.getElementById('rows').rows[arguments[0]].click()", place)
        shown = all_of(page, "#detail .cells td")[3].get_attribute("textContent")
        assert shown.startswith(visible(report.alerts[place].cells[3], lines=True)[:30])
    assert len(all_of(page, "script")) == 2
    assert all_of(page, "[onload], [onerror], #detail img") == []


def test_a_pattern_shows_its_alerts(page):
    all_of(page, "[data-pattern]")[1].click()
    assert "1,250 of 5,000" in status(page)
    assert focused(page) == "by-pattern"


def test_paper_has_the_alerts_that_are_listed_and_no_controls(page, report):
    find_select(page, "#by-pattern").select_by_value("1")
    pdf = page.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})
    assert base64.b64decode(pdf["data"]).startswith(b"%PDF")
    page.execute_script("dispatchEvent(new Event('beforeprint'))")
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    paper = one(page, "#printed")
    listed = [alert for alert in report.alerts if alert.pattern == 1][:200]
    assert len(all_of(page, "#printed article")) == 200
    assert "The first 200 of 1,250 alerts" in paper.text
    assert listed[0].reasons[0].sentence in paper.text
    controls = all_of(page, "button, input, select, nav, #list, #detail")
    assert not [control for control in controls if control.is_displayed()]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize(("scheme", "width"), [("light", 1400), ("dark", 390)])
def test_no_rule_of_accessibility_is_broken(page, scheme, width):
    axe = Path(find_spec("axe_selenium_python").submodule_search_locations[0], _AXE).read_text(encoding="utf-8")
    scheme = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    size = {"width": width, "height": 950, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd("Runtime.evaluate", {"expression": axe})
    try:
        assert violations(page) == []
        page.execute_script("document.querySelector('#rows tr').click()")
        assert violations(page) == []
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def violations(page):
    page.set_script_timeout(120)  # seconds, on a machine that has other things to do
    found = page.execute_async_script("axe.run().then(arguments[arguments.length - 1])")
    return [(rule["id"], [node["html"][:200] for node in rule["nodes"][:3]]) for rule in found["violations"]]


def test_every_control_is_reached_by_the_keyboard(page):
    all_of(page, "#rows tr")[0].click()
    wanted = page.execute_script(
        """
        const kinds = "a, button, input, select, #rows tr[tabindex='0'], .visits, .scroll";
        const controls = document.querySelectorAll(kinds);
        window.wanted = [...controls].filter((node) => !node.disabled && node.checkVisibility());
        return window.wanted.length;
        """
    )
    page.execute_script("document.getElementById('detail-heading').blur(); scrollTo(0, 0)")
    reached = set()
    for _ in range(2 * wanted):
        press_tab(page)
        reached.add(page.execute_script("return window.wanted.indexOf(document.activeElement)"))
    assert reached >= set(range(wanted))


def press_tab(page):
    for kind in ("rawKeyDown", "keyUp"):
        page.execute_cdp_cmd(
            "Input.dispatchKeyEvent", {"type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        )


@pytest.mark.slow
def test_more_alerts_than_a_call_takes_arguments_are_listed(browser, made_by_hand, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(render(made_by_hand(200_000)), encoding="utf-8")
    browser.get_log("browser")
    browser.get(path.as_uri())
    wait_for(browser, lambda: "200,000 alerts" in status(browser), 60)
    assert len(rows(browser)) == 50
    assert browser.get_log("browser") == []
