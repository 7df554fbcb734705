"""Structural matching of a MobileViCLIP checkpoint: source key → canonical key, from names and shapes alone. No torch.

The published file's base keys are known; the names and shapes of its temporal parameters are not public. They are
therefore recognised by what they are: a batch norm, a depthwise convolution along one axis and a temporal position
encoding (TPE), each by its shape and by the block it stands in. What has no role is an error that names it; nothing is
dropped. Canonical names, C the channels of the block, k the kernel, T the frames:

    vision_encoder.network.{0,2,4}.{b}.temporal.norm.{weight,bias,running_mean,running_var} (C)  .num_batches_tracked ()
    vision_encoder.network.{0,2,4}.{b}.temporal.conv.weight (C, 1, k)   .temporal.conv.bias (C)
    vision_encoder.network.6.temporal_embedding (1, T, C)     or, one a block: vision_encoder.network.7.{b}.temporal_…

The value of a TPE may have to be transposed and that of a convolution reshaped on the way: see `Match.shapes`.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from vidsearch.errors import ModelError
from vidsearch.models.keys import Keys, Shape, listed, misfit

Form = Literal["train", "inference"]

VISION = "vision_encoder."
TEXT = "text_encoder."
STAGE_TPE = "vision_encoder.network.6.temporal_embedding"
_STEM = {
    "train": "vision_encoder.patch_embed.0.rbr_conv.0.conv.weight",
    "inference": "vision_encoder.patch_embed.0.reparam_conv.weight",
}
_REPMIXER_BLOCK = re.compile(r"vision_encoder\.network\.[024]\.\d+(?=\.)")
_ATTENTION_BLOCK = re.compile(r"vision_encoder\.network\.7\.\d+(?=\.)")
_CANONICAL_TEMPORAL = re.compile(
    r"(?P<block>vision_encoder\.network\.[024]\.\d+)\.temporal\.(?P<part>norm|conv)\.\w+|.+\.temporal_embedding"
)
_NORM_FIELDS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Base:
    """The keys of one of our networks without its temporal parameters, in both forms, and its number of frames."""

    name: str
    train: Keys
    inference: Keys
    frames: int

    def stem(self, form: Form) -> Shape:
        return (self.train if form == "train" else self.inference)[_STEM[form]]

    def width(self, block: str) -> int | None:
        """Channels of `vision_encoder.network.{s}.{b}`; None when the network has no such block."""
        for layer_scale in ("layer_scale", "layer_scale_1"):
            shape = self.train.get(f"{block}.{layer_scale}")
            if shape is not None:
                return shape[0]
        return None

    @property
    def blocks(self) -> list[str]:
        """The RepMixer blocks, those that may hold a temporal convolution."""
        return sorted({found.group() for key in self.train if (found := _REPMIXER_BLOCK.match(key))})

    @property
    def last_width(self) -> int:
        """Channels of stage 3, where the TPE is added."""
        return self.train["vision_encoder.network.6.pe.weight"][0]


@dataclass(frozen=True, slots=True)
class Match:
    """What the matcher decided: where each tensor of the file goes, the shape it takes there, and what was noticed."""

    base: str
    form: Form
    keys: Mapping[str, str]  # source → canonical, every key of the file but those in `unused`
    shapes: Mapping[str, Shape]  # canonical → shape, for the temporal parameters
    unused: tuple[str, ...]  # keys that are known and need no place: the base's logit scale beside our temperature
    has_text: bool
    notes: tuple[str, ...]  # what a person should read before trusting the result

    @property
    def temporal(self) -> dict[str, str]:
        """The part of `keys` that the structure decided."""
        return {source: canonical for source, canonical in self.keys.items() if canonical in self.shapes}

    @property
    def kernel(self) -> int | None:
        """Taps of the temporal convolutions, None without any."""
        return next((shape[2] for key, shape in self.shapes.items() if key.endswith("temporal.conv.weight")), None)

    @property
    def blocks_without_norm(self) -> tuple[str, ...]:
        """Blocks whose convolution stands alone: folded or plain, which only its values tell (`carries_identity`)."""
        suffix = ".temporal.conv.weight"
        convs = [key.removesuffix(suffix) for key in self.shapes if key.endswith(suffix)]
        return tuple(block for block in convs if f"{block}.temporal.norm.weight" not in self.shapes)


@dataclass(slots=True)
class _Findings:
    """Roles found so far and what speaks against them."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)  # canonical → source
    problems: list[tuple[str, Shape, str]] = field(default_factory=list)

    def take(self, canonical: str, source: str, source_shape: Shape, shape: Shape) -> None:
        """Give `source` its place, or note that two keys want the same one."""
        if canonical in self.sources:
            other = self.sources[canonical]
            self.problems.append((source, source_shape, f"several candidates for {canonical}, the other is {other}"))
            return
        self.sources[canonical] = source
        self.shapes[canonical] = shape

    def refuse(self, keys: Iterable[str], source: Keys, reason: str) -> None:
        self.problems.extend((key, source[key], reason) for key in keys)


def match(source: Keys, bases: Sequence[Base], *, file: str, renames: Mapping[str, str] | None = None) -> Match:
    """Find the place of every key of `source`, a file's names and shapes, in the network of one of `bases`.

    `renames` (source → canonical) overrides the structure. Raises ModelError, which starts with `file` and lists the
    first keys at fault with their shapes and the reason.
    """
    renames = renames or {}
    if strange := [key for key in renames if key not in source]:
        raise ModelError(f"{file} has no {listed(strange)}, which the renames name; correct them")
    named = {renames.get(key, key): shape for key, shape in source.items()}
    base, form = _choose_base(named, bases, file)
    keys, has_text = _base_keys(source, renames, base, form, file)
    left = {key: shape for key, shape in source.items() if key not in keys}
    unused = tuple(key for key in left if key == "logit_scale" and left[key] == ())
    left = {key: shape for key, shape in left.items() if key not in unused}
    if not left:
        raise ModelError(
            f"{file} is a MobileCLIP checkpoint: it has no temporal parameter, as {base.name} needs; give the weights "
            f"that were published for {base.name}"
        )

    found = _Findings()
    _take_renamed(left, renames, base, found)
    _take_by_structure({key: shape for key, shape in left.items() if renames.get(key, key) == key}, base, found)
    _check_whole(found, left)
    if found.problems:
        raise ModelError(misfit(file, base.name, found.problems))
    keys |= {origin: canonical for canonical, origin in found.sources.items()}
    notes = _notes(found.shapes, base, unused, has_temperature="temp" in keys.values())
    return Match(base.name, form, keys, found.shapes, unused, has_text, notes)


def carries_identity(centre_taps: Mapping[str, Sequence[float]], *, file: str) -> bool:
    """Whether convolutions without a norm are folded: X' = conv(X), rather than X' = conv(X) + X.

    `centre_taps` has the C centre taps of each block. A folded kernel carries the identity, so the median of its
    centre taps is above 0.5. ModelError when the blocks disagree.
    """
    folded = {block: _median(taps) > 0.5 for block, taps in centre_taps.items()}
    if len(set(folded.values())) > 1:
        minority = sorted(block for block, value in folded.items() if value != (sum(folded.values()) * 2 > len(folded)))
        raise ModelError(
            f"{file}: some temporal convolutions carry the identity and others do not ({listed(minority)}); "
            "such a file cannot be told folded from unfolded; say which with --folded or --unfolded"
        )
    return any(folded.values())


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _choose_base(source: Keys, bases: Sequence[Base], file: str) -> tuple[Base, Form]:
    """The network whose stem has the file's width, and the form that the stem's key tells."""
    forms: tuple[Form, ...] = ("train", "inference")
    for form in forms:
        stem = source.get(_STEM[form])
        if stem is not None:
            for base in bases:
                if base.stem(form) == stem:
                    return base, form
            wanted = " or ".join(f"{base.stem(form)} ({base.name})" for base in bases)
            raise ModelError(
                f"{file} is of another network: {_STEM[form]} is {stem}, expected {wanted}; give the weights that "
                "were published for it"
            )
    raise ModelError(
        f"{file} is not a MobileViCLIP checkpoint: it has no {_STEM['train']}; {_first_keys(source)}; give the weights "
        "that were published for the model"
    )


def _base_keys(
    source: Keys, renames: Mapping[str, str], base: Base, form: Form, file: str
) -> tuple[dict[str, str], bool]:
    """Source key → our key for the parts without time, all present with their shapes; and whether text is there."""
    wanted = base.train if form == "train" else base.inference
    has_text = any(renames.get(key, key).startswith(TEXT) for key in source)
    needed = {k: s for k, s in wanted.items() if k.startswith(VISION) or (has_text and k.startswith(TEXT))}
    keys = {key: renames.get(key, key) for key in source if renames.get(key, key) in needed}
    if "temp" in source:
        keys["temp"], needed["temp"] = "temp", ()
    problems = [
        (key, source[key], f"expected shape {needed[name]}")
        for key, name in keys.items()
        if source[key] != needed[name]
    ]
    problems += [(key, needed[key], "missing") for key in needed.keys() - set(keys.values())]
    twice = {name for name, count in Counter(keys.values()).items() if count > 1}
    problems += [(key, source[key], f"several candidates for {name}") for key, name in keys.items() if name in twice]
    if problems:
        raise ModelError(misfit(file, base.name, sorted(problems)))
    return keys, has_text


def _take_renamed(left: Keys, renames: Mapping[str, str], base: Base, found: _Findings) -> None:
    """Temporal keys whose place the caller states: only the shape is judged."""
    for key, canonical in renames.items():
        if key not in left:
            continue
        fit = _CANONICAL_TEMPORAL.fullmatch(canonical)
        if fit is None or (fit["block"] and fit["block"] not in base.blocks):
            found.refuse([key], left, f"the given new name {canonical} is not a temporal key")
        elif fit["part"] == "conv" and canonical.endswith("weight"):
            _take_conv_weight(key, left[key], fit["block"], base, found)
        elif fit["part"]:
            found.take(canonical, key, left[key], left[key])
        else:
            found.take(canonical, key, left[key], (1, base.frames, base.last_width))


def _take_by_structure(left: Keys, base: Base, found: _Findings) -> None:
    """Give each group of keys of one module its role, by kind, shape and owner: docs/checkpoints.md, steps 3 and 4."""
    groups: dict[str, list[str]] = defaultdict(list)
    for key in left:
        groups[key.rpartition(".")[0]].append(key)
    for parent, keys in groups.items():
        fields = {key.rpartition(".")[2]: key for key in keys}
        if not parent.startswith(VISION.rstrip(".")):
            found.refuse(keys, left, "no role in this network")
        elif "running_mean" in fields or "running_var" in fields:
            _take_norm(fields, left, base, found)
        elif len(keys) == 1 and _is_tpe(left[keys[0]], base):
            _take_tpe(keys[0], left[keys[0]], base, found)
        elif "weight" in fields and 3 <= len(left[fields["weight"]]) <= 5:
            _take_conv(fields, left, base, found)
        else:
            for key in keys:
                found.refuse([key], left, _why_no_role(left[key], base))


def _take_norm(fields: Mapping[str, str], left: Keys, base: Base, found: _Findings) -> None:
    lacking = [name for name in _NORM_FIELDS if name not in fields]
    strange = fields.keys() - {*_NORM_FIELDS, "num_batches_tracked"}
    block, width = _owner(fields[min(fields)], base)
    if lacking:
        found.refuse(fields.values(), left, f"incomplete norm, without {', '.join(lacking)}")
    elif strange:
        found.refuse([fields[name] for name in sorted(strange)], left, "no role beside a norm")
    elif block is None:
        found.refuse(fields.values(), left, "a norm outside the RepMixer blocks")
    elif any(left[fields[name]] != (width,) for name in _NORM_FIELDS):
        found.refuse([fields[name] for name in _NORM_FIELDS], left, f"channels differ: the block has {width}")
    else:
        for name, key in fields.items():
            found.take(f"{block}.temporal.norm.{name}", key, left[key], left[key])


def _take_conv(fields: Mapping[str, str], left: Keys, base: Base, found: _Findings) -> None:
    block, width = _owner(fields["weight"], base)
    strange = fields.keys() - {"weight", "bias"}
    if strange:
        found.refuse([fields[name] for name in strange], left, "no role beside a convolution")
    elif block is None:
        found.refuse(fields.values(), left, "a convolution outside the RepMixer blocks")
    else:
        _take_conv_weight(fields["weight"], left[fields["weight"]], block, base, found)
        if "bias" in fields:
            if left[fields["bias"]] != (width,):
                found.refuse([fields["bias"]], left, f"channels differ: the block has {width}")
            found.take(f"{block}.temporal.conv.bias", fields["bias"], left[fields["bias"]], (width or 0,))


def _take_conv_weight(key: str, shape: Shape, block: str, base: Base, found: _Findings) -> None:
    """Conv1d (C, 1, k), Conv2d (C, 1, k, 1) or (C, 1, 1, k), Conv3d (C, 1, k, 1, 1) → (C, 1, k), k odd and above 1."""
    width = base.width(block)
    kernel = [axis for axis in shape[2:] if axis > 1]
    if len(shape) < 3 or shape[1] != 1:
        found.problems.append((key, shape, "not depthwise"))
    elif shape[0] != width:
        found.problems.append((key, shape, f"channels differ: the block has {width}"))
    elif len(kernel) != 1:
        found.problems.append((key, shape, "a kernel along one axis was expected"))
    elif kernel[0] % 2 == 0:
        found.problems.append((key, shape, "even kernel"))
    else:
        found.take(f"{block}.temporal.conv.weight", key, shape, (shape[0], 1, kernel[0]))


def _take_tpe(key: str, shape: Shape, base: Base, found: _Findings) -> None:
    block = _ATTENTION_BLOCK.match(key)
    canonical_shape = (1, base.frames, base.last_width)
    if block and base.width(block.group()) is not None:
        found.take(f"{block.group()}.temporal_embedding", key, shape, canonical_shape)
    elif key.startswith("vision_encoder.network.6.") or not key.startswith("vision_encoder.network."):
        found.take(STAGE_TPE, key, shape, canonical_shape)
    else:
        found.problems.append((key, shape, "a temporal position encoding outside stage 3"))


def _is_tpe(shape: Shape, base: Base) -> bool:
    """Exactly two axes longer than 1, of lengths T and C of stage 3, in either order."""
    return sorted(axis for axis in shape if axis > 1) == sorted((base.frames, base.last_width))


def _why_no_role(shape: Shape, base: Base) -> str:
    longer = [axis for axis in shape if axis > 1]
    if len(longer) == 2 and base.last_width in longer and len(set(longer)) == 2:
        frames = next(axis for axis in longer if axis != base.last_width)
        return f"no role: a position encoding of {frames} frames would not fit, this network has {base.frames}"
    return "no role: neither a norm, nor a depthwise convolution, nor a temporal position encoding"


def _owner(key: str, base: Base) -> tuple[str | None, int | None]:
    """The RepMixer block that `key` stands in, at any depth, and its channels; (None, None) outside of one."""
    found = _REPMIXER_BLOCK.match(key)
    if found is None or base.width(found.group()) is None:
        return None, None
    return found.group(), base.width(found.group())


def _check_whole(found: _Findings, left: Keys) -> None:
    """A norm needs its convolution, all kernels one length, and the TPE stands in one kind of place."""
    kernels: dict[int, str] = {}
    for canonical, shape in found.shapes.items():
        source = found.sources[canonical]
        block, _, part = canonical.partition(".temporal.")
        if part == "norm.weight" and f"{block}.temporal.conv.weight" not in found.shapes:
            found.problems.append((source, left[source], "a norm without its convolution"))
        elif part == "conv.weight":
            kernels.setdefault(shape[2], source)
    if len(kernels) > 1:
        found.refuse(kernels.values(), left, "kernels of different lengths")
    tpe = [canonical for canonical in found.shapes if canonical.endswith("temporal_embedding")]
    if STAGE_TPE in tpe and len(tpe) > 1:
        sources = [found.sources[canonical] for canonical in tpe]
        found.refuse(sources, left, "position encodings both before stage 3 and inside its blocks")


def _notes(shapes: Keys, base: Base, unused: Sequence[str], *, has_temperature: bool) -> tuple[str, ...]:
    bare = [block for block in base.blocks if f"{block}.temporal.conv.weight" not in shapes]
    notes = []
    if bare:
        notes.append(f"{len(bare)} of {len(base.blocks)} RepMixer blocks have no temporal convolution: {listed(bare)}")
    if not any(key.endswith("temporal_embedding") for key in shapes):
        notes.append("no temporal position encoding")
    if unused:
        notes.append(f"{', '.join(unused)} belongs to the image model and is not used")
    if not has_temperature:
        notes.append("no training temperature (temp); vectors do not depend on it")
    return tuple(notes)


def _first_keys(source: Keys) -> str:
    return f"its first keys are {listed(list(source))}" if source else "it holds no tensor"
