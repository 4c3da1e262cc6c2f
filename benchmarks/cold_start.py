"""How soon a new process answers, how much memory it takes, and how large its environment is.

    python benchmarks/cold_start.py [--documents 100000] [--rounds 5] [--folder build/cold-start]
        [--python PATH] [--environment]

Makes once an encoder (preset small, untrained), and an index of made-up captions, each with its own
vector moved by noise, so that a text has near documents as with a trained encoder; then starts a
new process for each row and round. --environment first makes a virtual environment with
`pip install .` alone and measures in that, so that nothing but what searching needs is there;
--python measures in another one. Times are the median of the rounds: on the clock from the start of
the process to its end (serve: to its first answer), and CPU seconds, which a busy machine changes
less. Memory is the most that was resident, mapped files included.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from made_up import DIMENSION, kept_corpus, make_queries
from numpy.typing import NDArray

from encoders.export.graphs import ensure_graphs
from encoders.inference.onnx_encoder import OnnxEncoder
from encoders.model.clip import ClipModule, Encoder
from encoders.model.manifest import Manifest
from encoders.model.tokenizer import train_tokenizer
from encoders.training.presets import preset
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.cosine import with_scale
from ranking.profiles.shipped import SHIPPED
from ranking.types import Document, VectorField

ROOT = Path(__file__).resolve().parent.parent
FIRST_HIT = """
import sys
import numpy as np
from pathlib import Path
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Query
engine = EmbeddedEngine.open(Path(sys.argv[1]))
vector = np.load(sys.argv[2])
assert engine.search(Query(sys.argv[3], vector=vector)).ids
"""


# A small process that starts the measured one: memory counted before a process becomes another
# program is counted as that program's.
LAUNCH = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""


@dataclass(frozen=True)
class Run:
    """One process: seconds on the clock, CPU seconds, MB resident at most."""

    clock: float
    core: float
    memory: float


def make_encoder(folder: Path, captions: list[str]) -> Manifest:
    """An untrained encoder of preset small, with vectors as long as the made-up ones."""
    if not (folder / "encoder.json").exists():
        torch.manual_seed(0)
        config = preset("small").model
        words = train_tokenizer(captions[:5000], vocabulary=config.text.vocabulary)
        fields = {**vars(config), "dimension": DIMENSION}
        Encoder(ClipModule(type(config)(**fields), words)).save(folder)
    return ensure_graphs(folder)


def make_vectors(folder: Path, captions: list[str]) -> NDArray[np.float32]:
    """The captions' vectors moved by noise half as long, of length 1."""
    kept = folder.parent / f"vectors-{len(captions)}.npy"
    if not kept.exists():
        found = OnnxEncoder.load(folder).encode_texts(captions)
        noise = np.random.default_rng(0).standard_normal(found.shape, np.float32)
        found += noise / (2 * found.shape[1] ** 0.5)
        np.save(kept, found / np.linalg.norm(found, axis=1, keepdims=True))
    return np.asarray(np.load(kept))


def make_index(folder: Path, count: int) -> tuple[Path, str, Path]:
    """The index, the text that asks, and the file of the vector that asks."""
    made = kept_corpus(count, folder / f"{count}")
    manifest = make_encoder(folder / "encoder", made.captions)
    index, asked = folder / f"{count}" / "index", make_queries(made, 1)[0]
    vectors = make_vectors(folder / "encoder", made.captions)
    vector = folder / f"{count}" / "query.npy"
    np.save(vector, OnnxEncoder.load(folder / "encoder").encode_texts([asked.text])[0])
    if not (index / "CURRENT").exists():
        names = encoder_names(manifest.fingerprint)
        documents = (
            Document(f"d{row:07}", caption, {names.embedding: vectors[row]})
            for row, caption in enumerate(made.captions)
        )
        started = time.perf_counter()
        EmbeddedEngine.build(
            index,
            documents,
            [VectorField(names.embedding, DIMENSION, manifest.fingerprint)],
            with_scale(SHIPPED, manifest.logit_scale),
            encoder=folder / "encoder",
        )
        print(f"built in {time.perf_counter() - started:.0f} s, {size_of(index):.0f} MB")
    return index, asked.text, vector


def size_of(folder: Path) -> float:
    """MB on disk, files counted once."""
    seen = {(s.st_dev, s.st_ino): s.st_blocks * 512 for s in map(os.lstat, folder.rglob("*"))}
    return sum(seen.values()) / 1e6


def make_environment(folder: Path) -> Path:
    """A virtual environment with `pip install .` alone; its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q", ROOT]
    subprocess.run(install, check=True)
    return python


def run(command: list[str]) -> Run:
    """Run to the end."""
    started = time.perf_counter()
    launch = [sys.executable, "-S", "-c", LAUNCH, *command]
    done = subprocess.run(launch, cwd=ROOT.parent, stdout=subprocess.PIPE, check=True)
    status, core, memory = json.loads(done.stdout)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return Run(time.perf_counter() - started, core, memory)


def serve(python: str, index: Path) -> Run:
    """Start the page, until it has answered a request; then end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    command = [python, "-m", "rocosearch", "serve", str(index), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT.parent)
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                answer.read()
            break
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} failed") from None
            time.sleep(0.01)
    clock = time.perf_counter() - started
    told = Path(f"/proc/{process.pid}/status").read_text("ascii")
    process.terminate()
    _, _, usage = os.wait4(process.pid, 0)
    memory = float(re.search(r"VmHWM:\s+(\d+)", told)[1]) / 1024
    return Run(clock, usage.ru_utime + usage.ru_stime, memory)


def rows(python: str, index: Path, text: str, vector: Path) -> dict[str, Callable[[], Run]]:
    """What is measured."""
    command = [python, "-m", "rocosearch"]
    return {
        "`rocosearch --help`": lambda: run([*command, "--help"]),
        "import, open, first hybrid hit (vector given)": lambda: run(
            [python, "-c", FIRST_HIT, str(index), str(vector), text]
        ),
        "`rocosearch search INDEX TEXT`": lambda: run([*command, "search", str(index), text]),
        "`rocosearch serve INDEX`, first answer": lambda: serve(python, index),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("build/cold-start"))
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--environment", action="store_true")
    options = parser.parse_args()
    # As installed modules are, the measured ones are compiled before.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    folder = options.folder.resolve()
    index, text, vector = make_index(folder, options.documents)
    python = options.python
    if options.environment:
        python = str(make_environment(folder / "environment"))
        print(f"environment of `pip install .`: {size_of(folder / 'environment'):.0f} MB")
    print(f"| {options.documents:,} documents | seconds | CPU seconds | MB |")
    print("|---|---|---|---|")
    for name, measured in rows(python, index, text, vector).items():
        found = [measured() for _ in range(options.rounds)]
        middle = [
            statistics.median(getattr(each, part) for each in found)
            for part in ("clock", "core", "memory")
        ]
        print(f"| {name} | {middle[0]:.2f} | {middle[1]:.2f} | {middle[2]:.0f} |")


if __name__ == "__main__":
    main()
