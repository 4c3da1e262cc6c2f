"""Draw docs/images/page.png: the search page on the demo's phantoms, three rankings of one query.

make demo && .venv/bin/python benchmarks/pictures.py    (needs Chromium and chromedriver)
"""

from __future__ import annotations

import argparse
import shutil
import threading
from pathlib import Path
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from rocosearch.demo import QUERY
from rocosearch.page.build_server import open_page
from rocosearch.pipeline import open_searcher

WINDOW = "1360,860"
EVERY_PICTURE_IS_THERE = (
    "const all = [...document.querySelectorAll('.hit img')];"
    "return all.length > 0 && all.every((each) => each.complete);"
)


def draw(demo: Path, out: Path) -> None:
    """Take the picture as a browser shows the page."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    options.add_argument(f"--window-size={WINDOW}")
    asked = urlencode({"text": QUERY, "ranking": "compare", "k": 6})
    with open_page(open_searcher(demo / "index"), demo / "corpus", port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        browser.get(f"{server.url}#{asked}")
        WebDriverWait(browser, 30).until(lambda page: page.find_elements(By.CSS_SELECTOR, ".hit"))
        WebDriverWait(browser, 30).until(lambda page: page.execute_script(EVERY_PICTURE_IS_THERE))
        browser.save_screenshot(str(out))
        browser.quit()
        server.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("build/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/page.png"))
    options = parser.parse_args()
    draw(options.demo, options.out)
