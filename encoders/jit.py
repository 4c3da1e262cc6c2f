"""Loops compiled by numba on first use, and kept on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numba import config

__all__ = ["HAS_VNNI", "ZERO", "compiled", "compiled_in_any_order", "kernel_stamp"]

F = TypeVar("F", bound=Callable[..., Any])

ZERO = cast(int, np.int64(0))
"""What compiled code hands on in place of 0: for a literal number numba compiles all anew."""


def compiled(function: F) -> F:
    """Compile on first call; what was compiled is kept on disk where that can be written."""
    return _jit(function, {})


def compiled_in_any_order(function: F) -> F:
    """Compile so that sums may be taken in any order, as vector registers need it."""
    return _jit(function, {"fastmath": {"reassoc", "contract", "nsz"}})


def _jit(function: F, options: dict[str, Any]) -> F:
    options = {"error_model": "numpy", **options}
    try:
        made = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba found no folder to keep it in
        return cast(F, numba.njit(nogil=True, **options)(function))
    if hasattr(made, "_cache"):  # numba may be told to compile nothing
        kept, folder = made._cache._cache_file, Path(function.__code__.co_filename).parent
        # Numba reads this first, and nothing further where it is another: the rest may name
        # classes that are gone.
        kept._version = f"{kept._version} {kernel_stamp(folder)}"
    return cast(F, made)


@cache
def kernel_stamp(folder: Path) -> str:
    """A hash of all files of compiled code in a folder and in this one, which it may call.

    numba looks only at the file of the function that is called, though it puts the code of others
    into it: after an update of those it would go on with what they were.
    """
    folders = sorted({folder, Path(__file__).parent})
    files = [path.read_bytes() for each in folders for path in sorted(each.glob("*.py"))]
    kernels = [text for text in files if b"compiled" in text or b"intrinsic" in text]
    return hashlib.sha256(b"".join(kernels)).hexdigest()


def _has_vnni() -> bool:
    """Whether numba compiles, and for this processor, and it has VNNI."""
    told = ("DISABLE_JIT", "CPU_NAME", "CPU_FEATURES")
    if any(getattr(config, name, None) for name in told):
        return False
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512vnni") and features.get("avx512vl"))


HAS_VNNI = _has_vnni()
"""Products of bytes, four at a time, in one instruction (Intel: Deep Learning Boost; AMD: Zen 4)"""
