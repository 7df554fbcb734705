"""Model folders that were damaged or made to do harm: every command ends with one sentence that names the file."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from seeded import TEXT_PRUNED, seeded, small_config
from support import RunVidsearch

from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.folder import ModelFolder
from vidsearch.models.hashes import write_hashes
from vidsearch.store.library import open_library

NAME = "mobileviclip-tiny"
Spoil = Callable[[Path], object]
DEEP = "[" * 100_000


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    network = seeded(
        small_config(NAME, replace(TEXT_PRUNED, conv_blocks=1))
    )  # as the published one, which text.onnx runs
    return write_model_folder(network, tmp_path_factory.mktemp("sound") / NAME, provenance={"source": "x"})


@pytest.fixture
def installed(sound: ModelFolder, own_home: Path) -> Path:
    """A copy of the sound model among the installed ones, beside an empty library."""
    shutil.copytree(sound.path, own_home / "models" / NAME)
    with open_library(own_home, create=True):
        pass
    return own_home / "models" / NAME


def config(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Another config.json, which the hashes know."""

    def spoil(folder: Path) -> None:
        fields = json.loads((folder / "config.json").read_text())
        change(fields)
        (folder / "config.json").write_text(json.dumps(fields))
        write_hashes(folder)

    return spoil


def put(place: str, value: object) -> Spoil:
    """Another value of one field of config.json, whose place is a path of names."""

    def change(fields: dict[str, Any]) -> None:
        *parents, last = place.split(".")
        for parent in parents:
            fields = fields[parent]
        fields[last] = value

    return config(change)


def drop(place: str) -> Spoil:
    def change(fields: dict[str, Any]) -> None:
        *parents, last = place.split(".")
        for parent in parents:
            fields = fields[parent]
        del fields[last]

    return config(change)


def text(name: str, content: str | bytes) -> Spoil:
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def rehashed(spoil: Spoil) -> Spoil:
    def both(folder: Path) -> None:
        spoil(folder)
        write_hashes(folder)

    return both


def pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def link(name: str, target: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)

    return spoil


def as_folder(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return spoil


def cut(name: str) -> Spoil:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def nan_weights(folder: Path) -> None:
    model = onnx.load(folder / "text.onnx")
    tensor = next(each for each in model.graph.initializer if each.name == "projection_layer")
    tensor.raw_data = np.full(tuple(tensor.dims), np.nan, np.float32).tobytes()
    (folder / "text.onnx").write_bytes(model.SerializeToString())


# Each is refused by every command that opens the model, and named by `models list`.
CONFIGS: dict[str, tuple[Spoil, str]] = {
    "a kind that is a list": (lambda f: (drop("family")(f), put("kind", [])(f)), r"kind must be a text, not \[\]"),
    "an unknown kind": (lambda f: (drop("family")(f), put("kind", "draws")(f)), "unknown kind .*; update vidsearch"),
    "a family that is a number": (put("family", 3), "family must be a text, not 3"),
    "an unknown family": (put("family", "resnet"), "no family of models is called 'resnet'.*; update vidsearch"),
    "a family with another network": (put("family", "mobilevideogpt"), "lacks the field image_tower|has no tokenizer"),
    "a newer format": (put("format", 10**30), "newer vidsearch"),
    "a format that is a text": (put("format", "1"), "no format number"),
    "a format that is true": (put("format", True), "no format number"),
    "no format": (drop("format"), "no format number"),
    "format 0": (put("format", 0), "format must be a whole number from 1 to 1, not 0"),
    "no name": (drop("name"), "lacks the field name"),
    "a long name": (put("name", "x" * 5000), "name must have from 1 to 100 entries"),
    "the name of another model": (put("name", "mobileviclip-small"), "holds the model mobileviclip-small"),
    "no network": (drop("network"), "lacks the field network"),
    "a network that is a list": (put("network", []), r"network must be an object, not \[\]"),
    "no embed_dim of a number": (put("network.embed_dim", "x"), "network.embed_dim must be a whole number, not x"),
    "a huge embed_dim": (put("network.embed_dim", 10**12), "network.embed_dim must be a whole number from 1 to 65536"),
    "embed_dim 0": (put("network.embed_dim", 0), "network.embed_dim must be a whole number from 1 to 65536, not 0"),
    "embed_dim 1.5": (put("network.embed_dim", 1.5), "network.embed_dim must be a whole number, not 1.5"),
    "embed_dim true": (put("network.embed_dim", True), "network.embed_dim must be a whole number, not True"),
    "ten million layers": (put("network.text.layers", 10**7), "network.text.layers must be .* from 0 to 256"),
    "a million blocks": (put("network.image.depths", [10**6] * 4), r"network.image.depths\[0\] must be"),
    "three depths": (put("network.image.depths", [1, 1, 1]), "network.image.depths must have 4 entries, not 3"),
    "a million frames": (put("network.temporal.frames", 10**6), "network.temporal.frames must be"),
    "two numbers of frames": (put("network.temporal.frames", 4), "frames is 8, and network.temporal.frames 4"),
    "side -1": (put("network.preprocessing.side_px", -1), "network.preprocessing.side_px must be .*, not -1"),
    "a side that does not fit": (put("network.preprocessing.side_px", 65), "side_px 65 is not a multiple of 32"),
    "huge clips": (
        lambda f: (put("network.preprocessing.side_px", 4096)(f), put("network.preprocessing.frames", 256)(f)),
        "clips of 256 frames of 4096 px are larger than any model takes",
    ),
    "no fit": (drop("network.preprocessing.fit"), "network.preprocessing lacks the field fit"),
    "an unknown fit": (put("network.preprocessing.fit", "stretch"), "fit must be one of squash"),
    "a mean of text": (put("network.preprocessing.mean", ["a", 0, 0]), r"mean\[0\] must be a number, not a"),
    "a mean that is not finite": (put("network.preprocessing.mean", [float("nan"), 0, 0]), r"mean\[0\] .* not nan"),
    "a deviation of nothing": (put("network.preprocessing.std", [0, 1, 1]), r"std\[0\] must be a number from"),
    "no widths": (drop("network.image.widths"), "network.image lacks the field widths"),
    "heads that do not divide": (put("network.text.heads", 3), "3 heads do not divide a width of 32"),
    "an even kernel": (put("network.image.ffn_kernel", 4), "a kernel of 4 has no centre"),
    "an unknown field": (put("network.image.speed", 1), "network.image has an unknown field speed"),
    "a provenance that is a list": (put("provenance", []), r"provenance must be an object with fields, not \[\]"),
    "files that are a number": (put("provenance.files", 3), "provenance.files must be a list, not 3"),
    "a file without a hash": (put("provenance.files", [{"name": "x"}]), r"files\[0\] lacks the field sha256"),
    "notes that are numbers": (put("provenance.notes", [1]), r"provenance.notes\[0\] must be a text, not 1"),
    "a fetched file that is a text": (put("provenance.fetched", ["x"]), r"fetched\[0\] must be an object"),
    "levels that are a list": (put("score_levels", [1]), "score_levels must be an object"),
    "not JSON": (text("config.json", "{"), "not readable as JSON"),
    "a list": (text("config.json", "[]"), "not a vidsearch model config"),
    "nothing": (text("config.json", ""), "not readable as JSON"),
    "nested without end": (text("config.json", DEEP), "not readable as JSON"),
    "not text": (text("config.json", b"\xff\xfe\x00"), "not readable as JSON"),
    "huge": (text("config.json", " " * (5 << 20)), "larger than 4 MB"),
    "a pipe": (pipe("config.json"), "has no config.json"),
    "a folder": (as_folder("config.json"), "has no config.json"),
    "a link to nothing": (link("config.json", "nowhere"), "has no config.json"),
    "a link to itself": (link("config.json", "config.json"), "has no config.json"),
    "weights that are a pipe": (pipe("model.safetensors"), "has no model.safetensors"),
    "weights that are a folder": (as_folder("model.safetensors"), "has no model.safetensors"),
    "a text encoder that is a pipe": (pipe("text.onnx"), "has no text.onnx"),
}

# Each is refused by what runs the model; what only describes it goes on.
FILES: dict[str, tuple[Spoil, str]] = {
    "other weights": (cut("model.safetensors"), "model.safetensors has changed"),
    "another text encoder": (cut("text.onnx"), "text.onnx has changed"),
    "another text encoder, hashed": (rehashed(cut("text.onnx")), "text.onnx is not run"),
    "an empty text encoder, hashed": (rehashed(text("text.onnx", "")), "text.onnx is not run"),
    "a text encoder of nan, hashed": (rehashed(nan_weights), "text.onnx gives no usable vectors"),
    "a link out of the folder": (link("text.onnx", "/etc/hostname"), "text.onnx has changed|has no text.onnx"),
    "no hashes": (lambda f: (f / "hashes.json").unlink(), "there is no file .*hashes.json"),
    "hashes that are a pipe": (pipe("hashes.json"), "there is no file .*hashes.json"),
    "hashes that are a list": (text("hashes.json", "[]"), "hashes.json holds no JSON object"),
    "hashes nested without end": (text("hashes.json", DEEP), "hashes.json is nested"),
    "hashes of a file elsewhere": (text("hashes.json", '{"../../x": "0"}'), "does not list the hashes of files"),
    "hashes that are numbers": (text("hashes.json", '{"config.json": 3}'), "does not list the hashes of files"),
}

# What is beside the model does no harm.
HARMLESS: dict[str, Spoil] = {
    "a self-test that is a pipe": lambda f: (pipe("selftest.json")(f), write_hashes(f)),
    "a self-test nested without end": rehashed(text("selftest.json", DEEP)),
    "a self-test of something else": rehashed(text("selftest.json", '[{"what": 3}]')),
    "a later field": put("later", {"x": 1}),
    "a file more": lambda f: (f / "notes.txt").write_text("mine"),
    "a link to itself beside": link("loop", "loop"),
}


def commands(videos: Path) -> Iterator[list[str]]:
    """What opens the model, the ones that only describe it first."""
    yield ["models", "info", NAME]
    yield ["models", "verify", NAME]
    yield ["index", str(videos), "--dry-run", "--model", NAME]
    yield ["query", "a red circle", "--model", NAME]


def said(error: bytes) -> str:
    """The only line on stderr, a sentence of bearable length."""
    lines = error.decode().splitlines()
    assert len(lines) == 1 and lines[0].startswith("vidsearch: ") and len(lines[0]) < 600, lines
    return lines[0]


@pytest.mark.parametrize("case", CONFIGS)
def test_a_folder_that_cannot_be_opened_is_named_by_every_command(
    case: str, installed: Path, tmp_path: Path, command: RunVidsearch
) -> None:
    spoil, reason = CONFIGS[case]
    spoil(installed)
    for arguments in commands(tmp_path):
        done = command(*arguments)
        assert (done.returncode, done.stdout) == (5, b""), arguments
        assert re.search(reason, said(done.stderr)) and str(installed) in said(done.stderr)
    listed = json.loads(command("models", "list", "--json").stdout)["models"]
    entry = next(model for model in listed if model["name"] == NAME)
    if case != "the name of another model":
        assert entry["state"] == "damaged" and re.search(reason, entry["problem"])


@pytest.mark.parametrize("case", FILES)
def test_a_folder_whose_files_are_not_as_installed_is_not_run(
    case: str, installed: Path, command: RunVidsearch
) -> None:
    spoil, reason = FILES[case]
    assert command("query", "a red circle", "--model", NAME).returncode == 1  # nothing is indexed; the model runs
    spoil(installed)
    done = command("query", "a red circle", "--model", NAME)
    assert (done.returncode, done.stdout) == (5, b"")
    assert re.search(reason, said(done.stderr)) and str(installed) in said(done.stderr)


@pytest.mark.parametrize("case", HARMLESS)
def test_what_lies_beside_the_model_does_no_harm(
    case: str, installed: Path, tmp_path: Path, command: RunVidsearch
) -> None:
    HARMLESS[case](installed)
    codes = [command(*arguments).returncode for arguments in commands(tmp_path)]
    assert codes == [0, 0, 0, 1]


def test_weights_that_are_a_pipe_are_not_waited_for(tmp_path: Path, command: RunVidsearch) -> None:
    os.mkfifo(tmp_path / "weights.pt")
    done = command("index", tmp_path, "--model", NAME, "--weights", tmp_path / "weights.pt")
    assert done.returncode == 5
    assert f"there is no {tmp_path / 'weights.pt'}" in done.stderr.decode()
