"""The families of networks: one table that says what each of them brings. No torch.

A family is a folder of networks in this package and an entry in `FAMILIES`. The entry names its parts as
"module:attribute"; a part is imported when it is first used, so that listing models and answering a query import no
torch. What a part must look like is said in `interface.py` and in the methods of `Family`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from vidsearch.errors import ModelError
from vidsearch.extras import needing
from vidsearch.frozen import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from vidsearch.models.findings import Finding
    from vidsearch.models.folder import ModelFolder
    from vidsearch.models.interface import ClipEncoder, EmbeddingConfig, QueryTokenizer, TextEncoder
    from vidsearch.models.request import ConversionRequest

Task = Literal["embedding", "vqa"]  # embeds clips and words, or answers questions about a clip
WEIGHTS_FILE = "model.safetensors"
TEXT_FILE = "text.onnx"
TOKENIZER_FILE = "tokenizer.json"
GENERATION_FILE = "generation_config.json"
LANGUAGE_FOLDER = "language"  # where the published files of a language model are put, beside those of its encoders
_TEXT_SHARE = 0.7  # the text encoder is kept a second time, as text.onnx


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts of a family are, as "module:attribute" below `vidsearch.models`; "" for what a task lacks."""

    config: str  # fields of config.json → config; no torch
    summary: str  # fields of config.json → what `models info` says of the network; no torch
    build: str  # name of a published size → network with fresh weights
    convert: str  # published files → files of a model folder
    self_test: str  # model folder → findings
    clip_encoder: str = ""  # model folder → what embeds clips
    query_tokenizer: str = ""  # model folder → what turns words into the inputs of text.onnx; no torch
    small_text_encoder: str = ""  # model folder → what computes text.onnx with numpy, None for a large one; no torch

    def named(self) -> dict[str, str]:
        """The parts that the family has, by name."""
        parts = {name: getattr(self, name) for name in self.__match_args__}
        return {name: place for name, place in parts.items() if place}


@dataclass(frozen=True, slots=True)
class Family:
    """One family: what it is for, the files of its model folders, and its parts."""

    name: str
    task: Task
    files: tuple[str, ...]  # of a model folder, beside config.json
    parts: Parts
    towers: Mapping[str, str]  # front of a weight's key → what that part of the network encodes; the longest fits
    dtypes: tuple[str, ...] = ("float32", "float16")  # in which weights can be stored; "stored": as published
    options: frozenset[str] = frozenset()  # of `models add`, which this converter understands
    made_share: float = 0.0  # of the published files' size, at most, what is made of them in addition
    half_folders: frozenset[str] = frozenset()  # whose files are published in half precision

    def installed_bytes(self, sizes: Mapping[str, int], *, narrow: bool = False) -> int:
        """What the model takes on disk, rather too much than too little, by the sizes of its published files.

        Weights that are published in half precision are kept as float32, unless `narrow`.
        """
        widened = 0 if narrow else sum(size for name, size in sizes.items() if name.split("/")[0] in self.half_folders)
        return int((1 + self.made_share) * sum(sizes.values())) + widened

    def part(self, name: str) -> Any:
        """A part, imported now. ModelError for one that the family lacks, because its task is another."""
        place = self.parts.named().get(name)
        if place is None:
            raise ModelError(f"models of the family {self.name} have no {name.replace('_', ' ')}")
        with needing(f"this use of {self.name} models"):
            module, _, attribute = place.partition(":")
            return getattr(import_module(f"vidsearch.models.{module}"), attribute)

    def config(self, fields: Mapping[str, Any]) -> Any:
        """The config from the fields that config.json has under "network". ModelError names a wrong field."""
        return self.part("config")(fields)

    def embedding_config(self, fields: Mapping[str, Any]) -> EmbeddingConfig:
        """The same for a family that embeds."""
        config: EmbeddingConfig = self.config(fields)
        return config

    def summary(self, fields: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Label and text of what a person wants to know of a network; no torch."""
        rows: list[tuple[str, str]] = self.part("summary")(fields)
        return rows

    def build(self, name: str) -> nn.Module:
        """The network of a published size with fresh weights, in eval mode."""
        network: nn.Module = self.part("build")(name)
        return network

    def clip_encoder(self, folder: ModelFolder, device: torch.device, dtype: torch.dtype) -> ClipEncoder:
        """The network that embeds clips, on a device, computing in `dtype`."""
        encoder: ClipEncoder = self.part("clip_encoder")(folder, device, dtype)
        return encoder

    def query_tokenizer(self, folder: ModelFolder, *, simplify: bool) -> QueryTokenizer:
        """What turns words into the inputs of the folder's text.onnx; no torch."""
        tokenizer: QueryTokenizer = self.part("query_tokenizer")(folder, simplify)
        return tokenizer

    def small_text_encoder(self, folder: ModelFolder) -> TextEncoder | None:
        """What computes the folder's text.onnx with numpy, where ONNX Runtime takes longer to import; no torch.

        None for a text encoder that is not so small, and where the family has none in numpy.
        """
        if not self.parts.small_text_encoder:
            return None
        encoder: TextEncoder | None = self.part("small_text_encoder")(folder)
        return encoder

    def convert(self, request: ConversionRequest, folder: Path) -> Sequence[Finding]:
        """Write the files of a model folder from published ones, examine the result, and return what was found.

        `folder` is there and empty; hashes and the findings are written by the caller. ModelError for wrong files.
        """
        findings: Sequence[Finding] = self.part("convert")(request, folder)
        return findings

    def self_test(self, folder: ModelFolder) -> list[Finding]:
        """Load every form of a model and examine it. ModelError if it cannot be loaded."""
        findings: list[Finding] = self.part("self_test")(folder)
        return findings


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family(
            "mobileclip",
            "embedding",
            (WEIGHTS_FILE, TEXT_FILE),
            Parts(
                config="mobileviclip.config:config_from_dict",
                summary="mobileviclip.config:summary",
                build="mobileviclip.load:build",
                convert="conversion.mobileviclip:convert",
                self_test="selftest.retrieval:self_test",
                clip_encoder="mobileviclip.clip_encoder:MobileCLIPEncoder",
                query_tokenizer="mobileviclip.query_tokenizer:plain_tokenizer",
                small_text_encoder="mobileviclip.numpy_text:small_text_encoder",
            ),
            towers={"image_encoder": "pictures", "text_encoder": "text"},
            made_share=_TEXT_SHARE,
        ),
        Family(
            "mobileviclip",
            "embedding",
            (WEIGHTS_FILE, TEXT_FILE),
            Parts(
                config="mobileviclip.config:config_from_dict",
                summary="mobileviclip.config:summary",
                build="mobileviclip.load:build",
                convert="conversion.mobileviclip:convert",
                self_test="selftest.retrieval:self_test",
                clip_encoder="mobileviclip.clip_encoder:MobileCLIPEncoder",
                query_tokenizer="mobileviclip.query_tokenizer:ClipTokenizer",
                small_text_encoder="mobileviclip.numpy_text:small_text_encoder",
            ),
            towers={"vision_encoder": "clips", "text_encoder": "text"},
            options=frozenset(("renames", "folded")),
            made_share=_TEXT_SHARE,
        ),
        Family(
            "conse",
            "embedding",
            (WEIGHTS_FILE, TEXT_FILE, TOKENIZER_FILE),
            Parts(
                config="conse.config:config_from_dict",
                summary="conse.config:summary",
                build="conse.load:build",
                convert="conversion.conse:convert",
                self_test="selftest.conse:self_test",
                clip_encoder="conse.clip_encoder:ConseEncoder",
                query_tokenizer="conse.query_tokenizer:WordPieceTokenizer",
            ),
            towers={"image_classifier": "pictures", "class_vectors": "classes", "centre": "classes"},
        ),
        Family(
            "mobilevideogpt",
            "vqa",
            (WEIGHTS_FILE, TOKENIZER_FILE, GENERATION_FILE),
            Parts(
                config="mobilevideogpt.config:config_from_fields",
                summary="mobilevideogpt.config:summary",
                build="mobilevideogpt.load:build",
                convert="conversion.answering_folder:convert",
                self_test="selftest.answers:self_test_of_answers",
            ),
            towers={
                "model": "language",
                "lm_head": "language",
                "model.vision_tower": "clips",
                "model.mm_projector": "projectors",
                "model.image_mm_projector": "projectors",
                "vision_model": "pictures",
            },
            dtypes=("float32", "float16", "stored"),
            half_folders=frozenset((LANGUAGE_FOLDER,)),
        ),
    )
}


def family_named(name: object) -> Family:
    """The entry of that name. ModelError for a family that a newer version knows."""
    if not isinstance(name, str) or name not in FAMILIES:
        raise ModelError(f"no family of models is called {name!r}; known are {', '.join(FAMILIES)}; update vidsearch")
    return FAMILIES[name]


def family_of(config: Mapping[str, Any]) -> Family:
    """The family of a model folder's config.json; one without the field "family" was written by an older version."""
    if "family" in config:
        return family_named(config["family"])
    kind = config.get("kind", "search")
    if kind not in ("search", "answers"):
        raise ModelError(f"a model of an unknown kind ({kind!r}); update vidsearch")
    if kind == "answers":
        return FAMILIES["mobilevideogpt"]
    return FAMILIES["mobileviclip" if "temporal" in config["network"] else "mobileclip"]
