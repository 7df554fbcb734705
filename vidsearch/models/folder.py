"""A model's folder on disk: config.json, model.safetensors and, by family, text.onnx or tokenizer.json.

`config.json` holds all that is not a tensor:

    format         number of this layout; a larger one than ours was written by a newer vidsearch
    name           the model's name, stored with every vector that it makes
    family         the family of networks (`families.py`); missing in models that an older version installed
    task           "embedding" or "vqa"; older versions wrote a kind instead, "search" or "answers"
    network        the fields of the network's config, preprocessing included (`config.py` of the family)
    provenance     where the weights came from: files, hashes, what the key matcher decided, or the training command
    score_levels   optional: cosines from which a hit counts as high, medium or low

`selftest.json` keeps what the self-test found when the model was installed, `hashes.json` the SHA-256 of each file.
In a model that searches, `model.safetensors` is the training form, from which the folded forms are derived at loading;
`text.onnx` (with `text.onnx.data` beside it for large models) is the folded text encoder, so that a query needs no
torch. In a model that answers, `model.safetensors` holds the published names of the language model, the projectors and
the video encoder, and those of CLIP's image tower (`vision_model.*`) beside them; `tokenizer.json` is in the format of
the tokenizers library, `generation_config.json` names the tokens that end an answer. Models that ship bring a
MODEL_CARD.md. No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vidsearch.errors import ModelError
from vidsearch.models.families import GENERATION_FILE as GENERATION_FILE
from vidsearch.models.families import TEXT_FILE as TEXT_FILE
from vidsearch.models.families import TOKENIZER_FILE as TOKENIZER_FILE
from vidsearch.models.families import WEIGHTS_FILE as WEIGHTS_FILE
from vidsearch.models.families import Family, Task, family_named, family_of
from vidsearch.models.interface import EmbeddingConfig
from vidsearch.models.registry import BUNDLED_ANSWERING_MODEL, BUNDLED_MODEL, KNOWN_MODELS, known_model

CONFIG_FILE = "config.json"
CARD_FILE = "MODEL_CARD.md"
SELF_TEST_FILE = "selftest.json"
HASHES_FILE = "hashes.json"
FORMAT_VERSION = 1
BUNDLED_DIR = Path(__file__).parent / "bundled"

Origin = Literal["bundled", "installed", "given"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder whose config was read and whose files are there; the tensors were not looked at."""

    path: Path
    name: str
    origin: Origin
    network: Mapping[str, Any]  # the fields of the network's config, as config.json has them
    provenance: Mapping[str, Any]
    score_levels: Mapping[str, float] | None
    family: Family

    @property
    def task(self) -> Task:
        return self.family.task

    @property
    def embedding(self) -> EmbeddingConfig:
        """The config of a network that embeds: the length of its vectors, and the pictures that it takes; no torch."""
        return self.family.embedding_config(self.network)

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS_FILE

    @property
    def text_encoder(self) -> Path:
        return self.path / TEXT_FILE

    @property
    def tokenizer(self) -> Path:
        return self.path / TOKENIZER_FILE

    @property
    def generation(self) -> Path:
        return self.path / GENERATION_FILE

    @property
    def card(self) -> Path:
        return self.path / CARD_FILE


class WeightsMissingError(ModelError):
    """A known model is not on this machine."""


def find_model(name: str, models_dir: Path, task: Task | None = None) -> ModelFolder:
    """The bundled, else the installed folder of `name`.

    ModelError for an unknown name and for a model that is not for `task`; WeightsMissingError, with the ways forward,
    for one that is not here.
    """
    if task not in (None, known_model(name).task):
        raise ModelError(_other_task(name, task))
    places: tuple[tuple[Path, Origin], ...] = ((BUNDLED_DIR, "bundled"), (models_dir, "installed"))
    for place, origin in places:
        if (place / name).is_dir():
            return open_folder(place / name, origin=origin)
    raise WeightsMissingError(missing_weights(name, models_dir))


def _other_task(name: str, wanted: Task | None) -> str:
    does, wanted_for = ("searches", "ask") if wanted == "vqa" else ("answers questions", "index and query")
    fitting = ", ".join(known.name for known in KNOWN_MODELS.values() if known.task == wanted)
    return f"{name} {does} and is not a model for {wanted_for}; choose one of {fitting}"


def missing_weights(name: str, models_dir: Path) -> str:
    """What to tell a user whose machine does not hold the weights of `name`, a known model."""
    known = known_model(name)
    if not known.files:
        return f"the bundled model {name} is missing from this installation; install vidsearch again"
    files = " and ".join(known.files)
    searches = known.task == "embedding"
    bundled = f"--model {BUNDLED_MODEL}" if searches else f"--model {BUNDLED_ANSWERING_MODEL} (in query: --ask-model)"
    return (
        f"the weights of {name} are not on this machine (no folder {models_dir / name}); fetch them with vidsearch "
        f"models pull {name} --yes (about {known.size_bytes / 1e6:.0f} MB, {known.source}), or bring {files} yourself "
        f"and install them with vidsearch models add {name} --from FOLDER, or try the bundled {bundled}, "
        "which understands only its own synthetic world of moving shapes, not your videos"
    )


def open_folder(path: Path, *, origin: Origin = "given") -> ModelFolder:
    """Read `config.json` and see that the other files are there; ModelError names the file at fault."""
    config = _read_config(path / CONFIG_FILE)
    family = _family(config, path / CONFIG_FILE)
    for file in family.files:
        if not (path / file).is_file():
            raise ModelError(f"the model folder {path} has no {file}; install the model again")
    return ModelFolder(
        path=path,
        name=config["name"],
        origin=origin,
        network=config["network"],
        provenance=config.get("provenance", {}),
        score_levels=config.get("score_levels"),
        family=family,
    )


def is_model_folder(path: Path) -> bool:
    """Whether `path` claims to be a folder of this layout: a published one has files of the same names."""
    config = path / CONFIG_FILE
    return config.is_file() and (path / WEIGHTS_FILE).is_file() and not _is_published(config)


def _is_published(config: Path) -> bool:
    """Whether a config.json is one of the transformers library, which names its `model_type`."""
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and "model_type" in fields and "format" not in fields


def config_text(
    name: str,
    family: str,
    network: Mapping[str, Any],
    provenance: Mapping[str, Any],
    score_levels: Mapping[str, float] | None = None,
) -> str:
    """The text of `config.json`: what `open_folder` reads."""
    config: dict[str, Any] = {"format": FORMAT_VERSION, "name": name, "family": family}
    config |= {"task": family_named(family).task, "network": network, "provenance": provenance}
    if score_levels is not None:
        config["score_levels"] = score_levels
    return json.dumps(config, indent=1) + "\n"


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"the model folder {path.parent} has no {path.name}; install the model again") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:  # not UTF-8, or not JSON
        raise ModelError(f"{path} is not readable as JSON ({error}); install the model again") from error
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise ModelError(f"{path} is not a vidsearch model config (no format number); install the model again")
    if config["format"] > FORMAT_VERSION:
        raise ModelError(f"{path} was written by a newer vidsearch (format {config['format']}); update vidsearch")
    if not isinstance(config.get("name"), str) or not isinstance(config.get("network"), dict):
        raise ModelError(f"{path} lacks the model's name or its network; install the model again")
    return config


def _family(config: Mapping[str, Any], path: Path) -> Family:
    try:
        return family_of(config)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
