"""The tensors of published files → the config and the whole training-form state dict of one of our networks.

Strict: every key of a file has a place or the file is refused, and every key of the network gets a value from a file,
from the exact equivalent of an inference form (`training_form.py`), or, for a temporal part that the file does not
have, the value with which that part does nothing. `Fitted.notes` says what was decided.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.checkpoint import Checkpoint
from vidsearch.models.conversion.matcher import STAGE_TPE, TEXT, VISION, Base, Match, carries_identity, match
from vidsearch.models.conversion.training_form import folded_keys, neutral_norm, to_training_form, without_identity
from vidsearch.models.keys import Shape, compare, shapes_of
from vidsearch.models.mobileviclip.config import CONFIGS, MobileCLIPConfig, MobileViCLIPConfig, TemporalConfig
from vidsearch.models.mobileviclip.load import build_from

_IMAGE = "image_encoder.model."
_NO_TIME = TemporalConfig(repmixer=False, joint_attention=False, tpe=False)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network's config and its whole state dict in the training form, and how they came about."""

    config: MobileCLIPConfig
    tensors: Mapping[str, Tensor]
    files: tuple[Path, ...]
    notes: tuple[str, ...]


def fit(
    name: str,
    checkpoints: Sequence[Checkpoint],
    *,
    renames: Mapping[str, str] | None = None,
    folded: bool | None = None,
) -> Fitted:
    """The files that make up the published model `name` → its state dict; ModelError when they do not.

    `renames` (source → canonical key) overrides the structural matcher, and `folded` its reading of temporal
    convolutions without a norm (True: X' = conv(X); False: X' = conv(X) + X).
    """
    config = CONFIGS[name]
    if isinstance(config, MobileViCLIPConfig):
        return _fit_clips(config, checkpoints, renames, folded)
    return _fit_pictures(config, checkpoints)


def network_shapes(config: MobileCLIPConfig) -> dict[str, Shape]:
    """Names and shapes of a config's training form; no memory is taken."""
    with torch.device("meta"):
        return shapes_of(build_from(config).state_dict())


def clip_bases() -> list[Base]:
    """The published MobileViCLIP networks without their temporal parameters: what the matcher starts from."""
    configs = [c for c in CONFIGS.values() if isinstance(c, MobileViCLIPConfig) and not c.text.pruned]
    return [_base(config) for config in configs]


def _base(config: MobileViCLIPConfig) -> Base:
    keys = network_shapes(dataclasses.replace(config, temporal=_NO_TIME))
    return Base(config.name, keys, folded_keys(keys), config.temporal.frames)


# Pictures: MobileCLIP


def _fit_pictures(config: MobileCLIPConfig, checkpoints: Sequence[Checkpoint]) -> Fitted:
    wanted = network_shapes(config)
    folded = folded_keys(wanted)
    checkpoint = _choose(config.name, checkpoints, ("apple", "open_clip"), _stems(wanted, folded))
    shapes = shapes_of(checkpoint.tensors)
    inference = not any(".rbr_" in key for key in shapes)
    compare(shapes, folded if inference else wanted, file=str(checkpoint.path), model=config.name)
    _require_finite(checkpoint.tensors, checkpoint.path)
    tensors = to_training_form(checkpoint.tensors, wanted) if inference else checkpoint.tensors
    return Fitted(config, _as_float32(tensors), (checkpoint.path,), _form_note(inference))


def _stems(*forms: Mapping[str, Shape]) -> dict[str, Shape]:
    """The first convolution's key and shape, in each form: its width tells the sizes apart."""
    ends = ("patch_embed.0.rbr_conv.0.conv.weight", "patch_embed.0.reparam_conv.weight")
    return {key: shape for form in forms for key, shape in form.items() if key.endswith(ends)}


def _choose(
    name: str, checkpoints: Sequence[Checkpoint], layouts: Sequence[str], stems: Mapping[str, Shape]
) -> Checkpoint:
    """The one file of these layouts; among several, the one whose stem is of this size."""
    fitting = [checkpoint for checkpoint in checkpoints if checkpoint.layout in layouts]
    if len(fitting) > 1:
        fitting = [c for c in fitting if any(c.tensors[k].shape == s for k, s in stems.items() if k in c.tensors)]
    if len(fitting) == 1:
        return fitting[0]
    files = ", ".join(str(checkpoint.path) for checkpoint in fitting or checkpoints)
    if fitting:
        raise ModelError(f"several files could be {name} ({files}); give the one that is meant")
    raise ModelError(f"{files} is not {name} but {_described(checkpoints[0])}; give the weights published for {name}")


def _described(checkpoint: Checkpoint) -> str:
    names = {
        "apple": "a MobileCLIP checkpoint",
        "open_clip": "a MobileCLIP checkpoint in open_clip's names",
        "mobileviclip": "a MobileViCLIP checkpoint",
        "text": "a text encoder alone",
    }
    return names[checkpoint.layout]


def _require_finite(tensors: Mapping[str, Tensor], path: Path) -> None:
    """ModelError for a tensor with a value that is not finite; one tensor at a time is read."""
    for key, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(f"{path} is damaged: {key} has values that are not finite; get the file again")


def _form_note(inference: bool) -> tuple[str, ...]:
    return ("read from the inference form; stored as an equal training form",) if inference else ()


def _as_float32(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}


# Clips: MobileViCLIP


def _fit_clips(
    config: MobileViCLIPConfig,
    checkpoints: Sequence[Checkpoint],
    renames: Mapping[str, str] | None,
    folded: bool | None,
) -> Fitted:
    base = _base(config)
    main = _choose(config.name, checkpoints, ("mobileviclip",), _stems(base.train, base.inference))
    _require_finite(main.tensors, main.path)
    source = dict(main.tensors)
    files: tuple[Path, ...] = (main.path,)
    if not main.has_text:
        donor = _text_donor(config, main, checkpoints, base)
        text = {key: tensor for key, tensor in donor.tensors.items() if key.startswith(TEXT)}
        _require_finite(text, donor.path)
        source |= text
        files = (main.path, donor.path)
    found = match(shapes_of(source), [base], file=str(main.path), renames=renames)
    tensors = {canonical: source[key] for key, canonical in found.keys.items()}
    fitted = dataclasses.replace(config, temporal=_temporal_config(config.temporal, found))
    wanted = network_shapes(fitted)
    tensors, note = _temporal_tensors(_as_float32(tensors), found, wanted, folded, str(main.path))
    tensors.setdefault("temp", torch.tensor(0.01))  # the published floor; no vector depends on it
    if found.form == "inference":
        tensors = to_training_form(tensors, wanted)
    return Fitted(fitted, tensors, files, (*_form_note(found.form == "inference"), *found.notes, *note))


def _text_donor(
    config: MobileViCLIPConfig, main: Checkpoint, checkpoints: Sequence[Checkpoint], base: Base
) -> Checkpoint:
    """The other file whose text encoder is of this size; it was frozen in training, so MobileCLIP's is the same."""
    wanted = {key: shape for key, shape in base.train.items() if key.startswith(TEXT)}
    for checkpoint in checkpoints:
        text = {key: shape for key, shape in shapes_of(checkpoint.tensors).items() if key.startswith(TEXT)}
        if checkpoint is not main and text == wanted:
            return checkpoint
    donor = "mobileclip_s0.pt" if config.name == "mobileviclip-tiny" else "mobileclip_s2.pt"
    raise ModelError(
        f"{main.path} has no text encoder; put {donor}, which has it, into the same folder and give the folder"
    )


def _temporal_config(published: TemporalConfig, found: Match) -> TemporalConfig:
    tpe = [key for key in found.shapes if key.endswith("temporal_embedding")]
    return dataclasses.replace(
        published,
        repmixer=found.kernel is not None,
        kernel=found.kernel or published.kernel,
        conv_bias=any(key.endswith("temporal.conv.bias") for key in found.shapes),
        tpe=bool(tpe),
        tpe_place="block" if tpe and STAGE_TPE not in tpe else published.tpe_place,
    )


def _temporal_tensors(
    tensors: dict[str, Tensor], found: Match, wanted: Mapping[str, Shape], folded: bool | None, file: str
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Bring temporal tensors into their shapes and give parts that the file lacks the value that does nothing."""
    for key, shape in found.shapes.items():
        tensors[key] = _in_shape(tensors[key], shape)
    bare = found.blocks_without_norm
    note: tuple[str, ...] = ()
    if bare:
        kernels = {block: tensors[f"{block}.temporal.conv.weight"] for block in bare}
        if folded is None:
            centres = {block: kernel[:, 0, kernel.shape[2] // 2].tolist() for block, kernel in kernels.items()}
            folded = carries_identity(centres, file=file)
        note = (f"temporal convolutions without a norm, read as {'folded' if folded else 'plain, with a residual'}",)
        if folded:
            tensors |= {f"{block}.temporal.conv.weight": without_identity(kernel) for block, kernel in kernels.items()}
    for key, shape in wanted.items():
        module, _, name = key.rpartition(".")
        if key in tensors or not key.startswith(VISION):
            continue
        if module.endswith(".temporal.norm"):
            tensors[key] = neutral_norm(shape[0] if shape else 1)[name]
        elif module.endswith(".temporal.conv") or name == "temporal_embedding":
            tensors[key] = torch.zeros(shape)
    return tensors, note


def _in_shape(tensor: Tensor, shape: Shape) -> Tensor:
    """Reshape a temporal parameter; a TPE whose channels come before its frames is transposed as well."""
    longer = [axis for axis in tensor.shape if axis > 1]
    if len(shape) == 3 and longer == [shape[2], shape[1]]:  # (C, T) where (T, C) belongs
        return tensor.reshape(longer).T.reshape(shape)
    return tensor.reshape(shape)
