"""Kill feeding with SIGKILL at random moments, and count what is missing and what came twice.

    python benchmarks/feed_kill.py --kills 200

A process feeds a corpus into a server in this process, is killed, and started again, until it was
killed so often; each time it is left with a corpus that has changed a little, so that there is
always something to feed. At the end one more feed runs to its end.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ingest.feed.feed import FeedSource, feed
from ingest.feed.targets import VespaTarget
from tests.vespa_app.fake_server import FakeVespa
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.http.connection import Credentials
from vespa_app.read.application import Application

STREAMS = 64
COUNT = 3000


class Captions:
    """`COUNT` records; their captions change with `version`."""

    format = "captions"
    location = "captions"
    recognised = ""

    def __init__(self, version: int) -> None:
        self.version = version

    def __iter__(self):  # noqa: ANN204
        """Yield the records."""
        for number in range(COUNT):
            yield Record(f"r{number:05}", f"caption {number}, version {self.version}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, FakeVespa() as server:
        print(json.dumps(drill(Path(folder) / "corpus", server, options.kills), indent=2))


def feed_once(corpus: Path, url: str) -> int:
    """Feed in this process; operations sent."""
    settings = FeedSettings(streams=STREAMS)
    with DocumentClient(url, Credentials(), settings) as client:
        target = VespaTarget(client, Application({}))
        return feed(FeedSource(Corpus.open(corpus)), target).sent


def drill(path: Path, server: FakeVespa, kills: int) -> dict[str, object]:
    """Kill and go on until `kills` feeds were killed under way."""
    rng = random.Random(0)
    version = done = finished = 0
    needed = COUNT
    write_corpus(Captions(version), path)
    processes = get_context("forkserver")  # a process that starts at once: all is imported
    processes.set_forkserver_preload(["ingest.feed.feed", "ingest.feed.targets", "__main__"])
    while done < kills:
        before = len(server.requests)
        feeder = processes.Process(target=feed_once, args=(path, server.url))
        feeder.start()
        moment = before + rng.randrange(1, COUNT // 4)
        while len(server.requests) < moment and feeder.is_alive():
            time.sleep(0.0005)
        alive = feeder.is_alive()
        feeder.kill()
        feeder.join()
        if alive:
            done += 1
            continue
        finished += 1
        version += 1
        needed += COUNT
        write_corpus(Captions(version), path)
    feed_once(path, server.url)
    expected = {record.id: record.caption for record in Corpus.open(path).records()}
    found = {name: fields["caption"] for name, fields in server.documents.items()}
    again = len(server.requests) - needed
    return {
        "kills": done,
        "feeds that ended before their kill": finished,
        "missing": len(expected.keys() - found.keys()),
        "outdated": sum(found.get(name) != caption for name, caption in expected.items()),
        "operations needed": needed,
        "sent twice": again,
        "sent twice per kill": round(again / done, 1),
        "at most under way at a kill": STREAMS,
        "left for one more feed": feed_once(path, server.url),
    }


if __name__ == "__main__":
    main()
