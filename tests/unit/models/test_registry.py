"""The models known by name."""

from __future__ import annotations

import pytest

from vidsearch.errors import ModelError
from vidsearch.models.conse.config import CONFIGS as CONSE
from vidsearch.models.mobileviclip.config import CONFIGS
from vidsearch.models.mobilevideogpt.config import CONFIGS as ANSWERING
from vidsearch.models.registry import (
    BUNDLED_ANSWERING_MODEL,
    BUNDLED_MODEL,
    DEFAULT_ANSWERING_MODEL,
    DEFAULT_MODEL,
    KNOWN_MODELS,
    known_model,
)


def test_every_network_is_known_and_every_known_model_has_a_network() -> None:
    assert {name for name, model in KNOWN_MODELS.items() if model.task == "embedding"} == {*CONFIGS, *CONSE}
    assert {name for name, model in KNOWN_MODELS.items() if model.task == "vqa"} == set(ANSWERING)
    assert DEFAULT_MODEL == "mobileviclip-small"
    assert BUNDLED_MODEL == "mobileviclip-nano"
    assert DEFAULT_ANSWERING_MODEL == "mobilevideogpt-0.5b"


def test_a_published_model_says_where_its_files_come_from() -> None:
    for model in KNOWN_MODELS.values():
        assert model.purpose and model.licence and model.source
        assert bool(model.files) == (model.name not in (BUNDLED_MODEL, BUNDLED_ANSWERING_MODEL))


def test_an_unknown_name_is_an_error_that_lists_the_names() -> None:
    with pytest.raises(ModelError, match=r"no model is called 'mobileviclip-large'.*mobileviclip-small.*mobileclip-s0"):
        known_model("mobileviclip-large")
