"""The page in a real browser."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from ingest.corpus.corpus import Record, write_corpus
from ranking.calibration import Calibration, Evidence
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.types import Attribute, Document
from rocosearch.page.build_server import open_page
from rocosearch.page.judgements import Judgements, beside
from rocosearch.pipeline import build_corpus, build_index, open_searcher
from tests.encoder_folders import save_whole
from tests.ingest.conftest import Rows
from tests.vespa_app.conftest import tiny_encoder


@pytest.fixture
def page(browser, served):
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(served.url)
    waited(browser, lambda: browser.find_element(By.ID, "about").text)
    return browser


def waited(page, condition):
    """Until the condition holds, while the page redraws itself."""
    meanwhile = [StaleElementReferenceException, IndexError]
    return WebDriverWait(page, 60, ignored_exceptions=meanwhile).until(lambda _: condition())


def found(page, selector):
    return page.find_elements(By.CSS_SELECTOR, selector)


def ask(page, text):
    box = page.find_element(By.ID, "text")
    box.clear()
    box.send_keys(text + Keys.ENTER)
    waited(page, lambda: found(page, ".hit"))


def shown_ids(page):
    return [hit.get_attribute("data-id") for hit in found(page, ".hit")]


def test_a_search_shows_pictures_and_marks_words(page):
    ask(page, "lesion in the chest")
    assert len(found(page, ".hit")) == 12
    picture = found(page, ".hit img")[0]
    assert waited(page, lambda: int(picture.get_property("naturalWidth")) > 0)
    assert found(page, ".hit mark")
    assert page.get_log("browser") == []


def test_rankings_side_by_side_show_where_a_hit_stands(page):
    ask(page, "large ring lesion")
    Select(page.find_element(By.ID, "profile")).select_by_value("compare")
    waited(page, lambda: len(found(page, ".list")) == 3)
    titles = [title.text.split()[0] for title in found(page, ".list h2")]
    assert titles == ["lexical", "vector", "hybrid"]


def test_a_hit_opens_and_finds_more_like_it(page):
    ask(page, "lesion")
    first = found(page, ".hit")[0].get_attribute("data-id")
    found(page, ".hit")[0].click()
    assert first in page.find_element(By.ID, "shown-id").text
    page.find_element(By.TAG_NAME, "body").send_keys(Keys.ARROW_RIGHT)
    second = found(page, ".hit")[1].get_attribute("data-id")
    assert second in page.find_element(By.ID, "shown-id").text
    page.find_element(By.ID, "like").click()
    waited(page, lambda: found(page, "#examples img"))
    waited(page, lambda: second not in shown_ids(page))
    found(page, ".hit")[0].click()
    page.find_element(By.ID, "unlike").click()
    waited(page, lambda: len(found(page, "#examples img")) == 2)
    assert "unlike=" in page.current_url
    page.back()
    page.back()
    waited(page, lambda: found(page, ".hit")[0].get_attribute("data-id") == first)


def test_the_start_page_has_queries_pictures_and_a_map(page):
    assert len(found(page, "#samples img")) == 20
    waited(page, lambda: page.find_element(By.ID, "map").is_displayed())
    found(page, ".try")[0].click()
    waited(page, lambda: found(page, ".hit"))
    page.back()
    found(page, ".sample")[0].click()
    waited(page, lambda: found(page, ".list h2") and "image" in found(page, ".list h2")[0].text)


def test_the_blend_moves_the_results(page):
    ask(page, "lesion in the chest")
    before = shown_ids(page)
    slider = page.find_element(By.ID, "blend")
    move = "arguments[0].value = 1; arguments[0].dispatchEvent(new Event('input'));"
    page.execute_script(move, slider)
    waited(page, lambda: shown_ids(page) and shown_ids(page) != before)


def counted(page):
    boxes = found(page, "#facets input[type=checkbox]")
    spans = [box.find_element(By.XPATH, "../span") for box in boxes]
    pairs = zip(boxes, spans, strict=True)
    return {b.get_attribute("value"): int(s.get_property("textContent")) for b, s in pairs}


def test_filters_have_counts(page):
    ask(page, "lesion")
    page.find_element(By.CSS_SELECTOR, "#filters summary").click()
    box = page.find_element(By.CSS_SELECTOR, "#facets input[value='modality=mri']")
    assert "mri" in box.find_element(By.XPATH, "..").text
    before = counted(page)
    box.click()
    waited(page, lambda: "filter=modality" in page.current_url)
    waited(page, lambda: all("mri" in each.text for each in found(page, ".rank")))
    assert counted(page)["modality=ct"] == 0 < before["modality=ct"]


def test_a_value_is_excluded_by_key(page):
    ask(page, "lesion")
    page.find_element(By.CSS_SELECTOR, "#filters summary").send_keys(Keys.ENTER)
    box = page.find_element(By.CSS_SELECTOR, "#facets input[value='modality=mri']")
    not_mri = page.find_element(By.CSS_SELECTOR, "button[aria-label='Exclude modality mri']")
    box.send_keys(Keys.SPACE + Keys.TAB)
    assert page.switch_to.active_element == not_mri
    waited(page, lambda: "filter=modality" in page.current_url)
    not_mri.send_keys(Keys.SPACE)
    waited(page, lambda: "#text=lesion&not=modality%3Dmri&" in page.current_url)
    assert not_mri.get_attribute("aria-pressed") == "true"
    assert not box.is_selected()
    waited(page, lambda: "mri" not in [each.text.split(" · ")[-1] for each in found(page, ".rank")])
    page.refresh()
    waited(page, lambda: found(page, ".hit"))
    assert "mri" not in [each.text.split(" · ")[-1] for each in found(page, ".rank")]
    pressed = found(page, "#facets [aria-pressed=true]")
    assert [each.get_attribute("title") for each in pressed] == ["Exclude modality mri"]
    page.find_element(By.CSS_SELECTOR, "#filters summary").click()
    pressed[0].send_keys(Keys.SPACE)
    waited(page, lambda: "not=" not in page.current_url)


def test_hits_are_turned_page_by_page(page):
    ask(page, "lesion")
    first = shown_ids(page)
    page.find_element(By.ID, "next").click()
    waited(page, lambda: shown_ids(page) and not set(shown_ids(page)) & set(first))
    assert found(page, ".rank")[0].text.startswith("13 ")
    assert "offset=12" in page.current_url
    page.refresh()
    waited(page, lambda: found(page, ".rank") and found(page, ".rank")[0].text.startswith("13 "))
    page.find_element(By.ID, "previous").click()
    waited(page, lambda: shown_ids(page) == first)
    assert not page.find_element(By.ID, "previous").is_enabled()


def test_a_hit_is_judged_by_key_and_the_verdict_stays(page, served):
    ask(page, "ring lesion")
    found(page, ".hit")[0].click()
    page.find_element(By.ID, "who").send_keys("ann")
    page.execute_script("document.activeElement.blur()")
    body = page.find_element(By.TAG_NAME, "body")
    body.send_keys("r")
    waited(page, lambda: page.find_element(By.ID, "shown-said").text == "Kept.")
    assert page.find_element(By.ID, "relevant").get_attribute("aria-pressed") == "true"
    page.refresh()
    waited(page, lambda: found(page, ".verdict[aria-label='judged relevant']"))
    assert "ann" in {each.who for each in Judgements(beside(served.corpus.path)).last()}


def test_where_in_the_picture_is_shown(page):
    ask(page, "ring lesion")
    found(page, ".hit")[0].click()
    page.find_element(By.TAG_NAME, "body").send_keys("h")
    picture = page.find_element(By.ID, "shown-picture")
    assert "/heatmap?" in picture.get_attribute("src")
    waited(page, lambda: int(picture.get_property("naturalWidth")) > 0)


def test_what_is_typed_is_completed(page):
    page.find_element(By.ID, "text").send_keys("large le")
    waited(page, lambda: found(page, "#suggestions option"))
    values = [each.get_attribute("value") for each in found(page, "#suggestions option")]
    assert "large lesion" in values


def test_the_token_is_asked_for_once(browser, served):
    named = {"names": ("search.example",), "token": "a-token-of-some-length", "port": 0}
    with open_page(open_searcher(served.index), served.corpus.path, **named) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        browser.get(server.url)
        waited(browser, lambda: browser.find_element(By.ID, "token").is_displayed())
        for token, works in (("wrong", False), ("a-token-of-some-length", True)):
            field = browser.find_element(By.ID, "token")
            field.clear()
            field.send_keys(token + Keys.ENTER)
            if not works:
                waited(browser, lambda: browser.find_element(By.ID, "refused").text)
        waited(browser, lambda: "60 images" in browser.find_element(By.ID, "about").text)
        browser.refresh()
        waited(browser, lambda: "60 images" in browser.find_element(By.ID, "about").text)
        browser.get("about:blank")
        server.shutdown()
        thread.join(10)


def test_an_image_file_asks(page, served, tmp_path):
    record = next(iter(served.corpus.records()))
    path = tmp_path / "query.png"
    path.write_bytes(record.image)
    page.find_element(By.ID, "file").send_keys(str(path))
    waited(page, lambda: found(page, ".hit"))
    assert found(page, ".hit")[0].get_attribute("data-id") == record.id
    assert page.find_element(By.CSS_SELECTOR, "#examples img").is_displayed()


def test_a_fault_is_a_sentence(page):
    box = page.find_element(By.ID, "text")
    page.execute_script("arguments[0].value = 'x'.repeat(10001)", box)
    box.send_keys(Keys.ENTER)
    waited(page, lambda: "at most 10,000" in page.find_element(By.ID, "said").text)


def test_nothing_typed_becomes_part_of_the_page(page):
    ask(page, "<img src=x onerror=alert(1)> lesion")
    assert found(page, "img[src=x]") == []


@pytest.mark.parametrize("width", [390, 1400])
def test_no_screen_scrolls_sideways(page, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    ask(page, "lesion")
    assert page.execute_script("return document.documentElement.scrollWidth") <= width
    page.find_element(By.CSS_SELECTOR, "#filters summary").click()
    apart = """
    const box = (each) => each.getBoundingClientRect();
    const boxes = [...document.querySelectorAll("#facets > *")].map(box);
    const inside = (a) => a.left >= 0 && a.right <= innerWidth;
    const clear = (a, b) => a.bottom <= b.top || a.right <= b.left || b.right <= a.left;
    const line = box(document.querySelector("#facets .line input"));
    return boxes.every(inside) && inside(line) && boxes.slice(1).every((b) => clear(line, b));
    """
    assert page.execute_script(apart)
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@contextmanager
def opened(browser, searcher, corpus=None):
    """The page over another searcher."""
    with open_page(searcher, corpus, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        browser.get(server.url)
        waited(browser, lambda: browser.find_element(By.ID, "about").text)
        yield browser
        browser.get("about:blank")
        server.shutdown()
        thread.join()


def test_conditions_on_fields_of_ones_own(browser):
    ages = {"a": {"age": 71}, "b": {"age": 34}, "c": {}}
    documents = [Document(n, f"pneumothorax {n}", attributes=own) for n, own in ages.items()]
    documents.append(Document("d", "no pneumothorax", attributes={"age": 66}))
    engine = EmbeddedEngine.in_memory(documents, attributes=[Attribute("age", "int")])
    with opened(browser, Searcher(engine)) as page:
        ask(page, "pneumothorax")
        assert len(shown_ids(page)) == 4
        page.find_element(By.CSS_SELECTOR, "#filters summary").click()
        line = page.find_element(By.CSS_SELECTOR, "#facets input")
        assert "age" in line.get_attribute("title")
        line.send_keys("age>60" + Keys.ENTER)
        waited(page, lambda: set(shown_ids(page)) == {"a", "d"})
        # What only excludes it goes by the ranking, which an index without vectors offers too.
        Select(page.find_element(By.ID, "profile")).select_by_visible_text("lexical_affirmed")
        waited(page, lambda: shown_ids(page) == ["a"])
        page.refresh()
        waited(page, lambda: shown_ids(page) == ["a"])
        line = page.find_element(By.CSS_SELECTOR, "#facets input")
        assert line.get_attribute("value") == "age>60"
        page.execute_script("arguments[0].value = ''", line)
        page.find_element(By.CSS_SELECTOR, "#filters summary").click()
        line.send_keys("agee>60" + Keys.ENTER)
        waited(page, lambda: "no field 'agee'" in page.find_element(By.ID, "said").text)


OWN = {
    "a": {"age": 71, "seen": "2019-03-02", "site": "<b>North</b>", "note": "x" * 500},
    "b": {"age": 34, "seen": "2021-05-06", "site": "South"},
    "c": {},
}
KINDS = {"age": "int", "seen": "date", "site": "keyword", "note": "text"}


@pytest.fixture
def owned(browser):
    """A page over documents with fields of one's own."""
    documents = [
        Document(n, f"pneumothorax {n}", group_id="" if n == "c" else "case", attributes=own)
        for n, own in OWN.items()
    ]
    attributes = [Attribute(name, kind) for name, kind in KINDS.items()]
    engine = EmbeddedEngine.in_memory(documents, attributes=attributes)
    browser.get_log("browser")  # what earlier pages left there
    with opened(browser, Searcher(engine)) as page:
        yield page


def test_a_hit_shows_its_own_fields(owned):
    ask(owned, "pneumothorax")
    cards = {card.get_attribute("data-id"): card for card in found(owned, ".hit")}
    told = {name: card.find_element(By.CLASS_NAME, "fields") for name, card in cards.items()}
    assert told["c"].text == ""
    assert told["b"].text.split() == ["age", "34", "seen", "2021-05-06", "site", "South"]
    assert "<b>North</b>" in told["a"].text
    assert told["a"].size["height"] <= 3 * told["b"].size["height"]
    assert told["a"].size["width"] <= cards["a"].size["width"]
    cards["a"].click()
    rows = [row.text for row in found(owned, "#shown-parts tr")]
    assert rows[:3] == ["age 71", "seen 2019-03-02", "site <b>North</b>"]
    assert found(owned, ".fields b, #shown-parts b") == []
    assert owned.get_log("browser") == []


def test_hits_are_sorted_by_own_fields(owned):
    ask(owned, "pneumothorax")
    ways = Select(owned.find_element(By.ID, "sort"))
    fields = [name for name, kind in KINDS.items() if kind != "text"]
    assert {each.get_attribute("value") for each in ways.options} == {
        "",
        *fields,
        *(f"-{name}" for name in fields),
    }
    for way, order in (("age", "bac"), ("-age", "abc"), ("seen", "abc"), ("-seen", "bac")):
        ways.select_by_value(way)
        waited(owned, lambda order=order: shown_ids(owned) == list(order))
    owned.refresh()
    waited(owned, lambda: shown_ids(owned) == ["b", "a", "c"])
    assert (
        Select(owned.find_element(By.ID, "sort")).first_selected_option.text == "seen, descending"
    )
    owned.back()
    waited(owned, lambda: shown_ids(owned) == ["a", "b", "c"])


def limit(page, name, value):
    """Give one of the filter panel's limits."""
    if not page.find_element(By.ID, "facets").is_displayed():
        page.find_element(By.CSS_SELECTOR, "#filters summary").click()
    control = page.find_element(By.ID, name)
    if control.tag_name == "select":
        Select(control).select_by_value(value)
    else:
        control.clear()
        control.send_keys(value + Keys.TAB)


def test_alike_hits_are_grouped(owned):
    ask(owned, "pneumothorax")
    limit(owned, "group", "site")
    assert owned.find_element(By.ID, "filtered").text == "(1)"
    assert "group=site" in owned.current_url
    waited(owned, lambda: len(shown_ids(owned)) == 3)  # North, South, none
    limit(owned, "group", "group_id")
    waited(owned, lambda: len(shown_ids(owned)) == 2)  # one of the case, and the one of none
    owned.refresh()
    waited(owned, lambda: len(shown_ids(owned)) == 2)
    limit(owned, "group", "")
    waited(owned, lambda: len(shown_ids(owned)) == 3)
    assert "group=" not in owned.current_url


def test_a_rank_is_explained(owned):
    ask(owned, "pneumothorax")
    last = shown_ids(owned)[-1]
    limit(owned, "why", last)
    waited(owned, lambda: found(owned, ".why"))
    assert found(owned, ".why")[0].text == f"{last}: It is at rank 3."
    limit(owned, "why", "nobody")
    waited(owned, lambda: "not in the index" in found(owned, ".why")[0].text)
    limit(owned, "why", "")
    waited(owned, lambda: not found(owned, ".why"))


def shown_numbers(page, bar):
    """What the hits' bars of this name say, best first."""
    cells = found(page, f".bars .{bar} + .number")
    return sorted((float(cell.get_property("textContent")) for cell in cells), reverse=True)


def cut_between(page, name, bar):
    """Ask for more than the fifth of the hits has, and see that no more is shown."""
    bars = shown_numbers(page, bar)
    cut = f"{(bars[3] + bars[4]) / 2:.3f}"
    limit(page, name, cut)
    waited(page, lambda: 0 < len(shown_ids(page)) < 12)
    assert min(shown_numbers(page, bar)) >= float(cut) - 0.001
    return cut


def test_hits_may_be_cut_by_score_and_closeness(page):
    Select(page.find_element(By.ID, "profile")).select_by_value("vector")
    ask(page, "lesion in the chest")
    cut = cut_between(page, "min_closeness", "picture")
    assert f"min_closeness={cut}" in page.current_url
    limit(page, "min_score", "1000")
    waited(page, lambda: not found(page, ".hit"))
    page.refresh()
    waited(page, lambda: "No hit." in page.find_element(By.ID, "lists").text)
    limit(page, "min_score", "")
    limit(page, "min_closeness", "")
    waited(page, lambda: len(shown_ids(page)) == 12)
    assert found(page, "#min_probability") == []  # nothing is calibrated here


def test_hits_may_be_cut_by_probability(browser, served):
    searcher = open_searcher(served.index)
    evidence = Evidence(-3.0, {"bm25(caption)": 2.0})
    fingerprint, index = searcher.encoder.manifest.fingerprint, searcher.engine.index_id
    searcher.calibration = Calibration(fingerprint, (evidence,), index=index)
    with opened(browser, searcher) as page:
        ask(page, "lesion in the chest")
        cut = cut_between(page, "min_probability", "probability")
        page.refresh()
        waited(page, lambda: found(page, ".hit"))
        assert page.find_element(By.ID, "min_probability").get_attribute("value") == cut


def test_fields_of_ones_own_have_boxes(browser, tmp_path):
    """Keywords and bools, counted; a keyword that is another for each document has none."""
    own = [Attribute("site", "keyword", "site"), Attribute("portable", "bool", "portable")]
    own += [Attribute("accession", "keyword", "accession"), Attribute("age", "int", "age")]
    rows = [
        Record(
            f"r{n:02}",
            "a lesion in the chest",
            modality="ct" if n % 2 else "mr",
            source=f"set {n % 3}",
            split=("train", "test")[n % 2],
            extra={"site": "NS"[n % 2], "accession": f"A{n}", "age": n}
            | ({"portable": n % 4 == 0} if n % 3 else {}),
        )
        for n in range(60)
    ]
    write_corpus(Rows(rows), tmp_path / "corpus", attributes=own)
    build_index(tmp_path / "corpus", tmp_path / "index")
    with opened(browser, open_searcher(tmp_path / "index"), tmp_path / "corpus") as page:
        ask(page, "lesion")
        legends = [each.get_property("textContent") for each in found(page, "#facets legend")]
        assert set(legends) == {"modality", "source", "split", "site", "portable"}
        portable = sum(row.extra.get("portable", False) for row in rows)
        counts = counted(page)
        assert (counts["site=N"], counts["site=S"]) == (30, 30)
        assert (counts["portable=true"], counts["portable=false"]) == (portable, 60 - portable)
        page.find_element(By.CSS_SELECTOR, "#filters summary").click()
        page.find_element(By.CSS_SELECTOR, "#facets input[value='portable=true']").click()
        waited(page, lambda: f"of {portable} matches" in found(page, ".list h2")[0].text)
        assert "filter=portable%3Dtrue" in page.current_url


def test_conditions_are_negated(owned):
    ask(owned, "pneumothorax")
    owned.find_element(By.CSS_SELECTOR, "#filters summary").click()
    line = owned.find_element(By.CSS_SELECTOR, "#facets input")
    line.send_keys("not age>60; not site=South" + Keys.ENTER)
    waited(owned, lambda: shown_ids(owned) == ["c"])
    owned.refresh()
    waited(owned, lambda: shown_ids(owned) == ["c"])
    line = owned.find_element(By.CSS_SELECTOR, "#facets input")
    assert line.get_attribute("value") == "not age>60; not site=South"


def test_a_study_shows_its_frames_and_opens_the_nearest(browser, tmp_path):
    save_whole(tiny_encoder(0, 24), tmp_path / "encoder")
    build_corpus("cines:6", tmp_path / "corpus")
    index = tmp_path / "index"
    build_index(tmp_path / "corpus", index, encoder=tmp_path / "encoder", studies=True)
    with opened(browser, open_searcher(index), tmp_path / "corpus") as page:
        ask(page, "ring lesion in the chest")
        strip = found(page, ".hit .frames")[0]
        pictures = strip.find_elements(By.TAG_NAME, "img")
        assert len(pictures) == 12
        best = strip.find_element(By.CLASS_NAME, "best")
        numbers = [float(each.text or 0) for each in strip.find_elements(By.TAG_NAME, "span")]
        assert float(best.text) == max(numbers)
        inside = """
        const [strip, best] = [...arguments].map((each) => each.getBoundingClientRect());
        return strip.left <= best.left && best.right <= strip.right;
        """
        waited(page, lambda: page.execute_script(inside, strip, best))
        frame = best.get_attribute("title")
        found(page, ".hit")[0].click()
        shown = page.find_element(By.ID, "shown-picture")
        waited(page, lambda: int(shown.get_property("naturalWidth")) > 0)
        assert quote(frame, safe="") in shown.get_attribute("src")


class Elsewhere(BaseHTTPRequestHandler):
    """A page of another site, which tries to read from the search page."""

    def do_GET(self):
        body = b"<!doctype html><title>elsewhere</title><p>Another site."
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def elsewhere(browser):
    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.get(f"http://127.0.0.1:{server.server_port}/")
        yield browser
        browser.get("about:blank")
        server.shutdown()


TRY = """
const [url, how, done] = arguments;
fetch(url, how).then((r) => r.text()).then((text) => done(`read: ${text}`), () => done("nothing"));
"""
SMUGGLED = "GET /search?text=lesion HTTP/1.1\r\nHost: {host}\r\n\r\n"


def test_another_site_reads_nothing(elsewhere, served):
    """By fetch in each mode, and by a body that is left unread and looks like a request."""
    host = served.url.partition("//")[2]
    body = SMUGGLED.format(host=host) * 3
    attempts = [
        ("/search?text=lesion", {}),
        ("/search?text=lesion", {"mode": "no-cors"}),
        ("/search", {"method": "POST", "body": body, "mode": "no-cors"}),
        ("/judgements", {"method": "POST", "body": body, "mode": "no-cors"}),
        ("/nowhere", {"method": "POST", "body": body}),
    ]
    for path, how in attempts * 2:
        told = elsewhere.execute_async_script(TRY, served.url + path, how)
        assert told in {"nothing", "read: "}, told  # "": an opaque answer, without content


def test_another_site_shows_no_picture_and_frames_nothing(elsewhere, served):
    record = next(iter(served.corpus.records()))
    shown = """
    const [url, done] = arguments, picture = new Image();
    picture.onload = () => done(picture.naturalWidth);
    picture.onerror = () => done(0);
    picture.src = url;
    """
    assert elsewhere.execute_async_script(shown, f"{served.url}/images/{record.id}") == 0
    script = """
    const [url, done] = arguments, script = document.createElement("script");
    script.onload = () => done("loaded");
    script.onerror = () => done("refused");
    script.src = url;
    document.body.append(script);
    """
    assert elsewhere.execute_async_script(script, f"{served.url}/about") == "refused"
