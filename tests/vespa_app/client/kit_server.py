"""The kit's HTTP front: Vespa's container, with a stand-in for the content nodes."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.kit import java_environment


@contextmanager
def kit_server(kit: Path, package: Path, hits: Path | None = None) -> Iterator[str]:
    """Serve the package in a process of its own; yield its URL."""
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    command = [kit, "serve", package, "--port", port, "--stop-on-eof"]
    with (
        java_environment() as environment,
        subprocess.Popen(
            command + (["--hits", hits] if hits else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        try:
            assert json.loads(process.stdout.readline())["ok"]
            yield f"http://localhost:{port}"
        finally:
            process.stdin.close()
