"""The walk of docs/fields.md, done as it stands there: command line, address of the page, Vespa."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from ranking.attributes import read_attributes
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from rocosearch.cli import app
from rocosearch.page.access import Door
from rocosearch.page.answers import Desk
from rocosearch.page.api import Api

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "fields.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = next(text for kind, text in BLOCKS if "rocosearch corpus" in text).splitlines()
CURLS = [text for kind, text in BLOCKS if text.startswith("curl")]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The folder where the commands ran, and what the last one found."""
    root = tmp_path_factory.mktemp("walk")
    (root / "thorax").mkdir()
    (root / "thorax" / "table.csv").write_text(next(t for k, t in BLOCKS if k == "csv"), "utf-8")
    for number in range(1, 6):
        picture = Image.linear_gradient("L").rotate(30 * number)
        picture.save(root / "thorax" / f"{number}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for line in COMMANDS:
            words = shlex.split(line)[1:]
            result = CliRunner().invoke(app, [*words, "--json"])
            assert result.exit_code == 0, result.output
    return root, json.loads(result.stdout)


def test_the_command_line_finds_the_one_and_no_other(found):
    (hit,) = found[1]["hits"]
    assert hit["caption"] == "CT of the chest with a large left pneumothorax"
    assert (hit["age"], hit["seen"], hit["modality"]) == (71, "2019-03-02", "ct")


def test_the_address_finds_it_too(found):
    root, told = found
    engine = EmbeddedEngine.open(root / "build" / "thorax-index")
    parts = urlsplit(shlex.split(CURLS[0])[1])
    client = TestClient(Api(Desk(Searcher(engine))).application(Door.at("localhost", parts.port)))
    answer = client.get(f"http://{parts.netloc}{parts.path}?{parts.query}")
    assert answer.status_code == 200, answer.text
    assert [hit["id"] for hit in answer.json()["lists"][0]["hits"]] == [told["hits"][0]["id"]]


def test_vespa_takes_the_request(found, kit):
    root, _ = found
    package = root / "app"
    result = CliRunner().invoke(app, ["app", str(root / "build" / "thorax-index"), str(package)])
    assert result.exit_code == 0, result.output
    body = json.loads(shlex.split(CURLS[1])[-1])
    (answer,) = kit("yql", package, lines=[json.dumps(body | {"timeout": "30s"})])
    assert answer["ok"], answer
    assert "age:[61;]" in answer["query"]
    assert "affirmed:pneumothorax" in answer["query"]


def test_the_file_of_fields_reads(tmp_path):
    (tmp_path / "fields.toml").write_text(next(t for k, t in BLOCKS if k == "toml"), "utf-8")
    seen, age = read_attributes(tmp_path / "fields.toml")
    assert (seen.name, seen.type, age.type, age.source) == ("seen", "date", "int", "patient age")
