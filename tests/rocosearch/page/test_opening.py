"""From a command to a page that answers: quickly, and without what searching does not need."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

from rocosearch.page.build_server import open_page
from rocosearch.pipeline import open_searcher

SLOW = ("torch", "pandas", "numba", "matplotlib", "scipy", "transformers", "vespa")


def test_the_page_loads_nothing_that_takes_seconds():
    code = (
        "import sys, rocosearch.page.build_server, rocosearch.searchers\n"
        f"print([name for name in {SLOW!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_many_ask_at_once_and_each_has_its_own_answer(served):
    """Threads share one searcher: what one asks must not show in what another gets."""
    records = list(served.corpus.records())[:24]

    def ask(record):
        asked = {"text": record.caption, "profile": "lexical", "k": 3}
        answer = requests.get(f"{served.url}/search", params=asked, timeout=60)
        return [hit["id"] for hit in answer.json()["lists"][0]["hits"]]

    one_by_one = [ask(record) for record in records]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(ask, records * 3)) == one_by_one * 3


def test_an_index_without_its_corpus_completes_what_is_typed(served):
    with open_page(open_searcher(served.index), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = f"{server.url.rstrip('/')}/suggest?prefix=les"
        end = time.monotonic() + 20
        while not (found := requests.get(url, timeout=20).json()["suggestions"]):
            assert time.monotonic() < end
            time.sleep(0.05)
        server.shutdown()
        thread.join()
    assert any(each["text"].startswith("lesion") for each in found)
