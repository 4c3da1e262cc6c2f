"""A set of rank profiles: inheritance, and names of the encoder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ranking.expressions.inline import parse_signature, rename
from ranking.expressions.parser import parse_tree
from ranking.expressions.tree import write
from ranking.names import ROLES, EncoderNames
from ranking.profiles.checks import (
    check_functions,
    check_line_of_descent,
    check_profile,
    check_resolved,
)
from ranking.profiles.profile import LATE, Phase, Profile, ProfileError

__all__ = ["ProfileSet"]


@dataclass(frozen=True)
class ProfileSet:
    """Rank profiles by name, and the one that is used where none is named: else the first.

    Raises ProfileError if a profile is at fault.
    """

    profiles: tuple[Profile, ...]
    default: str

    def __post_init__(self) -> None:
        check_line_of_descent(self.profiles)
        for profile in self.profiles:
            check_profile(profile)
        check_functions(self._resolved.values())
        for profile in map(self.resolve, self.names()):
            check_resolved(profile)
        if self.names() and not self.default:
            object.__setattr__(self, "default", self.names()[0])
        if self.names() and self.default not in self.names():
            there = ", ".join(self.names())
            raise ProfileError(f"The default profile {self.default!r} is not one of {there}.")

    @cached_property
    def by_name(self) -> Mapping[str, Profile]:
        """The profiles as they were written."""
        return {profile.name: profile for profile in self.profiles}

    @cached_property
    def _resolved(self) -> Mapping[str, Profile]:
        found: dict[str, Profile] = {}
        for name in self.by_name:
            self._flatten(name, found)
        return found

    def names(self) -> tuple[str, ...]:
        """Names of the profiles that a query can ask for, as they were written down."""
        return tuple(name for name, profile in self._resolved.items() if profile.first_phase)

    def resolve(self, name: str = "") -> Profile:
        """Return the profile, or the default, with all that it inherits written out.

        Raises ProfileError if there is none of that name.
        """
        name = name or self.default
        if name not in self.names():
            raise ProfileError(f"There is no profile {name}; there are {', '.join(self.names())}.")
        return self._resolved[name]

    def _flatten(self, name: str, found: dict[str, Profile]) -> Profile:
        profile = self.by_name[name]
        if name not in found:
            parent = self._flatten(profile.inherits, found) if profile.inherits else None
            found[name] = _together(profile, parent) if parent else profile
        return found[name]

    def instantiate(self, names: EncoderNames | None) -> ProfileSet:
        """Return the profiles with one encoder's names in place of the placeholders.

        Without an encoder, those that need no vector; the default is then the first of them.
        """
        if names is not None:
            return replace(self, profiles=tuple(_renamed(p, names) for p in self.profiles))
        kept = tuple(p for p in map(self.resolve, self.names()) if not p.uses_vector)
        left = {profile.name for profile in kept}
        default = self.default if self.default in left or not kept else kept[0].name
        return ProfileSet(kept, default)

    def side_by_side(self, encoders: Sequence[EncoderNames]) -> ProfileSet:
        """Return profiles for several encoders, the first of them the current one.

        A profile that uses vectors is there once for each (`hybrid_1a2b3c4d`), and its plain
        name points to the current one.
        """
        made: list[Profile] = []
        for name in self.names():
            profile = self.resolve(name)
            if not profile.uses_vector:
                made.append(profile)
                continue
            made += [
                replace(_renamed(profile, names), name=f"{name}_{names.short}")
                for names in encoders
            ]
            if encoders:
                current = f"{name}_{encoders[0].short}"
                made.append(Profile(name=name, inherits=current, description=profile.description))
        default = self.default if any(p.name == self.default for p in made) else made[0].name
        return ProfileSet(tuple(made), default)

    def replaced(self, profiles: Iterable[Profile], default: str = "") -> ProfileSet:
        """Return the set with these profiles added, or put in place of those of the same name."""
        together = {**self.by_name, **{profile.name: profile for profile in profiles}}
        return ProfileSet(tuple(together.values()), default or self.default)


def _together(profile: Profile, parent: Profile) -> Profile:
    """A profile with what it inherits from one that inherits nothing."""
    return replace(
        profile,
        inherits="",
        first_phase=profile.first_phase or parent.first_phase,
        retrieve=profile.retrieve or parent.retrieve,
        text=profile.text or parent.text,
        inputs={**parent.inputs, **profile.inputs},
        functions=_merged(parent.functions, profile.functions),
        second_phase=profile.second_phase or parent.second_phase,
        global_phase=profile.global_phase or parent.global_phase,
        match_features=profile.match_features or parent.match_features,
    )


def _merged(inherited: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """Functions by name: saturate(x) of its own replaces an inherited saturate(y, k)."""
    replaced = {parse_signature(signature)[0] for signature in own}
    kept = {s: text for s, text in inherited.items() if parse_signature(s)[0] not in replaced}
    return {**kept, **own}


def _renamed(profile: Profile, names: EncoderNames) -> Profile:
    mapping = {
        "attribute(has_vector)": f"attribute({names.has_vector})",
        "query(q)": f"query({names.query})",
    }
    for call in LATE:
        mapping[f"{call}q_tokens,patches)"] = f"{call}{names.tokens},{names.field('patches')})"
    for role in ROLES:
        own = names.field(role)
        mapping[f"closest({role})"] = f"closest({own})"
        for feature in ("closeness", "distance"):
            mapping |= dict.fromkeys(
                (f"{feature}({role})", f"{feature}(field,{role})"), f"{feature}(field,{own})"
            )

    def renamed(text: str) -> str:
        return write(rename(parse_tree(text), mapping)) if text else text

    def phase(old: Phase | None) -> Phase | None:
        return old and replace(old, expression=renamed(old.expression))

    return replace(
        profile,
        first_phase=renamed(profile.first_phase),
        functions={s: renamed(text) for s, text in profile.functions.items()},
        second_phase=phase(profile.second_phase),
        global_phase=phase(profile.global_phase),
        match_features=tuple(map(renamed, profile.match_features)),
    )
