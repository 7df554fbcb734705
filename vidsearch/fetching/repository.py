"""A repository or a folder that the user names: which model it holds, and which of its files make that model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import PurePath

from huggingface_hub import hf_hub_url

from vidsearch.errors import ModelError
from vidsearch.fetching import hub, web
from vidsearch.models.folder import CARD_FILE, CONFIG_FILE, TEXT_FILE, WEIGHTS_FILE
from vidsearch.models.registry import KNOWN_MODELS, known_model

_OURS = {CONFIG_FILE, WEIGHTS_FILE, TEXT_FILE}
_OURS_TOO = {f"{TEXT_FILE}.data", CARD_FILE}
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")  # the first of two with one stem is taken
_PLAIN_NAME = re.compile(r"\w[\w.+-]*")
_CONFIG_LIMIT_BYTES = 1_000_000


def model_in(repository: str, names: Iterable[str], timeout_s: float) -> str:
    """The name of the model that a repository holds. ModelError when its files do not tell."""
    names = set(names)
    if names >= _OURS:
        return _name_in_config(repository, timeout_s)
    if (found := model_by_files(names)) is None:
        raise ModelError(
            f"the files of {repository} do not tell which model it holds; name it: vidsearch models pull NAME --from "
            f"{repository}"
        )
    return found


def model_by_files(names: Iterable[str]) -> str | None:
    """The known model that is published under these file names: the one that most of them belong to."""
    there = set(names)
    fitting = [model for model in KNOWN_MODELS.values() if model.files and there.issuperset(model.files)]
    most = max((len(model.files) for model in fitting), default=0)
    best = [model.name for model in fitting if len(model.files) == most]
    return best[0] if len(best) == 1 else None


def wanted_files(repository: str, model: str, names: Iterable[str]) -> list[str]:
    """Which files of a repository make up the model. ModelError when it holds no weights."""
    there = sorted(name for name in names if _PLAIN_NAME.fullmatch(name))
    if set(there) >= _OURS:
        return [name for name in there if name in _OURS | _OURS_TOO]
    published = [name for name in there if name in known_model(model).files]
    weights = published or _one_of_each_stem(name for name in there if name.endswith(_SUFFIXES))
    if not weights:
        raise ModelError(
            f"{repository} holds no weight file ({', '.join(_SUFFIXES)}) that could be {model}; name another "
            f"repository {web.BY_HAND}"
        )
    return weights


def _one_of_each_stem(names: Iterable[str]) -> list[str]:
    """Repositories often hold the same weights in two formats."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(PurePath(name).stem, []).append(name)
    return [min(twins, key=lambda name: _SUFFIXES.index(PurePath(name).suffix)) for twins in by_stem.values()]


def _name_in_config(repository: str, timeout_s: float) -> str:
    url = hf_hub_url(repository, CONFIG_FILE, endpoint=hub.endpoint())
    answer = web.text(url, hub.token_header(), timeout_s, limit_bytes=_CONFIG_LIMIT_BYTES)
    try:
        name = json.loads(answer)["name"]
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{web.shown(url)} is not a vidsearch model config; name another repository") from error
    return known_model(str(name)).name
