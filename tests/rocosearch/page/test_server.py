"""The page's server, asked over HTTP as the page asks it."""

from __future__ import annotations

import io
import socket
from urllib.parse import quote, urlsplit

import pytest
import requests
from PIL import Image

from encoders.base.errors import UserError
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.types import Document
from rocosearch.page.opening import open_page
from rocosearch.page.server import MOST_BYTES
from rocosearch.pipeline import build_corpus, open_searcher


def get(served, path, **headers):
    return requests.get(served.url + path, headers=headers, timeout=180)


def hits(response, row=0):
    assert response.status_code == 200, response.text
    return response.json()["lists"][row]["hits"]


def refused(response, status=400):
    assert response.status_code == status
    return response.json()["error"]


def test_what_the_page_offers(served):
    about = get(served, "/about").json()
    assert about["documents"] == 60
    assert about["default"] == "hybrid"
    assert {"lexical", "vector", "hybrid"} <= set(about["profiles"])
    assert about["pictures"] is True
    assert "ct" in about["modalities"]


def test_the_page_finds_what_the_searcher_finds(served):
    found = hits(get(served, "/search?text=lesion+in+the+chest&k=7"))
    expected = open_searcher(served.index).search("lesion in the chest", k=7)
    assert [hit["id"] for hit in found] == list(expected.ids)
    assert found[0]["score"] == pytest.approx(expected.scores[0])
    assert set(found[0]["features"]) == {"bm25", "closeness"}


def test_words_of_the_query_are_marked_by_their_stem(served):
    caption = hits(get(served, "/search?text=LESIONS&profile=lexical"))[0]["caption"]
    assert "lesion" in [piece.lower() for piece, found in caption if found]
    record = next(iter(served.corpus.records()))
    asked = hits(get(served, f"/search?text={quote(record.caption)}&profile=lexical"))
    assert "".join(piece for piece, _ in asked[0]["caption"]) == record.caption


def test_several_rankings_at_once(served):
    response = get(served, "/search?text=lesion&profile=lexical&profile=vector&profile=hybrid&k=3")
    assert [part["profile"] for part in response.json()["lists"]] == ["lexical", "vector", "hybrid"]
    assert all(len(hits(response, row)) == 3 for row in range(3))


def test_an_image_asks(served):
    record = next(iter(served.corpus.records()))
    response = requests.post(f"{served.url}/search?k=3", data=record.image, timeout=180)
    assert hits(response)[0]["id"] == record.id
    assert response.json()["lists"][0]["profile"] == "image"


def test_a_document_asks_by_its_picture(served):
    record = next(iter(served.corpus.records()))
    found = [hit["id"] for hit in hits(get(served, f"/search?like={record.id}&k=5"))]
    assert record.id not in found
    assert len(found) == 5


def test_only_one_modality(served):
    found = hits(get(served, "/search?text=lesion&modality=ct&k=20"))
    assert {hit["modality"] for hit in found} == {"ct"}


@pytest.mark.parametrize(("size", "side"), [("small", 320), ("large", 1600), ("other", 320)])
def test_pictures(served, size, side):
    record = next(iter(served.corpus.records()))
    response = get(served, f"/picture/{quote(record.id)}?size={size}")
    assert response.headers["Content-Type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(response.content))
    assert max(picture.size) <= side
    wide, high = Image.open(io.BytesIO(record.image)).size
    assert picture.width / picture.height == pytest.approx(wide / high, abs=0.05)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/search", 400, "Type some words"),
        ("/search?text=+", 400, "Type some words"),
        ("/search?text=x&k=0", 400, "from 1 to 100"),
        ("/search?text=x&k=%C2%B2", 400, "from 1 to 100"),
        ("/search?text=x&profile=none", 400, "none"),
        ("/search?text=" + "x" * 10_001, 400, "10,001 characters"),
        ("/search?like=nobody", 400, "nobody"),
        ("/search?text=x" + "".join(f"&profile={n}" for n in "abcde"), 400, "5 profiles"),
        ("/picture/nobody", 404, "no picture"),
        ("/picture/..%2F..%2Fcorpus.json", 404, "no picture"),
        ("/elsewhere", 404, "nothing at /elsewhere"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_sentence(served, path, status, sentence):
    assert sentence in refused(get(served, path), status)


def test_an_upload_that_is_no_image(served):
    response = requests.post(f"{served.url}/search", data=b"no image", timeout=180)
    assert "no image" in refused(response)


def test_an_upload_has_a_limit(served):
    url = urlsplit(served.url)
    with socket.create_connection((url.hostname, url.port), 10) as connection:
        request = f"POST /search HTTP/1.1\r\nHost: {url.netloc}\r\n"
        connection.sendall(f"{request}Content-Length: {MOST_BYTES + 1}\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"413"


def test_a_foreign_page_is_not_answered(served):
    """By another name (DNS rebinding), or from another site."""
    port = urlsplit(served.url).port
    assert "own name" in refused(get(served, "/about", Host=f"evil.example:{port}"), 403)
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert "to itself" in refused(get(served, "/search?text=x", **foreign), 403)
    assert get(served, "/", **foreign).status_code == 200  # a link to the page is no attack


def test_every_answer_carries_the_headers(served):
    for path in ("/", "/page.js", "/about", "/elsewhere"):
        headers = get(served, path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_port_that_is_taken(served):
    with pytest.raises(UserError, match="choose another --port"):
        open_page(open_searcher(served.index), port=urlsplit(served.url).port)


def test_another_corpus_is_refused(tmp_path):
    build_corpus("phantoms:40", tmp_path / "corpus")
    searcher = Searcher(EmbeddedEngine.in_memory([Document("other", "chest")]))
    with pytest.raises(UserError, match="none of the documents"):
        open_page(searcher, tmp_path / "corpus", port=0)
