"""Every change that a process and its threads make to files below a folder, in order.

The system calls are recorded by strace, so nothing of the product is replaced: what Python, Arrow,
safetensors and SQLite write is seen alike. Mapped memory is not; the index and the ledger's log
are written by calls (`Disk.differences` compares the replayed folder with the real one).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["ACK", "Operation", "record"]

ACK = "/acknowledged/"  # a workload says that a step is done by making a folder there, in vain
CALLS = (
    "open,openat,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,fallocate,"
    "rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,"
    "fsync,fdatasync,copy_file_range,sendfile"
)
_NAMED = {
    **{
        name: name for name in ("truncate", "rename", "link", "symlink", "unlink", "mkdir", "rmdir")
    },
    "renameat": "rename",
    "renameat2": "rename",
    "linkat": "link",
    "symlinkat": "symlink",
    "unlinkat": "unlink",
    "mkdirat": "mkdir",
}
_LINE = re.compile(r"^(\d+)\s+(.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(.*)$", re.S)
_TOKEN = re.compile(
    r'"((?:\\x[0-9a-f]{2})*)"(?:\.\.\.)?|(-?\w+)<([^>]*)>|([^,\s{}\[\]()"<>][^,{}\[\]()"<>]*)'
)


@dataclass(frozen=True)
class Operation:
    """One change: `kind`, its paths, and for data where it begins."""

    kind: str
    path: str = ""
    other: str = ""
    data: bytes = b""
    offset: int = 0


def record(command: list[str], root: Path, log: Path) -> list[Operation]:
    """Run a command of Python; what it changed below `root`."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace on PATH")
    traced = [strace, "-f", "--seccomp-bpf", "-qq", "-xx", "-y", "-s", "100000000"]
    traced += ["-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log)]
    done = subprocess.run(
        [*traced, sys.executable, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "NUMBA_NUM_THREADS": "1"},
    )
    if done.returncode and "ptrace" in done.stderr:
        pytest.skip("needs strace to be allowed here")
    assert done.returncode == 0, done.stderr[-3000:]
    return list(_operations(log, str(root)))


def _calls(log: Path) -> Iterator[str]:
    """Calls in the order in which they ended."""
    begun: dict[str, str] = {}
    with log.open(encoding="ascii") as stream:
        for line in stream:
            found = _LINE.match(line.rstrip("\n"))
            assert found, line
            thread, text = found.groups()
            if text.endswith("<unfinished ...>"):
                begun[thread] = text.removesuffix("<unfinished ...>").rstrip()
                continue
            resumed = _RESUMED.match(text)
            if resumed:
                text = begun.pop(thread) + resumed[2]
            yield text


def _unhex(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


@dataclass(frozen=True)
class _Call:
    """A call that has come to its end, taken apart."""

    name: str
    result: int
    strings: list[bytes]
    handles: list[tuple[str, str]]  # descriptor, and the path that it stands for
    words: list[str]
    opened: str  # the path of what it returns

    @classmethod
    def parse(cls, text: str) -> _Call | None:
        found = _CALL.match(text)
        if not found:
            return None  # exit, signals
        name, arguments, result, rest = found.groups()
        tokens = list(_TOKEN.finditer(arguments))
        opened = re.search(r"<([^>]*)>", rest)
        return cls(
            name,
            int(result),
            [_unhex(token[1]) for token in tokens if token[1] is not None],
            [(token[2], _unhex(token[3]).decode()) for token in tokens if token[3] is not None],
            [token[4].strip() for token in tokens if token[4] is not None],
            _unhex(opened[1]).decode() if opened else "",
        )

    @property
    def paths(self) -> list[str]:
        """Absolute, those of calls with folders' descriptors too."""
        texts = [os.fsdecode(each) for each in self.strings]
        if not self.name.endswith(("at", "at2")):
            return texts
        folders = [path for _, path in self.handles]
        return [str(Path(folder) / text) for folder, text in zip(folders, texts, strict=False)]


class _Recorder:
    """Makes operations of calls; knows where the next `write` to a descriptor goes."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._places: dict[str, int] = {}
        self._appending: set[str] = set()

    def operations(self, call: _Call) -> Iterator[Operation]:
        if call.name.startswith("mkdir") and call.strings[0].startswith(ACK.encode()):
            yield Operation("acknowledge", call.strings[0].decode().removeprefix(ACK))
        elif call.result < 0:
            return
        elif call.name in {"open", "openat", "creat"}:
            yield from self._open(call)
        elif call.name in _NAMED:
            yield from self._named(call)
        elif self._is_ours(call.handles[0][1]):
            yield from self._written(call)

    def _is_ours(self, path: str) -> bool:
        """Below the root, and not the index of SQLite's log, which it makes anew."""
        return _below(path, self._root) and not path.endswith(("-shm", "(deleted)"))

    def _open(self, call: _Call) -> Iterator[Operation]:
        handle, flags = str(call.result), " ".join(call.words)
        self._places[handle] = 0
        self._appending.discard(handle)
        if "O_APPEND" in flags:
            self._appending.add(handle)
        if not _below(call.opened, self._root):
            return
        if "O_CREAT" in flags:
            yield Operation("create", call.opened)
        if "O_TRUNC" in flags:
            yield Operation("truncate", call.opened)

    def _named(self, call: _Call) -> Iterator[Operation]:
        paths = call.paths
        if not any(_below(path, self._root) for path in paths):
            return
        kind = "rmdir" if "AT_REMOVEDIR" in call.words else _NAMED[call.name]
        yield Operation(kind, *paths, offset=int(call.words[-1]) if kind == "truncate" else 0)

    def _written(self, call: _Call) -> Iterator[Operation]:
        handle, path = call.handles[0]
        if call.name == "lseek":
            self._places[handle] = call.result
        elif call.name == "ftruncate":
            yield Operation("truncate", path, offset=int(call.words[-1]))
        elif call.name in {"fsync", "fdatasync"}:
            yield Operation("sync", path)
        else:
            assert call.name.removeprefix("p").startswith("write"), call.name
            data = b"".join(call.strings)[: call.result]
            yield Operation("write", path, data=data, offset=self._offset(call, len(data)))

    def _offset(self, call: _Call, count: int) -> int:
        """Where it begins to write; -1 at the end of the file."""
        handle = call.handles[0][0]
        if call.name.startswith("p"):
            return int(call.words[-1])
        if handle in self._appending:
            return -1
        self._places[handle] += count
        return self._places[handle] - count


def _operations(log: Path, root: str) -> Iterator[Operation]:
    recorder = _Recorder(root)
    for text in _calls(log):
        call = _Call.parse(text)
        if call:
            yield from recorder.operations(call)


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root + "/")
