"""A limit of size as the environment gives it."""

from __future__ import annotations

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.size_limits import limit_from_environment

VARIABLE = "VIDSEARCH_SOMETHING_MB"


def test_the_limit_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_from_environment(VARIABLE, 512) == 512_000_000
    monkeypatch.setenv(VARIABLE, "0")
    assert limit_from_environment(VARIABLE, 512) == 0
    monkeypatch.setenv(VARIABLE, "lots")
    with pytest.raises(VidsearchError, match=f"{VARIABLE} is 'lots'; give a whole number of megabytes, 0 to keep"):
        limit_from_environment(VARIABLE, 512)
