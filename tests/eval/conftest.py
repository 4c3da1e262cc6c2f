from __future__ import annotations

import numpy as np
import pytest
import torch

from encoders.images.preprocess import Preprocessing
from encoders.model.clip import ClipConfig, ClipModule, Encoder
from encoders.model.resnet import ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig
from eval.collection.pool import Pool
from eval.evaluate import Options, evaluate
from eval.search.targets import EmbeddedTarget
from ingest.corpus.corpus import write_corpus
from ingest.feed.documents import documents
from ingest.sources.phantoms import Phantoms
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.types import VectorField

CURVES = """\
step,epoch,loss,validation_mrr10
10,1,2.5,
20,1,1.5,0.2
30,2,1.1,
40,2,0.9,0.4
"""


def make_pool(rows, **changes):
    """A pool of (caption, group, concepts) rows, ids d00, d01, ..."""
    count = len(rows)
    columns = {
        "ids": tuple(f"d{row:02d}" for row in range(count)),
        "captions": tuple(caption for caption, _, _ in rows),
        "concepts": tuple(tuple(concepts) for _, _, concepts in rows),
        "concept_names": tuple(tuple(f"name {c}" for c in concepts) for _, _, concepts in rows),
        "groups": tuple(group for _, group, _ in rows),
        "group_kinds": tuple("case" if group else "none" for _, group, _ in rows),
        "modalities": ("",) * count,
        "asking": np.ones(count, bool),
        "has_vector": np.ones(count, bool),
        "split": "test",
    }
    return Pool(**{**columns, **changes})


@pytest.fixture
def pool():
    return make_pool(
        [
            ("Axial CT of the left lung", "A", ["lung", "ct"]),
            ("axial CT of the left lung.", "A", ["lung", "ct"]),
            ("Coronal CT of the same lung", "A", ["lung"]),
            ("Brain MRI", "B", ["brain"]),
            ("Sagittal brain MRI with a lesion", "B", ["brain", "lesion"]),
            ("?!", "", []),
            ("Chest radiograph with nodules seen", "", ["lung"]),
        ]
    )


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A corpus of 600 phantoms: 44 for validation, 111 for test."""
    return write_corpus(Phantoms(600, side=32), tmp_path_factory.mktemp("eval") / "corpus")


@pytest.fixture(scope="session")
def encoder(phantoms):
    """Untrained, seeded."""
    texts = phantoms.table(["caption"])["caption"].to_pylist()
    tokenizer = train_tokenizer(texts, vocabulary=500, max_tokens=32)
    config = ClipConfig(
        image=ResNetConfig(widths=(8, 16), blocks=(0, 1), groups=4),
        text=TextConfig(tokenizer.get_vocab_size(), context=32, width=16, heads=2),
        dimension=16,
        preprocessing=Preprocessing(size=32),
    )
    torch.manual_seed(0)
    return Encoder(ClipModule(config, tokenizer), CURVES)


@pytest.fixture(scope="session")
def engine(phantoms, encoder):
    embed_corpus(phantoms, encoder)
    manifest = encoder.manifest
    name = encoder_names(manifest.fingerprint).embedding
    return EmbeddedEngine.in_memory(
        documents(phantoms, manifest.fingerprint),
        [VectorField(name, manifest.dimension, manifest.fingerprint)],
    )


@pytest.fixture(scope="session")
def evaluation(engine, encoder, phantoms):
    return evaluate(
        EmbeddedTarget(engine), encoder, phantoms, Options(command="rocosearch eval ...")
    )
