"""A model folder → exported files with their cards. No file is kept that has not been run and found right."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vidsearch.errors import ModelError, VidsearchError
from vidsearch.files import remove_folder, sha256, why_not_writable
from vidsearch.models.conversion.mobile.proof import prove
from vidsearch.models.conversion.mobile.targets import Exporter, Target, target_named, target_of_file
from vidsearch.models.conversion.mobile.tower import Tower, open_tower
from vidsearch.models.exports import (
    CARD_FORMAT,
    LEVELS,
    Card,
    ExportPrecision,
    Fidelity,
    TowerName,
    card_path,
    content_bytes,
    content_sha256,
    export_name,
    read_card,
)
from vidsearch.models.folder import ModelFolder
from vidsearch.models.mobileviclip.config import CONTEXT, END_TOKEN
from vidsearch.models.mobileviclip.tokenizer import START_TOKEN, VOCABULARY_FILE, load_vocabulary
from vidsearch.models.registry import KNOWN_MODELS
from vidsearch.version import VERSION

MERGES_FILE = "clip-merges.txt"


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that was written and found right."""

    path: Path
    card: Card
    fidelity: Fidelity


def export_model(
    folder: ModelFolder, target_name: str, towers: Sequence[TowerName], precision: str, out: Path
) -> Iterator[Exported]:
    """Write the towers for a target into the folder `out`, each with its card; a file of that name is replaced.

    WrongExportError for a file whose vectors are not torch's: it is not kept. VidsearchError for what is not offered,
    a missing extra, a folder that cannot be written.
    """
    target = target_named(target_name)
    wanted = target.require_precision(precision)
    exporter = target.open()
    if why := why_not_writable(out):
        raise VidsearchError(f"the folder {out} {why}; choose another with -o")
    for name in towers:
        tower = open_tower(folder, name)
        yield _export(folder, target, exporter, tower, wanted, out)


def check_export(path: Path, folder: ModelFolder) -> tuple[Card, Fidelity]:
    """Run a file that somebody has, and compare it with torch as when it was written.

    WrongExportError as in `export_model`; ModelError where the card is missing or the file is that of another model.
    """
    if not path.exists():
        raise VidsearchError(f"there is no {path}; export it: vidsearch models export NAME --to TARGET")
    card = read_card(path)
    if card.model != folder.name:
        raise ModelError(f"{path} is an export of {card.model}, not of {folder.name}; give its own name")
    exporter = target_of_file(path).open()
    return card, prove(exporter, path, open_tower(folder, card.tower), card.precision)


def _export(
    folder: ModelFolder, target: Target, exporter: Exporter, tower: Tower, precision: ExportPrecision, out: Path
) -> Exported:
    name = export_name(folder.name, tower.name, precision, target.suffix)
    try:
        with TemporaryDirectory(prefix=".export-", dir=out) as temporary:
            written = Path(temporary) / name
            start = time.process_time()
            exporter.write(tower, precision, written)
            took = time.process_time() - start
            found = prove(exporter, written, tower, precision)
            card = _card(folder, target, exporter, tower, precision, written, took, found)
            card.write(written)
            if tower.name == "text":
                _write_tokens(tower, out)
            _put(written, out / name)
    except OSError as error:
        raise VidsearchError(f"{out / name} cannot be written ({error.strerror}); choose another with -o") from error
    return Exported(out / name, card, found)


def _put(written: Path, place: Path) -> None:
    """The card goes first: a card whose file is missing is seen, a file with another's card would be trusted."""
    card_path(written).replace(card_path(place))
    if place.is_dir():
        remove_folder(place)
    written.replace(place)


def _card(
    folder: ModelFolder,
    target: Target,
    exporter: Exporter,
    tower: Tower,
    precision: ExportPrecision,
    written: Path,
    took_s: float,
    found: Fidelity,
) -> Card:
    level = LEVELS[precision]
    known = KNOWN_MODELS.get(folder.name)
    packages = {"vidsearch": VERSION, "torch": str(torch.__version__)}
    return Card(
        format=CARD_FORMAT,
        model=folder.name,
        tower=tower.name,
        target=target.name,
        precision=precision,
        file=written.name,
        sha256=content_sha256(written),
        size_bytes=content_bytes(written),
        weights_sha256=sha256(folder.weights),
        contract={**exporter.ends(tower), **(_pictures(tower) if tower.name == "clip" else _words(tower))},
        licence=str(folder.provenance.get("licence") or (known.licence if known else "unknown")),
        versions={**packages, **exporter.versions()},
        ran_with=exporter.ran_with,
        conversion_s=round(took_s, 2),
        fidelity={**asdict(found), "cosine_needed": level.cosine, "centred_needed": level.centred},
        expected=tuple(tuple(float(f"{value:.7g}") for value in row) for row in tower.expected.tolist()),
    )


def _pictures(tower: Tower) -> dict[str, Any]:
    """What an app does with a video before the file is run."""
    wanted = tower.config.preprocessing
    fits = {
        "squash": f"resize to {wanted.side_px} x {wanted.side_px} ignoring the aspect ratio (bilinear, antialiased)",
        "centre-crop": f"resize the shorter side to {wanted.side_px} (bilinear, antialiased), cut the middle square",
        "as-is": "no resizing",
    }
    frames = wanted.frames
    return {
        "frames": frames,
        "sampling": f"{frames} frames of a window: frame i at start + (i + 0.5) / {frames} of its length",
        "resize": fits[wanted.fit],
        "colour": "RGB, values 0 to 1 (8-bit values / 255)",
        "mean": list(wanted.mean),
        "std": list(wanted.std),
        "normalise": "(value - mean) / std, channel by channel",
    }


def _words(tower: Tower) -> dict[str, Any]:
    """What an app does with a sentence before the file is run."""
    text = tower.config.text
    facts: dict[str, Any] = {
        "tokenizer": f"CLIP's byte-pair encoding; merges in {MERGES_FILE}, from OpenAI's {VOCABULARY_FILE} (MIT)",
        "before": "lower case; - and / become spaces; , . ' ! ? \" ( ) * # : ; ~ are deleted"
        if tower.config.family == "mobileviclip"
        else "lower case",
        "start_token": START_TOKEN,
        "end_token": END_TOKEN,
        "context": text.context,
        "longer": "cut to the context, the last token is the end token",
        "padding": 0,
    }
    if text.context < CONTEXT:
        facts["note"] = f"an ids input of {CONTEXT} is cut to {text.context} in the file"
    if text.pruned:
        facts["rows"] = f"{_rows_name(tower)}: little-endian int32, row of the word table for each of 49408 token ids"
    return facts


def _write_tokens(tower: Tower, out: Path) -> None:
    """What a tokenizer in an app needs: the merges, and the rows of a pruned word table."""
    (out / MERGES_FILE).write_text("\n".join(load_vocabulary().ranks), encoding="utf-8")
    if tower.config.text.pruned:
        rows = tower.network.text_encoder.embedding_row.numpy().astype("<i4")
        (out / _rows_name(tower)).write_bytes(rows.tobytes())


def _rows_name(tower: Tower) -> str:
    return f"{tower.config.name}-token-rows.bin"
