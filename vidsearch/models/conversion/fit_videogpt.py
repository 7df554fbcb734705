"""The published files of Mobile-VideoGPT → the config of our network and every tensor of it.

What comes from where (docs/checkpoints.md; the reference loads in the same order):

    language model, projectors   the Mobile-VideoGPT repository: one file, or shards with an index
    image tower                  CLIP's own file; a copy among the language model's weights counts where there is none
    video encoder                OpenGVLab's file; the copy among the language model's weights where there is none

Strict: every key of a file has a place, or is one that is known to be of no use and is named in `FittedParts.notes`,
or the file is refused; every tensor of the network gets its value from a file.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.weight_files import WeightSet, find_weights
from vidsearch.models.deferred import init_empty_weights
from vidsearch.models.json_files import read_object
from vidsearch.models.keys import Shape, compare, listed, shapes_of
from vidsearch.models.mobilevideogpt.config import CONFIGS, SIZES, MobileVideoGPTConfig, published_name
from vidsearch.models.mobilevideogpt.load import named_tensors
from vidsearch.models.mobilevideogpt.model import MobileVideoGPT

Part = Literal["language model", "image tower", "video encoder"]
Tensors = dict[str, Tensor]

_MARKS: dict[Part, str] = {  # the key by which a part is known, whatever its file is called
    "language model": "model.embed_tokens.weight",
    "image tower": "vision_model.embeddings.class_embedding",
    "video encoder": "vision_encoder.temporal_pos_embedding",
}
_WHERE: dict[Part, str] = {
    "language model": "model.safetensors of Mobile-VideoGPT",
    "image tower": "model.safetensors or pytorch_model.bin of openai/clip-vit-base-patch16",
    "video encoder": "videomamba_m16_25M_f8_res224.pth of OpenGVLab/VideoMamba",
}
_TABLE, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
_IMAGE, _VIDEO = "vision_model.", "vision_encoder."  # how the keys of the towers start in their own files
_VIDEO_HERE = "model.vision_tower."  # what stands before the video encoder's keys in the whole network
# A tower among the language model's weights: what stands before, and how its own keys start.
_COPY = re.compile(r"(model\.(?:\w+\.)+)(vision_model\.|vision_encoder\.)")
_PRETRAINING = "vision_encoder.clip_decoder."  # in the state dict, and never run
# CLIP's other half, its temperature, and a buffer that older versions of its file hold.
_OTHER_HALF_OF_CLIP = ("text_model.", "text_projection.", "visual_projection.")
_UNUSED_OF_CLIP = ("logit_scale", "vision_model.embeddings.position_ids")
# A norm behind the encoder of the pre-training, which Mobile-VideoGPT does not build; all of its keys start so.
_UNUSED_OF_VIDEO = "vision_encoder.pool_norm."
_SETTINGS: dict[str, object] = {  # what the network is built for; a field that is absent has this value
    "hidden_act": "silu",
    "rope_scaling": None,
    "mm_projector_type": "etp",
    "image_mm_projector_type": "etp",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_use_im_start_end": False,
}
_ROWS = 4096  # of a table, in memory at a time
_GET_AGAIN = "get the published files again"
_TOWERS = {"mm_vision_tower": "VideoMamba", "image_mm_vision_tower": "clip-vit-base-patch16"}


@dataclass(frozen=True, slots=True)
class FittedParts:
    """A whole network: its config, and its tensors as `language.named_tensors` names them, still in their files."""

    config: MobileVideoGPTConfig
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...]
    sources: Mapping[Part, Path]  # what to call the weights of each part: a file, or the index of its shards
    notes: tuple[str, ...]

    @property
    def repository(self) -> Path:
        """The folder of the language model's weights: its tokenizer and settings lie there."""
        return self.sources["language model"].parent

    def file_of(self, key: str) -> Path:
        """What to call the weights that a tensor came from."""
        starts: dict[str, Part] = {_IMAGE: "image tower", _VIDEO_HERE: "video encoder"}
        own = [self.sources.get(part) for start, part in starts.items() if key.startswith(start)]
        return (own and own[0]) or self.sources["language model"]  # which holds what has no file of its own


def fit_parts(name: str, folder: Path) -> FittedParts:
    """Read the published files of `name` in a folder and the folders in it. ModelError when they are not that model."""
    parts = _chosen(find_weights(folder), folder)
    language = parts["language model"]
    notes: list[str] = []
    tensors, copies = _split(language)
    config = _config_of(name, language.path.parent / "config.json", tensors, notes)
    wanted = _shapes_of(config)
    towers = {
        _IMAGE: _tower("image tower", parts, copies[_IMAGE], name, _below(_IMAGE, wanted), notes),
        _VIDEO: _tower("video encoder", parts, copies[_VIDEO], name, _below(_VIDEO_HERE, wanted), notes),
    }
    rest = {key: shape for key, shape in wanted.items() if not key.startswith((_IMAGE, _VIDEO_HERE))}
    compare(shapes_of(tensors), rest, file=str(language.path), model=name)
    whole = {**tensors, **towers[_IMAGE], **{_VIDEO_HERE + key: tensor for key, tensor in towers[_VIDEO].items()}}
    return FittedParts(
        config=config,
        tensors={key: whole[key] for key in wanted},
        files=tuple(file for weights in parts.values() for file in weights.files),
        sources={part: weights.path for part, weights in parts.items()},
        notes=tuple(notes),
    )


# Which file is which


def _chosen(found: Sequence[WeightSet], folder: Path) -> dict[Part, WeightSet]:
    """Part → its weights, known by their keys. ModelError for a part held twice, and for other weights."""
    parts: dict[Part, list[WeightSet]] = {part: [] for part in _MARKS}
    for weights in found:
        part = next((part for part, key in _MARKS.items() if key in weights.tensors), None)
        if part is None:
            raise ModelError(
                f"{weights.path} holds no part of Mobile-VideoGPT (its first keys are {listed(weights.tensors)}); "
                "leave only the published files in the folder"
            )
        parts[part].append(weights)
    chosen = {part: _one_of(part, claims) for part, claims in parts.items() if claims}
    if "language model" not in chosen:
        raise ModelError(f"{folder} has no language model; get {_WHERE['language model']}")
    return chosen


def _one_of(part: Part, claims: Sequence[WeightSet]) -> WeightSet:
    """The weights of a part; a repository may hold them as safetensors and, for older readers, as a pickle."""
    newer = [weights for weights in claims if weights.files[0].suffix == ".safetensors"] or list(claims)
    different = {tuple(file.resolve() for file in weights.files): weights for weights in newer}
    if len(different) > 1:
        both = " and ".join(str(weights.path) for weights in list(different.values())[:2])
        raise ModelError(f"{both} both hold the {part}; leave the one that belongs to the model in the folder")
    return newer[0]


def _split(language: WeightSet) -> tuple[Tensors, dict[str, Tensors]]:
    """The language model's file → what is its own, and the copies of the two towers under their own names."""
    own: Tensors = {}
    copies: dict[str, Tensors] = {_IMAGE: {}, _VIDEO: {}}
    for key, tensor in language.tensors.items():
        _check_float(key, tensor, language.path)
        found = _COPY.match(key)
        if found is None:
            own[key] = tensor
        elif copies[found[2]].setdefault(key.removeprefix(found[1]), tensor) is not tensor:
            raise ModelError(f"{language.path} holds two copies of a tower, the second at {key}; {_GET_AGAIN}")
    return own, copies


# The towers


def _tower(
    part: Part,
    parts: Mapping[Part, WeightSet],
    copy: Tensors,
    name: str,
    wanted: Mapping[str, Shape],
    notes: list[str],
) -> Tensors:
    """The tensors of a tower: from its own file, which counts, or the copy in the language model's file."""
    path = parts["language model"].path
    if copy:
        copy = _with_head_of_pretraining(copy, {}, wanted, path, notes)
        compare(shapes_of(copy), wanted, file=str(path), model=name)
    if part not in parts:
        if not copy:
            raise ModelError(f"{path} does not bring the {part} of {name}; get {_WHERE[part]} too")
        notes.append(f"the {part} is the copy in {path.name}")
        return copy
    own = parts[part]
    tensors = _used(part, own, notes)
    tensors = _with_head_of_pretraining(tensors, copy, wanted, own.path, notes)
    compare(shapes_of(tensors), wanted, file=str(own.path), model=name)
    if copy:
        notes.append(_difference(part, own.path, tensors, path, copy))
    return tensors


def _used(part: Part, own: WeightSet, notes: list[str]) -> Tensors:
    """The tower's own keys in its file; the rest, where it is known to be of no use, is set aside and noted."""
    unused = sorted(key for key in own.tensors if _is_unused(part, key))
    if unused:
        counted = Counter(key.partition(".")[0] if not key.startswith((_IMAGE, _VIDEO)) else key for key in unused)
        kinds = ", ".join(f"{start} ({count})" if count > 1 else start for start, count in counted.items())
        notes.append(f"set aside from {own.path.name}, of no use here: {kinds}")
    used = {key: tensor for key, tensor in own.tensors.items() if not _is_unused(part, key)}
    for key, tensor in used.items():
        _check_float(key, tensor, own.path)
    return used


def _is_unused(part: Part, key: str) -> bool:
    if part == "image tower":
        return key.startswith(_OTHER_HALF_OF_CLIP) or key in _UNUSED_OF_CLIP
    return not key.startswith(_VIDEO) or key.startswith(_UNUSED_OF_VIDEO)  # its file holds the whole pre-trained model


def _with_head_of_pretraining(
    tensors: Tensors, copy: Mapping[str, Tensor], wanted: Mapping[str, Shape], path: Path, notes: list[str]
) -> Tensors:
    """The video encoder with `clip_decoder`, which is in the state dict and never run, where its file lacks it."""
    lacking = [key for key in wanted if key.startswith(_PRETRAINING) and key not in tensors]
    if not lacking or any(key.startswith(_PRETRAINING) for key in tensors):
        return tensors
    notes.append(f"{path.name} has no {_PRETRAINING}*, which is never run; {'copied' if copy else 'zero'} here")
    return {**tensors, **{key: copy[key] if copy else torch.zeros(wanted[key]) for key in lacking}}


def _difference(part: Part, own_path: Path, own: Tensors, path: Path, copy: Tensors) -> str:
    """How far the copy of a tower is from the tower: they should be equal up to the precision of the copy."""
    apart = max(float((tensor.float() - copy[key].float()).abs().max()) for key, tensor in own.items())
    return f"the {part} is that of {own_path.name}; the copy in {path.name} differs by up to {apart:.1e}"


# The config


def _config_of(name: str, path: Path, tensors: Tensors, notes: list[str]) -> MobileVideoGPTConfig:
    """The config of `name` with what its files decide: rows of the vocabulary, tied head, constants of config.json."""
    published, given = CONFIGS[name], read_object(path)
    expected = published.language_model
    for field in SIZES:
        if given.get(field) != getattr(expected, field):
            raise ModelError(_another_network(name, path, field, given))
    for field, value in _SETTINGS.items():
        if given.get(field, value) != value:
            raise ModelError(
                f"{path} has {field} {_shown(given[field])}, and {name} is built for {value!r}; {_GET_AGAIN}"
            )
    for field, part in _TOWERS.items():
        if part not in str(given.get(field, part)):
            raise ModelError(f"{path} has {field} {_shown(given[field])}, and {name} is built for {part}; {_GET_AGAIN}")
    rows = _rows(tensors[_TABLE], expected.vocab_size, path.parent)
    if rows != expected.vocab_size:
        notes.append(f"the vocabulary has {rows} rows, not {expected.vocab_size}")
    tied = _is_tied(tensors, bool(given.get("tie_word_embeddings", True)), path, notes)
    language = replace(
        expected,
        vocab_size=rows,
        tie_word_embeddings=tied,
        rope_theta=_positive("rope_theta", given, expected.rope_theta, path),
        rms_norm_eps=_positive("rms_norm_eps", given, expected.rms_norm_eps, path),
        max_position_embeddings=int(
            _positive("max_position_embeddings", given, expected.max_position_embeddings, path)
        ),
    )
    return replace(published, language_model=language)


def _another_network(name: str, path: Path, field: str, given: Mapping[str, Any]) -> str:
    """The sentence for a config.json whose sizes are not those of `name`, with the name that they do fit."""
    other = published_name(given)
    if other is not None:
        return f"{path} is that of {other}, not of {name}; give --from the files of {name}, or install {other}"
    wanted, found = getattr(CONFIGS[name].language_model, field), _shown(given.get(field))
    return f"{path} is of another network: {field} is {found}, and {name} has {wanted}; {_GET_AGAIN}"


def _positive(field: str, given: Mapping[str, Any], expected: float, path: Path) -> float:
    """A number of config.json with which the weights were trained; the expected one where the file has none."""
    value = given.get(field, expected)
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise ModelError(f"{path} has {field} {_shown(value)}, which is not a positive number; {_GET_AGAIN}")
    return float(value)


def _rows(table: Tensor, most: int, folder: Path) -> int:
    """Rows of the embedding table: as many as published, or fewer, where unused ones were cut off."""
    rows = len(table) if table.ndim == 2 else 0
    if not 0 < rows <= most:
        raise ModelError(f"{_TABLE} in {folder} has {rows} rows, not between 1 and {most}; {_GET_AGAIN}")
    return rows


def _is_tied(tensors: Tensors, tied: bool, path: Path, notes: list[str]) -> bool:
    """Whether the embedding table is the output head too; a head that is stored and equals it is taken out."""
    head = tensors.get(_HEAD)
    if head is None:
        if not tied:
            raise ModelError(f"{path} says that the output head is not tied, and there is no {_HEAD}; {_GET_AGAIN}")
        return True
    if _equal(head, tensors[_TABLE]):
        del tensors[_HEAD]
        notes.append(f"{_HEAD} is stored and equals {_TABLE}: one of the two is kept")
        return True
    if tied:
        raise ModelError(f"{path} says that the output head is tied, and {_HEAD} differs from {_TABLE}; {_GET_AGAIN}")
    return False


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether all values agree, whatever they are stored in; some rows at a time, because such tables are large."""
    if one.shape != other.shape:
        return False
    return all(
        torch.equal(a.float(), b.float())
        for a, b in zip(torch.split(one, _ROWS), torch.split(other, _ROWS), strict=True)
    )


# Names and shapes


def _shapes_of(config: MobileVideoGPTConfig) -> dict[str, Shape]:
    with init_empty_weights():
        network = MobileVideoGPT(config)
    return shapes_of(named_tensors(network))


def _below(prefix: str, wanted: Mapping[str, Shape]) -> dict[str, Shape]:
    """The keys of a tower as its own file names them."""
    kept = {key: shape for key, shape in wanted.items() if key.startswith(prefix)}
    return kept if prefix == _IMAGE else {key.removeprefix(prefix): shape for key, shape in kept.items()}


def _check_float(key: str, tensor: Tensor, path: Path) -> None:
    """ModelError for integers and for floats of one byte: a quantised file has scales, which nothing here applies."""
    if not tensor.is_floating_point() or tensor.element_size() < 2:
        kind = str(tensor.dtype).removeprefix("torch.")
        raise ModelError(f"{path} holds {key} as {kind}, so it is quantised; get the weights as they were published")


def _shown(value: object) -> str:
    return repr(value)[:80]  # it is somebody else's
