"""Latency and throughput of a Vespa server, for each rank profile, at 1 and 16 clients.

    python benchmarks/vespa_load.py http://localhost:8080 --app build/app --encoder build/encoder
    python benchmarks/vespa_load.py --kit ../shared/vespa-check/vespa-check --app build/app

Texts are embedded inside Vespa (`embed()`), and with --encoder also by the client, one by one as a
page would. Texts are captions of the server's own documents; where it has none, of phantoms. With
--kit, the server is Vespa's own HTTP front with a stand-in for the content nodes: what is measured
then is the container and the client, not the search.
"""

from __future__ import annotations

import argparse
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.feed import kit_server
from encoders.base.errors import UserError
from encoders.inference.onnx_encoder import OnnxEncoder
from ingest.sources.phantoms import Phantoms
from ranking.types import Query
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.read.application import Application, ServedProfile, read_application

TEXTS = 200
WARM_UP = 60  # queries of each kind before the first run: a JVM compiles what is used often


@dataclass(frozen=True)
class Row:
    """One run; times in milliseconds, of whole queries as the client sees them."""

    profile: str
    embedded_by: str
    clients: int
    queries: int
    p50: float
    p95: float
    per_second: float
    failed: int


def main() -> int:
    """Measure; print a table, or JSON lines. Ends with 1 where a query failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", nargs="?", help="where queries are answered")
    parser.add_argument("--kit", type=Path, help="serve the package from here instead")
    parser.add_argument("--app", type=Path, required=True, help="the package deployed there")
    parser.add_argument("--encoder", type=Path, help="embed texts by the client too")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--seconds", type=float, default=5.0, help="for each run")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if (options.url is None) == (options.kit is None):
        parser.error("give a URL or --kit")
    application = read_application(options.app)
    encoder = OnnxEncoder.load(options.encoder) if options.encoder else None
    server = kit_server(options.kit, options.app) if options.kit else nullcontext(options.url)
    failed = 0
    if not options.json:
        print(
            "| profile | embedded by | clients | queries | p50 ms | p95 ms | queries/s | failed |"
        )
        print("|---|---|---:|---:|---:|---:|---:|---:|")
    with server as url:
        settings = EngineSettings(concurrency=max(options.clients))
        with closing(VespaEngine.connect(url, application, settings)) as engine:
            texts = list(captions(engine))
            kinds = [
                (profile, way, asking(engine, profile, encoder if way == "client" else None))
                for profile, ways in profiles(application, client=encoder is not None)
                for way in ways
            ]
            for text in texts[:WARM_UP]:
                for _, _, ask in kinds:
                    ask(text)
            for clients in options.clients:
                for profile, way, ask in kinds:
                    row = run(ask, texts, profile.name, way, clients, options.seconds)
                    failed += row.failed
                    show(row, as_json=options.json)
    return 1 if failed else 0


def captions(engine: VespaEngine) -> Iterator[str]:
    """Texts to ask, each cut to a length that people type."""
    documents = (engine.get(identifier) for identifier in islice(engine.ids(), TEXTS))
    found = [document.caption for document in documents if document and document.caption]
    drawn = found or [record.caption for record in Phantoms(TEXTS)]
    return (" ".join(caption.split()[:8]) for caption in drawn if caption.strip())


def profiles(
    application: Application, *, client: bool
) -> Iterator[tuple[ServedProfile, tuple[str, ...]]]:
    """The profiles that a text can ask, and who can embed it."""
    for name, profile in application.profiles.items():
        if "text" not in profile.retrieve and profile.encoder is None:
            continue
        if profile.encoder and name.endswith(f"_{profile.encoder.short}"):
            continue  # the plain name is the same profile
        if profile.encoder is None:
            yield profile, ("nobody",)
            continue
        inside = ("Vespa",) if profile.encoder.embedder else ()
        if ways := (*inside, *(("client",) if client else ())):
            yield profile, ways


def asking(
    engine: VespaEngine, profile: ServedProfile, encoder: OnnxEncoder | None
) -> Callable[[str], object]:
    """What one query is: embedding the text too, where the client does."""

    def ask(text: str) -> object:
        vector = encoder.encode_texts([text])[0] if encoder else None
        return engine.search(Query(text, vector, profile.name, k=10, with_documents=False))

    return ask


def run(
    ask: Callable[[str], object],
    texts: Sequence[str],
    profile: str,
    way: str,
    clients: int,
    seconds: float,
) -> Row:
    """Ask from `clients` threads at once, one query after the other in each."""
    times: list[float] = []
    failures: list[str] = []
    started = time.perf_counter()

    def work(offset: int) -> None:
        for number in itertools.count(offset):
            begun = time.perf_counter()
            if begun - started >= seconds:
                return
            try:
                ask(texts[number % len(texts)])
            except UserError as error:
                failures.append(str(error))
            else:
                times.append(time.perf_counter() - begun)

    threads = [threading.Thread(target=work, args=(37 * each,)) for each in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - started
    p50, p95 = (np.percentile(times, (50, 95)) * 1000).tolist() if times else (0.0, 0.0)
    return Row(profile, way, clients, len(times), p50, p95, len(times) / took, len(failures))


def show(row: Row, *, as_json: bool) -> None:
    """Print one run."""
    if as_json:
        print(json.dumps(asdict(row)), flush=True)
        return
    print(
        f"| {row.profile} | {row.embedded_by} | {row.clients} | {row.queries:,} | {row.p50:.1f} | "
        f"{row.p95:.1f} | {row.per_second:,.0f} | {row.failed} |",
        flush=True,
    )


if __name__ == "__main__":
    raise SystemExit(main())
