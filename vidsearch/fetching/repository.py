"""A repository or a folder that the user names: which model it holds, and which of its files make that model."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from huggingface_hub import hf_hub_url

from vidsearch.errors import ModelError
from vidsearch.fetching import hub, web
from vidsearch.models.folder import (
    CARD_FILE,
    CONFIG_FILE,
    GENERATION_FILE,
    TEXT_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    is_model_folder,
    open_folder,
)
from vidsearch.models.json_files import read_object
from vidsearch.models.mobilevideogpt.config import published_name
from vidsearch.models.registry import KNOWN_MODELS, known_model

_OURS = {CONFIG_FILE, WEIGHTS_FILE, TEXT_FILE, f"{TEXT_FILE}.data", TOKENIZER_FILE, GENERATION_FILE, CARD_FILE}
_TOKENIZER = {  # in Qwen2's two forms, and the configs that stand beside weights
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
}
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")  # the first of two with one stem is taken
_WEIGHTS = tuple(  # the first form that a repository has is taken: safetensors before pickles
    re.compile(rf"{stem}(-\d+-of-\d+)?\.{suffix}(\.index\.json)?")
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin"))
)
_ANSWERING_TYPE = "MobileVideoGPT"  # how `model_type` of its config.json begins (docs/checkpoints.md)
_PLAIN_NAME = re.compile(r"\w[\w.+-]*", re.ASCII)
_CONFIG_LIMIT_BYTES = 1_000_000


def require_model(repository: str, names: Collection[str], config: Mapping[str, Any], wanted: str | None) -> str:
    """The model that a repository holds: what its `config` names, `wanted`, or what its files tell.

    ModelError if they tell none, or if another one was asked for.
    """
    named = str(config.get("name")) if is_ours(config, names) else model_by_config(config)
    if None not in (named, wanted) and named != wanted:
        raise ModelError(f"{repository} holds the model {named}, not {wanted}; pull it by that name")
    if (found := named or wanted or model_by_files(names)) is None:
        raise ModelError(
            f"the files of {repository} do not tell which model it holds; name it: vidsearch models pull NAME --from "
            f"{repository}"
        )
    return found


def model_of_folder(folder: Path) -> str | None:
    """The model that a folder of files holds, in our layout or as published, each part in a folder of its own or not.

    None if it does not tell, or tells two. ModelError for a config.json that cannot be read.
    """
    if is_model_folder(folder):
        return open_folder(folder).name
    configs = [path for pattern in (CONFIG_FILE, f"*/{CONFIG_FILE}") for path in folder.glob(pattern)]
    named = {model_by_config(read_object(path)) for path in configs} - {None}
    if named:
        return named.pop() if len(named) == 1 else None
    return model_by_files(path.name for path in folder.iterdir())


def model_by_config(config: Mapping[str, Any]) -> str | None:
    """The known model whose language model a published config.json describes."""
    of_this_kind = str(config.get("model_type", "")).startswith(_ANSWERING_TYPE)
    return published_name(config) if of_this_kind else None


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


def weights_among(repository: str, names: Iterable[str], *, with_tokenizer: bool) -> list[str]:
    """The weights of a repository in the layout of transformers, in one file or in shards with their index."""
    there = sorted(name for name in names if _PLAIN_NAME.fullmatch(name))
    weights = next((found for form in _WEIGHTS if (found := [name for name in there if form.fullmatch(name)])), None)
    if weights is None:
        raise ModelError(
            f"{repository} holds neither model.safetensors nor pytorch_model.bin; name another {web.BY_HAND}"
        )
    return weights + [name for name in there if with_tokenizer and name in _TOKENIZER]


def config_of(repository: str, names: Collection[str], timeout_s: float) -> dict[str, Any]:
    """What a repository's config.json holds, in our layout or in another; nothing if there is none."""
    if CONFIG_FILE not in names:
        return {}
    url = hf_hub_url(repository, CONFIG_FILE, endpoint=hub.endpoint())
    answer = web.text(url, hub.token_header(), timeout_s, limit_bytes=_CONFIG_LIMIT_BYTES)
    try:
        config = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{web.shown(url)} is not readable as JSON ({error}); name another repository") from error
    return config if isinstance(config, dict) else {}


def is_ours(config: Mapping[str, Any], names: Collection[str]) -> bool:
    """Whether a repository is a model folder of ours, by its config.json and the names of its files."""
    return isinstance(config.get("format"), int) and WEIGHTS_FILE in names


def own_files(names: Iterable[str]) -> list[str]:
    """The files of a model folder of ours; its hashes and its self-test are made anew."""
    return sorted(_OURS & set(names))
