"""Reads openapi.json, and checks the values of a request against it.

The file alone defines the parameters and their limits: routes, checks and the published
description are generated from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl

from encoders.base.errors import UserError

__all__ = [
    "Operation",
    "ParameterError",
    "check_value",
    "operations",
    "read_body",
    "read_query",
    "specification",
]

Schema = Mapping[str, Any]
MOST_PARAMETERS = 200


class ParameterError(UserError):
    """A value of a request is invalid."""


@dataclass(frozen=True)
class Operation:
    """One method of one path. parameters: schemas of the query parameters by name."""

    name: str
    path: str
    method: str
    parameters: Mapping[str, Schema]
    required: frozenset[str]
    body: Mapping[str, Schema]
    open: bool


@cache
def specification() -> dict[str, Any]:
    """The OpenAPI description."""
    text = files("rocosearch.page").joinpath("openapi.json").read_text("utf-8")
    return dict(json.loads(text))


def operations() -> Iterator[Operation]:
    """All operations of the description, in its order. open: no token required."""
    for path, methods in specification()["paths"].items():
        for method, told in methods.items():
            listed = [_resolved(each) for each in told.get("parameters", ())]
            asked = {each["name"]: each for each in listed if each["in"] == "query"}
            content = told.get("requestBody", {}).get("content", {})
            yield Operation(
                name=told["operationId"],
                path=path,
                method=method.upper(),
                parameters={name: _resolved(each["schema"]) for name, each in asked.items()},
                required=frozenset(n for n, each in asked.items() if each.get("required")),
                body={kind: _resolved(each["schema"]) for kind, each in content.items()},
                open=told.get("security") == [],
            )


def read_query(operation: Operation, query: bytes) -> dict[str, Any]:
    """Values by name; an absent one has its default, or an empty list, or is None.

    query: the part of a URL after the question mark. Raises ParameterError naming the parameter.
    """
    given: dict[str, list[str]] = {}
    for name, value in _pairs(query):
        if name not in operation.parameters:
            there = ", ".join(operation.parameters) or "none"
            raise ParameterError(f"There is no parameter {name[:40]!r} here; there are: {there}.")
        given.setdefault(name, []).append(value)
    missing = operation.required - given.keys()
    if missing:
        raise ParameterError(f"The parameter {min(missing)} is missing.")
    values: dict[str, Any] = {}
    for name, schema in operation.parameters.items():
        found = given.get(name, [])
        if not found:
            values[name] = [] if schema["type"] == "array" else schema.get("default")
        elif schema["type"] == "array":
            values[name] = check_value(found, schema, name)
        elif len(found) > 1:
            raise ParameterError(f"{name} is given {len(found)} times; it is allowed once.")
        else:
            values[name] = check_value(_number(found[0], schema, name), schema, name)
    return values


def read_body(operation: Operation, body: bytes) -> dict[str, Any]:
    """Read a JSON body. Raises ParameterError for invalid JSON or values."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ParameterError("The body is not JSON.") from None
    return dict(check_value(content, operation.body["application/json"], "body"))


def _pairs(query: bytes) -> list[tuple[str, str]]:
    if query.count(b"&") >= MOST_PARAMETERS:
        raise ParameterError(f"The address has more than {MOST_PARAMETERS} parameters.")
    try:
        return parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ParameterError("The address is not valid UTF-8.") from None


def _number(text: str, schema: Schema, name: str) -> str | int:
    if schema["type"] != "integer":
        return text
    if not re.fullmatch(r"-?[0-9]{1,15}", text):
        raise ParameterError(f"{name} is {text[:40]!r}: give a whole number.{_span(schema)}")
    return int(text)


def check_value(value: Any, schema: Schema, name: str) -> Any:  # noqa: ANN401 - any JSON value
    """The value, if it fits a JSON schema of the kinds used here. Raises ParameterError."""
    schema = _resolved(schema)
    if isinstance(value, float) and value.is_integer() and schema["type"] == "integer":
        value = int(value)  # 1.0 is an integer in JSON
    kind = _KINDS[schema["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise ParameterError(f"{name} is not of the type {schema['type']}.")
    if isinstance(value, str):
        _check_text(value, schema, name)
    elif isinstance(value, int):
        if not schema.get("minimum", value) <= value <= schema.get("maximum", value):
            raise ParameterError(f"{name} is {value}.{_span(schema)}")
    elif isinstance(value, list):
        if len(value) > schema["maxItems"]:
            raise ParameterError(
                f"{name} is given {len(value)} times; at most {schema['maxItems']}."
            )
        return [check_value(each, schema["items"], name) for each in value]
    elif isinstance(value, dict):
        return _check_object(value, schema, name)
    return value


def _check_text(value: str, schema: Schema, name: str) -> None:
    if len(value) > schema.get("maxLength", len(value)):
        raise ParameterError(
            f"{name} has {len(value):,} characters; at most {schema['maxLength']:,}."
        )
    if len(value) < schema.get("minLength", 0):
        raise ParameterError(f"{name} is empty.")
    if value not in schema.get("enum", (value,)):
        raise ParameterError(f"{name} is {value[:40]!r}: allowed are {', '.join(schema['enum'])}.")
    if "pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value):
        raise ParameterError(f"{name} is {value[:80]!r}: write it like {schema['examples'][0]}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ParameterError(f"{name} is not valid text.") from None


def _check_object(value: Mapping[str, Any], schema: Schema, called: str) -> dict[str, Any]:
    known = schema["properties"]
    for name in schema.get("required", ()):
        if name not in value:
            raise ParameterError(f"The {called} has no {name}.")
    for name in value:
        if name not in known:
            raise ParameterError(f"The {called} has {name[:40]!r}; known are {', '.join(known)}.")
    return {name: check_value(each, known[name], name) for name, each in value.items()}


_KINDS: dict[str, type] = {"string": str, "integer": int, "array": list, "object": dict}


def _span(schema: Schema) -> str:
    if "minimum" not in schema:
        return ""
    return f" Allowed are {schema['minimum']} to {schema['maximum']}."


def _resolved(schema: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Any = specification()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)
