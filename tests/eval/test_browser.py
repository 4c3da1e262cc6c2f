"""The report in a real browser: it draws, answers to clicks, and asks for nothing."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from eval.report import write_report


@pytest.fixture(scope="module")
def page(browser, evaluation, tmp_path_factory):
    out = tmp_path_factory.mktemp("browser") / "report"
    write_report(evaluation, out)
    browser.get(f"file://{out / 'report.html'}")
    return browser


def elements(page, selector):
    return page.find_elements(By.CSS_SELECTOR, selector)


def test_nothing_is_loaded_and_nothing_fails(page):
    requests = [entry["message"] for entry in page.get_log("performance")]
    fetched = [m for m in requests if '"Network.requestWillBeSent"' in m and '"url":"http' in m]
    assert fetched == []
    assert page.get_log("browser") == []


def test_the_explorer_shows_queries_with_their_lists(page):
    topics = elements(page, ".topic")
    assert len(topics) == 6
    assert len(topics[0].find_elements(By.CSS_SELECTOR, ".list")) == 3
    pictures = topics[0].find_elements(By.CSS_SELECTOR, ".hit img")
    assert pictures
    assert all(int(p.get_property("naturalWidth")) > 0 for p in pictures)


def test_the_explorer_filters(page):
    Select(page.find_element(By.ID, "protocol")).select_by_visible_text("image-to-image")
    assert "the image of" in elements(page, ".topic .query p")[0].text
    Select(page.find_element(By.ID, "protocol")).select_by_visible_text("caption")
    box = page.find_element(By.ID, "words")
    box.send_keys("no such words")
    assert elements(page, ".topic") == []
    box.clear()
    box.send_keys(" ")
    assert elements(page, ".topic")


def test_the_metric_can_be_chosen(page, evaluation):
    Select(page.find_element(By.ID, "metric")).select_by_visible_text("R@100")
    shown = [cell for cell in elements(page, "[data-metric]") if cell.is_displayed()]
    assert {cell.get_attribute("data-metric") for cell in shown} == {"R@100"}
    value = evaluation.tasks[0].estimates["lexical"]["R@100"].value
    assert f"{value:.3f}" in shown[0].text


@pytest.mark.parametrize("width", [390, 1400])
def test_no_screen_scrolls_sideways(page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
