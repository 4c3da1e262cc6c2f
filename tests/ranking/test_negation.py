"""Negated words: single cases, laws, and the figures on sentences marked by hand.

negation_marked.json: 300 sentences of ROCO's test captions, drawn by chance, 230 of them with a
word that may negate: caption id, where the sentence stands, and the spans in it of what is said to
be absent, without place and time. Marked by reading, before the rules had seen them; no text.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from ranking.text.negation import negated_spans, split_negated

MARKED = Path(__file__).with_name("negation_marked.json")
WORD = re.compile(r"[^\W_]+(?:['’\-‐‑/][^\W_]+)*")
LITTLE = frozenset({"of", "the", "a", "an", "or", "and", "any", "in", "on", "to", "for"})
PIECES = [
    "no",
    "not",
    "without",
    "or",
    "and",
    ",",
    ".",
    "; (",
    ") of",
    "the",
    "in",
    "seen",
    "was",
    "5",
]


def negated(text: str) -> list[str]:
    return [text[start:end] for start, end in negated_spans(text)]


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("CT with no evidence of effusion.", ["effusion"]),
        ("No mass, big node or effusion in the lung.", ["mass", "big node", "effusion"]),
        ("Fracture without dislocation and with callus.", ["dislocation"]),
        ("A fracture was not seen on the radiograph.", ["fracture"]),
        ("In the venous phase the splenic artery is no longer visible.", ["splenic artery"]),
        ("The stalk is not interrupted.", ["interrupted"]),
        ("It did not reveal any fracture, but a cyst.", ["fracture"]),
        ("CT without contrast of the head.", ["contrast"]),
        ("Absence of right kidney and drainage of the left vein into the cava.", ["right kidney"]),
        ("There was neither a lesion in the stomach.", ["lesion"]),
        ("No visible mass.", ["visible mass"]),
        # These look like a negation and are none.
        ("A malignancy cannot be ruled out.", []),
        ("CT with and without contrast.", []),
        ("Case No. 5", []),
        ("Balloon no 26", []),
        ("A left effusion (not shown).", []),
        ("Non-contrast CT.", []),
        ("No significant change.", []),
        ("", []),
    ],
)  # fmt: skip
def test_what_is_absent(text: str, absent: list[str]) -> None:
    assert negated(text) == absent


@given(
    st.lists(
        st.sampled_from(PIECES) | st.text(max_size=5),
        max_size=30,
    )
)
def test_spans_are_apart_and_within_the_text(words: list[str]) -> None:
    text = " ".join(words)
    spans = negated_spans(text)
    places = [place for span in spans for place in span]
    assert places == sorted(places)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    affirmed, absent = split_negated(text)
    assert sorted((affirmed + absent).replace(" ", "")) == sorted(text.replace(" ", ""))


def test_precision_and_recall_on_marked_sentences(shared_data: Path) -> None:
    file = shared_data / "roco/data/test/radiology/captions.txt"
    rows = (line.split("\t", 1) for line in file.read_text(encoding="utf-8").splitlines())
    captions = {row[0]: row[1].strip() for row in rows if len(row) == 2}
    right = wrong = missed = 0
    for marked in json.loads(MARKED.read_text()):
        caption, begin = captions[marked["id"]], marked["start"]
        found = negated_spans(caption)
        for word in WORD.finditer(caption, begin, marked["end"]):
            if word[0].lower() in LITTLE:
                continue
            said = any(a <= word.start() - begin < b for a, b in marked["negated"])
            told = any(a <= word.start() < b for a, b in found)
            right += said and told
            wrong += told and not said
            missed += said and not told
    assert right / (right + wrong) >= 0.90
    assert right / (right + missed) >= 0.90
