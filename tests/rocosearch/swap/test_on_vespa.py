"""A swap on Vespa's own HTTP front, with a config server that keeps what is deployed."""

from __future__ import annotations

import json
import re

import pytest

from ingest.corpus.corpus import Corpus
from ingest.feed.feed import FeedSource, feed
from ingest.feed.targets import VespaTarget
from ranking.names import encoder_names
from rocosearch.swap import SwapError, VespaServer, start_on_vespa
from rocosearch.swap.vespa import write_packages
from tests.vespa_app.client.fake_config_server import FakeConfigServer, running
from tests.vespa_app.client.kit_server import kit_server
from vespa_app.feed.documents import DocumentClient
from vespa_app.feed.operations import Operation, Verdict
from vespa_app.package.options import AnnThresholds, PackageOptions, VectorOptions
from vespa_app.read.application import read_application
from vespa_app.read.read_options import Written

CHOSEN = PackageOptions(
    embedding="client",
    vectors=VectorOptions("bfloat16", links=24),
    ann=AnnThresholds(approximate=0.1),
    summaries={"minimal": ("id",), "short": ("id", "caption")},
    timeout=2.5,
)


@pytest.fixture(scope="module")
def packages(made, tmp_path_factory):
    """What `start` writes, written beforehand so that the kit can serve it."""
    folder = tmp_path_factory.mktemp("packages")
    write_packages(folder, made.index, made.new, Written(CHOSEN, {"caption": 12.5}))
    return folder


@pytest.fixture(scope="module")
def front(vespa_check, packages):
    """The URL of a server with both encoders."""
    hits = packages / "hits.jsonl"
    features = {"bm25(caption)": 1.0, "attribute(has_caption)": 1.0}
    for encoder in read_application(packages / "beside").encoders:
        features[f"closeness(field,{encoder.field.name})"] = 0.5
        features[f"attribute(has_vector_{encoder.short})"] = 1.0
    lines = [
        {"id": f"i{n}", "relevance": n, "fields": {"id": str(n)}, "matchfeatures": features}
        for n in range(12)
    ]
    hits.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with kit_server(vespa_check, packages / "beside", hits) as url:
        yield url


@pytest.fixture
def server(front, packages):
    """The server, emptied, whose config server says that it has the old encoder."""
    with DocumentClient(front) as client:
        removed = client.send_all([Operation("remove", name) for name in client.ids()])
        assert all(answer.verdict is Verdict.DONE for _, answer in removed)
        assert not list(client.ids())
    config = FakeConfigServer()
    config.package = package_files(packages / "before")
    with running(config):
        yield VespaServer(front, config.url, 20), config


def package_files(package):
    return {
        str(path.relative_to(package)): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file()
    }


def fill(server, setting, packages):
    """Feed the corpus with the old encoder's vectors, as a running application has them."""
    with DocumentClient(server.url) as client:
        target = VespaTarget(client, read_application(packages / "before"))
        source = FeedSource(Corpus.open(setting.corpus), (setting.fingerprints[0],))
        assert feed(source, target).put == 80


def test_all_steps(setting, packages, server, tmp_path):
    where, config = server
    old, new = setting.fingerprints
    fill(where, setting, packages)
    folder = tmp_path / "swap"
    swap = start_on_vespa(where, setting.index, setting.corpus, setting.new, folder=folder)
    assert config.package == package_files(packages / "beside")
    found = swap.backfill()
    assert found.with_vector == 80
    with DocumentClient(where.url) as client:
        for fingerprint in (old, new):
            name = encoder_names(fingerprint).fingerprint
            assert len(set(client.ids(f'image.{name} == "{fingerprint}"'))) == 80
    assert swap.shadow().rows
    live = json.loads((folder / "live.json").read_text())
    assert live["shared_of_10"] == 10
    assert set(live["times"]) == {old[:8], new[:8]}
    swap.switch(force=True)
    assert config.package == package_files(packages / "switched")
    swap.rollback()
    assert config.package == package_files(packages / "beside")
    swap.switch(force=True)
    swap.finish()
    assert config.package == package_files(packages / "after")
    assert not folder.exists()


def start(where, setting, folder, **options):
    return start_on_vespa(
        where, setting.index, setting.corpus, setting.new, folder=folder, **options
    )


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("services.xml", "<nodes>", '<nodes><jvm options="-Xmx2g"/>', "-Xmx2g"),
        ("search/query-profiles/default.xml", ">10000<", ">500<", "maxHits"),
        ("schemas/image.sd", "rerank-count: 100", "rerank-count: 50", "ranks differently"),
    ],
)
def test_what_was_changed_by_hand_is_not_lost(
    setting, packages, server, tmp_path, file, old, new, said
):
    where, config = server
    changed = config.package[file].decode()
    assert old in changed
    config.package[file] = changed.replace(old, new, 1).encode()
    before = dict(config.package)
    with pytest.raises(SwapError, match=re.escape(said)):
        start(where, setting, tmp_path / "swap")
    assert config.package == before
    start(where, setting, tmp_path / "swap", force=True)
    assert config.package == package_files(packages / "beside")
