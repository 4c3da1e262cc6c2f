"""What is done to a disk while the power may be cut, and what must then be found there.

    python tests/power/workloads.py NAME ROOT [SEED]

Each workload is a list of steps; a step that has returned is acknowledged by `acknowledge`. Seeds
give the index other steps.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.base.errors import UserError
from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import Record
from ingest.feed.documents import documents
from ingest.feed.feed import FeedSource, feed, held_hashes, ledger_path
from ingest.feed.ledger import Known, Ledger
from ingest.feed.targets import EngineTarget
from ingest.sources.pseudonyms import Pseudonyms
from ingest.vectors.embed import embed_corpus, read_embeddings
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.types import Document, EngineError, Query, VectorField
from tests.ingest.conftest import PixelEncoder, Rows, png_bytes
from tests.power.trace import ACK

__all__ = [
    "PREPARED",
    "WORKLOADS",
    "IndexExpectation",
    "check_beside",
    "check_feed",
    "check_index",
    "check_swap",
]

FIELD = VectorField("v", 4, "f")
WORDS = ("chest", "lung", "knee", "ct", "left")


def acknowledge(step: int) -> None:
    with suppress(OSError):
        Path(f"{ACK}{step}").mkdir()


# --- an index: built, fed, changed, merged, built again -----------------------------------------


def document(number: int, version: int = 0) -> Document:
    rng = np.random.default_rng([number, version])
    words = rng.choice(WORDS, 3)
    vector = rng.normal(size=4).astype(np.float32)
    return Document(
        f"d{number:02}", " ".join(words), {"v": vector / np.linalg.norm(vector)}, modality="CT"
    )


def _build(path: Path, numbers: range, version: int) -> None:
    EmbeddedEngine.build(path, [document(n, version) for n in numbers], [FIELD])


def _feed(path: Path, numbers: range, version: int) -> None:
    assert not EmbeddedEngine.open(path).feed(document(n, version) for n in numbers).failed


def _update(path: Path, numbers: range, version: int) -> None:
    changed = [Document(f"d{n:02}", vectors=document(n, version).vectors) for n in numbers]
    assert not EmbeddedEngine.open(path).update(changed).failed


def _remove(path: Path, numbers: range, _: int) -> None:
    assert EmbeddedEngine.open(path).remove(f"d{n:02}" for n in numbers) == len(numbers)


Step = tuple[Callable[[Path, range, int], None], range, int]
STEPS: list[Step] = [
    (_build, range(12), 0),
    (_feed, range(10, 16), 1),
    (_update, range(3), 2),
    (_remove, range(8, 11), 0),
    *((_feed, range(20 + n, 22 + n), 3) for n in range(6)),
    (_build, range(5, 9), 4),
    (_feed, range(8, 10), 5),
]


def steps(seed: int) -> list[Step]:
    """STEPS, or as many drawn with another seed than 0."""
    if not seed:
        return STEPS
    chosen = random.Random(seed)
    found: list[Step] = [(_build, range(chosen.randint(0, 8), 12), 0)]
    held = set(found[0][1])
    for version in range(1, len(STEPS)):
        change = chosen.choices((_build, _feed, _update, _remove), (1, 5, 3, 3))[0]
        start = chosen.choice(sorted(held)) if held else 0
        numbers = range(start, start + chosen.randint(1, 4))
        if change in {_update, _remove} and not held.issuperset(numbers):
            change = _feed
        held = {*numbers} if change is _build else held | {*numbers}
        held -= {*numbers} if change is _remove else set()
        found.append((change, numbers, version))
    return found


def index(root: Path, seed: int = 0) -> None:
    for step, (change, numbers, version) in enumerate(steps(seed), 1):
        change(root / "index", numbers, version)
        acknowledge(step)


def _states(seed: int) -> list[dict[str, Document]]:
    """What the index holds after each step; nothing before the first."""
    states: list[dict[str, Document]] = [{}]
    for change, numbers, version in steps(seed):
        held = {} if change is _build else dict(states[-1])
        for each in (document(n, version) for n in numbers):
            if change is _remove:
                del held[each.id]
            elif change is _update:
                held[each.id] = replace(held[each.id], vectors=each.vectors)
            else:
                held[each.id] = each
        states.append(held)
    return states


QUERIES = [
    Query("chest lung", np.eye(4, dtype=np.float32)[0], profile="hybrid", k=50),
    Query("ct left", profile="lexical", k=50),
    Query("", np.eye(4, dtype=np.float32)[2], profile="vector", k=50),
]


def answers(engine: EmbeddedEngine) -> list[tuple[tuple[str, ...], bytes]]:
    found = engine.search_many(QUERIES)
    return [(each.ids, np.round(each.scores, 9).tobytes()) for each in found]


def _exactly(held: dict[str, Document]) -> list[tuple[tuple[str, ...], bytes]]:
    return answers(EmbeddedEngine.in_memory(held.values(), [FIELD], route="exact"))


class IndexExpectation:
    """What the workload `index` may leave, computed once."""

    def __init__(self, seed: int = 0) -> None:
        self.states = _states(seed)
        self.answers = [_exactly(held) for held in self.states]

    def check(self, root: Path, acknowledged: int) -> str:
        """Say what is wrong; "" where nothing is."""
        try:
            engine = EmbeddedEngine.open(root / "index")
        except EngineError as error:
            return f"refused: {error}" if acknowledged else ""
        held = {each: _parts(engine.get(each)) for each in engine.ids()}
        for step in (acknowledged, acknowledged + 1):
            if step and step < len(self.states):
                expected = {name: _parts(each) for name, each in self.states[step].items()}
                if held == expected:
                    return "" if answers(engine) == self.answers[step] else "wrong answers"
        return f"lost: {sorted(held)} after step {acknowledged}"


def check_index(expected: IndexExpectation, root: Path, acknowledged: int, further: bool) -> str:
    """further: the next command works as well, and clears what was left."""
    told = expected.check(root, acknowledged)
    if told or not further:
        return told
    if not acknowledged:
        _build(root / "index", range(2), 9)
    else:
        before = set(EmbeddedEngine.open(root / "index").ids())
        _feed(root / "index", range(90, 91), 9)
        if set(EmbeddedEngine.open(root / "index").ids()) != before | {"d90"}:
            return "the next feed went wrong"
    left = [path.name for path in (root / "index").iterdir()]
    return "" if sorted(left) == ["CURRENT", "LOCK", "generations", "segments"] else f"left: {left}"


def _parts(each: Document | None) -> object:
    assert each is not None
    return each.caption, {name: vector.tobytes() for name, vector in each.vectors.items()}


# --- a corpus written anew, embedded, and fed through a ledger ----------------------------------

ENCODER = PixelEncoder()
FINGERPRINT = ENCODER.manifest.fingerprint
VERSIONS = [
    {f"r{n}": f"caption {n}" for n in range(8)},
    {f"r{n}": f"caption {n}{' changed' * (n % 3 == 0)}" for n in range(2, 10)},
    {f"r{n}": f"caption {n}" for n in range(8)},
]


def _write(root: Path, version: int) -> Corpus:
    records = [
        Record(name, caption, image=png_bytes(9 * int(name[1:]) + (version == 1), side=6))
        for name, caption in VERSIONS[version].items()
    ]
    corpus = write_corpus(Rows(records), root / "corpus")
    embed_corpus(corpus, ENCODER)  # type: ignore[arg-type]
    return corpus


def _target(root: Path) -> EngineTarget:
    name = encoder_names(FINGERPRINT).embedding
    field = VectorField(name, ENCODER.manifest.dimension, FINGERPRINT)
    try:
        engine = EmbeddedEngine.open(root / "index")
    except EngineError:
        engine = EmbeddedEngine.build(root / "index", [], [field])
    return EngineTarget(engine, "index")


def _feed_all(root: Path, corpus: Corpus) -> EngineTarget:
    target = _target(root)
    assert not feed(FeedSource(corpus, (FINGERPRINT,), delete=True), target).refused
    return target


def fed(root: Path) -> None:
    for version in range(len(VERSIONS)):
        corpus = _write(root, version)
        acknowledge(2 * version + 1)
        _feed_all(root, corpus)
        acknowledge(2 * version + 2)


def check_feed(root: Path, acknowledged: int) -> str:
    """The corpus is one of the versions, the ledger knows at most too little, feeding mends."""
    try:
        corpus = Corpus.open(root / "corpus")
    except Exception as error:  # noqa: BLE001 - any refusal is told
        if acknowledged:
            return f"refused: {error}"
        corpus = _write(root, 0)
    held = dict(zip(*corpus.table(["id", "caption"]).to_pydict().values(), strict=True))
    if held not in VERSIONS[max(0, (acknowledged - 1) // 2) :][:2]:
        return f"lost: {held} after step {acknowledged}"
    embed_corpus(corpus, ENCODER)  # type: ignore[arg-type]
    if len(read_embeddings(corpus, FINGERPRINT)[0]) != len(held):
        return "vectors are missing"
    target = _target(root)
    inside = {identifier: Known(*rest) for identifier, *rest in held_hashes(target)}
    with Ledger(ledger_path(corpus, target), target.name, target.content) as ledger:
        known = ledger.known(sorted({*inside, *(name for each in VERSIONS for name in each)}))
    if any(inside.get(name) != each for name, each in known.items()):
        return "the ledger knows too much"
    engine = _feed_all(root, corpus).engine
    wanted = {each.id: _parts(each) for each in documents(corpus, (FINGERPRINT,))}
    if {name: _parts(engine.get(name)) for name in engine.ids()} != wanted:
        return "feeding again did not mend it"
    return ""


# --- another encoder, and back, and again -------------------------------------------------------


def prepare_swap(root: Path) -> None:
    from rocosearch.pipeline import build_corpus, build_index  # noqa: PLC0415 - slow to load
    from tests.power.encoder import make_encoder  # noqa: PLC0415

    for seed in range(2):
        make_encoder(root / f"encoder{seed}", seed, 16)
    build_corpus("phantoms:30", root / "corpus")
    build_index(root / "corpus", root / "index", encoder=root / "encoder0")


SWAP_STEPS = ("start", "backfill", "switch", "rollback", "switch", "finish")
IN_USE = (0, 0, 0, 1, 0, 1, 1)  # which encoder, after so many steps


def swap(root: Path) -> None:
    from rocosearch.swap import open_swap, start_on_index  # noqa: PLC0415

    for step, name in enumerate(SWAP_STEPS, 1):
        if name == "start":
            start_on_index(root / "index", root / "corpus", root / "encoder1")
        else:
            further = {"force": True} if name == "switch" else {}
            getattr(open_swap(root / "index.swap"), name)(**further)
        acknowledge(step)


def check_swap(root: Path, acknowledged: int) -> str:
    """One of the two indexes is in its place, whole."""
    try:
        engine = EmbeddedEngine.open(root / "index")
        fields = engine.info().vector_fields
        held = [engine.get(each) for each in engine.ids()]
    except EngineError as error:
        return f"refused: {error}"
    expected = {Manifest.load(root / f"encoder{n}").fingerprint for n in IN_USE[acknowledged:][:2]}
    if {each.fingerprint for each in fields} - expected:
        return "another encoder than was switched to"
    with_vector = sum(bool(each.vectors) for each in held if each)
    return "" if len(held) == with_vector == 30 else f"lost: {len(held)}, {with_vector}"


# --- what stands beside a corpus: the key of its pseudonyms, judgements of the page --------------

JUDGED = 6


def beside(root: Path) -> None:
    from rocosearch.page.judgements import Judgement, Judgements  # noqa: PLC0415

    Pseudonyms.at(root / "key", made=True)
    acknowledge(1)
    for number in range(JUDGED):
        Judgements(root / "j").add(Judgement(f"query {number}", f"d{number}", number % 4))
        acknowledge(number + 2)


def check_beside(root: Path, acknowledged: int) -> str:
    """The key is whole; what was confirmed counts, and the next judgement does."""
    from rocosearch.page.judgements import Judgement, Judgements  # noqa: PLC0415

    if (root / "key").exists():
        (root / "key").chmod(0o600)  # the images have no modes
    try:
        Pseudonyms.at(root / "key", made=not acknowledged)
        held = [each.query for each in Judgements(root / "j").last()]
        Judgements(root / "j").add(Judgement("another", "d", 1))
        after = [each.query for each in Judgements(root / "j").last()]
    except UserError as error:
        return f"refused: {error}"
    right = [f"query {number}" for number in range(JUDGED)]
    expected = (right[: max(0, acknowledged - 1)], right[:acknowledged])
    return "" if held in expected and after == [*held, "another"] else f"lost: {held}"


WORKLOADS = {"index": index, "fed": fed, "swap": swap, "beside": beside}
PREPARED = {"swap": prepare_swap}

if __name__ == "__main__":
    WORKLOADS[sys.argv[1]](Path(sys.argv[2]), *map(int, sys.argv[3:]))
