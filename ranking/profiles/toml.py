"""Read and write profiles.toml.

    default = "hybrid"

    [profiles.hybrid]
    retrieve = ["text", "vector"]
    first_phase = "query(alpha) * vector_score + bm25(caption)"
    inputs = { alpha = 0.5 }
    functions = { vector_score = "closeness(field, embedding)" }
    global_phase = { expression = "normalize_linear(vector_score)", rerank_count = 100 }
    match_features = ["bm25(caption)"]

docs/profiles.md explains every key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from sys import float_info
from typing import Any, cast, get_args

from encoders.base.arguments import read_toml
from encoders.base.errors import plain_reason
from encoders.base.storage import write_whole
from ranking.profiles.checks import check_features
from ranking.profiles.profile import Phase, Profile, ProfileError
from ranking.profiles.set import ProfileSet
from ranking.types import Attribute, Retriever

__all__ = ["load_profiles", "save_profiles"]

_KEYS = {
    "description": str,
    "inherits": str,
    "retrieve": list,
    "text": str,
    "inputs": dict,
    "functions": dict,
    "first_phase": str,
    "second_phase": dict,
    "global_phase": dict,
    "match_features": list,
}
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def load_profiles(path: str | Path, attributes: Collection[Attribute] | None = ()) -> ProfileSet:
    """Read a profiles.toml.

    attributes: fields of one's own that profiles may read; None: any. Raises ProfileError if it is
    missing, is not TOML, or a profile is at fault.
    """
    path = Path(path)
    content = _read(path)
    try:
        return _profile_set(content, attributes)
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


def save_profiles(profiles: ProfileSet, path: str | Path) -> None:
    """Write a profiles.toml that `load_profiles` reads back as an equal set."""
    path = Path(path)
    tables = [f"default = {_value(profiles.default)}\n"]
    tables += [_table(profile) for profile in profiles.profiles]
    write_whole(path, "\n".join(tables))


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        raise ProfileError(f"There is no profiles file {path}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ProfileError(f"{path} cannot be read: {plain_reason(error)}.") from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, deep brackets
        raise ProfileError(f"{path} is not TOML: {plain_reason(error)}.") from None


def _profile_set(
    content: Mapping[str, Any], attributes: Collection[Attribute] | None
) -> ProfileSet:
    _check_keys("the file", content, {"default": str, "profiles": dict})
    tables = content.get("profiles")
    if not tables:
        raise ProfileError("it has no [profiles.NAME] table.")
    profiles = tuple(_profile(name, table) for name, table in tables.items())
    made = ProfileSet(profiles, content.get("default", ""))
    if not made.names():
        raise ProfileError("no profile has a first_phase, of its own or inherited.")
    for name in made.names():
        check_features(made.resolve(name), attributes)
    return made


def _profile(name: str, table: object) -> Profile:
    where = f"[profiles.{name}]"
    if not isinstance(table, dict):
        raise ProfileError(f"{where} is not a table.")
    _check_keys(where, table, _KEYS)
    return Profile(
        name=name,
        first_phase=table.get("first_phase", ""),
        retrieve=tuple(_retriever(where, name) for name in _strings(where, table, "retrieve")),
        text=table.get("text", ""),
        inherits=table.get("inherits", ""),
        inputs=_numbers(where, table.get("inputs", {})),
        functions=_functions(where, table.get("functions", {})),
        second_phase=_phase(where, table, "second_phase"),
        global_phase=_phase(where, table, "global_phase"),
        match_features=tuple(_strings(where, table, "match_features")),
        description=table.get("description", ""),
    )


def _check_keys(where: str, table: Mapping[str, Any], keys: Mapping[str, type]) -> None:
    for key, value in table.items():
        if key not in keys:
            raise ProfileError(f"{where} has an unknown key {key}; there are {', '.join(keys)}.")
        if not isinstance(value, keys[key]) or isinstance(value, bool):
            kind = {str: "a string", list: "a list", dict: "a table", int: "a whole number"}
            raise ProfileError(f"{where}: {key} must be {kind[keys[key]]}.")


def _strings(where: str, table: Mapping[str, Any], key: str) -> list[str]:
    values: list[str] = table.get(key, [])
    if not all(isinstance(value, str) for value in values):
        raise ProfileError(f"{where}: {key} must be a list of strings.")
    return values


def _retriever(where: str, name: str) -> Retriever:
    for known in get_args(Retriever):
        if name == known:
            return cast(Retriever, known)
    raise ProfileError(f"{where}: retrieve has {name}; there are text and vector.")


def _numbers(where: str, table: Mapping[str, Any]) -> dict[str, float]:
    for key, value in table.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise ProfileError(f"{where}: input {key} must be a number.")
        if isinstance(value, int) and abs(value) > float_info.max:
            raise ProfileError(f"{where}: input {key} must be a number up to 1.8e308.")
    return {key: float(value) for key, value in table.items()}


def _functions(where: str, table: Mapping[str, Any]) -> dict[str, str]:
    for key, value in table.items():
        if not isinstance(value, str):
            raise ProfileError(f"{where}: function {key} must be an expression in quotes.")
    return dict(table)


def _phase(where: str, table: Mapping[str, Any], key: str) -> Phase | None:
    phase = table.get(key)
    if phase is None:
        return None
    _check_keys(f"{where}, {key}", phase, {"expression": str, "rerank_count": int})
    if "expression" not in phase:
        raise ProfileError(f"{where}, {key} has no expression.")
    return Phase(phase["expression"], phase.get("rerank_count", Phase("").rerank_count))


def _table(profile: Profile) -> str:
    entries: dict[str, object] = {
        "description": profile.description,
        "inherits": profile.inherits,
        "retrieve": list(profile.retrieve),
        "text": profile.text,
        "inputs": dict(profile.inputs),
        "functions": dict(profile.functions),
        "first_phase": profile.first_phase,
        "second_phase": _phase_entries(profile.second_phase),
        "global_phase": _phase_entries(profile.global_phase),
        "match_features": list(profile.match_features),
    }
    lines = [f"[profiles.{profile.name}]"]
    tables = []
    for key, value in entries.items():
        if isinstance(value, dict) and value:
            inner = [f"{_key(k)} = {_value(v)}" for k, v in value.items()]
            tables += ["", f"[profiles.{profile.name}.{key}]", *inner]
        elif value:
            lines.append(f"{key} = {_value(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _phase_entries(phase: Phase | None) -> dict[str, object]:
    return (
        {}
        if phase is None
        else {
            "expression": phase.expression,
            "rerank_count": phase.rerank_count,
        }
    )


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for the one control character TOML forbids.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
