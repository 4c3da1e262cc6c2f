"""An index of the corpus as it was before is not evaluated by the corpus as it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.collection.runs import EvaluationError
from eval.evaluate import Options, evaluate
from eval.search.targets import EmbeddedTarget
from eval.tuning.tuning import TuningOptions, tune
from ranking.engine.engine import EmbeddedEngine

OPTIONS = Options(protocols=("image-to-image",), profiles=("vector",), split="validation")


def changed(engine, change, only=lambda document: True):
    """The index with some of its documents changed."""
    held = [engine.get(name) for name in engine.ids()]
    return EmbeddedEngine.in_memory(
        [change(d) if only(d) else d for d in held], engine.info().vector_fields, engine.profiles
    )


def other_image(document):
    return replace(document, vectors={name: -v for name, v in document.vectors.items()})


def other_caption(document):
    return replace(document, caption="an older caption")


@pytest.mark.parametrize(("change", "part"), [(other_caption, "caption"), (other_image, "image")])
def test_one_document_that_differs_is_named(engine, encoder, phantoms, change, part):
    name = next(record.id for record in phantoms.records("validation"))
    old = changed(engine, change, lambda document: document.id == name)
    told = rf"^1 of 44 compared documents.*first: the {part} of '{name}'.*Index it again"
    with pytest.raises(EvaluationError, match=told):
        evaluate(EmbeddedTarget(old), encoder, phantoms, OPTIONS)
    with pytest.raises(EvaluationError, match=told):
        tune(old, encoder, phantoms, TuningOptions())


def test_vectors_of_fewer_bits_are_the_same_images(engine, encoder, phantoms):
    def rounded(document):
        vectors = {n: np.round(64 * v).astype(np.float32) / 64 for n, v in document.vectors.items()}
        return replace(document, vectors=vectors)

    target = EmbeddedTarget(changed(engine, rounded))
    (note,) = evaluate(target, encoder, phantoms, OPTIONS).notes
    assert note.startswith("Overlap with training unknown")


def test_documents_of_another_corpus_are_counted(engine, encoder, phantoms):
    more = [replace(engine.get(next(engine.ids())), id="of another corpus")]
    both = EmbeddedEngine.in_memory(
        [*map(engine.get, engine.ids()), *more], engine.info().vector_fields, engine.profiles
    )
    assert evaluate(EmbeddedTarget(both), encoder, phantoms, OPTIONS).pool.notes == (
        "1 documents of the index are not in the corpus.",
    )
