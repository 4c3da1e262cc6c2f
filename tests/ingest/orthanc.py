"""A real Orthanc on the loopback, where it is installed (Debian: orthanc, orthanc-dicomweb)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from pathlib import Path

import requests

PLUGINS = Path("/usr/share/orthanc/plugins")
PLUGIN = PLUGINS / "libOrthancDicomWeb.so"
BINARY = shutil.which("Orthanc")
INSTALLED = bool(BINARY) and PLUGIN.exists()


class Orthanc:
    """Started on a free port with its data in `folder`; restart keeps port and data."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/dicom-web"
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "AuthenticationEnabled": False,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        }
        self._settings = folder / "orthanc.json"
        self._settings.write_text(json.dumps(settings))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        log = (self._folder / "log").open("ab")
        self._process = subprocess.Popen([BINARY or "", self._settings], stdout=log, stderr=log)
        log.close()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if requests.get(f"{self.root}/system", timeout=5).ok:
                    return
            except requests.ConnectionError:
                time.sleep(0.1)
        raise AssertionError((self._folder / "log").read_text(errors="replace")[-2000:])

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
            self._process = None

    def send(self, data: bytes) -> None:
        answer = requests.post(f"{self.root}/instances", data=data, timeout=60)
        answer.raise_for_status()
