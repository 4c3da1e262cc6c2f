"""What Vespa makes of an expression when it is deployed has the value that we give it here."""

from __future__ import annotations

import json
import random
import re

import pytest

from encoders.model.manifest import Manifest
from ranking.expressions import parser as expression_parser
from ranking.expressions.deployed import for_vespa
from ranking.expressions.expression import parse
from ranking.expressions.parser import parse_tree
from ranking.expressions.tree import _CONTENT_NODE_LEVEL, PRECEDENCE
from ranking.names import encoder_names
from ranking.profiles.shipped import Phase, Profile, ProfileSet
from vespa_app.package.options import PackageOptions
from vespa_app.package.package import write_application

COUNT, GLOBAL = 400, 60
MANIFEST = Manifest(4, True, 16, 32, "L", "pad", (0.5,), (0.5,), "00", "11", "{}")
EMBEDDING = encoder_names(MANIFEST.fingerprint).embedding
FUNCTIONS = {
    "words": "bm25(caption)",
    "picture": "closeness(field, embedding)",
    "often": "words > 2",
    "two": "2",
    "half": "1 / (1 + words)",
    "part": "if (often, 2, picture)",
    "sat(x, half)": "x / (x + half)",
}
READ = ("bm25(caption)", "closeness(field,embedding)")
DOCUMENTS = [(0.0, 0.5), (3.7, 0.81), (1.0, 1.0), (12.25, 0.34), (2.0, 0.0)]
NUMBERS = ["0", "1", "2", "3", "10", "0.5", "0.1", "0.25", "1e9", "true"]
VALUES = [*FUNCTIONS, "bm25(caption)", "query(k)", "query(k)"]
FIXED = """\
words - 2 - 3 ; words / 10 / 10 ; words % 5 % 3 ; 10 - words - 2 - 3 ; 100 / words / 2 / 5
max(words - 1 - 1, 0) ; words + 0.1 + 0.2 ; words * 0.1 * 3 ; 2 / 4 - 0.5 - 0.5 ; words > 2 > 1
1 - 2 * 3 - 4 - 5 - words ; words - 2 - picture - 3 - 4 ; words && picture ; words || picture
(words && picture) + 1 ; if (words && picture, 1, 2) ; !(words && picture) ; words in [0, 1, 2]
(words in [0, 1, 2]) + 1 ; if ((words in [1]) && picture > 0.5, 5, 1) ; often in [5] ; two in [2]
if (words > 1, often, words) in [3.7] ; 2 ^ picture ^ 2 ; 2 ^ bm25(caption) ; 2 ^ (words + 1)
0.5 < bm25(caption) ; 3 < words * picture ; 1 - words < 1 - picture ; 3 <= 1 * words ; 1 - 2 > words
3.7000000000000006 ~= words * 1 ; if (words > 1, 2, words) < words * picture ; two ^ (words + 1)
0 * (1 / (words - 1)) ; words / (1 - 1) * 0 ; 0 / words ; words - if (1, words - 2, picture)
words / if (2 > 1, words / 2, 3) ; -(-words) ; !(!words) ; -(!words) ; !(-words) ; 1e999 * words
max(words, 1 / 0) ; words == "ct" ; "ct" in ["ct"] ; words in ["ct", 1] ; -words ^ 2 ; 2 ^ 3 ^ words
words - if (if (1, true, two), 2, half) - 1 ; half ^ (words + 1)
half < picture * 1 ; part < picture - 1 ; part ^ picture
words - -(2 - 3) - 4 ; (2 > 1) * words < picture ; !2 + words ; isNan(0 / 0) ; words * (2 - 2)"""
WRITTEN = {
    "words - 2 - 3": "(words - 2) - 3",
    "words - 2 - picture - 3": "words - 2 - picture - 3",
    "1 - 2 - words": "1 - 2 - words",
    "words - 2 - picture - 3 - 4": "(words - 2 - picture - 3) - 4",
    "words / 10 / 10 * picture": "((words / 10) / 10) * picture",
    "a && b && c": "if (a && b && c, 1, 0)",
    "if (a && b > 1, a || b, 0)": "if (a && b > 1, if (a || b, 1, 0), 0)",
    "if (a in [1, 2], 5, 6)": "if (a == 1 || a == 2, 5, 6)",
    "(1 < a) in [5]": "(a > 1) == 1",
    "a ^ b ^ 2": "a ^ b ^ 2",
    "2 ^ a ^ 2": "pow(2,a ^ 2)",
    "0.5 <= a": "a >= 0.5",
    "1 - a < 1 - b": "(b < b) + (1 - a) < 1 - b",
    "0 * a": "abs(0) * a",
    "a - if (1, a - b, 2)": "a - (a - b)",
    "-(-a) + !(!a)": "a + ((a == 0) == 0)",
    "-1e999": "log(0)",
    'a == "ct"': "0",
    "normalize_linear(a) - 1": "normalize_linear(a) - 1",
}


def drawn(source: random.Random, depth: int = 3) -> str:
    """An expression in which constants meet, in chains of every level."""
    kind = source.choices(["chain", "if", "call", "unary", "in", "leaf"], [7, 1, 1, 1, 1, 3])[0]
    if depth == 0 or kind == "leaf":
        leaf = source.choice([source.choice(NUMBERS), source.choice(VALUES)])
        return leaf.replace("sat(x, half)", f"sat(words, {source.choice(NUMBERS)})")
    if kind == "chain":
        operators = source.choice([PRECEDENCE, "+-*/%^", "-/", ["&&", "||", ">", "<"]])
        parts = [drawn(source, source.choice([0, 0, depth - 1]))]
        for _ in range(source.randint(1, 4)):
            parts += [source.choice(operators), drawn(source, source.choice([0, 0, depth - 1]))]
        return source.choice(["{}", "({})"]).format(" ".join(parts))
    a, b, c = (drawn(source, depth - 1) for _ in range(3))
    return {
        "if": f"if ({a}, {b}, {c})",
        "call": source.choice([f"max({a}, {b})", f"fmod({a}, {b})", f"pow({a}, {b})", f"log({a})"]),
        "unary": source.choice(["-", "!"]) + f"({a})",
        "in": f"(({a}) in [{b}, {c}, {source.choice(NUMBERS)}])",
    }[kind]


def value(text, words, picture, functions=FUNCTIONS):
    features = dict(zip(READ, (words, picture), strict=True)) | {"query(k)": 7.0}
    return float(parse(text, functions).evaluate(features))


def same(ours, vespas):
    vespas = float(str(vespas).replace("Infinity", "inf"))
    return ours == pytest.approx(vespas, rel=1e-13, abs=1e-300, nan_ok=True)


@pytest.fixture(scope="module")
def texts():
    source = random.Random(11)
    fixed = [text for line in FIXED.splitlines() for text in line.split(" ; ")]
    return fixed + [drawn(source) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def application(texts, tmp_path_factory):
    """Every expression is a function; some are chosen from by query(n) in a global phase."""
    profile = Profile(
        name="p",
        retrieve=("text", "vector"),
        first_phase="bm25(caption)",
        functions=FUNCTIONS | {"here": "1"},
        inputs={"k": 7.0, "n": 0.0},
        global_phase=Phase("12345"),
        match_features=("here",),
    )
    path = tmp_path_factory.mktemp("deployed") / "app"
    profiles = ProfileSet((profile,), "p")
    write_application(path, MANIFEST, profiles, options=PackageOptions(embedding="client"))
    functions = FUNCTIONS | {"picture": f"closeness(field, {EMBEDDING})"}
    written = [for_vespa(text, functions) for text in texts]
    chosen = "0"
    for n in range(GLOBAL):
        chosen = f"if (query(n) == {n}, {written[n]}, {chosen})"
    (schema,) = (path / "schemas").glob("*.sd")
    content = schema.read_text("utf-8")
    many = "".join(f"function f{n}() {{ expression: {text} }}\n" for n, text in enumerate(written))
    content = content.replace("function here()", f"{many}function here()").replace("12345", chosen)
    names = " ".join(f"f{n}" for n in range(len(texts)))
    content = re.sub(r"(match-features \{\s*)here", rf"\1{names}", content)
    schema.write_text(content, "utf-8")
    return path


def given(words, picture):
    return {"bm25(caption)": words, f"closeness(field,{EMBEDDING})": picture}


def test_as_deployed_in_the_first_phase(kit, application, texts):
    lines = [
        {"function": f"f{n}", "features": given(*document)}
        for n in range(len(texts))
        for document in DOCUMENTS
    ]
    answers = iter(
        kit("expr", "--app", application, "--profile", "p", lines=map(json.dumps, lines))
    )
    faults = [
        (text, document, ours, answer.get("value", answer))
        for text in texts
        for document in DOCUMENTS
        for ours, answer in [(value(text, *document), next(answers))]
        if not (answer["ok"] and same(ours, answer["value"]))
    ]
    assert not faults


def test_as_deployed_in_the_global_phase(kit, application, texts):
    hits = [
        {"id": str(n), "relevance": 1.0, "matchfeatures": given(*document)}
        for n, document in enumerate(DOCUMENTS)
    ]
    numbers = range(GLOBAL)
    lines = [{"features": {"query(n)": n}, "hits": hits} for n in numbers]
    arguments = ["expr", "--app", application, "--profile", "p", "--phase", "global"]
    for n, answer in zip(numbers, kit(*arguments, lines=map(json.dumps, lines)), strict=True):
        assert answer["ok"], (texts[n], answer)
        for hit in answer["hits"]:
            ours = value(texts[n], *DOCUMENTS[int(hit["id"])])
            assert same(ours, hit["relevance"]), texts[n]


def test_as_the_content_nodes_read_it(kit, application, texts, monkeypatch):
    """Vespa's config, read with the content nodes' levels, and computed by us."""
    (answer,) = kit.validate(application)
    assert answer["ok"], answer.get("error")
    (schema,) = answer["schemas"].values()
    (written,) = (dict(p) for name, p in schema["rank-profiles"].items() if name.startswith("p_"))
    wanted = [[value(text, *document) for document in DOCUMENTS] for text in texts]
    parse_tree.cache_clear()
    monkeypatch.setattr(expression_parser, "LEVEL", _CONTENT_NODE_LEVEL)
    try:
        for n, (text, values) in enumerate(zip(texts, wanted, strict=True)):
            script = written[f"rankingExpression(f{n}).rankingScript"].replace(
                EMBEDDING, "embedding"
            )
            script = re.sub(r"rankingExpression\((\w+)\)", r"\1", script)
            found = [value(script, *document) for document in DOCUMENTS]
            assert all(map(same, found, values)), (text, script, found, values)
    finally:
        parse_tree.cache_clear()


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written(text):
    assert for_vespa(text, {}) == WRITTEN[text]
