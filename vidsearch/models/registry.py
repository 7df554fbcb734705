"""The models that vidsearch knows by name: what each is for, where its published files come from, under which licence.

Facts about publication only; the networks' sizes and their preprocessing are in `mobileviclip/config.py`. No torch.
What is not known stays marked as such: no host was reachable from where this was written, so no address here has been
seen to answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from vidsearch.errors import ModelError

DEFAULT_MODEL = "mobileviclip-small"
BUNDLED_MODEL = "mobileviclip-nano"

_APPLE_LICENCE = "Apple ML Research Model licence (research use)"
_VICLIP_LICENCE = "derived from Apple's weights, so the Apple ML Research Model licence reaches them; no other was seen"
_VICLIP_SOURCE = "Google Drive folder 1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7 (github.com/MCG-NJU/MobileViCLIP)"


@dataclass(frozen=True, slots=True)
class HubPlace:
    """A repository on Hugging Face; it publishes the SHA-256 of large files."""

    repository: str

    def __str__(self) -> str:
        return f"huggingface.co/{self.repository}"


@dataclass(frozen=True, slots=True)
class WebPlace:
    """A folder of a web server, which publishes no hashes. The variable names a mirror."""

    address: str
    mirror_variable: str

    def __str__(self) -> str:
        return self.address.removeprefix("https://")


@dataclass(frozen=True, slots=True)
class DrivePlace:
    """A folder on Google Drive, which publishes no hashes. `file_id`: one of its files, where it was reported."""

    folder_id: str
    file_id: str | None = None

    def __str__(self) -> str:
        return f"Google Drive folder {self.folder_id}"


Place = HubPlace | WebPlace | DrivePlace


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One published file and the places that have it, the one with published hashes first."""

    name: str
    places: tuple[Place, ...]
    about_bytes: int
    size_published: bool = True  # False: what its parameters take as float32, as nobody has written the size down
    sha256: str | None = None  # where it is published other than by the host's answer


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One published or bundled model."""

    name: str
    purpose: str
    weights: tuple[WeightFile, ...]  # the file of the network first, then the one of its text encoder, if another
    source: str
    licence: str

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the published files."""
        return tuple(file.name for file in self.weights)

    @property
    def size_bytes(self) -> int:
        """What the published files take together, about."""
        return sum(file.about_bytes for file in self.weights)


_APPLE = WebPlace("https://docs-assets.developer.apple.com/ml-research/datasets/mobileclip", "VIDSEARCH_APPLE_URL")
_DRIVE_FOLDER = "1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7"
_SMALL_FILE = "1BWioaoo8WYYry_Vw72wI-bnpDUzNWRb5"

_S2 = WeightFile("mobileclip_s2.pt", (HubPlace("apple/MobileCLIP-S2"), _APPLE), 398_000_000)
_S0 = WeightFile("mobileclip_s0.pt", (HubPlace("apple/MobileCLIP-S0"), _APPLE), 216_000_000)
_SMALL = WeightFile("mobileviclip_small.pt", (DrivePlace(_DRIVE_FOLDER, _SMALL_FILE),), 397_000_000, False)
_TINY = WeightFile("mobileviclip_tiny.pt", (DrivePlace(_DRIVE_FOLDER),), 215_000_000, False)

KNOWN_MODELS: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            "mobileviclip-small",
            "search of real videos; the default",
            (_SMALL, _S2),
            _VICLIP_SOURCE,
            _VICLIP_LICENCE,
        ),
        KnownModel(
            "mobileviclip-tiny",
            "search of real videos on a slow machine",
            (_TINY, _S0),
            _VICLIP_SOURCE,
            _VICLIP_LICENCE,
        ),
        KnownModel(
            "mobileclip-s2",
            "the image model under mobileviclip-small, frames averaged: sees what is shown, not how it moves",
            (_S2,),
            "huggingface.co/apple/MobileCLIP-S2",
            _APPLE_LICENCE,
        ),
        KnownModel(
            "mobileclip-s0",
            "the image model under mobileviclip-tiny, frames averaged: sees what is shown, not how it moves",
            (_S0,),
            "huggingface.co/apple/MobileCLIP-S0",
            _APPLE_LICENCE,
        ),
        KnownModel(
            BUNDLED_MODEL,
            "the demonstration and the tests: understands only its own synthetic world of moving shapes",
            (),
            "comes with vidsearch",
            "MIT",
        ),
    )
}


def known_model(name: str) -> KnownModel:
    """The entry of `name`; ModelError that lists the names when there is none."""
    try:
        return KNOWN_MODELS[name]
    except KeyError:
        raise ModelError(f"no model is called {name!r}; choose one of {', '.join(KNOWN_MODELS)}") from None
