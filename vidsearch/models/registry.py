"""The models that vidsearch knows by name: what each is for, where its published files come from, under which licence.

Facts about publication only; the networks' sizes and their preprocessing are in `mobileviclip/config.py`. No torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vidsearch.errors import ModelError

DEFAULT_MODEL = "mobileviclip-small"
BUNDLED_MODEL = "mobileviclip-nano"
DEFAULT_ANSWERING_MODEL = "mobilevideogpt-0.5b"
BUNDLED_ANSWERING_MODEL = "mobilevideogpt-nano"

Kind = Literal["search", "answers"]  # embeds clips and words, or answers questions about a clip

_APPLE_LICENCE = "Apple ML Research Model licence (research use)"
_VICLIP_LICENCE = "derived from Apple's weights, so the Apple ML Research Model licence reaches them; no other was seen"
_VIDEOGPT_LICENCE = "that of the three repositories it comes from; read it there, vidsearch keeps no copy"
_VIDEOGPT_FILES = (
    "model.safetensors",
    "pytorch_model.bin of openai/clip-vit-base-patch16",
    "videomamba_m16_25M_f8_res224.pth",
)
_VICLIP_SOURCE = "Google Drive folder 1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7 (github.com/MCG-NJU/MobileViCLIP)"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One published or bundled model. `size_bytes` is what its `files` take together, about, as they are published."""

    name: str
    purpose: str
    files: tuple[str, ...]  # the file of the network first, then the one that holds its text encoder, if another
    source: str
    size_bytes: int
    licence: str
    kind: Kind = "search"


KNOWN_MODELS: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            "mobileviclip-small",
            "search of real videos; the default",
            ("mobileviclip_small.pt", "mobileclip_s2.pt"),
            _VICLIP_SOURCE,
            795_000_000,
            _VICLIP_LICENCE,
        ),
        KnownModel(
            "mobileviclip-tiny",
            "search of real videos on a slow machine",
            ("mobileviclip_tiny.pt", "mobileclip_s0.pt"),
            _VICLIP_SOURCE,
            431_000_000,
            _VICLIP_LICENCE,
        ),
        KnownModel(
            "mobileclip-s2",
            "the image model under mobileviclip-small, frames averaged: sees what is shown, not how it moves",
            ("mobileclip_s2.pt",),
            "huggingface.co/apple/MobileCLIP-S2",
            398_000_000,
            _APPLE_LICENCE,
        ),
        KnownModel(
            "mobileclip-s0",
            "the image model under mobileviclip-tiny, frames averaged: sees what is shown, not how it moves",
            ("mobileclip_s0.pt",),
            "huggingface.co/apple/MobileCLIP-S0",
            216_000_000,
            _APPLE_LICENCE,
        ),
        KnownModel(
            BUNDLED_MODEL,
            "the demonstration and the tests: understands only its own synthetic world of moving shapes",
            (),
            "comes with vidsearch",
            0,
            "MIT",
        ),
        KnownModel(
            "mobilevideogpt-0.5b",
            "answers about real videos; the default of ask",
            _VIDEOGPT_FILES,
            "huggingface.co/Amshaker/Mobile-VideoGPT-0.5B, openai/clip-vit-base-patch16 and OpenGVLab/VideoMamba there",
            2_300_000_000,
            _VIDEOGPT_LICENCE,
            "answers",
        ),
        KnownModel(
            "mobilevideogpt-1.5b",
            "answers about real videos, more slowly and better",
            _VIDEOGPT_FILES,
            "huggingface.co/Amshaker/Mobile-VideoGPT-1.5B, openai/clip-vit-base-patch16 and OpenGVLab/VideoMamba there",
            4_400_000_000,
            _VIDEOGPT_LICENCE,
            "answers",
        ),
        KnownModel(
            BUNDLED_ANSWERING_MODEL,
            "the demonstration and the tests: answers about its own synthetic world of moving shapes alone",
            (),
            "comes with vidsearch",
            0,
            "MIT",
            "answers",
        ),
    )
}


def known_model(name: str) -> KnownModel:
    """The entry of `name`; ModelError that lists the names when there is none."""
    try:
        return KNOWN_MODELS[name]
    except KeyError:
        raise ModelError(f"no model is called {name!r}; choose one of {', '.join(KNOWN_MODELS)}") from None
