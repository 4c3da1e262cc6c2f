"""The real data sets where they are at hand: counts and ids only."""

from __future__ import annotations

import pytest

from encoders.base.storage import sha256_bytes
from ingest.corpus.corpus import write_corpus
from ingest.sources import open_source

EXPECTED = {
    "roco": {
        "records": 8179,
        "images": 0,
        "groups": 7404,
        "splits": {"test": 8179},
        "ids": "a0fb7d4d732c4ac2",
        "format": "roco",
    },
    "imageclef": {
        "records": 2202,
        "images": 2202,
        "groups": 2202,
        "splits": {"test": 159, "train": 1823, "validation": 220},
        "ids": "7d63f75076d028e3",
        "format": "imageclef",
    },
    "medpix": {
        "records": 1844,
        "images": 1844,
        "groups": 599,
        "splits": {"train": 1648, "validation": 196},
        "ids": "d08ac508ca71b583",
        "format": "imagefolder",
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real(name, shared_data, tmp_path):
    expected = EXPECTED[name]
    source = open_source(shared_data / name)
    corpus = write_corpus(source, tmp_path / name)
    manifest = corpus.manifest
    assert source.format == expected["format"]
    assert (manifest.records, manifest.images) == (expected["records"], expected["images"])
    assert manifest.groups == expected["groups"]
    assert manifest.splits == expected["splits"]
    assert manifest.rejected == {}
    assert manifest.groups_across_splits == 0
    ids = corpus.table(["id"])["id"].to_pylist()
    chosen = " ".join((ids[0], ids[len(ids) // 2], ids[-1]))
    assert sha256_bytes(chosen.encode())[:16] == expected["ids"]
