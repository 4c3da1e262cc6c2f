"""Tokens and stems against Vespa's own code: its golden records, and live where the kit runs."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st

from ranking.text.tokens import query_terms, tokenize

ODD = [
    "T2-weighted images, 5° and 2.28 cm",
    "patient's O'Neil C2- -C6 foo_bar __x__",
    "é ète\u0327 Imágenes cafés naïve's",
    "ΑΣΑΣ ΣΊΣΥΦΟΣ µm μm",
    "胸部X線写真 胸部 X線",
    "😀😀 a😀b",
    "İstanbul ISTANBUL ıI Straße ẞ ﬁbres Ǆ ŉ",
    "½ a½ 1½ x²y m³ ①② Ⅳ ２２ ＡＢ 𝐀𝐁",
    "a\u200bb a\u00adb \u0301 x a\ufe0fb ab\u20dd",
    "x" * 60 + " " + "images" * 9 + " " + "running" * 7,
    "000 05 12 1e5 -5 1,234.5",
]
LIMITS = [
    f"ct {'x' * 1000} a",
    f"ct {'x' * 1001} a",
    f"b {'é' * 1001} c",
    f"{'ﬁ' * 501} {'𐐨' * 501} {'𐐨' * 500} {'é' * 501}",
    "the The thé " * 4000 + "ct",
]
# What only the stemmer's C++ program knows; some with endings that no dictionary has.
UNKNOWN_TO_JAVA = (
    "crises appendices clonic clonically syntheses cations boric formic bowstrings midwives "
    "flatbed bootstrapping defocus basally later laters laterization kelly grizzlier botflies "
    "wolves testes theses fiances lioness agribusinesses activism bal hals mally ral sal "
    "basalt lateral wolf cursory formica relate"
)


def lines_of(path):
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


def english_index_records(path):
    for line in lines_of(path):
        record = json.loads(line)
        wanted = ("index", "en", "best", "opennlp")
        keys = ("mode", "language", "stemming", "linguistics")
        if record["ok"] and tuple(record[key] for key in keys) == wanted:
            yield record


def test_every_golden_token(kit_golden):
    records = list(english_index_records(kit_golden / "tokens.jsonl"))
    assert len(records) > 400
    for record in records:
        assert tokenize(record["text"]) == record["tokens"], record["text"]


def test_every_golden_stem(kit_golden):
    words = [json.loads(line) for line in lines_of(kit_golden / "stems.jsonl")]
    assert len(words) == 10_738
    assert [w["word"] for w in words if tokenize(w["word"]) != [w["stem"]]] == []


def live_tokens(kit, texts, **options):
    return kit("tokens", lines=[json.dumps({"text": text, **options}) for text in texts])


def test_live_tokens_of_odd_text(kit):
    ranges = [(0x20, 0x250), (0x370, 0x500), (0x1E00, 0x2190), (0x2460, 0x2500), (0x3040, 0x30F0)]
    pool = [chr(c) for low, high in ranges for c in range(low, high)] + list("aeinrst  ") * 40
    pool += [c for c in "́̈҃ͅ" for _ in range(30)]
    # A final sigma before a character that is no letter: Java and Python differ (docs/text.md).
    pool = [c for c in pool if c not in "ΣϹ"]
    generator = random.Random(5)
    texts = ODD + ["".join(generator.choices(pool, k=40)) for _ in range(1500)]
    for text, answer in zip(texts, live_tokens(kit, texts), strict=True):
        assert answer["ok"], answer
        assert tokenize(text) == answer["tokens"], ascii(text)


def test_live_tokens_at_the_limits_of_the_indexer(kit):
    for text, answer in zip(LIMITS, live_tokens(kit, LIMITS), strict=True):
        assert tokenize(text) == answer["tokens"], ascii(text[:20])


def test_live_stems_of_words_that_only_the_cpp_program_knows(kit):
    (answer,) = live_tokens(kit, [UNKNOWN_TO_JAVA])
    assert tokenize(UNKNOWN_TO_JAVA) == answer["tokens"]


def test_words_that_only_the_cpp_program_knows():
    words = "crises crisis clonic cations midwives basally laters botflies mal wolves basalt"
    stems = "crise crisis clone cat midwive base late botf mal wolve basalt"
    assert tokenize(words) == stems.split()


def test_limits_of_the_indexer():
    assert tokenize(f"a {'x' * 1000} {'y' * 1001} b") == ["a", "x" * 1000, "b"]
    assert tokenize("the " * 12_000 + "ct") == ["the"] * 10_000 + ["ct"]


def test_live_query_terms_of_plain_words(kit):
    texts = [t for t in ODD if "½" not in t and "\u0301 " not in t]
    options = {"mode": "query", "type": "linguistics"}
    for text, answer in zip(texts, live_tokens(kit, texts, **options), strict=True):
        numbers = [str(int(t)) if t.isdecimal() else t for t in answer["tokens"]]
        assert query_terms(text) == numbers, ascii(text)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("4,000/90 ms", ["4", "0", "90", "ms"]),
        ("05 007", ["5", "7"]),
        ("½ cm", ["1", "2", "cm"]),
        ("٣٤", ["34"]),
        ("9223372036854775807", ["9223372036854775807.0"]),
        ("1" * 5000, ["1" * 5000 + ".0"]),
        ("+must -not caption:x", ["must", "not", "caption", "x"]),
        (">5 [1;3] chest*", ["5", "1", "3", "chest"]),
        ("", []),
        ("..., -", []),
    ],
)
def test_query_terms(text, terms):
    assert query_terms(text) == terms


@settings(deadline=None)
@given(st.text())
def test_tokens_are_never_empty_and_never_an_error(text):
    assert all(tokenize(text))
    query_terms(text)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_takes_the_short_way_to_the_same_tokens(text):
    assert tokenize(text + " é")[:-1] == tokenize(text)


def test_without_the_stemmer_one_sentence_says_what_to_install():
    code = (
        "import sys; sys.modules['krovetzstemmer'] = None\n"
        "from encoders.base.errors import UserError\n"
        "try:\n    import ranking.text.tokens\n"
        "except UserError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "C++ compiler" in done.stdout
