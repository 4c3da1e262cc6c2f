"""Strings that try to be more than words, put to Vespa's own query parser.

    python benchmarks/fuzz_queries.py ../shared/vespa-check/vespa-check APP --texts 5000

APP: an application package (`rocosearch app`). Every text is sent in five kinds of query, where
a person's words may stand: as text, as a filter's value, as an excluded id, to embed(), and as a
text with operators, which may have those alone that `ranking.text.query_syntax` reads in it. Counts
queries refused, and trees whose shape is not that of the kind; exits 1 where there are any.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from ranking.text.query_syntax import read
from ranking.types import Filter, Query, QueryError
from tests.live.kit import Kit
from vespa_app.query.query import search_request
from vespa_app.query.text import QueryText
from vespa_app.read.application import Application, read_application

PIECES = (
    *'"\'\\()[]{}<>;:,.@#$%^&*!?|~`+-=_/\n\t\r\x00\x1f\x7f\x85\u2028\ufeff\u200b\u202e',
    *"½¾⅐⅟①Ⅷ²₃٣༳፩൰𐄇㊗℃µſıİßﬁǻ️💀🩻胸部คำ\ud800\udfff\uffff",
    "chest", "CT", "x-ray", "T2-weighted", "2.28 cm", "C2- -C6", "000", "05", "1e400", "NaN",
    "999999999999999999999", "9223372036854775807", "0x1F", "-1", ">5", "[1;3]", "<7", "5..7",
    "caption:x", "id:", "default:", "+must", "-not", '"a phrase"', "chest*", "*a*", "a^200!",
    "OR", "AND", "NOT", "ANDNOT", "RANK", "weakAnd(a, b)", "NEAR", "ONEAR", "EQUIV", "WAND",
    " or true", ") or true", '") or true or ("', "; select * from image where true", "@text",
    "@v0", "@nosuch", "${text}", "{targetHits: 1}", "({ranked: false}", "userInput(@text)",
    "nearestNeighbor(embedding, q)", "sddocname contains 'x'", "| all(group(id) each())",
    "order by id", "limit 0", "timeout 1", "/* */", "--", "%00", "&hits=0", "\\u0000", "\\n",
    "embed(clip, @text)", "<script>", "../../etc/passwd", "a" * 300, "ab " * 200, "é" * 50,
)  # fmt: skip


def hostile(count: int, seed: int) -> Iterator[str]:
    """Each piece by itself, then `count` random mixtures of them and of any characters."""
    yield from PIECES
    chosen = random.Random(seed)
    for _ in range(count):
        parts = chosen.choices(PIECES, k=chosen.randint(1, 8))
        if chosen.random() < 0.3:
            parts += [chr(chosen.randrange(0x110000)) for _ in range(5)]
        chosen.shuffle(parts)
        yield chosen.choice(("", " ")).join(parts)


SHAPES = (
    "TEXT",
    "WEAK",
    "modality OR modality AND NEAR OR TEXT AND ! concepts OR id",
    "NEAR",
    "modality OR modality AND NEAR AND ! concepts OR id",
)
"""What `shape` must give for the kinds of `queries`, whatever the text; last: the third kind
where the text holds no word."""


def queries(text: str, dimension: int) -> Iterator[Query]:
    """One query of each kind that carries `text` wherever a person's words may go."""
    vector = np.eye(dimension, dtype=np.float32)[0]
    yield Query(text, profile="lexical", timeout=60)
    yield Query(text, profile="lexical", matching="weakAnd", timeout=60)
    filters = (Filter("modality", (text, "ct")), Filter("concepts", (text,), exclude=True))
    yield Query(text, vector, filters=filters, exclude_ids=frozenset({text + "1"}), timeout=60)
    yield Query(text, profile="vector", timeout=60)
    yield Query(text, profile="lexical", operators=True, timeout=60)


def request(query: Query, application: Application) -> str | None:
    """The line for the kit; None where nothing is sent."""
    try:
        found = search_request(query, application, hits=10)
    except QueryError:  # empty
        return None
    return None if found.body is None else json.dumps(found.body)


_STRING = r'"(?:[^"\\]|\\.)*"'
_TERM = re.compile(rf"default (?:contains|=) (?:\(\{{[^}}]*\}}(?:{_STRING}|[^()\"]*)\)|{_STRING})")
_VALUE = re.compile(rf"(id|modality|concepts) contains \(\{{[^}}]*\}}{_STRING}\)")
_NEAREST = re.compile(r"\{[^}]*\}nearestNeighbor\(embedding_\w{8}, q_\w{8}\)")
_WEAK = re.compile(r"\(?\{targetHits: 100\}weakAnd\((T(?:, T)*)\)\)?")


def shape(yql: str) -> tuple[str, int]:
    """Vespa's own rendering of the query tree, words and values taken out; and how many words."""
    where = yql.split(" where ", 1)[1]
    where = _VALUE.sub(r"\1", _TERM.sub("T", where))
    where = _NEAREST.sub("NEAR", where)
    words = len(re.findall(r"\bT\b", where))
    where = _WEAK.sub("WEAK", where)
    where = re.sub(r"T(?: OR T)*", "TEXT", where)
    return re.sub(r"[()\s]+", " ", where).strip(), words


_ONE = rf"\(\{{[^}}]*\}}(?:{_STRING}|[^()\"]*)\)"
_LEAF = re.compile(rf"(\w+) (?:contains|=) (?:(\(\{{[^}}]*\}}phrase\((.*?)\)\))|{_ONE})")


def operators_shape(yql: str) -> str:
    """The rendered tree of a text with operators: T ranked, M unranked, P3 a phrase of three."""

    def leaf(found: re.Match[str]) -> str:
        if found[1] != "caption":
            return found[1]
        if found[2]:
            return f"P{len(re.findall(_ONE, found[0]))}"
        return "M" if "ranked: false" in found[0].partition("}")[0] else "T"

    where = yql.split(" where ", 1)[1]
    phrases = re.sub(rf"\(\{{[^}}]*\}}phrase\(({_ONE}(?:, {_ONE})*)\)\)", _phrase, where)
    return re.sub(r"[()\s]+", " ", _LEAF.sub(leaf, phrases)).strip()


def _phrase(found: re.Match[str]) -> str:
    """A leaf with as many words, which `_LEAF` can tell from others."""
    return "({}phrase(" + ", ".join(["({}w)"] * len(re.findall(_ONE, found[1]))) + "))"


def shape_of(line: str, yql: str) -> str:
    """The shape of the tree that was made of `line`."""
    return operators_shape(yql) if "implicitTransforms" in line else shape(yql)[0]


def operators_meant(text: str) -> str:
    """The shape that the text has by `ranking.text.query_syntax`."""
    asked = read(QueryText.of(text).words)
    must, barred = ([_name(p) for p in phrases] for phrases in (asked.must, asked.must_not))
    wanted = [f.field for f in asked.filters if not f.exclude]
    excluded = [f.field for f in asked.filters if f.exclude]
    found = " AND ".join([" OR ".join("T" * len(asked.terms)), *must, *wanted])
    return found + (f" AND ! {' OR '.join(excluded + barred)}" if excluded + barred else "")


def _name(phrase: tuple[str, ...]) -> str:
    return "M" if len(phrase) == 1 else f"P{len(phrase)}"


def requests(texts: Iterator[str], application: Application) -> Iterator[tuple[str, str, str]]:
    """Yield (shape that is meant, text, line for the kit)."""
    dimension = application.encoders[0].field.dimension
    for text in texts:
        for kind, query in enumerate(queries(text, dimension)):
            line = request(query, application)
            if line is None:
                continue
            if query.operators:
                yield operators_meant(text), text, line
            else:
                without_words = kind == 2 and "text" not in json.loads(line)
                yield SHAPES[4 if without_words else kind], text, line


def main() -> int:
    """Run the fuzz and print its counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kit", type=Path)
    parser.add_argument("app", type=Path)
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    asked = list(requests(hostile(given.texts, given.seed), read_application(given.app)))
    started = time.perf_counter()
    with closing(Kit(given.kit)) as kit:
        answers = kit("yql", given.app, lines=(line for _, _, line in asked))
    found: Counter[str] = Counter()
    for (meant, text, line), answer in zip(asked, answers, strict=True):
        right = answer["ok"] and shape_of(line, answer["yql"]) == meant
        found["as meant" if right else "changed" if answer["ok"] else "refused"] += 1
        if not right:
            print(json.dumps({"meant": meant, "text": text, "answer": answer}))
    seconds = time.perf_counter() - started
    print(f"{len(asked)} queries from {given.texts} random texts: {dict(found)}, {seconds:.0f} s")
    return int(found["as meant"] != len(asked))


if __name__ == "__main__":
    sys.exit(main())
