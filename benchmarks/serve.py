"""How fast `rocosearch serve` answers many clients, and whether it holds under a long mixed load.

python benchmarks/serve.py --demo build/demo                     queries a second, p50, p95
python benchmarks/serve.py --demo build/demo --soak 600          mixed requests, memory, feeding

Searches are captions of the corpus, each client on a connection of its own that stays open. Beside
them stands what one thread gets out of the same searcher in one process, without a server: by turns
with it, by the clock and by CPU time, which a busy machine changes less. The soak works on a copy
of the index, which another process feeds and empties all the while.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np

from ingest.corpus.corpus import Corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.searcher import Searcher
from rocosearch.pipeline import open_searcher

TEXTS = 500
WARM = 2.0  # seconds
FED = 20  # documents at once
TURNS = 5


def texts_of(corpus: Path) -> list[str]:
    """Captions, shortened to what people type."""
    captions = (record.caption for record in Corpus.open(corpus).records())
    return [" ".join(each.split()[:6]) for each in itertools.islice(captions, TEXTS)]


def alone(searcher: Searcher, queries: Iterator[str], seconds: float) -> tuple[float, float]:
    """Queries a second, and a CPU second, of one thread without a server."""
    start, core, done = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < start + seconds:
        searcher.search(next(queries), k=12)
        done += 1
    return done / (time.perf_counter() - start), done / (time.process_time() - core)


def burnt(process: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def turns(asked: argparse.Namespace, index: Path, corpus: Path, texts: list[str]) -> int:
    """One thread and the server by turns, so that both have the same machine; the figures."""
    searcher, queries = open_searcher(index), itertools.cycle(texts)
    requests = searches(texts)
    rates, times, failed = [], [], Counter()
    with serving(index, corpus) as (port, process):
        alone(searcher, queries, WARM)
        asyncio.run(load(port, asked.clients, WARM, requests))
        for _ in range(TURNS):
            clock, core = alone(searcher, queries, asked.seconds / TURNS)
            before = burnt(process)
            some, lost = asyncio.run(load(port, asked.clients, asked.seconds / TURNS, requests))
            served = len(some) / (asked.seconds / TURNS), len(some) / (burnt(process) - before)
            rates.append((clock, core, *served))
            times += some
            failed += lost
    clock, core, served, served_core = np.median(rates, axis=0)
    print(f"one thread, no server: {clock:,.0f}/s, {core:,.0f} a CPU second")
    print(f"{asked.clients} clients: {told(times, asked.seconds)}")
    print(f"the server: {served_core:,.0f} a CPU second")
    print(f"of one thread: {served / clock:.0%} by the clock, {served_core / core:.0%} by CPU time")
    print(f"failed: {dict(failed) or 'none'}")
    return int(bool(failed))


@contextmanager
def serving(index: Path, corpus: Path) -> Iterator[tuple[int, int]]:
    """A server in its own process: its port and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "rocosearch", "serve", str(index), str(corpus)]
    start = time.perf_counter()
    server = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if server.poll() is not None or time.perf_counter() > start + 60:
                    raise SystemExit("The server does not start.") from None
                time.sleep(0.02)
        print(f"answers after {time.perf_counter() - start:.2f} s")
        yield port, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


class Client:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        method = "POST" if body else "GET"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost:{self.port}\r\n{length}\r\n"
        self.writer.write(head.encode() + body)
        top = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(top.partition("content-length:")[2].partition("\r\n")[0])
        content = await self.reader.readexactly(size)
        if "connection: close" in top:
            self.writer.close()
            self.writer = None
        return int(top.split()[1]), content


async def load(
    port: int, clients: int, seconds: float, requests: Iterator[tuple[str, bytes]]
) -> tuple[list[float], Counter[str]]:
    """Ask from all clients at once; seconds of each answer, and how many failed, by why."""
    times: list[float] = []
    failed: Counter[str] = Counter()
    end = time.perf_counter() + seconds

    async def work() -> None:
        client = Client(port)
        while time.perf_counter() < end:
            path, body = next(requests)
            start = time.perf_counter()
            try:
                status, content = await client.ask(path, body)
            except (OSError, asyncio.IncompleteReadError) as error:
                failed[type(error).__name__] += 1
                client = Client(port)
                continue
            times.append(time.perf_counter() - start)
            if status != 200:
                failed[f"{status} {path.partition('?')[0]} {content[:80]!r}"] += 1

    await asyncio.gather(*(work() for _ in range(clients)))
    return times, failed


def told(times: list[float], seconds: float) -> str:
    """Queries a second and latencies."""
    p50, p95, p99 = np.percentile(times, [50, 95, 99]) * 1000
    return f"{len(times) / seconds:,.0f}/s  p50 {p50:.1f} ms  p95 {p95:.1f} ms  p99 {p99:.1f} ms"


def searches(texts: list[str]) -> Iterator[tuple[str, bytes]]:
    """Searches by text, without end."""
    return ((f"/search?{urlencode({'text': text})}", b"") for text in itertools.cycle(texts))


def mixed(texts: list[str], corpus: Path) -> Iterator[tuple[str, bytes]]:
    """What people at the page ask, without end."""
    records = list(itertools.islice(Corpus.open(corpus).records(), 200))
    for number, text in enumerate(itertools.cycle(texts)):
        record = records[number % len(records)]
        name = quote(record.id)
        yield f"/search?{urlencode({'text': text, 'k': 24})}", b""
        yield f"/images/{name}", b""
        if number % 4 == 0:
            pairs = [("profile", p) for p in ("lexical", "vector", "hybrid")]
            yield f"/search?{urlencode([('text', text), *pairs])}", b""
            yield f"/suggest?{urlencode({'prefix': text[:3]})}", b""
            yield f"/documents/{name}", b""
            yield f"/search?like={name}", b""
        if number % 16 == 0:
            yield "/search", record.image or b""
            yield f"/images/{name}?size=large", b""
            yield f"/heatmap?{urlencode({'id': record.id, 'text': text})}", b""
            yield "/metrics", b""


def feed(
    index: Path, stop: multiprocessing.synchronize.Event, rounds: multiprocessing.Value
) -> None:
    """Add and remove documents all the while: segments are written and merged."""
    engine = EmbeddedEngine.open(index)
    models = [engine.get(name) for name in itertools.islice(engine.ids(), FED)]
    while not stop.is_set():
        names = [f"soak-{rounds.value}-{n}" for n in range(FED)]
        engine.feed(replace(m, id=n) for m, n in zip(models, names, strict=True) if m)
        if rounds.value % 2:
            engine.remove(names)
        rounds.value += 1
        time.sleep(0.5)


def resident(process: int) -> float:
    """MiB of a process in memory."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def soak(port: int, process: int, asked: argparse.Namespace, texts: list[str]) -> int:
    """Mixed requests; memory ten times on the way. Returns how many requests failed."""
    requests = mixed(texts, asked.demo / "corpus")
    total: Counter[str] = Counter()
    for part in range(10):
        times, failed = await load(port, asked.clients, asked.soak / 10, requests)
        total += failed
        print(f"{part + 1:>2}/10  {told(times, asked.soak / 10)}  {resident(process):.0f} MiB")
    for why, count in total.most_common(10):
        print(f"failed {count}: {why}")
    return sum(total.values())


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--demo", type=Path, default=Path("build/demo"), help="index and corpus")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--soak", type=float, default=0.0, help="seconds of mixed requests")
    asked = parser.parse_args()
    index, corpus = asked.demo / "index", asked.demo / "corpus"
    texts = texts_of(corpus)
    if not asked.soak:
        return turns(asked, index, corpus, texts)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(index, Path(folder, "index")))
        stop, rounds = multiprocessing.Event(), multiprocessing.Value("i", 0)
        feeder = multiprocessing.Process(target=feed, args=(copy, stop, rounds))
        with serving(copy, corpus) as (port, process):
            feeder.start()
            failed_requests = asyncio.run(soak(port, process, asked, texts))
            stop.set()
            feeder.join(60)
        print(f"fed {rounds.value} times meanwhile; feeder ended with {feeder.exitcode}")
        print(f"failed requests: {failed_requests}")
        return int(bool(failed_requests or feeder.exitcode))


if __name__ == "__main__":
    raise SystemExit(main())
