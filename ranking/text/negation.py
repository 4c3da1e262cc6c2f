"""Find the negated words of a caption.

Rules in the manner of NegEx (Chapman et al. 2001, "A simple algorithm for identifying negated
findings and diseases in discharge summaries") with limits on scope as in ConText (Harkema et al.
2009): a trigger such as "no evidence of" negates the words after it, "was not seen" those before
it, up to the end of the clause, a preposition of place or time, or a conjunction. A phrase such as
"cannot be excluded" is no negation. Place and time stay outside: "no effusion in the left lung"
still tells of a left lung.

docs/text.md holds precision and recall on sentences marked by hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

__all__ = ["negated_spans", "split_negated"]

Span = tuple[int, int]
"""Places in a text or numbers of words: [start, end)."""

# Words that one trigger negates at most: NegEx takes 5, captions have longer noun phrases.
LONGEST_AFTER = 12
LONGEST_BEFORE = 8
# Words of one member of a list at most: "no mass, enlarged lymph node or effusion".
LONGEST_MEMBER = 5

_TOKEN = re.compile(r"[^\W_]+(?:['’\-‐‑/][^\W_]+)*|\S")
_NEGATIONS = "not, didn't, doesn't, don't, isn't, wasn't, cannot, can't"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _phrases(*parts: str) -> list[tuple[str, ...]]:
    """Phrases with one of each part, as words; a part lists what may stand there."""
    phrases = [""]
    for part in parts:
        phrases = [f"{phrase} {choice}" for phrase in phrases for choice in part.split(",")]
    return [tuple(phrase.split()) for phrase in phrases]


_SEEN = (
    "seen, visible, visualized, visualised, identified, detected, observed, noted, found, present,"
    "demonstrated, appreciated, evident, obvious, discernible, recognizable, recognisable,"
    "delineated, apparent, performed, achieved, encountered, documented, confirmed, palpable"
)
_SHOW = (
    "show, reveal, demonstrate, identify, detect, contain, have, see, display, suggest, indicate,"
    "involve, find, exhibit, cause, showing, revealing, demonstrating, involving, causing"
)

# What follows these is absent.
_AFTER = _phrases(
    "no, without, absence of, absent, missing, lack of, lacks, lacked, lacking, negative for,"
    "free of, free from, devoid of, denies, denied, denying, neither, rather than, excludes,"
    "excluding, rules out, failed to show, failed to reveal, failed to demonstrate,"
    "not consistent with, not suggestive of, none of them shows, none of them suggests,"
    "non-visualization of, nonvisualization of, disappearance of"
) + _phrases(_NEGATIONS, _SHOW)
# What stands before these is absent.
_BEFORE = [
    *_phrases("not, no longer, never, not clearly, not well, isn't, wasn't, aren't", _SEEN),
    *_phrases("not, cannot, can't", "be", _SEEN),
    *_phrases("is, are, was, were, been", "absent, ruled out, excluded, lacking"),
    *_phrases("not", "develop, occur, appear"),
]
# The one word after these is: "is not interrupted".
_NEXT = _phrases(_NEGATIONS)
# These look like a negation and are none.
_PSEUDO = [
    *_phrases("no", ", significant, interval, obvious", "change, changes"),
    *_phrases(
        "not, cannot, can't",
        "be excluded, be ruled out, be confused, exclude, rule out, only, just",
    ),
    *_phrases(
        "not excluded, not ruled out, not shown, not to be, not necessarily, no doubt,"
        "with and without, with or without, presence or absence, without difficulty,"
        "not possible, not at"
    ),
]
_PHRASES = [
    (phrase, kind)
    for kind, phrases in (
        ("pseudo", _PSEUDO),
        ("before", _BEFORE),
        ("after", _AFTER),
        ("next", _NEXT),
    )
    for phrase in phrases
]
_BY_FIRST: dict[str, list[tuple[tuple[str, ...], str]]] = {}
for _phrase, _kind in sorted(_PHRASES, key=lambda each: -len(each[0])):
    _BY_FIRST.setdefault(_phrase[0], []).append((_phrase, _kind))

# Most captions hold no first word of a trigger, and are read no further.
_MAY_NEGATE = re.compile(rf"\b(?:{'|'.join(_BY_FIRST)})\b", re.IGNORECASE)
_SEEN_WORDS = _words(_SEEN.replace(",", " "))
# Words at the beginning of a span that name no finding.
_LEAD_IN = _words(
    "any a an the other further of for evidence sign signs indication indications suggestion that "
    "ever more"
)
_PREPOSITIONS = _words(
    "in on at within into over around along through throughout during after before between among "
    "to from for by under above below upon following prior due because since despite per via near "
    "beyond beneath behind across towards toward up out outside inside"
)
_CONJUNCTIONS = _words(
    "but however although though except which who whom whose that where when while whereas with "
    "without no not nor as if then than thus hence so showing suggesting suggestive consistent "
    "indicating demonstrating revealing compatible rather neither either instead"
)
_VERBS = _words(
    "is are was were be been being has have had can could may might will would should does do did "
    "shows showed show reveals revealed remains remained appears appeared seen noted observed "
    "found identified detected visible present detectable demonstrates demonstrated displays "
    "displayed displaying depicts depicting confirms confirming represents presenting"
)
_PRONOUNS = _words("it this that these those they which he she there latter former")
_ENDS_AFTER = _PREPOSITIONS | _CONJUNCTIONS | _VERBS
_ENDS_BEFORE = _CONJUNCTIONS - {"with"} | _VERBS | _PRONOUNS | {"and"}


def negated_spans(text: str) -> list[Span]:
    """Return the places of what `text` says is absent: [start, end) in characters, ascending.

    >>> text = "Chest CT: no pleural effusion in the left lung; a fracture was not seen."
    >>> [text[start:end] for start, end in negated_spans(text)]
    ['pleural effusion', 'fracture']
    """
    if _MAY_NEGATE.search(text.replace("’", "'")) is None:
        return []
    tokens = list(_TOKEN.finditer(text))
    words = [token[0].lower().replace("’", "'") for token in tokens]
    negated = {number for start, end in _scopes(words) for number in range(start, end)}
    spans: list[Span] = []
    for number in sorted(negated):
        start, end = tokens[number].span()
        if number - 1 in negated:
            start = spans.pop()[0]
        spans.append((start, end))
    return spans


def split_negated(text: str) -> tuple[str, str]:
    """Return what a caption affirms, and what it says is absent.

    >>> split_negated("Left effusion without pneumothorax or fracture.")
    ('Left effusion without  or .', 'pneumothorax fracture')
    """
    affirmed, negated, place = [], [], 0
    for start, end in negated_spans(text):
        affirmed.append(text[place:start])
        negated.append(text[start:end])
        place = end
    return "".join([*affirmed, text[place:]]), " ".join(negated)


def _scopes(words: Sequence[str]) -> Iterator[Span]:
    """Runs of words that a trigger negates."""
    place = 0
    while place < len(words):
        length, kind = _trigger(words, place)
        after = place + length
        if kind == "after":
            yield from _after(words, after, in_list=words[place] != "rather")
        elif kind == "before":
            yield from _before(words, place)
        elif kind == "next":
            yield from _next_word(words, after)
        place = max(after, place + 1)


def _next_word(words: Sequence[str], place: int) -> Iterator[Span]:
    """What a bare "not" negates: "is not interrupted"."""
    if _end_of_phrase(words, place, place + 1) == place or words[place].endswith("ly"):
        return
    if words[place] not in _LEAD_IN | _PRONOUNS:
        yield place, place + 1


def _trigger(words: Sequence[str], place: int) -> tuple[int, str]:
    """Length and kind of the longest trigger at `place`; (0, "") for none."""
    for phrase, kind in _BY_FIRST.get(words[place], ()):
        if tuple(words[place : place + len(phrase)]) == phrase:
            following = words[place + len(phrase)] if place + len(phrase) < len(words) else "."
            # "Case No. 5", "no 26 balloon"; "the appendix is absent."
            numbered = phrase == ("no",) and (following == "." or following[0].isdigit())
            return (0, "") if numbered else (len(phrase), kind)
    return 0, ""


def _after(words: Sequence[str], start: int, *, in_list: bool) -> Iterator[Span]:
    """What a trigger that ends before `start` negates: one noun phrase, or a list of them."""
    limit = min(len(words), start + LONGEST_AFTER)
    while True:
        while start < limit and words[start] in _LEAD_IN:
            start += 1
        end = _end_of_phrase(words, start, limit)
        if end > start:
            yield start, end
        if not in_list or end >= limit or not _goes_on(words, end, limit):
            return
        start = end + 1
        while start < limit and words[start] in {"or", "and", "nor", ","}:
            start += 1


def _end_of_phrase(words: Sequence[str], start: int, limit: int) -> int:
    limit = min(limit, len(words))
    end = start
    if end < limit and words[end] in _SEEN_WORDS:  # "no visible mass"
        end += 1
    while end < limit and _is_word(words[end]) and words[end] not in _ENDS_AFTER:
        contrast = words[end] == "of" and words[end - 1] == "contrast"  # "without contrast of"
        if words[end] in {"or", "and"} or contrast or (end > start and words[end][0].isdigit()):
            break
        end += 1
    return end


def _goes_on(words: Sequence[str], place: int, limit: int) -> bool:
    """Whether the list of what is absent has another member after `place`.

    "or" always continues it. A comma does where "or" or "and" follows a few words later, "and"
    where no more than a few words follow it in the clause: what comes else is a new statement.
    """
    if words[place] in {"or", "nor"}:
        return True
    if words[place] not in {",", "and"}:
        return False
    start = place + 1
    if start < limit and words[start] in {"or", "nor"}:
        return True
    if words[place] == "," and start < limit and words[start] == "and":
        start += 1
    elif words[place] == ",":
        end = _end_of_phrase(words, start, limit)
        member = 0 < end - start <= LONGEST_MEMBER
        return (
            member
            and end < limit
            and words[end] in {"or", "and", ","}
            and _goes_on(words, end, limit)
        )
    end = _end_of_phrase(words, start, min(len(words), start + LONGEST_MEMBER))
    closed = end >= len(words) or words[end] in {".", ";", ")", "or"}
    return 0 < end - start < LONGEST_MEMBER and closed and words[start] not in {"a", "an", "the"}


def _before(words: Sequence[str], end: int) -> Iterator[Span]:
    """What a trigger at `end` negates: the subject of its clause without place and time."""
    while end > 0 and (words[end - 1] in _VERBS or words[end - 1].endswith("ly")):
        end -= 1
    start = end
    while start > max(0, end - LONGEST_BEFORE) and _is_word(words[start - 1]):
        if words[start - 1] in _ENDS_BEFORE:
            break
        start -= 1
    if start < end and words[start] in _PREPOSITIONS:  # "in this phase the artery is not seen"
        start = max((n for n in range(start, end) if words[n] in {"the", "a", "an"}), default=end)
    stop = start
    while stop < end and words[stop] not in _PREPOSITIONS:
        stop += 1
    while start < stop and words[start] in _LEAD_IN:
        start += 1
    if stop > start:
        yield start, stop


def _is_word(token: str) -> bool:
    return token[0].isalnum()
