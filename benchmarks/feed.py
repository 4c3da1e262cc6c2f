"""Throughput of feeding against the official `vespa feed` client, on the same server.

    python benchmarks/feed.py --url http://localhost:8080 --app build/app
    python benchmarks/feed.py --kit ../shared/vespa-check/vespa-check

The corpus is phantoms with random unit vectors of 512 numbers. Each client sends every document,
turn by turn. `rocosearch` is the whole of `ingest.feed.feed`: reading the corpus, hashing,
checking, the ledger; `vespa feed` reads a file that is there already (floats as hex). With --kit,
the server is Vespa's own HTTP front without content nodes; a whole server is slower for both.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from encoders.model.manifest import Manifest
from ingest.corpus.corpus import write_corpus
from ingest.feed.feed import FeedSource, feed
from ingest.feed.feed_file import write_feed_file
from ingest.feed.targets import VespaTarget
from ingest.sources.phantoms import Phantoms
from ingest.vectors.embed import embed_corpus
from ranking.profiles.shipped import SHIPPED
from tests.vespa_app.client.kit_server import kit_server
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import write_application
from vespa_app.read.application import Application, read_application

DIMENSION = 512
WARM_UP = 5


class RandomEncoder:
    """Unit vectors that have nothing to do with the images: for feeding they are as good."""

    manifest = Manifest(
        dimension=DIMENSION,
        normalized=True,
        max_tokens=64,
        image_size=64,
        image_mode="L",
        image_resize="pad",
        image_mean=(0.5,),
        image_std=(0.5,),
        weights_sha256="random",
        tokenizer_sha256="random",
        architecture="{}",
    )

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)

    def encode_images(self, images: Sequence[bytes], batch_size: int = 64) -> np.ndarray:
        """float32 [N, 512]."""
        vectors = self._rng.standard_normal((len(images), DIMENSION)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="a running server, with --app as deployed")
    where.add_argument("--kit", type=Path, help="path of vespa-check")
    parser.add_argument("--app", type=Path)
    parser.add_argument("--count", type=int, default=5400)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--streams", type=int, default=FeedSettings().streams)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        if options.url:
            report = compare(options.url, options.app, root, options)
        else:
            package = root / "app"
            settings = PackageOptions(embedding="client")
            write_application(package, RandomEncoder.manifest, SHIPPED, options=settings)
            with kit_server(options.kit, package) as url:
                report = compare(url, package, root, options)
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def compare(url: str, package: Path, root: Path, options: Namespace) -> dict[str, object]:
    """Documents a second of each client, turn by turn, each first in every other one."""
    corpus = write_corpus(Phantoms(options.count), root / "corpus")
    embed_corpus(corpus, RandomEncoder())
    source = FeedSource(corpus, (RandomEncoder.manifest.fingerprint,))
    application = read_application(package)
    file = root / "feed.jsonl"
    write_feed_file(source, application, file)
    vespa = shutil.which("vespa")
    if vespa is None:
        raise SystemExit("`vespa` is not on PATH: pip install vespacli")
    for _ in range(WARM_UP):  # the server's code gets faster for a while
        official([vespa, "feed", "--target", url, file])
    clients: dict[str, Callable[[int], object]] = {
        "rocosearch": lambda turn: ours(url, source, application, root / f"{turn}.sqlite", options),
        "vespa feed": lambda _: official([vespa, "feed", "--target", url, file]),
    }
    rates: dict[str, list[float]] = {name: [] for name in clients}
    for turn in range(options.turns):
        for name, send in sorted(clients.items(), reverse=bool(turn % 2)):
            started = time.perf_counter()
            assert send(turn) == len(corpus)
            rates[name].append(len(corpus) / (time.perf_counter() - started))
    pairs = zip(rates["rocosearch"], rates["vespa feed"], strict=True)
    return {
        "documents": len(corpus),
        "documents per second": {n: [round(r) for r in values] for n, values in rates.items()},
        "medians": {name: round(statistics.median(values)) for name, values in rates.items()},
        "median of the turns' ratios": round(statistics.median(a / b for a, b in pairs), 2),
    }


def ours(
    url: str, source: FeedSource, application: Application, ledger: Path, options: Namespace
) -> int:
    """Feed all of it with an empty ledger; how many documents were put."""
    settings = FeedSettings(streams=options.streams)
    with DocumentClient(url, settings=settings) as client:
        return feed(source, VespaTarget(client, application), ledger=ledger).put


def official(command: Sequence[str | Path]) -> int:
    """Run `vespa feed`; how many documents it says were fed (it exits 0 in any case)."""
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout)["feeder.ok.count"])


if __name__ == "__main__":
    main()
