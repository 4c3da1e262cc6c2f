"""Checks of rank profiles, with one sentence per error."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator

from ranking.attributes import features_of
from ranking.expressions.expression import Expression, ExpressionError, parse, parse_signature
from ranking.expressions.inline import NORMALIZERS, is_feature
from ranking.expressions.parser import parse_tree
from ranking.expressions.tokens import pointed
from ranking.expressions.tree import Call, Name, walk, write
from ranking.names import ROLES
from ranking.profiles.profile import LATE, Phase, Profile, ProfileError
from ranking.types import TEXTS, Attribute

__all__ = [
    "check_features",
    "check_functions",
    "check_line_of_descent",
    "check_profile",
    "check_resolved",
]

_NAME = re.compile(r"[A-Za-z_]\w*")
_QUERY = re.compile(r"query\((\w+)\)")
# Names that the schema's language keeps for itself, or reads in features: bm25(caption).
_NO_FUNCTION = frozenset({"caption", "constant", "field", "inline", "onnx", "tensor"})
MOST_ANCESTORS = 50
MOST_PROFILES = 1000
MOST_FUNCTIONS = 200  # of a profile, inherited ones too: each is checked against all
MOST_FUNCTIONS_OF_ALL = 5000
_MOST_HITS = 2**31 - 1
_OWN = re.compile(r"(?:bm25|attribute)\(\w+\)")
_VECTOR_INPUT = re.compile(r"q(_\w+)?")
_ROLE = rf"(?:{'|'.join(ROLES)})(?:_\w+)?"
_FIELD_FEATURES = re.compile(
    rf"bm25\((?:{'|'.join(TEXTS)})\)|(?:closeness|distance)\((?:field,)?{_ROLE}\)|closest\({_ROLE}\)"
    r"|(?:max_sim|rerank)\(q_tokens(?:_\w+)?,patches(?:_\w+)?\)"
    r"|attribute\((?:has_caption|has_vector(?:_\w+)?)\)"
)


def check_features(profile: Profile, attributes: Collection[Attribute] | None = None) -> None:
    """Raise ProfileError if a resolved profile reads a field that the schema does not have.

    attributes: fields of one's own; None where they are not known, and any may be named.
    Nor does the schema have functions of arguments, which a match feature may therefore not call.
    """
    for text in profile.match_features:
        if not is_feature(parse_tree(text)):
            raise ProfileError(
                f"Profile {profile.name}: the match feature {text} has arguments; give it a "
                "function without any, which calls it."
            )
        if text.startswith(LATE):
            raise ProfileError(
                f"Profile {profile.name}: the match feature {text} is no rank feature of Vespa's; "
                f"name a function that is {text}, and show that."
            )
    own = features_of(attributes or ())
    for where, text, expression in _parsed(profile):
        for feature in sorted(expression.features - {*own}):
            if attributes is None and _OWN.fullmatch(feature):
                continue
            if not (_FIELD_FEATURES.fullmatch(feature) or _QUERY.fullmatch(feature)):
                known = [f"bm25({name})" for name in TEXTS]
                known += ["closeness(field,embedding)", "distance(field,embedding)"]
                known += ["attribute(has_caption)", "attribute(has_vector)", *own]
                fault = (
                    f"there is no {feature}; there are {', '.join(known)}, "
                    f"max_sim(q_tokens,patches), rerank(q_tokens,patches), query() of the inputs, "
                    f"and the vectors {', '.join(ROLES)}."
                )
                raise _refusal(profile, where, text, fault, {feature})


def _refusal(
    profile: Profile, where: str, text: str, fault: str, names: Collection[str]
) -> ProfileError:
    """An error that points to the first of `names` (as `write` gives them, or of a function).

    It may stand in the text itself, or in one of the functions that the text calls.
    """
    sentence = f"Profile {profile.name}, {where}: {fault}"
    for source in (text, *profile.functions.values()):
        for node in walk(parse_tree(source)):
            if isinstance(node, Name | Call) and {write(node), node.name} & set(names):
                return ProfileError(str(pointed(sentence, source, node.at)))
    return ProfileError(sentence)


def check_line_of_descent(profiles: Iterable[Profile]) -> None:
    """Raise ProfileError for a name used twice, an unknown parent, or a circle of parents."""
    by_name: dict[str, Profile] = {}
    profiles = tuple(profiles)
    if len(profiles) > MOST_PROFILES:
        raise ProfileError(
            f"There are {len(profiles):,} profiles; at most {MOST_PROFILES:,} are allowed."
        )
    for profile in profiles:
        if profile.name in by_name:
            raise ProfileError(f"There are two profiles {profile.name}.")
        by_name[profile.name] = profile
    for profile in by_name.values():
        line = [profile.name]
        while parent := by_name[line[-1]].inherits:
            if parent not in by_name:
                raise ProfileError(f"Profile {line[-1]} inherits {parent}, which does not exist.")
            line.append(parent)
            if len(line) > MOST_ANCESTORS:
                raise ProfileError(
                    f"Profile {profile.name} inherits through more than {MOST_ANCESTORS} others."
                )
            if parent in line[:-1]:
                raise ProfileError(f"Profiles inherit in a cycle: {' inherits '.join(line)}.")


def check_profile(profile: Profile) -> None:
    """Raise ProfileError for what is wrong with a profile whatever it inherits."""
    if not _NAME.fullmatch(profile.name):
        raise ProfileError(
            f"{profile.name!r} cannot name a profile: use letters, digits and underscores."
        )
    if profile.name == "default":
        raise ProfileError(
            "A profile cannot be called default, which is reserved in Vespa: give it another name."
        )
    _check_numbers(profile)


def _check_numbers(profile: Profile) -> None:
    for name, value in profile.inputs.items():
        if not _NAME.fullmatch(name):
            raise ProfileError(f"Profile {profile.name}: {name!r} cannot name an input.")
        if _VECTOR_INPUT.fullmatch(name):
            raise ProfileError(
                f"Profile {profile.name}: the input {name} is the query's vector; give the number "
                "another name."
            )
        if not math.isfinite(value):
            raise ProfileError(
                f"Profile {profile.name}: the default of input {name} is {value}, "
                "not a finite number."
            )
    for where, phase in _phases(profile):
        if phase.rerank_count < 1:
            raise ProfileError(
                f"Profile {profile.name}, {where}: a rerank count of {phase.rerank_count} reranks "
                "nothing; give at least 1, or remove the phase."
            )
        if phase.rerank_count > _MOST_HITS:
            raise ProfileError(
                f"Profile {profile.name}, {where}: the rerank count is too large for Vespa; give "
                f"at most {_MOST_HITS}."
            )


def _phases(profile: Profile) -> Iterator[tuple[str, Phase]]:
    if profile.second_phase:
        yield "second phase", profile.second_phase
    if profile.global_phase:
        yield "global phase", profile.global_phase


def check_functions(profiles: Iterable[Profile]) -> None:
    """Raise ProfileError if profiles, with all that they inherit, have too many functions."""
    total = 0
    for profile in profiles:
        if len(profile.functions) > MOST_FUNCTIONS:
            raise ProfileError(
                f"Profile {profile.name} has {len(profile.functions):,} functions; at most "
                f"{MOST_FUNCTIONS} are allowed, with those that it inherits."
            )
        total += len(profile.functions)
    if total > MOST_FUNCTIONS_OF_ALL:
        raise ProfileError(
            f"The profiles have {total:,} functions, with those that they inherit; at most "
            f"{MOST_FUNCTIONS_OF_ALL:,} are allowed."
        )


def check_resolved(profile: Profile) -> None:
    """Raise ProfileError if a profile, with all that it inherits, cannot be computed."""
    if not profile.retrieve:
        raise ProfileError(
            f"Profile {profile.name} retrieves nothing: set retrieve to text, vector or both."
        )
    if profile.text and profile.text not in TEXTS:
        raise ProfileError(
            f"Profile {profile.name} looks for words in {profile.text}; the text fields are "
            f"{', '.join(TEXTS)}."
        )
    unknown = [name for name in profile.retrieve if name not in ("text", "vector")]
    if unknown:
        raise ProfileError(
            f"Profile {profile.name} retrieves by {', '.join(unknown)}; there are text and vector."
        )
    _check_match_features(profile)
    for signature, text in profile.functions.items():
        where = f"function {signature}"
        if signature in _NO_FUNCTION:
            raise ProfileError(
                f"Profile {profile.name}: {signature} is a reserved name of the schema: give the "
                "function another name."
            )
        _check_expression(profile, where, text, _function(profile, signature, text))
    for where, text, expression in _parsed(profile):
        _check_expression(profile, where, text, expression)


def _check_match_features(profile: Profile) -> None:
    for text in profile.match_features:
        try:
            shown = isinstance(parse_tree(text), Name | Call)
        except ExpressionError as error:
            raise ProfileError(f"Profile {profile.name}, match feature {text}: {error}") from None
        if not shown:
            raise ProfileError(
                f"Profile {profile.name}: the match feature {text} is neither a rank feature nor "
                "the name of a function."
            )


def _function(profile: Profile, signature: str, text: str) -> Expression:
    try:
        _, arguments = parse_signature(signature)
        # The arguments stand for any number: as functions of that name they are known.
        others = {
            s: body for s, body in profile.functions.items() if s.partition("(")[0] not in arguments
        }
        return parse(text, {**others, **dict.fromkeys(arguments, "0")})
    except ExpressionError as error:
        raise ProfileError(f"Profile {profile.name}, function {signature}: {error}") from None


def _parsed(profile: Profile) -> Iterator[tuple[str, str, Expression]]:
    for where, text in profile.texts():
        try:
            yield where, text, parse(text, profile.functions)
        except ExpressionError as error:
            raise ProfileError(f"Profile {profile.name}, {where}: {error}") from None


def _check_expression(profile: Profile, where: str, text: str, expression: Expression) -> None:
    if expression.normalizes and where != "global phase":
        fault = f"{', '.join(sorted(NORMALIZERS))} compare hits, which only a global phase can."
        raise _refusal(profile, where, text, fault, NORMALIZERS)
    for node in walk(expression.tree):
        if isinstance(node, Call) and node.name in NORMALIZERS:
            alike = {write(a) for a in node.arguments if _QUERY.fullmatch(write(a))}
            if alike:
                fault = f"{node.name} takes what differs between hits, which no query() does."
                raise _refusal(profile, where, text, fault, alike)
    for feature in sorted(expression.features):
        if feature.startswith("closest(") and where != f"match feature {text}":
            fault = f"{feature} is a label, not a number: show it as a match feature."
            raise _refusal(profile, where, text, fault, {feature})
        query = _QUERY.fullmatch(feature)
        if query and not (query[1] in profile.inputs or _VECTOR_INPUT.fullmatch(query[1])):
            known = ", ".join(profile.inputs) or "none"
            fault = f"{feature} is not among its inputs ({known}); declare it with a default."
            raise _refusal(profile, where, text, fault, {feature})
        if _NAME.fullmatch(feature):
            fault = f"{feature} is neither a function of the profile nor a rank feature."
            raise _refusal(profile, where, text, fault, {feature})
