"""Weight files → tensors, safely; their layouts → our names.

Reads `.pt` (a zip or an old pickle, by torch's restricted unpickler: nothing in the file is executed) and
`.safetensors`, both memory-mapped where the file allows it. What a file is, its first bytes say, not its name. Layouts:

    apple        image_encoder.model.…, text_encoder.…, logit_scale         MobileCLIP as Apple publishes it
    mobileviclip vision_encoder.…, temp, with or without text_encoder.…     inside the key `module`
    open_clip    visual.trunk.…, text.…                                     MobileCLIP-S2 in open_clip's names
    text         text_encoder.… alone
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.folder import WEIGHTS_FILE, is_model_folder
from vidsearch.models.weights import read_safetensors

Layout = Literal["apple", "mobileviclip", "open_clip", "text"]
Tensors = dict[str, Tensor]

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".safetensors")
_WRAPPERS = ("module", "model", "state_dict")  # the first that is there, see docs/checkpoints.md
_PREFIXES: tuple[tuple[str, Layout], ...] = (
    ("vision_encoder.", "mobileviclip"),
    ("image_encoder.model.", "apple"),
    ("visual.trunk.", "open_clip"),
    ("text_encoder.", "text"),
)
_ZIP, _PICKLE, _LFS = b"PK\x03\x04", b"\x80", b"version https://git-lfs"
_SHOWN = 3


class BadFileError(ModelError):
    """A file that holds no readable weights, whatever model is wanted: cut, damaged, hostile or something else."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The tensors of one file under the names it uses, open_clip's already read as Apple's."""

    path: Path
    layout: Layout
    tensors: Mapping[str, Tensor]

    @property
    def has_text(self) -> bool:
        return any(key.startswith("text_encoder.") for key in self.tensors)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one weight file and tell its layout. ModelError, which names the file, for all that is not one."""
    tensors = read_tensors(path)
    layout = next((name for prefix, name in _PREFIXES if any(key.startswith(prefix) for key in tensors)), None)
    if layout is None:
        first = ", ".join(list(tensors)[:_SHOWN])
        raise ModelError(
            f"{path} holds neither MobileCLIP nor MobileViCLIP (its first keys are {first}); "
            "give the weights that were published for the model"
        )
    if layout == "open_clip":
        tensors = from_open_clip(tensors, path)
    return Checkpoint(path, layout, tensors)


def read_tensors(path: Path) -> Tensors:
    """The state dict in a weight file, taken out of what wraps it, under the names it uses, or a BadFileError."""
    try:
        return _without_shared_prefix(_unwrapped(_read(path), path))
    except ModelError as error:
        raise BadFileError(str(error), path) from error


def read_folder(folder: Path) -> list[Checkpoint]:
    """All weight files of a folder; ModelError when it has none. Files are mapped, not loaded, so this is cheap."""
    files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file())
    if is_model_folder(folder):
        raise ModelError(f"{folder} is a model folder already; its weights are {folder / WEIGHTS_FILE}")
    if not files:
        raise ModelError(f"{folder} holds no weight file ({', '.join(SUFFIXES)}); give the file or the right folder")
    return [read_checkpoint(path) for path in files]


def _read(path: Path) -> object:
    """What the file holds: for a `.pt` any plain value, for safetensors a dict of tensors."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise ModelError(f"the weight file {path} cannot be read ({error.strerror}); check the path") from error
    kind = _kind(head)
    if kind is None:
        raise ModelError(f"{path} is {_what(head)}, not a weight file; get the file again")
    return read_safetensors(path) if kind == "safetensors" else _read_pickle(path, mapped=kind == "zip")


def _kind(head: bytes) -> Literal["zip", "pickle", "safetensors"] | None:
    if head.startswith(_ZIP):
        return "zip"
    if head[8:9] == b"{" and head[5:8] == b"\0\0\0":  # length of the header (below 1 TiB), then JSON
        return "safetensors"
    return "pickle" if head.startswith(_PICKLE) else None


def _what(head: bytes) -> str:
    text = head.lstrip().lower()
    if not head:
        return "empty"
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return "a web page, such as a failed download leaves"
    if head.startswith(_LFS):
        return "a pointer to a file in Git LFS"
    return "of an unknown format"


def _read_pickle(path: Path, *, mapped: bool) -> object:
    if mapped:
        _check_zip(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # whatever damaged bytes make the unpickler raise; it always leaves as a ModelError
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            why = "holds more than tensors, which would mean running code from it"
        else:
            why = "is damaged or cut short"
        raise ModelError(f"{path} {why}; get the file again from its publisher") from error


def _check_zip(path: Path) -> None:
    """ModelError for a zip that is damaged, or packed so that it could grow without bound when it is opened.

    torch maps such a file into memory and then never looks at its checksums; it stores its tensors unpacked.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            packed = [entry.filename for entry in entries if entry.compress_type != zipfile.ZIP_STORED]
            repeated = sum(entry.file_size for entry in entries) > path.stat().st_size
            wrong = None if packed or repeated else archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path} is damaged or cut short; get the file again from its publisher") from error
    if packed:
        raise ModelError(f"{path} holds packed data ({packed[0]}), which no weight file does; get the file again")
    if repeated:
        raise ModelError(f"{path} lists the same data several times, which no weight file does; get the file again")
    if wrong is not None:
        raise ModelError(f"{path} is damaged ({wrong} has a wrong checksum); get the file again from its publisher")


def _unwrapped(content: object, path: Path) -> Tensors:
    """The state dict itself, taken out of `module`, `model` or `state_dict`."""
    if isinstance(content, dict):
        for wrapper in _WRAPPERS:
            if isinstance(content.get(wrapper), dict):
                content = content[wrapper]
                break
    if not isinstance(content, dict) or not content:
        raise ModelError(f"{path} holds no state dict; give the weights that were published for the model")
    strange = [key for key, value in content.items() if not (isinstance(key, str) and _is_plain(value))]
    if strange:
        first = ", ".join(str(key) for key in strange[:_SHOWN])
        raise ModelError(f"{path} holds values that are not tensors ({first}); give the published weights")
    blown = [key for key, tensor in content.items() if tensor.nbytes > tensor.untyped_storage().nbytes()]
    if blown:
        raise ModelError(f"{path} has fewer values than the shape of {blown[0]} says; give the published weights")
    return dict(content)


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not (value.is_meta or value.is_quantized)


def _without_shared_prefix(tensors: Tensors) -> Tensors:
    """Drop a `module.` that all keys share: what wrapping for several GPUs leaves."""
    prefix = "module."
    if all(key.startswith(prefix) for key in tensors):
        return {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
    return tensors


# open_clip's names → Apple's (docs/checkpoints.md); applied in this order to every key.
_OPEN_CLIP_NAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"^visual\.trunk\.stages\.3\.pos_emb\.pos_enc\.", "visual.trunk.network.6.pe."),
        (
            r"^visual\.trunk\.stages\.([123])\.downsample\.",
            lambda found: f"visual.trunk.network.{2 * int(found[1]) - 1}.",
        ),
        (r"^visual\.trunk\.stages\.([012])\.blocks\.", lambda found: f"visual.trunk.network.{2 * int(found[1])}."),
        (r"^visual\.trunk\.stages\.3\.blocks\.", "visual.trunk.network.7."),
        (r"^visual\.trunk\.stem\.", "visual.trunk.patch_embed."),
        (r"^visual\.trunk\.final_conv\.se\.fc1\.", "visual.trunk.conv_exp.se.reduce."),
        (r"^visual\.trunk\.final_conv\.se\.fc2\.", "visual.trunk.conv_exp.se.expand."),
        (r"^visual\.trunk\.final_conv\.", "visual.trunk.conv_exp."),
        (r"^visual\.trunk\.", "image_encoder.model."),
        (r"\.conv_kxk\.", ".rbr_conv."),
        (r"\.conv_scale\.", ".rbr_scale."),
        (r"\.identity\.", ".rbr_skip."),
        (r"\.large_conv\.", ".lkb_origin."),
        (r"^(image_encoder\..*)\.mlp\.", r"\1.convffn."),
        (r"\.(layer_scale\w*)\.gamma$", r".\1"),
        (r"\.head\.fc\.weight$", ".head.proj"),
        (r"^text\.transformer\.resblocks\.", "text_encoder.transformer."),
        (r"\.ln_1\.", ".pre_norm_mha.0."),
        (r"\.ln_2\.", ".pre_norm_ffn.0."),
        (r"\.attn\.in_proj_", ".pre_norm_mha.1.qkv_proj."),
        (r"\.attn\.out_proj\.", ".pre_norm_mha.1.out_proj."),
        (r"\.mlp\.c_fc\.", ".pre_norm_ffn.1."),
        (r"\.mlp\.c_proj\.", ".pre_norm_ffn.4."),
        (r"^text\.token_embedding\.", "text_encoder.embedding_layer."),
        (r"^text\.positional_embedding$", "text_encoder.positional_embedding.pos_embed.pos_embed"),
        (r"^text\.ln_final\.", "text_encoder.final_layer_norm."),
        (r"^text\.text_projection$", "text_encoder.projection_layer"),
    )
)
_HEAD_BIAS = "image_encoder.model.head.fc.bias"


def from_open_clip(tensors: Mapping[str, Tensor], path: Path) -> Tensors:
    """Names and shapes of open_clip's MobileCLIP → Apple's; ModelError for a head with a bias, which Apple's lacks."""
    renamed: Tensors = {}
    for key, tensor in tensors.items():
        for pattern, replacement in _OPEN_CLIP_NAMES:
            key = pattern.sub(replacement, key)
        renamed[key] = _in_apples_shape(key, tensor)
    bias = renamed.pop(_HEAD_BIAS, None)
    if bias is not None and bool(bias.any()):
        raise ModelError(f"{path} has a bias in its image head (visual.trunk.head.fc.bias), so it is another network")
    return renamed


def _in_apples_shape(key: str, tensor: Tensor) -> Tensor:
    if key.endswith("head.proj"):
        return tensor.T.contiguous()  # (E, 2C) → (2C, E)
    if key.endswith("pos_embed.pos_embed") and tensor.ndim == 2:
        return tensor[None, None]  # (77, width) → (1, 1, 77, width)
    if ".layer_scale" in key and tensor.ndim == 1:
        return tensor[:, None, None]  # (C) → (C, 1, 1)
    return tensor
