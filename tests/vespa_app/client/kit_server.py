"""The kit's HTTP front: Vespa's container, with a stand-in for the content nodes."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def kit_server(kit: Path, package: Path, hits: Path) -> Iterator[str]:
    """Serve the package in a process of its own; yield its URL."""
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    command = [kit, "serve", package, "--hits", hits, "--port", port, "--stop-on-eof"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        try:
            assert json.loads(process.stdout.readline())["ok"]
            yield f"http://localhost:{port}"
        finally:
            process.stdin.close()
