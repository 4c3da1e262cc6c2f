"""The whole line through the command line, on few phantoms and a moment of training."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from rocosearch.cli import app

RECORDS = 240


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})


def ok(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refused(*arguments: object) -> str:
    """The one sentence with which the command fails."""
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    lines = result.stderr.strip().splitlines()
    assert "Unexpected" not in lines[-1], result.stderr
    return lines[-1]


class Line(NamedTuple):
    corpus: Path
    encoder: Path
    index: Path
    report: Path
    app: Path


@pytest.fixture(scope="module")
def line(tmp_path_factory) -> Line:
    folder = tmp_path_factory.mktemp("line")
    made = Line(*(folder / name for name in Line._fields))
    ok("corpus", f"phantoms:{RECORDS}", made.corpus)
    ok("train", made.corpus, made.encoder, "--preset", "tiny", "--epochs", 1)
    ok("index", made.corpus, made.index, "--encoder", made.encoder)
    return made


@pytest.fixture(scope="module")
def again(line, tmp_path_factory):
    """The folder of an encoder that was trained once more, and what the command told."""
    folder = tmp_path_factory.mktemp("again") / "e"
    told = ok("train", line.corpus, folder, "--preset", "tiny", "--epochs", 1, "--json")
    return folder, json.loads(told)


@pytest.fixture(scope="module")
def other(line, tmp_path_factory) -> Path:
    """Another encoder of the same shape."""
    folder = tmp_path_factory.mktemp("other") / "e"
    ok("train", line.corpus, folder, "--preset", "tiny", "--epochs", 1, "--seed", 7)
    return folder


def test_corpus_tells_what_it_holds(tmp_path):
    told = json.loads(ok("corpus", "phantoms:210", tmp_path / "c", "--json"))
    assert (told["records"], told["images"], told["rejected"]) == (210, 210, {})
    assert sum(told["splits"].values()) == 210


def test_training_tells_its_figures_and_chance(line, again):
    folder, told = again
    assert told["pairs"] == Corpus.open(line.corpus).manifest.splits["train"]
    curve = list(csv.DictReader((folder / "training.csv").read_text().splitlines()))
    best = max(float(row["validation_mrr10"]) for row in curve if row["validation_mrr10"])
    assert told["mrr10"] == pytest.approx(best, abs=1e-4)
    assert 0 < told["chance_mrr10"] < 1


def test_a_finished_encoder_is_not_written_over(line):
    before = (line.encoder / "encoder.json").read_text()
    told = refused("train", line.corpus, line.encoder, "--preset", "tiny", "--epochs", 1)
    assert "--replace" in told
    assert (line.encoder / "encoder.json").read_text() == before


def test_the_same_seed_gives_the_same_encoder(line, again):
    kept = json.loads((line.encoder / "encoder.json").read_text())
    assert again[1]["fingerprint"] == kept["fingerprint"]


def test_index_embeds_once_and_carries_its_encoder(line, tmp_path):
    told = json.loads(ok("index", line.corpus, tmp_path / "i", "--encoder", line.encoder, "--json"))
    assert told["documents"] == RECORDS
    assert [field["dimension"] for field in told["vector_fields"]] == [128]
    assert {"lexical", "vector", "hybrid"} <= set(told["profiles"])


def test_search_by_text_image_and_both(line, tmp_path):
    record = next(Corpus.open(line.corpus).records("test"))
    picture = tmp_path / "query.png"
    picture.write_bytes(record.image)
    text = json.loads(
        ok("search", line.index, record.caption, "--profile", "lexical", "--json", "-k", 3)
    )
    assert text["hits"][0]["caption"] == record.caption
    assert len(text["hits"]) == 3
    assert any("bm25" in name for name in text["hits"][0]["features"])
    image = json.loads(
        ok("search", line.index, "--image", picture, "--profile", "vector", "--json")
    )
    assert image["hits"][0]["id"] == record.id
    both = json.loads(ok("search", line.index, record.caption, "--image", picture, "--json"))
    assert both["hits"][0]["id"] == record.id
    assert both["coverage"]["percent"] == 100


def test_search_shows_a_table(line):
    shown = ok("search", line.index, "large mass in the left chest", "-k", 2)
    assert "of" in shown.splitlines()[-1]
    assert "phantom-" in shown


def test_more_hits_than_documents_gives_all_that_match(line):
    told = json.loads(ok("search", line.index, "left", "-k", 100_000, "--json"))
    assert 0 < len(told["hits"]) <= RECORDS


def test_a_query_without_a_known_word_says_so(line):
    result = run("search", line.index, "zzzxqy", "--profile", "lexical", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert told["hits"] == []
    assert told["warnings"]
    assert told["warnings"][0] in result.stderr


@pytest.mark.parametrize("text", ["", "   "])
def test_an_empty_query_is_refused(line, text):
    assert refused("search", line.index, text)


@pytest.mark.parametrize(
    "text", ["*", '"left', "a AND (", "'; drop table", "-left +right", "\x00", "嚢胞 left"]
)
def test_what_is_typed_is_never_an_operator(line, text):
    result = run("search", line.index, "--json", "--profile", "lexical", "--", text)
    assert result.exit_code == 0 or "Unexpected" not in result.stderr


def test_an_unknown_profile_is_named_with_those_there_are(line):
    sentence = refused("search", line.index, "left", "--profile", "hybird")
    assert "hybird" in sentence
    assert "hybrid" in sentence


def test_a_foreign_encoder_is_refused(line, other):
    sentence = refused("search", line.index, "left", "--encoder", other)
    assert "encoder" in sentence
    assert ok("search", line.index, "left", "--encoder", line.encoder)


def test_an_image_of_no_bytes_is_refused(line, tmp_path):
    (tmp_path / "empty.png").touch()
    assert "empty.png" in refused("search", line.index, "--image", tmp_path / "empty.png")
    assert "no.png" in refused("search", line.index, "--image", tmp_path / "no.png")


def test_eval_writes_the_report(line):
    told = json.loads(ok("eval", line.index, line.corpus, line.report, "-k", "1,10", "--json"))
    assert {"protocol", "profile", "metric", "value", "low", "high", "queries", "leaky"} <= set(
        told["rows"][0]
    )
    assert {"RR@10", "RR@1", "nDCG@10", "R@100"} <= {row["metric"] for row in told["rows"]}
    for name in ("report.md", "report.html", "metrics.json", "per_query.parquet"):
        assert (line.report / name).stat().st_size > 0


def test_eval_refuses_an_unknown_protocol(line, tmp_path):
    assert "same-cse" in refused(
        "eval", line.index, line.corpus, tmp_path / "r", "--protocol", "same-cse"
    )


def test_eval_refuses_a_corpus_that_is_not_the_index_s(line, tmp_path):
    source = tmp_path / "other"
    source.mkdir()
    captions = [{"file_name": f"{n}.png", "text": f"caption number {n}"} for n in range(12)]
    (source / "metadata.jsonl").write_text("\n".join(map(json.dumps, captions)))
    picture = next(Corpus.open(line.corpus).records()).image
    for row in captions:
        (source / row["file_name"]).write_bytes(picture)
    ok("corpus", source, tmp_path / "c")
    assert refused("eval", line.index, tmp_path / "c", tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_app_writes_the_package_from_an_index_and_from_an_encoder(line, tmp_path):
    ok("app", line.index, line.app)
    told = json.loads(ok("app", line.encoder, tmp_path / "app", "--json"))
    assert {"services.xml"} <= set(told["files"])
    short = Manifest.load(line.encoder).fingerprint[:8]
    schema = next((line.app / "schemas").glob("*.sd")).read_text()
    assert f"embedding_{short}" in schema
    assert "rank-profile hybrid" in schema


def test_without_an_encoder_everything_is_lexical(line, tmp_path):
    told = json.loads(ok("index", line.corpus, tmp_path / "i", "--json"))
    assert told["vector_fields"] == []
    assert json.loads(ok("search", tmp_path / "i", "left mass", "--json"))["hits"]
    assert refused("search", tmp_path / "i", "left mass", "--profile", "vector")
    ok("eval", tmp_path / "i", line.corpus, tmp_path / "r")
    ok("app", tmp_path / "i", tmp_path / "app")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("corpus", ("{none}", "{out}")),
        ("train", ("{none}", "{out}")),
        ("index", ("{none}", "{out}")),
        ("search", ("{none}", "text")),
        ("eval", ("{none}", "{none}", "{out}")),
        ("app", ("{none}", "{out}")),
    ],
)
def test_what_is_not_there_is_named(tmp_path, command, arguments):
    names = {"none": tmp_path / "nothing-here", "out": tmp_path / "out"}
    sentence = refused(command, *(a.format(**names) for a in arguments))
    assert "nothing-here" in sentence
    assert not names["out"].exists()


@pytest.mark.parametrize("command", ["corpus", "train", "index", "app", "eval"])
def test_what_no_command_wrote_is_left_alone(line, tmp_path, command):
    precious = tmp_path / "thesis.txt"
    precious.write_text("years of work")
    arguments = {
        "corpus": ("phantoms:210", tmp_path),
        "train": (line.corpus, tmp_path),
        "index": (line.corpus, tmp_path),
        "app": (line.encoder, tmp_path),
        "eval": (line.index, line.corpus, tmp_path),
    }[command]
    assert str(tmp_path) in refused(command, *arguments)
    assert precious.read_text() == "years of work"


def test_an_empty_source_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "empty" in refused("corpus", tmp_path / "empty", tmp_path / "out")


def test_a_corpus_is_not_written_into_its_source(tmp_path):
    (tmp_path / "source").mkdir()
    assert "inside" in refused("corpus", tmp_path / "source", tmp_path / "source" / "corpus")
    assert "SOURCE is empty" in refused("corpus", "", tmp_path / "out")
    assert "SOURCE is empty" in refused("corpus", " ", tmp_path / "out")


def test_a_damaged_index_is_refused(line, tmp_path):
    for name in ("i", "j"):
        ok("index", line.corpus, tmp_path / name)
    (tmp_path / "i" / "CURRENT").write_text("")
    assert refused("search", tmp_path / "i", "left")
    files = [path for path in (tmp_path / "j" / "segments").rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    assert refused("search", tmp_path / "j", "left")


def test_profiles_of_a_file_are_used_and_a_wrong_one_is_refused(line, tmp_path):
    bad = tmp_path / "profiles.toml"
    bad.write_text("this is = not [ toml")
    for command in (
        ("index", line.corpus, tmp_path / "i"),
        ("search", line.index, "left"),
        ("eval", line.index, line.corpus, tmp_path / "r"),
        ("app", line.index, tmp_path / "a"),
    ):
        assert "profiles.toml" in refused(*command, "--profiles", bad)
        assert "none.toml" in refused(*command, "--profiles", tmp_path / "none.toml")


def test_rejected_rows_are_counted_and_kept(tmp_path):
    source = tmp_path / "folder"
    source.mkdir()
    (source / "empty.png").touch()
    (source / "metadata.jsonl").write_text(
        '{"file_name": "empty.png", "text": "a caption"}\n'
        '{"file_name": "gone.png", "text": "another"}\n'
    )
    result = run("corpus", source, tmp_path / "out")
    assert result.exit_code == 1
    assert "missing image (1)" in result.stderr


@pytest.fixture
def interruptible():
    """Started in the background of a shell, tests would pass on that interrupts are ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_command_says_how_to_go_on(line, tmp_path):
    """A real process and a real signal, in the middle of training; then --resume finishes."""
    command = [
        sys.executable,
        "-m",
        "rocosearch",
        "train",
        line.corpus,
        tmp_path / "e",
        "--preset",
        "tiny",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [*command, "--epochs", "1000"], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / ".e.training").is_dir() and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=180)
    assert process.returncode == 130
    assert "run the same command with --resume" in told.strip().splitlines()[-1]
    assert "Traceback" not in told


def test_parquet_opens_as_it_is(line):
    assert pq.read_table(next((line.corpus / "data").glob("*.parquet"))).num_rows == RECORDS


def test_embedding_in_parts_leaves_nothing_to_do(line, tmp_path):
    ok("corpus", "phantoms:210", tmp_path / "c")
    parts = [
        json.loads(ok("embed", tmp_path / "c", line.encoder, "--part", f"{n}/2", "--json"))
        for n in range(2)
    ]
    assert sum(part["embedded"] for part in parts) == 210
    again = json.loads(ok("embed", tmp_path / "c", line.encoder, "--json"))
    assert (again["embedded"], again["present"]) == (0, 210)
    assert "2/2" in refused("embed", tmp_path / "c", line.encoder, "--part", "2/2")


def test_feeding_an_index_sends_what_it_lacks_once(line, tmp_path):
    ok("corpus", "phantoms:260", tmp_path / "c")
    index = tmp_path / "i"
    ok("index", line.corpus, index, "--encoder", line.encoder)
    shutil.copytree(line.corpus, tmp_path / "same")
    same = json.loads(ok("feed", tmp_path / "same", line.encoder, "--to", index, "--json"))
    assert (same["put"], same["unchanged"]) == (0, RECORDS)
    first = json.loads(ok("feed", tmp_path / "c", line.encoder, "--to", index, "--json"))
    assert first["put"] + first["updated"] + first["unchanged"] == 260
    assert first["put"] >= 260 - RECORDS
    assert first["refused"] == 0
    again = json.loads(ok("feed", tmp_path / "c", line.encoder, "--to", index, "--json"))
    assert (again["put"], again["unchanged"]) == (0, 260)
    told = json.loads(ok("search", index, "left", "-k", 1000, "--json"))
    assert told["coverage"]["documents"] >= 260


def test_a_feed_file_for_vespa_s_own_client(line, tmp_path):
    ok("app", line.index, tmp_path / "app", "--embedding", "client")
    out = tmp_path / "feed.jsonl"
    told = json.loads(
        ok("feed", line.corpus, line.encoder, "--app", tmp_path / "app", "--jsonl", out, "--json")
    )
    assert told["documents"] == len(out.read_text().splitlines()) == RECORDS


def test_a_deploy_over_an_older_package_is_told_in_words(line, tmp_path):
    ok("app", line.index, tmp_path / "old", "--embedding", "client")
    same = ("app", line.index, tmp_path / "new", "--previous", tmp_path / "old")
    assert "needs nothing" in ok(*same, "--embedding", "client")
    told = ok(*same, "--embedding", "client", "--cell-type", "bfloat16")
    assert "Needs:" in told
    assert "refuses this without field-type-change: see --allow" in told
    assert not (tmp_path / "new" / "validation-overrides.xml").exists()


def test_what_a_deploy_needs_can_be_allowed(line, tmp_path, kit):
    old, new = tmp_path / "old", tmp_path / "new"
    ok("app", line.index, old, "--embedding", "client")
    changed = ("app", line.index, new, "--embedding", "client", "--links", 32, "--previous", old)
    for allow in (False, True):
        told = json.loads(ok(*changed, *(["--allow"] if allow else []), "--json"))
        assert told["allowed"] == (["hnsw-settings-change"] if allow else [])
        (answer,) = kit("validate", "--previous", old, "-", lines=[str(new)])
        assert answer["ok"] == allow
    assert run("app", line.index, new, "--allow").exit_code == 2


def test_what_vespa_takes_and_gets_wrong_is_refused(line, tmp_path):
    assert "int8" in refused("app", line.index, tmp_path / "a", "--cell-type", "int8")
    assert run("app", line.index, tmp_path / "a", "--summary", "nothing").exit_code == 2


def test_a_server_that_is_not_there_is_named(line, tmp_path):
    ok("app", line.index, tmp_path / "app", "--embedding", "client")
    url = "http://localhost:9"
    deploy = ("deploy", tmp_path / "app", "--config-url", url, "--url", url, "--timeout", 1)
    assert "localhost:9" in refused(*deploy)
    assert "localhost:" in refused("feed", line.corpus, line.encoder, "--to", url)


def test_tuning_writes_profiles_that_the_other_commands_take(line, tmp_path):
    tuned = tmp_path / "tuned.toml"
    # Phantoms of one split have their like in another: weights tuned on them would favour vectors.
    said = refused("tune", line.index, line.corpus, tuned, "--split", "test", "--folds", 2)
    assert "resembles the encoder" in said
    assert not tuned.exists()


def test_comparing_a_report_with_itself_finds_nothing(line, tmp_path):
    said = ok("eval", line.index, line.corpus, tmp_path / "r", "--protocol", "caption")
    assert not any(each.endswith(" ") for each in said.splitlines())
    told = json.loads(ok("compare", tmp_path / "r", tmp_path / "r", "--json"))
    assert told["passed"]
    assert {row["wins"] + row["losses"] for row in told["rows"]} == {0}
    assert "nothing-here" in refused("compare", tmp_path / "r", tmp_path / "nothing-here")


def test_a_plan_for_a_billion_images(tmp_path):
    told = json.loads(ok("plan", "--documents", "1e9", "--dim", 512, "--json"))
    assert told["nodes"] > 10
    out = ("--dim", 128, "--out", tmp_path / "plan")
    ok("plan", "--documents", "1e9", *out)
    assert {path.name for path in (tmp_path / "plan").iterdir()} == {"services.xml", "hosts.xml"}
    ok("plan", "--documents", "1e6", "--redundancy", 1, *out)
    assert [path.name for path in (tmp_path / "plan").iterdir()] == ["services.xml"]
    assert "bound by memory; 5,943 GiB of memory" in ok("plan", "--documents", "1e9", "--dim", 512)
    few = ok("plan", "--documents", 10, "--dim", 512)
    assert "2 content nodes, the minimum; under 1 MiB of memory" in few
    assert "not replaced" in refused("plan", "--documents", 10, "--dim", 8, "--out", tmp_path)


def test_classification_stands_beside_chance(line):
    told = json.loads(
        ok("classify", line.corpus, line.encoder, "--name", "ct=computed tomography", "--json")
    )
    assert told["classes"]["ct"] == "computed tomography"
    assert told["chance_balanced_accuracy"] == 0.25
    assert 0 <= told["zero_shot"]["accuracy"] <= 1
    assert told["linear_probe"]["balanced_accuracy"] > 0.5
    assert "two" in refused("classify", line.corpus, line.encoder, "--field", "weather")
    for more in ([], ["--concepts"]):
        told = refused("classify", line.corpus, line.encoder, "--name", "XYZ=x", *more)
        assert "no 'XYZ' to name" in told
    assert run("classify", line.corpus, line.encoder, "--prompt", "no place").exit_code == 2


def test_classification_is_not_judged_by_what_it_learned_from(line):
    assert "choose --split validation or test" in refused(
        "classify", line.corpus, line.encoder, "--split", "train"
    )


def test_shots_that_a_class_does_not_have_are_named(line):
    command = ("classify", line.corpus, line.encoder, "--shots")
    told = json.loads(ok(*command, "1,99999", "--json"))
    assert [each["shots"] for each in told["few_shot"]] == [1]
    lacking = told["few_shot_left_out"]["99999"]
    assert lacking.keys() == told["classes"].keys()
    assert sum(lacking.values()) == told["examples"]
    assert "left out: 99,999-shot (ct has" in " ".join(ok(*command, "99999").split())
    assert "number of shots below 1" in " ".join(run(*command, "0").stderr.split())


def test_pictures_of_an_encoder(line, tmp_path):
    out = tmp_path / "pictures"
    told = json.loads(ok("look", line.corpus, line.encoder, out, "--text", "left mass", "--json"))
    names = ["curves.png", "heatmap.png", "neighbours.png", "similarities.png"]
    assert [Path(path).name for path in told["pictures"]] == names
    for name in names:
        with Image.open(out / name) as picture:
            assert picture.width > 500
    assert "no-such-id" in refused("look", line.corpus, line.encoder, out, "--image", "no-such-id")
    assert "'nowhere'" in refused("look", line.corpus, line.encoder, out, "--split", "nowhere")
    (out / "mine.txt").write_text("kept")
    (out / "heatmap.png").unlink()
    assert "not pictures" in refused("look", line.corpus, line.encoder, out)


def test_a_swap_step_by_step(line, other, tmp_path):
    ok("index", line.corpus, tmp_path / "i", "--encoder", line.encoder)
    swap = tmp_path / "i.swap"
    assert str(swap) in refused("swap", "backfill", swap)
    assert str(swap) in ok("swap", "start", tmp_path / "i", line.corpus, other)
    assert f"{RECORDS:,} of {RECORDS:,}" in ok("swap", "backfill", swap)
    assert refused("swap", "switch", swap)
    ok("swap", "switch", swap, "--force")
    ok("swap", "finish", swap)
    carried = EmbeddedEngine.open(tmp_path / "i").encoder_folder
    assert Manifest.load(carried) == Manifest.load(other)
    assert ok("search", tmp_path / "i", "left")
