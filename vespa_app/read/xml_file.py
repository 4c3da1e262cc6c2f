"""Read an XML file of a package safely, without entities."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from encoders.base.errors import plain_reason
from vespa_app.package.options import PackageError

__all__ = ["read_xml"]


def read_xml(path: Path) -> ElementTree.Element:
    """The root element. Raises PackageError if there is none, or it declares entities."""
    if not path.is_file():
        raise PackageError(f"{path.parent} is not an application package: it has no {path.name}.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageError(f"{path} cannot be read ({plain_reason(error)}).") from None
    if "<!" in text.replace("<!--", ""):
        raise PackageError(f"{path} declares entities or a document type, which is not allowed.")
    try:
        return ElementTree.fromstring(text)  # noqa: S314 (no entities, see above)
    except ElementTree.ParseError as error:
        raise PackageError(f"{path} is damaged: {error}.") from None
