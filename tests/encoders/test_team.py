"""Two processes take the same step as one that has the whole batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from encoders.training.distributed import Team, TeamError, join_team

WORKER = """
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, sys.argv[1])
from conftest import drawn_pairs, small_encoder, small_training

from encoders.training.augment import NO_AUGMENTATION
from encoders.training.batches import Batches
from encoders.training.objectives import concept_backward, contrastive_backward, share_gradients
from encoders.training.pairs import read_pairs
from encoders.base.progress import silent
from encoders.training.distributed import join_team
from encoders.training.train import train

def copy(tensor):
    return tensor.clone(memory_format=torch.contiguous_format)


torch.set_num_threads(1)
out = Path(sys.argv[2])
team = join_team("cpu")
module = small_encoder.__wrapped__().module
module.image.to(memory_format=torch.contiguous_format)  # run.SAFE_BATCH
config = replace(small_training.__wrapped__(), augmentation=NO_AUGMENTATION, epochs=2)
scratch = out / f"{team.size}-{team.rank}"
scratch.mkdir()
drawn = drawn_pairs.__wrapped__()
pairs = read_pairs(drawn, module.config.preprocessing, scratch, "x", silent)
batch = Batches(pairs, module.tokenizer, config, team).at(0)
pixels = batch.images.float() / 255
head = torch.nn.Linear(16, 3)
torch.nn.init.constant_(head.weight, 0.1)
found = {}
for name, micro in (("whole", 0), ("cached", 4)):
    module.zero_grad()
    figures = contrastive_backward(module, pixels, batch, team, micro)
    share_gradients(module, team)
    found |= {f"{name} {n}": copy(p.grad) for n, p in module.named_parameters()}
    found[f"{name} figures"] = torch.tensor(figures)
module.zero_grad()
targets = torch.from_numpy(batch.rows[:, None] % np.array([2, 3, 5]) == 0).float()
figures = concept_backward(module, head, pixels, targets, team)
share_gradients(module.image, team)
found |= {f"concepts {n}": copy(p.grad) for n, p in module.image.named_parameters()}
found["concept figures"] = torch.tensor(figures)
if team.leads:
    save_file(found, out / f"{team.size}.safetensors")
trained = train(drawn[:72], drawn[72:], out / f"encoder-{team.size}", config)
(out / f"trained-{team.size}-{team.rank}").write_text(str(trained.fingerprint))
"""


def started(folder: Path, size: int) -> list[subprocess.Popen[bytes]]:
    """What `accelerate launch --cpu --num_processes SIZE` starts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = [sys.executable, "-c", WORKER, str(Path(__file__).parent), str(folder)]
    shared = {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
    }
    return [
        subprocess.Popen(script, env={**os.environ, **shared, "RANK": r, "LOCAL_RANK": r})
        for r in map(str, range(size))
    ]


def test_two_processes_make_one_step(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    processes = [*started(tmp_path, 1), *started(tmp_path, 2)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    one, two = (load_file(tmp_path / f"{size}.safetensors") for size in (1, 2))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-5, msg=name)
    prints = [(tmp_path / f"trained-2-{rank}").read_text() for rank in (0, 1)]
    assert prints[0] == prints[1]
    assert (tmp_path / "encoder-2" / "encoder.json").exists()
    assert not list(tmp_path.glob(".encoder*"))


def test_a_team_of_one_needs_nothing() -> None:
    team = join_team("cpu")
    assert (team.rank, team.size, team.leads) == (0, 1, True)
    assert team.agree([1.5]) == [1.5]
    assert team.share(7) == slice(0, 7)
    assert Team(torch.device("cpu"), rank=1, size=2).share(8) == slice(4, 8)


def test_several_processes_take_no_named_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TeamError, match="leave --device at auto"):
        join_team("cuda:0")
