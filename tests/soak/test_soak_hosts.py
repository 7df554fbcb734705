"""Every way in which a host can misbehave, before and after it has announced the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from host_behaviours import behaviours, fetch_from
from hub_server import HubServer, Trouble

pytestmark = pytest.mark.soak


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """As in tests/unit/fetching."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    with HubServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.mark.parametrize("announced", [True, False], ids=["hub", "plain"])
@pytest.mark.parametrize(("name", "trouble"), list(behaviours()), ids=[name for name, _ in behaviours()])
def test_a_host_that_misbehaves(hosts: HubServer, tmp_path: Path, name: str, trouble: Trouble, announced: bool) -> None:
    (tmp_path / "arriving").mkdir()
    fetch_from(hosts, trouble, tmp_path / "arriving", announced=announced)
