"""Custom fields: typed attributes of documents, and conditions on them.

    [age]                    fields.toml
    type = "int"
    from = "patient age"     its name in the source; by default the name of the field

Numbers and dates are compared, sorted and ranked by as doubles, as Vespa does: a date as seconds
from 1970-01-01 UTC to its midnight, a missing value as NaN.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from encoders.base.arguments import read_toml
from encoders.base.errors import UserError, plain_reason
from ranking.types import DOCUMENT_FIELDS, TEXTS, Attribute, AttributeType, Filter, Value

__all__ = [
    "LARGEST",
    "AttributeFault",
    "bounds",
    "by_name",
    "fault_of",
    "features_of",
    "is_number",
    "number_of",
    "parse_attribute",
    "read_attributes",
    "read_condition",
    "shown_number",
    "told",
    "value_of",
]

DAY = 86_400
LARGEST = 2**53
"""The largest whole number up to which a double holds every one."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PREFIXES = (
    "has_",
    "embedding",
    "fingerprint",
    "frames",
    "patches",
    "q_",
    "caption_embedding",
    "vector",
)
# Names of the schema's own, and words that Vespa's query language or its schemas keep.
_TAKEN = frozenset(
    {"id", "vectors", "language", "default", "attributes", "image", "hashes", "extra", "group_kind"}
    | {"subject_id", "sddocname", "documentid", "relevance", "score", "features"}
    | {"and", "or", "not", "in", "true", "false", "null", "contains", "matches", "range", "rank"}
    | {"select", "from", "where", "order", "by", "asc", "desc", "limit", "offset", "timeout"}
    | {"index", "summary", "attribute", "if", "else", "switch", "case"}
    | {"select_input", "tokenize", "position"}
    | {*DOCUMENT_FIELDS, *TEXTS}
)
_WORDS = {
    "true": True, "yes": True, "1": True, "y": True,
    "false": False, "no": False, "0": False, "n": False,
}  # fmt: skip
_CONDITION = re.compile(r"(?P<field>[a-z][a-z0-9_]*)(?P<comparison>>=|<=|=|>|<)(?P<value>.+)", re.S)
_KINDS: Mapping[AttributeType, str] = {
    "text": "text",
    "keyword": "a text",
    "int": "a whole number",
    "float": "a finite number",
    "date": "a day such as 2019-12-31",
    "bool": "true or false",
}
_DAY = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})(?:[T ].*)?")


class AttributeFault(UserError):  # noqa: N818 - what is said of a definition, or of a value
    """A custom field, or a value of one, is invalid."""


def parse_attribute(text: str) -> Attribute:
    """Parse "age:int" or "age:int=patient age". Raises AttributeFault for anything else."""
    name, _, rest = text.partition(":")
    kind, _, source = rest.partition("=")
    return _checked(name.strip(), kind.strip(), source.strip())


def read_condition(text: str, *, exclude: bool = False) -> Filter:
    """Parse FIELD=VALUE, or another comparison. Raises AttributeFault for anything else.

    >>> read_condition("age>=60")
    Filter(field='age', values=('60',), exclude=False, comparison='>=')
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise AttributeFault(
            f"{text!r} is not a condition: give FIELD=VALUE, or a number or date as FIELD>=VALUE, "
            "FIELD<VALUE, FIELD=LOW..HIGH."
        )
    comparison: Any = match["comparison"]
    return Filter(match["field"], (match["value"],), exclude, comparison)


def read_attributes(path: Path) -> tuple[Attribute, ...]:
    """The fields that a fields.toml defines. Raises AttributeFault naming what is wrong."""
    try:
        content = read_toml(path)
    except OSError as error:
        raise AttributeFault(f"{path} cannot be read ({plain_reason(error)}).") from None
    except (ValueError, RecursionError) as error:
        raise AttributeFault(f"{path} is not TOML: {plain_reason(error)}.") from None
    found = []
    for name, told in content.items():
        table = {"type": told} if isinstance(told, str) else told
        if not isinstance(table, dict) or not table.keys() <= {"type", "from"}:
            raise AttributeFault(f"{path}: {name} takes a type, and from: its name in the source.")
        found.append(_checked(name, str(table.get("type", "")), str(table.get("from", ""))))
    return by_name(found)


def by_name(attributes: Iterable[Attribute]) -> tuple[Attribute, ...]:
    """The fields, each name once. Raises AttributeFault for one that comes twice."""
    found: dict[str, Attribute] = {}
    for each in attributes:
        if each.name in found:
            raise AttributeFault(f"The field {each.name} is defined twice.")
        found[each.name] = each
    return tuple(found.values())


def _checked(name: str, kind: str, source: str) -> Attribute:
    if not _NAME.fullmatch(name):
        raise AttributeFault(
            f"{name!r} cannot name a field: a lower-case letter, then at most 39 lower-case "
            "letters, digits and underscores."
        )
    if name in _TAKEN or name.startswith(_PREFIXES):
        raise AttributeFault(
            f"A custom field cannot be called {name}, which is reserved: choose another name, as "
            f"in --field my_{name}:{kind or 'keyword'}={source or name}."
        )
    for known in get_args(AttributeType):
        if kind == known:
            return Attribute(name, known, source or name)
    kinds = ", ".join(get_args(AttributeType))
    raise AttributeFault(f"The field {name} has the type {kind!r}: choose one of {kinds}.")


def is_number(attribute: Attribute | None) -> bool:
    """Whether the field's values have an order, as ranges need."""
    return attribute is not None and attribute.type in ("int", "float", "date")


def value_of(attribute: Attribute, given: object) -> Value | None:
    """A source's value converted to the field's type; None if the source has none.

    A missing bool is false, as in Vespa. Raises AttributeFault for a value of another type.
    """
    if given is None or (isinstance(given, str) and not given.strip()):
        return False if attribute.type == "bool" else None
    found = _read(attribute.type, given)
    if found is None:
        raise AttributeFault(f"{attribute.name} is {_shown(given)}, not {_KINDS[attribute.type]}.")
    return found


def _shown(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _read(kind: AttributeType, given: object) -> Value | None:
    if kind == "bool":
        return given if isinstance(given, bool) else _WORDS.get(str(given).strip().lower())
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    text = str(given).strip()
    if kind == "date":
        return _day(text)
    return text if kind in ("text", "keyword") else _finite(text, whole=kind == "int")


def _finite(text: str, *, whole: bool) -> int | float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    if not whole:
        return number if math.isfinite(number) else None
    return int(number) if number.is_integer() and abs(number) <= LARGEST else None


def _day(text: str) -> str | None:
    match = _DAY.fullmatch(text)
    try:
        return dt.date(*map(int, match.groups())).isoformat() if match else None
    except ValueError:
        return None


def number_of(attribute: Attribute, value: Value | None) -> float:
    """The double for comparing and ranking a value; NaN if it is missing."""
    if value is None:
        return math.nan
    if attribute.type == "date":
        return float((dt.date.fromisoformat(str(value)) - dt.date(1970, 1, 1)).days * DAY)
    return float(value)


def shown_number(attribute: Attribute, number: float) -> Value:
    """The value of a number: the inverse of `number_of`."""
    if attribute.type == "date":
        return (dt.date(1970, 1, 1) + dt.timedelta(days=int(number) // DAY)).isoformat()
    if attribute.type == "bool":
        return bool(number)
    return int(number) if attribute.type == "int" else number


def told(value: Value) -> str:
    """A value as written in a filter."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def features_of(attributes: Iterable[Attribute]) -> list[str]:
    """Rank features of the fields; numbers also have one for their presence.

    >>> features_of([Attribute("age", "int"), Attribute("findings", "text")])
    ['attribute(age)', 'attribute(has_age)', 'bm25(findings)']
    """
    found = []
    for each in attributes:
        if each.type == "text":
            found.append(f"bm25({each.name})")
        elif each.type != "keyword":
            found.append(f"attribute({each.name})")
            found += [f"attribute(has_{each.name})"] if is_number(each) else []
    return found


def bounds(attribute: Attribute, value: str, comparison: str = "=") -> tuple[float, float]:
    """The lowest and the highest number that match a condition, both included.

    value: one value, or two with ".." between them, of which one may be absent. Raises
    AttributeFault if it is not a value of the field.

    >>> bounds(Attribute("age", "int"), "40..60"), bounds(Attribute("age", "int"), "60", ">")
    ((40.0, 60.0), (61.0, inf))
    """
    low, dots, high = value.partition("..")
    if dots and comparison == "=":
        return _number(attribute, low, -math.inf), _number(attribute, high, math.inf)
    number = _number(attribute, value, math.nan)
    step = {"int": 1, "date": DAY}.get(attribute.type, 0)
    above = number + step if step else math.nextafter(number, math.inf)
    below = number - step if step else math.nextafter(number, -math.inf)
    return {
        "=": (number, number),
        ">=": (number, math.inf),
        ">": (above, math.inf),
        "<=": (-math.inf, number),
        "<": (-math.inf, below),
    }[comparison]


def _number(attribute: Attribute, text: str, absent: float) -> float:
    if not text.strip() and not math.isnan(absent):
        return absent
    value = value_of(attribute, text)
    if value is None:
        raise AttributeFault(f"The condition on {attribute.name} has no value: give one.")
    return number_of(attribute, value)


def fault_of(values: Mapping[str, Value], attributes: Sequence[Attribute]) -> str:
    """What is wrong with a document's values; "" if nothing is."""
    known = {each.name: each for each in attributes}
    for name, value in values.items():
        if name not in known:
            return f"there is no field {name}"
        try:
            same = value_of(known[name], value) == value
        except AttributeFault as fault:
            return str(fault).rstrip(".")
        if not same:
            return f"{name} is {_shown(value)}, not {_KINDS[known[name].type]}"
    return ""
