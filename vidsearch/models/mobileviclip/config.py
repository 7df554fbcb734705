"""The published sizes of MobileCLIP and MobileViCLIP, and the small one that ships, as plain values; no torch.

Axis letters used in this package: B clips or pictures, T frames of a clip, C channels, H and W rows and columns,
L tokens of a text, E the shared space. Pictures are (B, 3, H, W), clips (B, T, 3, H, W), texts (B, 77) token ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Annotated, Any, ClassVar, Literal

from vidsearch.errors import ModelError
from vidsearch.frozen import dataclass
from vidsearch.models.preprocessing import Preprocessing
from vidsearch.models.schema import Count, Depth, Width, Within, read_record

VOCABULARY = 49408  # tokens of the CLIP byte-pair encoding, start and end included
CONTEXT = 77  # tokens of a row, start and end included
END_TOKEN = 49407

TpePlace = Literal["after", "before", "block"]
Kernel = Annotated[int, Within(1, 63)]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The image encoder MCi (MobileCLIP, section "architecture"): three RepMixer stages and one of attention.

    Each width must be a multiple of the first one's greatest common divisor with its neighbour only: the downsampling
    convolution has gcd(in, out) groups, which is `in` where widths double. The last width is a multiple of `head_dim`.
    """

    widths: tuple[Width, Width, Width, Width]
    depths: tuple[Depth, Depth, Depth, Depth]
    downsample_se: tuple[bool, bool, bool] = (False, True, True)
    stem_strides: tuple[Count, Count] = (2, 2)
    mlp_ratio: Count = 3
    head_dim: Width = 32
    mixer_kernel: Kernel = 3
    ffn_kernel: Kernel = 7
    patch_kernel: Kernel = 7
    expansion: Count = 2
    layer_scale: float = 1e-5  # initial value

    def __post_init__(self) -> None:
        if self.widths[-1] % self.head_dim:
            raise ValueError(f"heads of {self.head_dim} channels do not divide a width of {self.widths[-1]}")
        _require_odd(self.mixer_kernel, self.ffn_kernel, self.patch_kernel)

    @property
    def reduction(self) -> int:
        """Input pixels per position of the last stage; sides are multiples of it."""
        return self.stem_strides[0] * self.stem_strides[1] * 8


@dataclass(frozen=True, slots=True)
class TemporalConfig:
    """What MobileViCLIP adds along time (arXiv 2508.07312); each switch is a row of the paper's ablation.

    `tpe_place`: where the temporal position encoding enters. "after" adds it to the output of the position
    convolution, "before" to that convolution's input, "block" gives every attention block its own.
    """

    frames: Count = 8
    repmixer: bool = True  # spatiotemporal RepMixer: a depthwise convolution along T in every RepMixer block
    joint_attention: bool = True  # the tokens of all frames attend to each other; else each frame to itself
    tpe: bool = True
    tpe_place: TpePlace = "after"
    kernel: Kernel = 3
    conv_bias: bool = True

    def __post_init__(self) -> None:
        _require_odd(self.kernel)


@dataclass(frozen=True, slots=True)
class TextConfig:
    """The text encoder: `conv_blocks` convolution blocks at each end ("mct" has one), transformer layers between.

    `vocabulary_rows` below 49408 means a pruned word table: a stored table maps token ids to its rows, and row 0 stands
    for every word that was left out. `context` below 77 cuts the rows and keeps the end token.
    """

    width: Width = 512
    heads: Count = 8
    ffn_width: Width = 2048
    layers: Annotated[int, Within(0, 256)] = 12
    conv_blocks: Annotated[int, Within(0, 64)] = 0
    conv_kernel: Kernel = 11
    vocabulary_rows: Annotated[int, Within(1, VOCABULARY)] = VOCABULARY
    context: Annotated[int, Within(2, CONTEXT)] = CONTEXT
    layer_scale: float = 1e-5  # initial value, convolution blocks only

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        _require_odd(self.conv_kernel)

    @property
    def pruned(self) -> bool:
        return self.vocabulary_rows < VOCABULARY


@dataclass(frozen=True, slots=True)
class MobileCLIPConfig:
    """Pictures and words."""

    family: ClassVar[str] = "mobileclip"

    name: Annotated[str, Within(1, 100)]
    image: ImageConfig
    text: TextConfig
    preprocessing: Preprocessing
    embed_dim: Width = 512

    def __post_init__(self) -> None:
        if self.preprocessing.side_px % self.image.reduction:
            raise ValueError(f"side_px {self.preprocessing.side_px} is not a multiple of {self.image.reduction}")

    @property
    def clip_frames(self) -> int:
        """Frames of a clip that the network sees together: 1, a picture."""
        return 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, slots=True)
class MobileViCLIPConfig(MobileCLIPConfig):
    """Clips and words: MobileCLIP and what is added along time."""

    family: ClassVar[str] = "mobileviclip"

    temporal: TemporalConfig = field(default_factory=TemporalConfig)

    @property
    def clip_frames(self) -> int:
        """Frames of a clip that the network sees together."""
        return self.temporal.frames

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return dataclasses.asdict(self)


def config_from_dict(values: Mapping[str, Any]) -> MobileCLIPConfig | MobileViCLIPConfig:
    """The inverse of `to_dict`, through JSON or not; ModelError for a field that is wrong or missing."""
    if "temporal" not in values:
        return read_record(MobileCLIPConfig, values, "network")
    config = read_record(MobileViCLIPConfig, values, "network")
    clip, network = config.preprocessing.frames, config.temporal.frames
    if clip != network:
        raise ModelError(f"network.preprocessing.frames is {clip}, and network.temporal.frames {network}")
    return config


def summary(network: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What `models info` says of a network, from the fields of its config."""
    preprocessing = network["preprocessing"]
    frames = f"{preprocessing['frames']} frames of " if "temporal" in network else "pictures of "
    return [
        ("input", f"{frames}{preprocessing['side_px']} x {preprocessing['side_px']} pixels"),
        ("vectors", f"{network['embed_dim']} values"),
    ]


def _require_odd(*kernels: int) -> None:
    if even := [kernel for kernel in kernels if kernel % 2 == 0]:
        raise ValueError(f"a kernel of {even[0]} has no centre; it must be odd")


_S0 = ImageConfig(widths=(64, 128, 256, 512), depths=(2, 6, 10, 2))
_S2 = ImageConfig(widths=(80, 160, 320, 640), depths=(4, 12, 24, 4))
_S0_TEXT = TextConfig(layers=4, conv_blocks=1)
_S2_TEXT = TextConfig(layers=12)
_APPLE = Preprocessing(256, "centre-crop", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
# ImageNet's: what the programs that run the published checkpoint use; the paper does not say.
_IMAGENET = Preprocessing(256, "squash", mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), frames=8)

CONFIGS: dict[str, MobileCLIPConfig | MobileViCLIPConfig] = {
    config.name: config
    for config in (
        MobileCLIPConfig("mobileclip-s0", _S0, _S0_TEXT, _APPLE),
        MobileCLIPConfig("mobileclip-s2", _S2, _S2_TEXT, _APPLE),
        MobileViCLIPConfig("mobileviclip-tiny", _S0, _S0_TEXT, _IMAGENET),
        MobileViCLIPConfig("mobileviclip-small", _S2, _S2_TEXT, _IMAGENET),
        MobileViCLIPConfig(
            "mobileviclip-nano",
            ImageConfig(widths=(24, 48, 96, 192), depths=(1, 2, 2, 1), ffn_kernel=3, patch_kernel=3, layer_scale=0.5),
            TextConfig(width=128, heads=4, ffn_width=256, layers=2, vocabulary_rows=248, context=40),
            Preprocessing(64, "squash", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), frames=8),
            embed_dim=192,
        ),
    )
}

# The five rows of the paper's ablation, in its order.
ABLATION: dict[str, TemporalConfig] = {
    "baseline": TemporalConfig(repmixer=False, joint_attention=False, tpe=False),
    "repmixer": TemporalConfig(repmixer=True, joint_attention=False, tpe=False),
    "attention": TemporalConfig(repmixer=False, joint_attention=True, tpe=False),
    "attention+tpe": TemporalConfig(repmixer=False, joint_attention=True, tpe=True),
    "repmixer+attention+tpe": TemporalConfig(repmixer=True, joint_attention=True, tpe=True),
}
