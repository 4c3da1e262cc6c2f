"""The page's server, asked over HTTP as the page asks it."""

from __future__ import annotations

import io
import threading
import time
from urllib.parse import quote, urlsplit

import pytest
import requests
from PIL import Image

from encoders.base.errors import UserError
from ingest.feed.forget import forget_in_corpus
from ranking.calibration import Calibration, Evidence
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from ranking.text.synonyms import Expansion, Synonyms
from ranking.types import Document
from rocosearch.page.answers import Asked, Desk
from rocosearch.page.build_server import open_page
from rocosearch.pipeline import build_corpus, build_index, open_searcher


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
    assert about["facets"]["modality"]["ct"] > 0
    assert about["inputs"]["hybrid"]["alpha"] == 0.5


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
    found = hits(get(served, "/search?text=lesion&filter=modality%3Dct&k=20"))
    assert {hit["modality"] for hit in found} == {"ct"}


def test_synonyms_widen_what_is_asked(served):
    searcher = Searcher(EmbeddedEngine.open(served.index))
    asked = Asked(text="zebra", profiles=("lexical",))
    assert Desk(searcher).answer(asked)["lists"][0]["total"] == 0
    searcher.synonyms = Synonyms({("zebra",): (Expansion(("lesion",), 0.5),)})
    assert Desk(searcher).answer(asked)["lists"][0]["total"] > 0


@pytest.mark.parametrize(("size", "side"), [("small", 320), ("large", 1600)])
def test_pictures(served, size, side):
    record = next(iter(served.corpus.records()))
    response = get(served, f"/images/{quote(record.id)}?size={size}")
    assert response.headers["Content-Type"] == "image/jpeg"
    picture = Image.open(io.BytesIO(response.content))
    assert max(picture.size) <= side
    wide, high = Image.open(io.BytesIO(record.image)).size
    assert picture.width / picture.height == pytest.approx(wide / high, abs=0.05)


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/search?text=x&k=0", 400, "Allowed are 1 to 100"),
        ("/search?text=x&k=%C2%B2", 400, "Allowed are 1 to 100"),
        ("/documents/nobody", 404, "no such document"),
        ("/search?text=x&profile=none", 404, "none"),
        ("/search?text=" + "x" * 10_001, 400, "10,001 characters"),
        ("/search?like=nobody", 404, "nobody"),
        ("/search?text=x" + "".join(f"&profile={n}" for n in "abcde"), 400, "5 times"),
        ("/search?text=x&k=" + "9" * 5_000, 400, "whole number"),
        ("/search?text=x&colour=red", 400, "no parameter 'colour'"),
        ("/search?text=%FF", 400, "not valid UTF-8"),
        ("/search?text=x&filter=age%3D60", 400, "no field 'age'"),
        ("/search?text=x&filter=Age", 400, "filter is 'Age': write it like modality=ct."),
        ("/search?text=x" + "&like=a" * 300, 400, "200 parameters"),
        ("/images/x?size=other", 400, "small, large"),
        ("/heatmap?id=x", 400, "text is missing"),
        ("/images/nobody", 404, "no image"),
        ("/images/..%2F..%2Fcorpus.json", 404, "no image"),
        ("/elsewhere", 404, "nothing at /elsewhere"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_sentence(served, path, status, sentence):
    assert sentence in refused(get(served, path), status)


def test_an_upload_that_is_no_image(served):
    response = requests.post(f"{served.url}/search", data=b"no image", timeout=180)
    assert "not an image" in refused(response)


def test_nothing_asked_finds_nothing_and_says_so(served):
    for path in ("/search", "/search?text=+"):
        assert get(served, path).json()["lists"][0]["warnings"] == [
            "Type some words, or give an image."
        ]


def test_a_ranking_that_cannot_answer_says_so_in_its_own_column(served):
    record = next(iter(served.corpus.records()))
    url = f"{served.url}/search?profile=lexical&profile=vector"
    lists = requests.post(url, data=record.image, timeout=180).json()["lists"]
    assert [part["profile"] for part in lists] == ["lexical", "vector"]
    assert lists[0]["hits"] == []
    assert lists[0].get("error") or lists[0]["warnings"]
    assert lists[1]["hits"][0]["id"] == record.id


def test_examples_draw_near_and_push_away(served):
    near, far = (record.id for record in list(served.corpus.records())[:2])
    plain = [hit["id"] for hit in hits(get(served, "/search?text=lesion&profile=vector&k=60"))]
    moved = hits(get(served, f"/search?text=lesion&profile=vector&k=60&like={near}&unlike={far}"))
    found = [hit["id"] for hit in moved]
    assert set(found) == set(plain) - {near, far}
    assert found != [name for name in plain if name in found]
    assert "no document" in refused(get(served, "/search?text=x&profile=vector&unlike=nobody"), 404)


def test_inputs_move_the_blend(served):
    """At alpha 0 the words alone count, and the more of it, the less they do."""
    orders = []
    for alpha in (0, 0.5, 1):
        asked = f"/search?text=lesion+in+the+chest&profile=hybrid&k=20&input=alpha%3D{alpha}"
        found = hits(get(served, asked))
        orders.append([hit["id"] for hit in found])
        if alpha == 0:
            values = [round(hit["features"]["bm25"], 6) for hit in found]
            assert values == sorted(values, reverse=True)
    assert orders[0] != orders[2]
    both = "/search?text=lesion&profile=hybrid&profile=lexical"
    assert len(get(served, f"{both}&input=alpha%3D0.5").json()["lists"]) == 2
    for asked, said in (
        ("&input=beta%3D1", "No profile asked for has the input 'beta'"),
        ("&input=alpha%3D1&input=alpha%3D0", "'alpha' is given twice"),
    ):
        assert said in refused(get(served, both + asked), 400)
    assert "'alpha'" in refused(get(served, "/search?text=x&profile=lexical&input=alpha%3D1"), 400)


def test_filters_and_groups(served):
    without = hits(get(served, "/search?text=lesion&k=60&not=modality%3Dct"))
    assert "ct" not in {hit["modality"] for hit in without}
    grouped = hits(get(served, "/search?text=lesion&k=60&group=modality"))
    modalities = [hit["modality"] for hit in grouped]
    assert len(modalities) == len(set(modalities)) > 1


def test_a_document(served):
    record = next(iter(served.corpus.records()))
    document = get(served, f"/documents/{quote(record.id)}").json()
    assert document["caption"] == record.caption
    assert document["modality"] == record.modality


def test_where_in_the_picture(served):
    record = next(iter(served.corpus.records()))
    response = get(served, f"/heatmap?id={quote(record.id)}&text=lesion")
    assert response.headers["Content-Type"] == "image/jpeg"
    assert (
        Image.open(io.BytesIO(response.content)).size == Image.open(io.BytesIO(record.image)).size
    )
    assert "no image" in refused(get(served, "/heatmap?id=nobody&text=lesion"), 404)


def test_suggestions_complete_what_is_typed(served):
    for _ in range(100):
        found = get(served, "/suggest?prefix=le").json()["suggestions"]
        if found:
            break
        time.sleep(0.1)
    assert "lesion" in [each["text"] for each in found]
    counts = [each["documents"] for each in found]
    assert counts == sorted(counts, reverse=True)
    assert get(served, "/suggest?prefix=zzzz").json()["suggestions"] == []


def test_the_map_has_every_document(served):
    told = get(served, "/map").json()
    assert {point["id"] for point in told["points"]} == set(
        served.corpus.table(["id"])["id"].to_pylist()
    )
    assert max(abs(point["x"]) for point in told["points"]) == 1.0
    assert 0 < told["shown"] <= 1


def test_metrics_count_and_tell_nothing_of_what_was_searched(served):
    get(served, "/search?text=unmistakable")
    text = get(served, "/metrics").text
    assert 'rocosearch_requests_total{operation="search",status="200"}' in text
    assert "rocosearch_documents 60.0" in text
    assert "unmistakable" not in text


def test_every_operation_is_described_and_answers(served):
    paths = get(served, "/openapi.json").json()["paths"]
    assert {"/search", "/documents/{id}", "/images/{id}", "/heatmap", "/suggest"} <= set(paths)
    assert {"/judgements", "/healthz", "/metrics"} <= set(paths)
    assert get(served, "/healthz").json() == {"status": "ok"}


def test_methods_that_are_not_taken(served):
    response = requests.delete(f"{served.url}/search", headers={"Content-Length": "0"}, timeout=60)
    assert "DELETE is not supported" in refused(response, 405)
    assert "GET" in response.headers["Allow"]


def test_a_port_that_is_taken(served):
    with pytest.raises(UserError, match="choose another --port"):
        open_page(open_searcher(served.index), port=urlsplit(served.url).port)


def test_another_corpus_is_refused(tmp_path):
    build_corpus("phantoms:40", tmp_path / "corpus")
    searcher = Searcher(EmbeddedEngine.in_memory([Document("other", "chest")]))
    with pytest.raises(UserError, match="none of the searched documents"):
        open_page(searcher, tmp_path / "corpus", port=0)


def test_pages_sorting_cuts_and_facets(served):
    every = [hit["id"] for hit in hits(get(served, "/search?text=lesion&k=20"))]
    assert [h["id"] for h in hits(get(served, "/search?text=lesion&k=10&offset=10"))] == every[10:]
    kinds = [h["modality"] for h in hits(get(served, "/search?text=lesion&k=60&sort=-modality"))]
    assert kinds == sorted(kinds, reverse=True)
    assert hits(get(served, "/search?text=lesion&min_score=1000")) == []
    asked = "/search?text=lesion&profile=lexical&k=1&facet=modality"
    counts = get(served, asked).json()["lists"][0]["facets"]["modality"]
    total = hits(get(served, "/search?text=lesion&profile=lexical&k=100"))
    assert sum(counts.values()) == len(total)
    assert list(counts.values()) == sorted(counts.values(), reverse=True)


def test_a_rank_is_explained(served):
    every = hits(get(served, "/search?text=lesion&k=5"))
    third = every[2]
    both = get(served, f"/search?text=lesion&k=1&profile=hybrid&profile=lexical&why={third['id']}")
    told = both.json()["lists"][0]["why"]
    assert (told["verdict"], told["rank"]) == ("matched", 3)
    assert told["told"] == f"{third['id']}: It is at rank 3."
    assert told["score"] == pytest.approx(third["score"])
    assert both.json()["lists"][1]["why"]["id"] == third["id"]
    other = "mri" if third["modality"] != "mri" else "ct"
    asked = f"/search?text=lesion&filter=modality={other}&why={third['id']}"
    filtered = get(served, asked).json()["lists"][0]["why"]
    assert (filtered["verdict"], filtered["by"]) == ("filtered", [f"modality={other}"])
    absent = get(served, "/search?text=lesion&why=nobody").json()["lists"][0]["why"]
    assert absent["told"] == "nobody: It is not in the index."
    assert "why" not in get(served, "/search?text=lesion").json()["lists"][0]


def test_hits_show_how_probably_they_are_right(tmp_path):
    documents = [Document("a", "ring lesion of the chest"), Document("b", "ring of the knee")]
    searcher = Searcher(EmbeddedEngine.in_memory(documents))
    searcher.calibration = Calibration("", (Evidence(-1.0, {"bm25(caption)": 2.0}),), cut=0.99)
    desk = Desk(searcher)
    (found,) = desk.answer(Asked(text="ring lesion"))["lists"]
    first, second = (hit["probability"] for hit in found["hits"])
    assert 1 > first > second > 0
    assert any("Nothing here looks like it" in warning for warning in found["warnings"])
    (cut,) = desk.answer(Asked(text="ring lesion", min_probability=first))["lists"]
    assert [hit["id"] for hit in cut["hits"]] == ["a"]


def test_a_minimum_probability_is_read_from_the_address(served):
    told = refused(get(served, "/search?text=lesion&min_probability=0.5"), 404)
    assert "rocosearch calibrate" in told
    refused(get(served, "/search?text=lesion&min_probability=2"))


def _told(url: str, prefix: str) -> dict[str, int]:
    """Suggestions, once the words are counted."""
    for _ in range(200):
        found = requests.get(f"{url}/suggest?prefix={prefix}", timeout=60).json()["suggestions"]
        if found:
            break
        time.sleep(0.05)
    return {each["text"]: each["documents"] for each in found}


def test_what_is_forgotten_is_shown_no_more(tmp_path):
    corpus = build_corpus("phantoms:60", tmp_path / "corpus")
    engine = build_index(tmp_path / "corpus", tmp_path / "index")
    gone, *others = [record for record in corpus.records() if "lesion" in record.caption.lower()]
    with open_page(open_searcher(tmp_path / "index"), tmp_path / "corpus", port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        url = server.url.rstrip("/")

        def image(identifier: str) -> int:
            return requests.get(f"{url}/images/{identifier}", timeout=60).status_code

        assert (image(gone.id), image(others[-1].id)) == (200, 200)
        assert _told(url, "lesi")["lesion"] == len(others) + 1
        forget_in_corpus(corpus, "nobody", [gone.id], [])
        engine.remove([gone.id])
        assert (image(gone.id), image(others[-1].id)) == (404, 200)
        assert _told(url, "lesi")["lesion"] == len(others)
        server.shutdown()
        thread.join()


def test_parts_of_the_score_that_share_a_name_are_all_shown():
    documents = [Document("a", "Effusion. No lesion."), Document("b", "No effusion.")]
    desk = Desk(Searcher(EmbeddedEngine.in_memory(documents)))
    (found,) = desk.answer(Asked(text="effusion", profiles=("lexical_affirmed",)))["lists"]
    (hit,) = found["hits"]
    assert hit["features"].keys() == {"bm25", "bm25(negated)"}
    assert hit["features"]["bm25"] == hit["score"] > hit["features"]["bm25(negated)"] == 0
    assert "lexical_affirmed" in desk.about()["profiles"]
    assert "vector" not in desk.about()["profiles"]


def test_operators_are_read_on_request(served):
    asked = "/search?text=lesion+-%22plain+film%22&profile=lexical&k=60"
    plain = hits(get(served, asked))
    read = hits(get(served, f"{asked}&operators=true"))
    said = ["".join(piece for piece, _ in hit["caption"]).lower() for hit in read]
    assert said
    assert all("lesion" in text and "plain film" not in text for text in said)
    assert len(read) < len(plain)
