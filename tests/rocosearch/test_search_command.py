"""`rocosearch search` beyond words: conditions, examples, why, and from hits to pictures."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import datasets
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from encoders.base.errors import UserError
from eval.protocols.own_topics import read_topics
from ingest.corpus.corpus import Corpus
from ranking.calibration import CALIBRATION, NOT_ITS_OWN, Calibration
from ranking.types import Document, Hit
from rocosearch import saved_hits
from rocosearch.cli import app
from rocosearch.page.pictures import Pictures
from rocosearch.pipeline import build_corpus, build_index, load_encoder, write_app
from tests.encoder_folders import save_whole
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.read.application import read_application


class Line(NamedTuple):
    index: Path
    corpus: Path


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    root = tmp_path_factory.mktemp("search")
    save_whole(tiny_encoder(0, 24), root / "encoder")
    build_corpus("phantoms:60", root / "corpus")
    build_index(root / "corpus", root / "index", encoder=root / "encoder")
    return Line(root / "index", root / "corpus")


def run(*arguments):
    return CliRunner().invoke(app, ["search", *map(str, arguments)], env={"COLUMNS": "200"})


def told(*arguments):
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_conditions(line):
    every = told(line.index, "lesion", "-k", 60)["hits"]
    some = told(line.index, "lesion", "-k", 60, "--filter", "modality=ct,mri")["hits"]
    none = told(line.index, "lesion", "-k", 60, "--not", "modality=ct,mri")["hits"]
    assert {hit["modality"] for hit in some} == {"ct", "mri"}
    assert len(some) + len(none) == len(every)
    grouped = told(line.index, "lesion", "-k", 60, "--group", "modality")["hits"]
    assert len(grouped) == len({hit["modality"] for hit in every})


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--filter", "modality"], "FIELD=VALUE"),
        (["--not", "modality="], "FIELD=VALUE"),
        (["--filter", "modality=,"], "names no value"),
        (["--save", "x"], "--corpus"),
        (["--open"], "--corpus"),
    ],
)
def test_wrong_usage(line, arguments, sentence):
    result = run(line.index, "lesion", *arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--filter", "age>=60"], ["--group", "age"], ["--sort", "age"]]
)
def test_a_field_that_is_not_there(line, arguments):
    result = run(line.index, "lesion", *arguments)
    assert result.exit_code == 1
    assert "There is no field 'age'" in result.stderr


@pytest.mark.parametrize("arguments", [["--group", ""], ["--sort", ""], ["--sort", "-"]])
def test_a_field_without_a_name(line, arguments):
    result = run(line.index, "lesion", *arguments)
    assert result.exit_code == 1
    assert "There is no field ''" in result.stderr


@pytest.mark.parametrize("option", ["--image", "--profiles", "--synonyms"])
def test_a_pipe_is_no_file(line, tmp_path, option):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", "/dev/zero"):
        text = [] if option == "--image" else ["lesion"]
        result = run(line.index, *text, option, place)
        assert result.exit_code == 1
        assert "a pipe or a device, not a file" in result.stderr
    assert "a folder" in run(line.index, *text, option, tmp_path).stderr


def test_json_has_no_number_that_is_not_finite(line, tmp_path):
    profiles = tmp_path / "p.toml"
    profiles.write_text('[profiles.p]\nretrieve = ["text"]\nfirst_phase = "bm25(caption) / 0"\n')
    result = run(line.index, "lesion", "--profiles", profiles, "--json")

    def no_json(constant):
        raise AssertionError(constant)

    hits = json.loads(result.stdout, parse_constant=no_json)["hits"]
    assert {hit["score"] for hit in hits} == {None}


def test_damaged_curves_are_no_matter_of_a_search(line, tmp_path):
    copy = tmp_path / "index"
    shutil.copytree(line.index, copy)
    (encoder,) = (copy / "encoders").iterdir()
    (encoder / "training.csv").write_bytes(b"step,epoch,loss\n1,1,\xff\n")
    assert told(copy, "lesion", "-k", 3)["hits"] == told(line.index, "lesion", "-k", 3)["hits"]
    with pytest.raises(UserError, match=r"training\.csv is damaged"):
        _ = load_encoder(encoder).curves


def test_operators_are_read_on_request(line):
    plain = told(line.index, "lesion -ct", "--profile", "lexical", "-k", 60)["hits"]
    read = told(line.index, "lesion -ct", "--profile", "lexical", "-k", 60, "--operators")["hits"]
    assert any("ct" in hit["caption"].lower().split() for hit in plain)
    assert not any("CT" in hit["caption"].replace(".", " ").split() for hit in read)


def test_examples(line):
    first, second = (hit["id"] for hit in told(line.index, "lesion", "-k", 2)["hits"])
    found = told(line.index, "--like", first, "--unlike", second, "-k", 60)
    assert found["profile"] == "image"
    assert {first, second}.isdisjoint(hit["id"] for hit in found["hits"])
    assert len(found["hits"]) == 58
    result = run(line.index, "--like", "nobody")
    assert result.exit_code == 1
    assert "nobody" in result.stderr


def test_why(line):
    hits = told(line.index, "lesion", "-k", 60)["hits"]
    third = hits[2]
    found = told(line.index, "lesion", "--why", third["id"])
    assert (found["verdict"], found["rank"]) == ("matched", 3)
    assert found["score"] == pytest.approx(third["score"])
    other = "mri" if third["modality"] != "mri" else "ct"
    modality = f"modality={other}"
    filtered = told(line.index, "lesion", "--why", third["id"], "--filter", modality)
    assert (filtered["verdict"], filtered["by"]) == ("filtered", [modality])
    assert told(line.index, "lesion", "--why", "nobody")["verdict"] == "absent"
    lexical = ("lesion", "--profile", "lexical")
    matched = {hit["id"] for hit in told(line.index, *lexical, "-k", 60)["hits"]}
    unmatched = next(hit["id"] for hit in hits if hit["id"] not in matched)
    assert told(line.index, *lexical, "--why", unmatched)["verdict"] == "not matched"
    example = told(line.index, "lesion", "--like", third["id"], "--why", third["id"])
    assert example["verdict"] == "excluded"
    assert "at rank 3" in run(line.index, "lesion", "--why", third["id"]).stdout


def test_facets_are_counted(line):
    found = told(line.index, "lesion", "--facet", "modality", "--facet", "split")
    every = told(line.index, "lesion", "-k", 60)["hits"]
    kinds = [hit["modality"] for hit in every]
    assert found["facets"]["modality"] == {kind: kinds.count(kind) for kind in {*kinds}}
    assert sum(found["facets"]["split"].values()) == len(every)
    first = next(iter(found["facets"]["modality"].items()))
    shown = run(line.index, "lesion", "--facet", "modality").stdout
    assert f"modality: {first[0]} {first[1]}" in shown


def test_rankings_side_by_side(line):
    names = ("lexical", "vector")
    both = [part for name in names for part in ("--profile", name)]
    lists = told(line.index, "lesion", *both)["lists"]
    alone = [told(line.index, "lesion", "--profile", name) for name in names]
    assert [each["profile"] for each in lists] == list(names)
    assert [each["hits"] for each in lists] == [each["hits"] for each in alone]
    shown = run(line.index, "lesion", *both).stdout.splitlines()
    assert shown[0].split() == list(names)
    assert [word for word in shown[1].split() if word.startswith("phantom")] == [
        each["hits"][0]["id"] for each in alone
    ]
    example = alone[0]["hits"][0]["id"]
    text, image = told(line.index, "--like", example, *both)["lists"]
    assert "needs a text" in text["error"]
    assert len(image["hits"]) == 10
    neither = run(line.index, "--like", example, "--profile", "lexical", "--profile", "lexical")
    assert neither.exit_code == 1
    unknown = run(line.index, "lesion", *both, "--profile", "nosuch")
    assert (unknown.exit_code, "no profile nosuch" in unknown.stderr) == (1, True)
    refused = run(line.index, "lesion", *both, "--save", "x", "--corpus", line.corpus)
    assert refused.exit_code == 2


def test_a_word_is_completed(line):
    found = told(line.index, "ring les", "--suggest")["suggestions"]
    texts = [record.caption.lower() for record in Corpus.open(line.corpus).records()]
    assert found[0]["text"].startswith("les")
    assert found[0]["documents"] == sum(found[0]["text"] in text for text in texts)
    assert f"lesion  {found[0]['documents']}" in run(line.index, "ring les", "--suggest").stdout
    assert "No word" in run(line.index, "qqq", "--suggest").stdout


def test_judgements_are_kept_and_exported(line, tmp_path):
    corpus = tmp_path / "corpus"
    shutil.copytree(line.corpus, corpus)
    first, second = (hit["id"] for hit in told(line.index, "lesion", "-k", 2)["hits"])

    def judge(*arguments):
        return CliRunner().invoke(app, ["judge", str(corpus), *map(str, arguments)])

    nothing = judge("--export", tmp_path / "judged")
    assert nothing.exit_code == 1
    assert "Nothing is judged yet" in nothing.stderr
    assert judge("a lesion", first, second, "--grade", "2", "--who", "ann").exit_code == 0
    assert "not relevant for 'a lesion'" in judge("a lesion", second, "--grade", "0").stdout
    unknown = judge("a lesion", first, "nobody", "--grade", "0")
    assert (unknown.exit_code, "no document 'nobody'" in unknown.stderr) == (1, True)
    assert judge("", first).exit_code == 1
    assert judge("a lesion").exit_code == 2
    assert judge("a lesion", first, "--export", tmp_path / "judged").exit_code == 2
    exported = judge("--export", tmp_path / "judged")
    assert "2 judgements of 1 queries" in exported.stdout, exported.stderr
    topics = read_topics(tmp_path / "judged" / "topics.tsv")
    qrels = (tmp_path / "judged" / "qrels.txt").read_text()
    assert list(topics.values()) == ["a lesion"]
    (query,) = topics
    assert qrels.splitlines() == [f"{query}\t0\t{first}\t2", f"{query}\t0\t{second}\t0"]


def test_from_hits_to_pictures(line, tmp_path):
    out = tmp_path / "hits"
    arguments = ("ring lesion", "-k", 7, "--corpus", line.corpus, "--save", out)
    hits = told(line.index, *arguments)["hits"]
    assert all(hit["path"] for hit in hits)
    with Image.open(out / "contact.png") as sheet:
        assert sheet.width == 5 * saved_hits.CELL
        assert sheet.height == 2 * (saved_hits.CELL + saved_hits.LINE)
    with (out / "hits.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == [hit["id"] for hit in hits]
    assert float(rows[0]["bm25(caption)"]) == pytest.approx(hits[0]["features"]["bm25(caption)"])
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(out / "dataset"), split="train", cache_dir=tmp_path / "cache"
    )
    assert loaded["id"] == [hit["id"] for hit in hits]
    assert loaded[0]["image"].size
    again = run(line.index, *arguments)
    assert again.exit_code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    kept = run(line.index, *arguments[:-1], tmp_path / "mine")
    assert kept.exit_code == 1
    assert "not replaced" in kept.stderr


def test_no_cell_of_the_table_is_a_formula(line, tmp_path):
    """A caption that begins as a formula does would be run by a spreadsheet."""
    bad = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "  =1", "\r=1"]
    hits = [Hit(text, -1.5, {}, Document(text, text)) for text in bad]
    saved_hits.save_hits(hits, Pictures(Corpus.open(line.corpus)), tmp_path / "out")
    with (tmp_path / "out/hits.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["caption"] for row in rows] == [f"'{text}" for text in bad]
    assert [float(row["score"]) for row in rows] == [-1.5] * len(bad)


def test_a_heat_map(line, tmp_path):
    out = tmp_path / "map.png"
    result = run(line.index, "lesion", "--corpus", line.corpus, "--heatmap", out)
    assert result.exit_code == 0, result.stderr
    assert "no diagnosis" in result.stderr
    best = told(line.index, "lesion", "-k", 1)["hits"][0]["id"]
    original = Pictures(Corpus.open(line.corpus)).original(best)
    (tmp_path / "original").write_bytes(original)
    with Image.open(out) as drawn, Image.open(tmp_path / "original") as picture:
        assert drawn.size == picture.size
        assert drawn.mode == "RGB"


def test_pages_sorting_and_cuts(line):
    every = told(line.index, "lesion", "-k", 20)["hits"]
    second = told(line.index, "lesion", "-k", 10, "--offset", 10)["hits"]
    assert [hit["id"] for hit in second] == [hit["id"] for hit in every[10:]]
    assert run(line.index, "lesion", "-k", 1, "--offset", 4).stdout.lstrip().startswith("5 ")
    kinds = [
        h["modality"] for h in told(line.index, "lesion", "-k", 60, "--sort", "modality")["hits"]
    ]
    assert kinds == sorted(kinds)
    down = [
        h["modality"] for h in told(line.index, "lesion", "-k", 60, "--sort", "-modality")["hits"]
    ]
    assert down == sorted(kinds, reverse=True)
    least = every[4]["score"]
    cut = told(line.index, "lesion", "-k", 20, "--min-score", least)["hits"]
    assert [hit["id"] for hit in cut] == [hit["id"] for hit in every if hit["score"] >= least]
    below = told(line.index, "lesion", "--min-score", least, "--why", every[9]["id"])
    assert below["verdict"] == "cut"


@pytest.fixture(scope="module")
def studies(line) -> Line:
    root = line.index.parent
    build_corpus("cines:12", root / "cines")
    build_index(root / "cines", root / "studies", encoder=root / "encoder", studies=True)
    return Line(root / "studies", root / "cines")


def test_a_study_is_shown_by_its_best_frame(studies):
    found = told(studies.index, "a mass in the chest", "-k", "3", "--corpus", studies.corpus)
    assert found["profile"] == "study"
    for hit in found["hits"]:
        (best,) = hit["closest"].values()
        assert best == max(hit["frames"], key=hit["frames"].get)
        assert best.startswith(f"{hit['id']}#")
        assert len(hit["frames"]) == 12
        assert hit["frames"][best] == pytest.approx(hit["features"]["closeness(field,frames)"])
        assert hit["path"] == f"{best.replace('#', '-')}.png"
    shown = run(studies.index, "a mass in the chest", "-k", "1")
    number = next(iter(found["hits"][0]["closest"].values())).partition("#")[2]
    assert f"best frame {number} of {found['hits'][0]['id']}" in shown.stdout


def test_saved_hits_of_studies_have_pictures(studies, tmp_path):
    folder = tmp_path / "hits"
    shown = run(studies.index, "mass", "--corpus", studies.corpus, "--save", folder, "-k", "2")
    assert shown.exit_code == 0, shown.stderr
    assert len(list((folder / "dataset").glob("*.png"))) == 2
    lexical = Pictures(Corpus.open(studies.corpus)).get("cine-test-00000")
    assert lexical is not None


def test_synonyms_are_learned_and_widen_a_search(line, tmp_path):
    file = tmp_path / "synonyms.txt"
    file.write_text("zebra, lesion|0.5\n", "utf-8")
    assert told(line.index, "zebra", "--profile", "lexical")["hits"] == []
    widened = told(line.index, "zebra", "--profile", "lexical", "--synonyms", file)["hits"]
    direct = told(line.index, "lesion", "--profile", "lexical")["hits"]
    assert [hit["id"] for hit in widened] == [hit["id"] for hit in direct]
    assert widened[0]["score"] == pytest.approx(direct[0]["score"] / 2)
    own = tmp_path / "own.txt"
    learned = CliRunner().invoke(app, ["synonyms", str(line.corpus), str(own)])
    assert learned.exit_code == 0, learned.stderr
    assert "sized => medium|0.1" in own.read_text("utf-8")  # "a medium-sized lesion"
    assert told(line.index, "sized", "--profile", "lexical", "--synonyms", own)["hits"]
    build_corpus("phantoms:12", tmp_path / "few")
    learned = CliRunner().invoke(
        app, ["synonyms", str(tmp_path / "few"), str(tmp_path / "few.txt")]
    )
    assert learned.exit_code == 1
    assert "no concept in two ways" in learned.stderr


def test_probabilities(tmp_path):
    """Fitted by the command; shown, cut by, taken into the package, gone with a new index."""
    texts = (describe_words(number) for number in range(300))
    rows = [
        {"id": f"i{n}", "caption": text, "split": "validation" if n % 3 else "train"}
        for n, text in enumerate(texts)
    ]
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    corpus, index = tmp_path / "corpus", tmp_path / "index"
    build_corpus(tmp_path / "rows.csv", corpus, splits="source")
    build_index(corpus, index)
    before = told(index, rows[1]["caption"])["hits"]
    assert "probability" not in before[0]
    refused = run(index, "lesion", "--min-probability", "0.5")
    assert refused.exit_code == 1
    assert "rocosearch calibrate" in refused.stderr

    done = CliRunner().invoke(app, ["calibrate", str(index), "--json"])
    assert done.exit_code == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["queries"] == 200
    assert 0 < figures["cut"] < 1
    assert (
        "of the queries whose right hits"
        in CliRunner().invoke(app, ["calibrate", str(index)]).stdout
    )
    found = told(index, rows[1]["caption"])["hits"]
    chances = [hit["probability"] for hit in found]
    assert chances[0] > 0.5 > chances[-1]
    assert f"probability {chances[0]:.2f}" in run(index, rows[1]["caption"]).stdout
    cut = told(index, rows[1]["caption"], "--min-probability", "0.5")["hits"]
    assert [hit["id"] for hit in cut] == [hit["id"] for hit in found if hit["probability"] >= 0.5]
    why = told(index, rows[1]["caption"], "--why", found[-1]["id"], "--min-probability", "0.5")
    assert why["verdict"] == "cut"
    off = told(index, "a fractured unicorn with lesion, chest, horn, hoof and a rainbow")
    assert any("Nothing here looks like it" in warning for warning in off["warnings"])

    write_app(index, tmp_path / "app")
    kept = read_application(tmp_path / "app").calibration
    assert kept == Calibration.read(index / CALIBRATION)
    build_index(corpus, index)
    after = told(index, rows[1]["caption"])
    assert "probability" not in after["hits"][0]
    assert NOT_ITS_OWN in after["warnings"]
    (index / CALIBRATION).write_text("{")
    assert "rocosearch calibrate" in run(index, "lesion").stderr
    assert CliRunner().invoke(app, ["calibrate", str(index)]).exit_code == 0
    assert "probability" in told(index, rows[1]["caption"])["hits"][0]


def describe_words(number: int) -> str:
    """A caption of six words, of which no two captions share more than some."""
    drawn = np.random.default_rng(number)
    words = ("ring", "mass", "cyst", "lesion", "chest", "head", "knee", "left", "right", "upper")
    return " ".join([*drawn.choice(words, 4, replace=False), f"patient{number}", "film"])
