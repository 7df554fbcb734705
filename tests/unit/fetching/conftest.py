"""A server on loopback that the code under test takes for the hosts of published weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """Empty; nobody's own token or cache is seen. huggingface_hub reads HF_HOME once, when it is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server
