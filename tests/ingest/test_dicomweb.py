"""A PACS over DICOMweb: a real Orthanc where it is installed, and answers that are none."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from typer.testing import CliRunner

from ingest.corpus.corpus import Corpus, write_corpus
from ingest.corpus.records import CorpusError
from ingest.sources.dicomweb import DicomWeb
from ingest.sources.pseudonyms import Pseudonyms
from rocosearch.cli import app

from .dicom_made import RAMP, dicom_bytes, uid
from .orthanc import INSTALLED, Orthanc

WAITS = (0.05,) * 100  # a restart is waited for, whatever it takes here


def instance(number: int, per_study: int = 5) -> bytes:
    study = number // per_study
    return dicom_bytes(
        np.roll(RAMP, 31 * number),
        SOPInstanceUID=uid("web", number),
        StudyInstanceUID=uid("web study", study),
        SeriesInstanceUID=uid("web series", study, number % 2),
        PatientID=f"P{study // 2}",
        StudyDescription=f"STUDY {study}",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
    )


@pytest.fixture
def orthanc(tmp_path):
    if not INSTALLED:
        pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
    server = Orthanc(tmp_path / "orthanc")
    server.start()
    yield server
    server.stop()


def test_all_instances_of_a_pacs_come_over_a_restart(orthanc, tmp_path):
    total = 60
    for number in range(total):
        orthanc.send(instance(number))
    source = DicomWeb(orthanc.url, key=tmp_path / "key", waits=WAITS)
    rows = []
    for row in source:
        rows.append(row)
        if len(rows) == total // 2:
            orthanc.stop()
            again = threading.Timer(0.5, orthanc.start)
            again.start()
    again.join()
    names = Pseudonyms.at(tmp_path / "key")
    assert {row.id for row in rows} == {names.of("dicom", uid("web", n)) for n in range(total)}
    assert len(rows) == total
    assert len({row.group_id for row in rows}) == total // 5
    assert len({row.subject_id for row in rows}) == total // 10
    found = names.source(rows[0].id)
    assert found.file.startswith(f"{orthanc.url}/studies/{found.study}/series/")


def test_the_command_reads_a_pacs(orthanc, tmp_path):
    for number in range(6):
        orthanc.send(instance(number))
    result = CliRunner().invoke(app, ["corpus", orthanc.url, str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "6 records, 6 with an image" in result.output
    corpus = Corpus.open(tmp_path / "out")
    assert corpus.manifest.source == orthanc.url
    assert {record.caption for record in corpus.records()} == {"STUDY 0", "STUDY 1"}


@pytest.fixture
def server():
    """A server that gives one answer to everything: (status, type, body)."""
    answers: list[tuple[int, str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, body = answers[0] if len(answers) == 1 else answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    found.answers = answers
    yield found
    found.shutdown()
    found.server_close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "not answer with DICOM JSON: is it a DICOMweb service"),
        (200, b"[" * 5000, "not answer with DICOM JSON"),
        (200, b'{"a": 1}', "not answer with a list of DICOM JSON"),
        (401, b"Bearer secret", "answers 401: set ROCOSEARCH_DICOMWEB_TOKEN"),
        (404, b"", "answers 404: is it the DICOMweb root"),
        (503, b"", "cannot be reached: it answers 503"),
    ],
)
def test_answers_that_are_none_are_one_sentence(server, tmp_path, status, body, said):
    server.answers.append((status, "application/dicom+json", body))
    url = f"http://127.0.0.1:{server.server_port}/dicom-web"
    with pytest.raises(CorpusError, match=said) as error:
        write_corpus(DicomWeb(url, waits=(0.01,)), tmp_path / "out")
    assert "secret" not in str(error.value)


def test_a_url_with_a_password_is_refused():
    with pytest.raises(CorpusError, match="credentials come from the environment"):
        DicomWeb("https://me:secret@pacs/dicom-web")
