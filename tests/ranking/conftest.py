"""Shared by the tests of ranking."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test cuts the power: waiting for the disk would be most of their time."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
