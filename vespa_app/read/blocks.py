"""Parse the text of a schema into nested blocks.

https://docs.vespa.ai/en/reference/schemas/schemas.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from vespa_app.package.options import PackageError

__all__ = ["Block", "read_blocks"]

DEEPEST = 20  # blocks in blocks
_TYPE = re.compile(r"\w\{\w*\}")  # a mapped dimension, as in tensor(frame{},x[8])


@dataclass
class Block:
    """A statement and, where it has braces, the statements in them."""

    head: str
    inner: list[Block] = field(default_factory=list)

    @property
    def words(self) -> list[str]:
        """The statement's words."""
        return self.head.split()

    def find(self, word: str) -> Iterator[Block]:
        """Statements inside whose first word, less a colon, is `word`."""
        for block in self.inner:
            if re.split(r"[\s:]", block.head, maxsplit=1)[0] == word:
                yield block

    def text(self, word: str) -> str:
        """The value of `word: value`, or the lines of `word { ... }`; "" if there is none."""
        for block in self.find(word):
            _, _, value = block.head.partition(":")
            return value.strip() or " ".join(each.head for each in block.inner)
        return ""

    def all_inside(self) -> Iterator[Block]:
        """Every statement inside, at any depth."""
        for block in self.inner:
            yield block
            yield from block.all_inside()

    def settings(self) -> Iterator[str]:
        """The statements inside, flat: "index hnsw max-links-per-node: 16"."""
        for block in self.inner:
            if block.inner:
                for setting in block.settings():
                    yield f"{block.head} {setting}"
            else:
                yield block.head


def read_blocks(text: str) -> Block:
    """The blocks of a schema, inside a block without a head.

    Raises PackageError if the braces do not match, or are nested too deeply.
    """
    root = Block("")
    stack = [root]
    for part in _parts(text):
        if part == "{":
            # The brace opens the last statement, which may stand on the line before.
            stack.append(stack[-1].inner[-1] if stack[-1].inner else Block(""))
        elif part == "}":
            stack.pop()
        else:
            stack[-1].inner.append(Block(part))
        if not 1 <= len(stack) <= DEEPEST:
            break
    if len(stack) != 1:
        raise PackageError("The schema is damaged: its braces do not match.")
    return root


def _parts(text: str) -> Iterator[str]:
    """Braces, and what stands between them and the ends of lines; comments are left out."""
    for line in re.sub(r"(?m)#.*$", "", text).splitlines():
        at = 0
        types = {match.start() + 1 for match in _TYPE.finditer(line)}
        inside = False
        for place, character in enumerate(line):
            if character == "{" and place in types:
                inside = True
            elif character == "}" and inside:
                inside = False
            elif character in "{}":
                yield from filter(None, [line[at:place].strip()])
                yield character
                at = place + 1
        yield from filter(None, [line[at:].strip()])
