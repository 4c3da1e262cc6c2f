"""The MCP server, asked by the SDK's own client over stdin and stdout."""

from __future__ import annotations

import base64
import io
import json
import sys

import anyio
import pytest
from PIL import Image

from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.types import EngineError
from rocosearch.page.pictures import Pictures
from rocosearch.pipeline import build_corpus, build_index, open_searcher

mcp = pytest.importorskip("mcp", reason="needs the extra mcp")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("mcp")
    build_corpus("phantoms:60", root / "corpus")
    build_index(root / "corpus", root / "index")
    return root


def talk(built, *calls):
    """Names of the tools, and the answer to each call."""
    arguments = ["-m", "rocosearch", "mcp", str(built / "index"), str(built / "corpus")]
    server = mcp.StdioServerParameters(command=sys.executable, args=arguments)

    async def session():
        async with (
            mcp.stdio_client(server) as (read, write),
            mcp.ClientSession(read, write) as client,
        ):
            await client.initialize()
            tools = await client.list_tools()
            answers = [await client.call_tool(name, given) for name, given in calls]
            return [tool.name for tool in tools.tools], answers

    return anyio.run(session)


def test_an_agent_searches_reads_and_looks(built):
    record = next(iter(Corpus.open(built / "corpus").records()))
    tools, answers = talk(
        built,
        ("search", {"text": record.caption, "k": 3, "filters": [f"modality={record.modality}"]}),
        ("document", {"identifier": record.id}),
        ("image", {"identifier": record.id}),
        ("document", {"identifier": "nobody"}),
        ("search", {"text": "x", "k": 1_000}),
        ("search", {"text": "x", "like": ["nobody"]}),
    )
    assert tools == ["search", "document", "image"]
    found, document, image, missing, too_many, unknown = answers
    hits = json.loads(found.content[0].text)["hits"]
    assert hits[0]["id"] == record.id
    assert hits[0]["caption"] == record.caption
    assert {hit["modality"] for hit in hits} == {record.modality}
    assert json.loads(document.content[0].text)["caption"] == record.caption
    picture = Image.open(io.BytesIO(base64.b64decode(image.content[0].data)))
    assert picture.format == "JPEG"
    assert max(picture.size) <= 1024
    assert missing.is_error
    assert "no document" in missing.content[0].text
    assert too_many.is_error
    assert "no document 'nobody'" in unknown.content[0].text


@pytest.mark.parametrize(
    ("tool", "given", "said"),
    [
        ("search", {"text": "x", "k": 0}, "k is 0. Allowed are 1 to 50."),
        ("search", {"text": "x", "k": True}, "k is not of the type integer."),
        ("search", {"text": "x", "profile": "lexical"}, "The call has 'profile'; known are text,"),
        ("search", {"text": "x", "like": "a"}, "like is not of the type array."),
        ("document", {}, "The call has no identifier."),
        ("look", {}, "There is no tool 'look' here; there are: search, document, image."),
    ],
)
def test_arguments_that_a_tool_does_not_take_are_refused(built, tool, given, said):
    from rocosearch.mcp_server import ToolError, mcp_server  # noqa: PLC0415 - needs the extra

    server = mcp_server(open_searcher(built / "index"), built / "corpus")
    with pytest.raises(ToolError) as refused:
        anyio.run(server.call_tool, tool, given)
    assert said in str(refused.value)
    assert "pydantic" not in str(refused.value)


def test_a_fault_of_the_index_is_told_by_every_tool(built, monkeypatch):
    def fails(*_given):
        raise EngineError("The index is damaged: build it again.")

    from rocosearch.mcp_server import ToolError, mcp_server  # noqa: PLC0415 - needs the extra

    server = mcp_server(open_searcher(built / "index"), built / "corpus")
    monkeypatch.setattr(EmbeddedEngine, "get", fails)
    monkeypatch.setattr(Pictures, "get", fails)
    for tool in ("document", "image"):
        with pytest.raises(ToolError, match="The index is damaged"):
            anyio.run(server.call_tool, tool, {"identifier": "a"})
