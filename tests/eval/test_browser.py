"""The report in a real browser: it draws, answers to clicks, and asks for nothing."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from eval.report.report import write_report


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


def test_the_explorer_shows_a_query_with_its_lists(page):
    (topic,) = elements(page, ".topic")
    assert len(topic.find_elements(By.CSS_SELECTOR, ".list")) == 3
    pictures = topic.find_elements(By.CSS_SELECTOR, ".hit img")
    assert len(pictures) >= 10
    assert all(int(p.get_property("naturalWidth")) > 0 for p in pictures)
    assert len(elements(page, ".entry")) == 36


def test_queries_are_stepped_through_by_key_and_by_click(page):
    def shown():
        return [place for place, each in enumerate(elements(page, ".entry")) if marked(each)]

    def marked(entry):
        return entry.get_attribute("aria-current") == "true"

    keys = page.find_element(By.TAG_NAME, "body").send_keys
    assert shown() == [0]
    first = page.find_element(By.CSS_SELECTOR, ".query p").text
    keys(Keys.ARROW_RIGHT, "j")
    assert shown() == [2]
    assert page.find_element(By.CSS_SELECTOR, ".query p").text != first
    keys(Keys.ARROW_LEFT, "k", "k")
    assert shown() == [0]
    assert page.find_element(By.CSS_SELECTOR, ".query p").text == first
    page.find_element(By.ID, "next").click()
    assert shown() == [1]
    elements(page, ".entry")[4].click()
    assert shown() == [4]
    assert page.find_element(By.ID, "shown").text == "5 of 36"


def test_what_is_right_has_a_green_frame_wherever_it_stands(page, evaluation):
    Select(page.find_element(By.ID, "protocol")).select_by_visible_text("same-case")
    Select(page.find_element(By.ID, "why")).select_by_visible_text("random")
    for entry in elements(page, ".entry"):
        entry.click()
        for found in elements(page, ".list"):
            rank = found.find_element(By.CSS_SELECTOR, "h3 span").text.rpartition(" ")[2]
            right = found.find_elements(By.CSS_SELECTOR, ".hit.right .rank")
            if right:
                assert right[0].text == rank
            else:
                assert "not among" in found.text
    Select(page.find_element(By.ID, "why")).select_by_visible_text("all")


def test_the_explorer_filters(page):
    Select(page.find_element(By.ID, "protocol")).select_by_visible_text("image-to-image")
    assert "the image of" in page.find_element(By.CSS_SELECTOR, ".topic .query p").text
    Select(page.find_element(By.ID, "protocol")).select_by_visible_text("caption")
    box = page.find_element(By.ID, "words")
    box.send_keys("no such words")
    assert elements(page, ".topic") == []
    assert page.find_element(By.ID, "shown").text == "no such query"
    box.clear()
    box.send_keys(" ")
    assert elements(page, ".topic")


def test_the_metric_can_be_chosen(page, evaluation):
    Select(page.find_element(By.ID, "metric")).select_by_visible_text("R@100")
    shown = [cell for cell in elements(page, "[data-metric]") if cell.is_displayed()]
    assert {cell.get_attribute("data-metric") for cell in shown} == {"R@100"}
    value = evaluation.tasks[0].estimates["lexical"]["R@100"].value
    assert any(f"{value:.3f}" in cell.text for cell in shown)


@pytest.mark.parametrize("width", [390, 1400])
def test_no_screen_scrolls_sideways(page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
