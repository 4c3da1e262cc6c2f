"""Reader for a PACS over DICOMweb: QIDO-RS and WADO-RS (DICOM PS3.18, 10.4, 10.6).

    rocosearch corpus https://pacs.example/dicom-web build/pacs

Credentials: ROCOSEARCH_DICOMWEB_TOKEN (a bearer token), or ROCOSEARCH_DICOMWEB_USER and
ROCOSEARCH_DICOMWEB_PASSWORD. A server that restarts is waited for; each instance counts once.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlsplit

import requests

from ingest.corpus.images import ImageRejectedError
from ingest.corpus.records import CorpusError, Reason, Rejection, Row
from ingest.sources.dicom_captions import Captions
from ingest.sources.files import Found
from ingest.sources.pseudonyms import Pseudonyms

__all__ = ["DicomWeb"]

STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
PAGE = 500
MAX_JSON_BYTES = 64 << 20
MAX_INSTANCE_BYTES = 8 << 30
IN_MEMORY = 32 << 20  # of an instance; the rest goes to a temporary file
TIMEOUT = (10.0, 60.0)  # to connect, and between two pieces of an answer
SLOWEST = 1800.0  # seconds for one answer
WAITS = (0.5, 1, 2, 4, 8, 15, 30)  # seconds before each further try
AGAIN = {408, 425, 429, 500, 502, 503, 504}
CHUNK = 1 << 20


@dataclass
class DicomWeb:
    """All instances of the service at `url`; frames, key and text as of ingest.sources.dicom.Dicom.

    waits: seconds before each further try of a request.
    """

    url: str
    frames: str | int = "middle"
    key: Path | None = None
    text: str = ""
    waits: tuple[float, ...] = WAITS
    format: str = "dicom"
    _session: requests.Session = field(default_factory=requests.Session, repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if not parts.hostname or parts.username or parts.password:
            raise CorpusError(
                "Name a DICOMweb service as https://HOST/PATH; credentials come from the "
                "environment (docs/corpus.md), never from the URL."
            )
        self.url = self.url.rstrip("/")
        token = os.environ.get("ROCOSEARCH_DICOMWEB_TOKEN", "")
        user = os.environ.get("ROCOSEARCH_DICOMWEB_USER", "")
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        elif user:
            self._session.auth = (user, os.environ.get("ROCOSEARCH_DICOMWEB_PASSWORD", ""))

    @property
    def location(self) -> str:
        """The URL."""
        return self.url

    @property
    def recognised(self) -> str:
        """What it is."""
        return "DICOM instances over DICOMweb"

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, study after study."""
        # Not at the top: pydicom takes a while to load, and most sources need no DICOM.
        from ingest.sources.dicom_record import DicomOptions, DicomReader  # noqa: PLC0415

        names = Pseudonyms.at(self.key, made=True) if self.key else Pseudonyms()
        reader = DicomReader(Path(), Captions(), DicomOptions(self.frames, names, self.text))
        for study in self._uids("studies", STUDY):
            path = f"studies/{quote(study)}/instances"
            for uids in self._pages(path):
                series, instance = uids.get(SERIES, ""), uids.get(INSTANCE, "")
                parts = ("studies", study, "series", series, "instances", instance)
                place = "/".join([self.url, *map(quote, parts)])
                name = names.of("dicom", instance)  # a rejection is not to tell a UID
                reader.places[name] = place
                if not series or not instance:
                    yield Rejection(Reason.UNUSABLE_IMAGE, name, detail="no series or instance UID")
                    continue
                yield from reader.rows_of(Found(name, partial(self._instance, place)))
        reader.finish()

    def _uids(self, path: str, tag: str) -> Iterator[str]:
        for found in self._pages(path):
            if found.get(tag):
                yield found[tag]

    def _pages(self, path: str) -> Iterator[Mapping[str, str]]:
        """UIDs of each study or instance, by tag, once; raises CorpusError."""
        seen: set[tuple[str, ...]] = set()
        offset = 0
        while True:
            page = self._json(f"{self.url}/{path}", {"limit": PAGE, "offset": offset})
            fresh = 0
            for entry in page:
                uids = {tag: _first(entry, tag) for tag in (STUDY, SERIES, INSTANCE)}
                key = tuple(uids.values())
                if key not in seen:
                    seen.add(key)
                    fresh += 1
                    yield uids
            # A server may give fewer than asked for; it has no more when nothing new comes.
            if not fresh:
                return
            offset += len(page)

    def _json(self, url: str, query: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        data = self._get(url, "application/dicom+json", query, MAX_JSON_BYTES)
        with data:
            text = data.read()
        if not text:  # 204: nothing there
            return []
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            raise CorpusError(
                f"{url} did not answer with DICOM JSON: is it a DICOMweb service?"
            ) from None
        if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
            raise CorpusError(f"{url} did not answer with a list of DICOM JSON.")
        return content

    def _instance(self, url: str) -> BinaryIO:
        """The file of an instance; raises ImageRejectedError if it cannot be had."""
        accept = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        try:
            return _first_part(self._get(url, accept, {}, MAX_INSTANCE_BYTES))
        except CorpusError as error:
            raise ImageRejectedError(Reason.UNUSABLE_IMAGE, str(error)) from None

    def _get(self, url: str, accept: str, query: Mapping[str, Any], limit: int) -> BinaryIO:
        """The body of an answer with its content type as a first line; raises CorpusError."""
        problem = ""
        for wait in (0.0, *self.waits):
            time.sleep(wait)
            try:
                with self._session.get(
                    url,
                    params=dict(query),
                    headers={"Accept": accept},
                    stream=True,
                    timeout=TIMEOUT,
                ) as answer:
                    if answer.status_code in AGAIN:
                        problem = f"it answers {answer.status_code}"
                        continue
                    if answer.status_code >= 400:
                        raise CorpusError(f"{url} answers {answer.status_code}{_meant(answer)}.")
                    return _body(answer, limit, url)
            except requests.RequestException as error:
                problem = _plain(error)
        raise CorpusError(f"{self.url} cannot be reached: {problem}.")


def _meant(answer: requests.Response) -> str:
    if answer.status_code in (401, 403):
        return ": set ROCOSEARCH_DICOMWEB_TOKEN, or _USER and _PASSWORD"
    return ": is it the DICOMweb root of the service?" if answer.status_code == 404 else ""


def _plain(error: requests.RequestException) -> str:
    kinds = {
        requests.exceptions.SSLError: "its certificate is not trusted",
        requests.Timeout: "it does not answer in time",
        requests.ConnectionError: "no connection",
    }
    return next(
        (text for kind, text in kinds.items() if isinstance(error, kind)),
        "it breaks the connection",
    )


def _body(answer: requests.Response, limit: int, url: str) -> BinaryIO:
    """The whole body, decoded; of a multipart answer with its header in front."""
    begun = time.monotonic()
    body = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))  # noqa: SIM115
    kind = answer.headers.get("Content-Type", "")
    if kind.lower().startswith("multipart/"):
        body.write(f"Content-Type: {kind}\r\n\r\n".encode("latin-1", "replace"))
    size = 0
    for chunk in answer.iter_content(CHUNK):
        size += len(chunk)
        if size > limit or time.monotonic() - begun > SLOWEST:
            body.close()
            raise CorpusError(f"{url} sends more than {limit:,} bytes, or for too long.")
        body.write(chunk)
    expected = answer.headers.get("Content-Length", "")
    if expected.isdecimal() and not answer.headers.get("Content-Encoding") and int(expected) > size:
        body.close()
        raise requests.ConnectionError("the answer is cut off")
    body.seek(0)
    return body


def _first_part(body: BinaryIO) -> BinaryIO:
    """The first part of a multipart body (RFC 2046), or the body where it is none."""
    head = body.read(4096)
    body.seek(0)
    if not head.startswith(b"Content-Type: multipart/"):
        return body
    with body:
        header = Message()
        header["Content-Type"] = body.readline().decode("latin-1").partition(":")[2].strip()
        boundary = str(header.get_param("boundary") or "").encode("latin-1", "replace")
        data = body.read()
    start = data.find(b"--" + boundary)
    begin = data.find(b"\r\n\r\n", start)
    end = data.find(b"\r\n--" + boundary, begin)
    if not boundary or start < 0 or begin < 0 or end < 0:
        raise CorpusError("the answer is not whole")
    return io.BytesIO(data[begin + 4 : end])


def _first(entry: Mapping[str, Any], tag: str) -> str:
    """The first value of an element in DICOM JSON (PS3.18, F.2), or ""."""
    element = entry.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""
