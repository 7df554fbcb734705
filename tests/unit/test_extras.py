"""A missing package of an extra is one sentence with the line that installs it; other failed imports stay bugs."""

from __future__ import annotations

import pytest

from vidsearch.errors import VidsearchError
from vidsearch.extras import EXTRA_OF, MissingExtraError, needing


@pytest.mark.parametrize("module", ["torch", "torch.nn"])
def test_a_missing_package_names_its_extra(module: str) -> None:
    with pytest.raises(MissingExtraError) as raised, needing("indexing"):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    assert isinstance(raised.value, VidsearchError)
    assert str(raised.value) == (
        "indexing needs the package torch, which is not installed; install it with: pip install 'vidsearch[index]'"
    )


def test_a_package_that_its_extra_brings_to_some_systems_says_to_which() -> None:
    assert str(MissingExtraError("exporting to coreml", "coremltools")).endswith(
        "pip install 'vidsearch[mobile]' (it has wheels for macOS and for Linux on x86-64 alone)"
    )


@pytest.mark.parametrize("module", ["vidsearch.nowhere", "numpy", None])
def test_another_failed_import_stays_what_it_is(module: str | None) -> None:
    with pytest.raises(ModuleNotFoundError), needing("indexing"):
        raise ModuleNotFoundError("no", name=module)


def test_every_extra_that_a_sentence_names_exists(declared_extras: dict[str, list[str]]) -> None:
    assert set(EXTRA_OF.values()) <= set(declared_extras)
    for package, extra in EXTRA_OF.items():
        published = {"PIL": "pillow"}.get(package, package.replace("_", "-"))
        assert any(requirement.lower().startswith(published) for requirement in declared_extras[extra])


@pytest.fixture
def declared_extras() -> dict[str, list[str]]:
    import tomllib

    from support import REPOSITORY

    declared: dict[str, list[str]] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]["optional-dependencies"]
    return declared
