"""Jobs to be killed: what is there before, what is left, and what must come out."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from multiprocessing import Pipe
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import torch

from encoders.base.storage import put_back, sha256_file
from encoders.export.towers import export_towers
from encoders.model.clip import Encoder
from encoders.model.manifest import Manifest
from encoders.training.presets import preset, resized
from encoders.training.train import train
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ingest.feed.feed import FeedSource, feed, ledger_path
from ingest.feed.ledger import Ledger
from ingest.feed.targets import VespaTarget
from ingest.vectors.embed import read_embeddings
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Query
from rocosearch.page.build_server import open_page
from rocosearch.page.judgements import Judgements
from rocosearch.pipeline import (
    build_corpus,
    build_index,
    embed_images,
    open_searcher,
    training_pairs,
    write_app,
)
from rocosearch.swap import SwapError, open_swap, start_on_index
from tests.ingest.conftest import Rows
from tests.kills.forks import fork
from tests.power.encoder import make_encoder
from tests.vespa_app.conftest import tiny_encoder
from tests.vespa_app.fake_server import FakeVespa
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.http.credentials import Credentials
from vespa_app.read.application import Application

__all__ = ["JOBS", "Job"]

COUNT = 200  # records of the job, of a feed; before it there are half as many
STREAMS = 64
PROBES = 4  # requests of two feeds that send no document
RECIPE = resized(
    preset("tiny", epochs=3, checkpoint_seconds=0.0, samples_per_epoch=128, patience=0),
    image_size=32,
)


@dataclass(frozen=True)
class Job:
    """What is killed. Each function gets the folder of the round.

    prepare: makes what is there before, once. work: is killed. left: what a kill has left; told
    as "WRONG ..." where it is not whole. result: what must be the same as without a kill.
    beside: runs at the same time, and is stopped afterwards. seconds: of a job without an end.
    here: whether `prepare` runs in the process that forks, since it leaves something in it.
    """

    prepare: Callable[[Path], None]
    work: Callable[[Path], object]
    left: Callable[[Path], str]
    result: Callable[[Path], object]
    beside: Callable[[Path], object] | None = None
    seconds: float = 0.0
    here: bool = False


# --- a corpus, its vectors, an index ------------------------------------------------------------


def prepare_corpus(root: Path) -> None:
    build_corpus(f"phantoms:{COUNT // 2}", root / "corpus")


def work_corpus(root: Path) -> None:
    build_corpus(f"phantoms:{COUNT}", root / "corpus")


def left_corpus(root: Path) -> str:
    records = list(Corpus.open(root / "corpus").records())
    return whole(len(records))


def whole(count: int) -> str:
    return {COUNT // 2: "the old one", COUNT: "the new one"}.get(count, f"WRONG: {count} records")


def prepare_embed(root: Path) -> None:
    build_corpus(f"phantoms:{COUNT}", root / "corpus")
    make_encoder(root / "encoder", 0, 64)


def work_embed(root: Path) -> None:
    for part in range(4):  # a part is what a kill can cost
        embed_images(root / "corpus", root / "encoder", part=f"{part}/4")


def vectors(root: Path) -> dict[str, bytes]:
    fingerprint = Manifest.load(root / "encoder").fingerprint
    if not any((root / "corpus" / "embeddings").rglob("part-*.parquet")):
        return {}
    ids, found = read_embeddings(Corpus.open(root / "corpus"), fingerprint)
    return {identifier: vector.tobytes() for identifier, vector in zip(ids, found, strict=True)}


def left_embed(root: Path) -> str:
    return f"{len(vectors(root)) * 4 // COUNT} of 4 parts"


def prepare_index(root: Path) -> None:
    build_corpus(f"phantoms:{COUNT // 2}", root / "corpus")
    make_encoder(root / "encoder", 0, 64)
    build_index(root / "corpus", root / "index", encoder=root / "encoder")
    build_corpus(f"phantoms:{COUNT}", root / "corpus")
    work_embed(root)


def work_index(root: Path) -> None:
    build_index(root / "corpus", root / "index", encoder=root / "encoder")


def left_index(root: Path) -> str:
    return whole(len(answers(root)[0]))


def answers(root: Path) -> tuple[list[str], list[tuple[tuple[str, ...], bytes]]]:
    engine = EmbeddedEngine.open(root / "index")
    dimension = engine.info().vector_fields[0].dimension
    query = Query("left lesion", np.eye(dimension, dtype=np.float32)[0], k=50)
    found = engine.search_many([query, Query("chest", profile="lexical", k=50)])
    return sorted(engine.ids()), [(each.ids, each.scores.tobytes()) for each in found]


# --- training, export, the application package --------------------------------------------------


def prepare_train(root: Path) -> None:
    build_corpus("phantoms:200", root / "corpus")


def work_train(root: Path) -> None:
    corpus = Corpus.open(root / "corpus")
    splits = (training_pairs(corpus, split) for split in ("train", "validation"))
    train(*splits, root / "encoder", RECIPE, resume=True)


def left_train(root: Path) -> str:
    return "finished" if (root / "encoder" / "encoder.json").exists() else "to be resumed"


def fingerprint(root: Path) -> str:
    return Encoder.load(root / "encoder").manifest.fingerprint


_trace = torch.onnx.export
_traced: dict[tuple[str, ...], Any] = {}


def traced(*given: Any, output_names: list[str], **options: Any) -> Any:
    """torch's part of the export: seconds that write nothing, spent once, before the kills."""
    key = tuple(output_names)
    if key not in _traced:
        _traced[key] = _trace(*given, output_names=output_names, **options)
    return _traced[key]


def prepare_export(root: Path) -> None:
    """An encoder with the graphs of an earlier version, which differ."""
    folder = root / "encoder"
    tiny_encoder(0, 16).save(folder)
    work_export(root)
    for name in (graphs := Manifest.load(folder).graphs):
        model = onnx.load(folder / name)
        model.producer_version = "earlier"
        onnx.save(model, folder / name)
    hashes = {name: sha256_file(folder / name) for name in graphs}
    replace(Manifest.load(folder), graphs=hashes).save(folder)


def work_export(root: Path) -> None:
    with patch.object(torch.onnx, "export", traced):
        export_towers(Encoder.load(root / "encoder"), root / "encoder")


def left_export(root: Path) -> str:
    """Whether the graphs that the manifest names, if any, are those of the folder."""
    graphs = Manifest.load(root / "encoder").graphs
    Encoder.load(root / "encoder")
    if any(sha256_file(root / "encoder" / name) != found for name, found in graphs.items()):
        return "WRONG: a graph is not what the manifest names"
    if not graphs:
        return "without graphs, to be exported"
    versions = {onnx.load(root / "encoder" / name).producer_version for name in graphs}
    return "the old graphs" if versions == {"earlier"} else "the new graphs"


def exported(root: Path) -> dict[str, str]:
    left = left_export(root)
    return {"left": left, **Manifest.load(root / "encoder").graphs}


def prepare_app(root: Path) -> None:
    build_corpus("phantoms:100", root / "corpus")
    build_index(root / "corpus", root / "index")
    write_app(root / "index", root / "app")
    make_encoder(root / "encoder", 0, 64)
    build_index(root / "corpus", root / "index", encoder=root / "encoder")


def work_app(root: Path) -> None:
    write_app(root / "index", root / "app")


def left_app(root: Path) -> str:
    put_back(root / "app")  # as every reader of a package does
    held = files(root / "app")
    graphs = [name for name in held if name.endswith(".onnx")]
    if "services.xml" not in held or ("embedding" in str(held["schemas/image.sd"])) != bool(graphs):
        return "WRONG: a part of a package"
    return "the new one" if graphs else "the old one"


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


# --- a feed over HTTP ---------------------------------------------------------------------------


class Fake:
    """A server in a process of its own, since one with threads should not be forked."""

    def __init__(self) -> None:
        self.ours, theirs = Pipe()
        if not os.fork():
            self.ours.close()
            with FakeVespa() as server, suppress(EOFError):
                theirs.send(server.url)
                while True:
                    if theirs.recv() == "empty":
                        server.documents.clear()
                        server.requests.clear()
                    theirs.send((dict(server.documents), len(server.requests)))
            os._exit(0)
        self.url = self.ours.recv()

    def ask(self, what: str) -> tuple[dict[str, dict[str, Any]], int]:
        self.ours.send(what)
        return self.ours.recv()


_fake: list[Fake] = []


def prepare_feed(root: Path) -> None:
    _fake.append(Fake())
    rows = [Record(f"r{number:04}", f"caption {number}") for number in range(COUNT)]
    write_corpus(Rows(rows), root / "corpus")


def source_and_client(root: Path) -> tuple[FeedSource, DocumentClient]:
    settings = FeedSettings(streams=STREAMS)
    client = DocumentClient(_fake[0].url, Credentials(), settings)
    return FeedSource(Corpus.open(root / "corpus")), client


def work_feed(root: Path) -> None:
    source, client = source_and_client(root)
    with client:
        feed(source, VespaTarget(client, Application({})))


def left_feed(root: Path) -> str:
    source, client = source_and_client(root)
    held, _ = _fake[0].ask("what")
    with client:
        target = VespaTarget(client, Application({}))
        path = ledger_path(source.corpus, target)
        if not path.exists():
            return "nothing sent"
        with Ledger(path, target.name, target.content) as ledger:
            ids = [f"r{number:04}" for number in range(COUNT)]
            known = ledger.known(ids)
    if not known.keys() <= held.keys():
        return "WRONG: the ledger knows too much"
    return "in part" if len(known) < COUNT else "all sent"


def fed(root: Path) -> object:
    """What the server has; whether little was sent twice, and nothing is left to send."""
    held, requests = _fake[0].ask("what")
    work_feed(root)
    _, after = _fake[0].ask("what")
    _fake[0].ask("empty")
    captions = sorted((name, fields["caption"]) for name, fields in held.items())
    return captions, requests <= COUNT + STREAMS + PROBES, after - requests <= PROBES


# --- a swap of the encoder ----------------------------------------------------------------------


def prepare_swap(root: Path) -> None:
    build_corpus(f"phantoms:{COUNT // 2}", root / "corpus")
    for seed, name in enumerate(("encoder", "new")):
        make_encoder(root / name, seed, 64)
    build_index(root / "corpus", root / "index", encoder=root / "encoder")
    (root / "way").write_text("")


def work_swap(root: Path) -> None:
    """Do all steps that are not done yet; every other swap goes back in the end."""
    folder, new = root / "index.swap", Manifest.load(root / "new").fingerprint
    if folder.exists() or encoder_of(root) != new:
        swap = start_on_index(root / "index", root / "corpus", root / "new")
        if swap.state.stage == "started":
            swap.backfill()
        swap.switch(force=True)
        swap.finish()


def encoder_of(root: Path) -> str:
    return EmbeddedEngine.open(root / "index").info().vector_fields[0].fingerprint


def work_swap_back(root: Path) -> None:
    folder = root / "index.swap"
    if not folder.exists() and not (root / "begun").exists():
        start_on_index(root / "index", root / "corpus", root / "new").backfill()
        open_swap(folder).switch(force=True)
        (root / "begun").touch()
    while folder.exists():
        open_swap(folder).rollback()
    (root / "begun").unlink(missing_ok=True)


def left_swap(root: Path) -> str:
    try:
        stage = open_swap(root / "index.swap").state.stage
    except SwapError:
        stage = "no swap"
    if not (root / "index").exists():
        return f"{stage}, between two renames"
    count = len(answers(root)[0])
    return stage if count == COUNT // 2 else f"WRONG: {count} documents when {stage}"


def swapped(root: Path) -> object:
    return encoder_of(root), answers(root)


# --- the page, where people judge ---------------------------------------------------------------

PORT = 8799


def prepare_serve(root: Path) -> None:
    build_corpus("phantoms:60", root / "corpus")
    build_index(root / "corpus", root / "index")


def work_serve(root: Path) -> None:
    with open_page(open_searcher(root / "index"), root / "corpus", port=PORT) as server:
        server.serve_forever()


def judge(root: Path) -> None:
    """Judge, one after the other, and note what the page has confirmed."""
    document = next(iter(EmbeddedEngine.open(root / "index").ids()))
    for number in range(10**6):
        body = json.dumps({"query": f"query {number}", "document": document, "relevant": 1})
        while asked("POST", "/judgements", body)[0] != 201:
            time.sleep(0.005)
        with (root / "confirmed").open("a") as stream:
            stream.write(f"query {number}\n")


def asked(method: str, path: str, body: str = "") -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", PORT, timeout=20)
    try:
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, HTTPException):
        return 0, b""
    finally:
        connection.close()


def left_serve(root: Path) -> str:
    path = root / "confirmed"
    confirmed = path.read_text().splitlines() if path.exists() else []
    kept = [each.query for each in Judgements(root / "corpus.judgements.jsonl").last()]
    if kept[: len(confirmed)] != confirmed or len(kept) > len(confirmed) + 1:
        return f"WRONG: {len(confirmed)} confirmed, {len(kept)} kept"
    return "judgements kept" if confirmed else "nothing judged yet"


def served(root: Path) -> object:
    """What a page that is started again answers."""
    child = fork(work_serve, root)
    try:
        until = time.monotonic() + 30
        while (found := asked("GET", "/search?text=lesion"))[0] != 200:
            if time.monotonic() > until:
                return found
            time.sleep(0.01)
        return json.loads(found[1])["lists"][0]["hits"], asked("GET", "/judgements")[0]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


JOBS = {
    "corpus": Job(
        prepare_corpus,
        work_corpus,
        left_corpus,
        lambda root: Corpus.open(root / "corpus").manifest.content_sha256,
    ),
    "embed": Job(prepare_embed, work_embed, left_embed, vectors),
    "index": Job(prepare_index, work_index, left_index, answers),
    "train": Job(prepare_train, work_train, left_train, fingerprint),
    "export": Job(prepare_export, work_export, left_export, exported, here=True),
    "app": Job(prepare_app, work_app, left_app, lambda root: files(root / "app")),
    "feed": Job(prepare_feed, work_feed, left_feed, fed, here=True),  # for the server's sake
    "swap": Job(prepare_swap, work_swap, left_swap, swapped),
    "swap and back": Job(prepare_swap, work_swap_back, left_swap, swapped),
    "serve": Job(prepare_serve, work_serve, left_serve, served, judge, 2.0),
}
