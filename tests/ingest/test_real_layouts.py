"""The real data sets where they are at hand: counts and ids only."""

from __future__ import annotations

import pytest

from ingest.corpus import write_corpus
from ingest.sources import open_source

EXPECTED = {
    "roco": {
        "records": 8179,
        "images": 0,
        "groups": 7404,
        "splits": {"test": 8179},
        "ids": ("ROCO_00001", "ROCO_40884", "ROCO_81798"),
        "format": "roco",
    },
    "imageclef": {
        "records": 2202,
        "images": 2202,
        "groups": 2202,
        "splits": {"test": 159, "train": 1823, "validation": 220},
        "ids": ("radiology_train_000000", "radiology_train_001101", "radiology_train_002201"),
        "format": "imageclef",
    },
    "medpix": {
        "records": 1844,
        "images": 1844,
        "groups": 599,
        "splits": {"train": 1648, "validation": 196},
        "ids": ("MPX1012_synpic22949", "MPX1957_synpic41671", "MPX2607_synpic52590"),
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
    assert (ids[0], ids[len(ids) // 2], ids[-1]) == expected["ids"]
