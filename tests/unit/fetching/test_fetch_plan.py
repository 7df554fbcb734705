"""From a name to a folder of verified files: what is planned, remembered and refused."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import pytest
from hub_server import HubServer

from vidsearch.errors import ModelError
from vidsearch.fetching import fetch as fetching
from vidsearch.fetching.fetch import FetchPlan
from vidsearch.fetching.remote import RemoteFile, RetryPolicy
from vidsearch.fetching.repository import model_by_files, model_of_folder, wanted_files
from vidsearch.models.mobilevideogpt.config import CONFIGS, SIZES

S0 = random.Random(0).randbytes(6000)
TINY = random.Random(1).randbytes(7000)
FOLDER = "1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7"
QUICK = RetryPolicy(tries=2, first_wait_s=0.01, timeout_s=5)


@pytest.fixture
def server(hosts: HubServer) -> HubServer:
    hosts.add_repository("apple/MobileCLIP-S0", {"mobileclip_s0.pt": S0, "README.md": b"x"})
    hosts.add_drive_folder(FOLDER, {"mobileviclip_tiny.pt": TINY})
    return hosts


def test_a_published_model_is_planned_fetched_and_remembered(server: HubServer, tmp_path: Path) -> None:
    plan = fetching.plan_published("mobileviclip-tiny", tmp_path, QUICK)
    assert [file.name for file in plan.files] == ["mobileviclip_tiny.pt", "mobileclip_s0.pt"]
    assert plan.size_bytes == len(S0) + len(TINY)
    assert not plan.folder.exists()
    fetched = fetching.fetch(plan, QUICK)
    rows = fetched.provenance()
    assert [(row["name"], row["hash_published"], row["size_bytes"]) for row in rows] == [
        ("mobileviclip_tiny.pt", False, 7000),
        ("mobileclip_s0.pt", True, 6000),
    ]
    assert all("?" not in row["url"] for row in rows)
    fetching.finish(fetched)
    assert not plan.folder.exists()
    seen = json.loads((tmp_path / "fetched.json").read_text())
    assert {key: row["sha256"] for key, row in seen.items()} == {
        f"Google Drive folder {FOLDER}/mobileviclip_tiny.pt": hashlib.sha256(TINY).hexdigest()
    }


def test_a_file_without_hash_that_changed_needs_consent(server: HubServer, tmp_path: Path) -> None:
    fetching.finish(fetching.fetch(fetching.plan_published("mobileviclip-tiny", tmp_path, QUICK), QUICK))
    server.add_drive_folder(FOLDER, {"mobileviclip_tiny.pt": TINY[::-1]})
    plan = fetching.plan_published("mobileviclip-tiny", tmp_path, QUICK)
    with pytest.raises(ModelError, match=r"mobileviclip_tiny.pt from Google Drive .* is not what it was"):
        fetching.fetch(plan, QUICK)
    assert not (plan.folder / "mobileviclip_tiny.pt").exists()
    fetching.finish(fetching.fetch(plan, QUICK, accept_changed=True))
    fetching.finish(fetching.fetch(plan, QUICK))  # the accepted content is the one that counts from now on


def test_a_note_that_cannot_be_read_is_an_error_that_names_it(server: HubServer, tmp_path: Path) -> None:
    (tmp_path / "fetched.json").write_text("{")
    with pytest.raises(ModelError, match=r"fetched\.json.* cannot be read .*; delete it"):
        fetching.fetch(fetching.plan_published("mobileviclip-tiny", tmp_path, QUICK), QUICK)


def test_files_of_an_earlier_fetch_from_elsewhere_do_not_join(server: HubServer, tmp_path: Path) -> None:
    plan = fetching.plan_published("mobileclip-s0", tmp_path, QUICK)
    plan.folder.mkdir(parents=True)
    (plan.folder / "other.pt").write_bytes(b"x")
    fetched = fetching.fetch(plan, QUICK)
    assert [path.name for path in fetched.folder.iterdir() if path.is_file()] == ["mobileclip_s0.pt"]


def test_a_model_without_files_and_a_folder_that_cannot_be_made(server: HubServer, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="comes with vidsearch; there is nothing to fetch"):
        fetching.plan_published("mobileviclip-nano", tmp_path, QUICK)
    for nano in ("mobileviclip-nano", "mobilevideogpt-nano"):
        with pytest.raises(ModelError, match=f"{nano} comes with vidsearch; there is nothing to fetch"):
            fetching.plan_repository("apple/MobileCLIP-S0", nano, tmp_path, QUICK)
    (tmp_path / "file").write_bytes(b"")
    plan = fetching.plan_published("mobileclip-s0", tmp_path / "file", QUICK)
    with pytest.raises(ModelError, match=r"cannot be made .*; set VIDSEARCH_MODEL_DIR to another"):
        fetching.fetch(plan, QUICK)


def test_a_repository_tells_its_model_by_its_files(server: HubServer, tmp_path: Path) -> None:
    server.add_repository("a/copy", {"mobileclip_s0.pt": S0, "b.pt": S0, "README.md": b"x"})
    plan = fetching.plan_repository("a/copy", None, tmp_path, QUICK)
    assert (plan.model, [file.name for file in plan.files]) == ("mobileclip-s0", ["mobileclip_s0.pt"])
    assert plan.licence == "not known; read its page"
    config = json.dumps({"format": 1, "name": "mobileclip-s2"}).encode()
    server.add_repository("a/ours", {"config.json": config, "model.safetensors": S0, "text.onnx": S0, "x.bin": S0})
    plan = fetching.plan_repository("a/ours", None, tmp_path, QUICK)
    assert (plan.model, {file.name for file in plan.files}) == (
        "mobileclip-s2",
        {"config.json", "model.safetensors", "text.onnx"},
    )
    with pytest.raises(ModelError, match="a/ours holds the model mobileclip-s2, not mobileclip-s0; pull it"):
        fetching.plan_repository("a/ours", "mobileclip-s0", tmp_path, QUICK)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (b"[]", "do not tell which model it holds; name it: vidsearch models pull NAME --from a/ours"),
        (b"{", "/a/ours/resolve/main/config.json is not readable as JSON"),
        (b"[" * 200_000, "/a/ours/resolve/main/config.json is not readable as JSON"),
        (b'{"format": 1, "name": "what"}', "no model is called 'what'"),
    ],
)
def test_a_config_that_tells_no_model_is_an_error(config: bytes, words: str, server: HubServer, tmp_path: Path) -> None:
    server.add_repository("a/ours", {"config.json": config, "model.safetensors": S0, "text.onnx": S0})
    with pytest.raises(ModelError, match=words):
        fetching.plan_repository("a/ours", None, tmp_path, QUICK)


def test_a_model_that_answers_comes_from_three_repositories_into_folders_of_their_own(
    server: HubServer, tmp_path: Path
) -> None:
    index = b'{"weight_map": {}}'
    language = {"model-00001-of-00002.safetensors": S0, "model-00002-of-00002.safetensors": TINY}
    language |= {"model.safetensors.index.json": index, "config.json": b"{}", "vocab.json": b"{}", "merges.txt": b"x"}
    server.add_repository("Amshaker/Mobile-VideoGPT-0.5B", {**language, "training_args.bin": S0, "README.md": b"x"})
    clip = {"pytorch_model.bin": S0, "flax_model.msgpack": S0, "vocab.json": b"{}", "config.json": b"{}"}
    server.add_repository("openai/clip-vit-base-patch16", clip)
    server.add_repository("OpenGVLab/VideoMamba", {"videomamba_m16_25M_f8_res224.pth": S0})
    plan = fetching.plan_published("mobilevideogpt-0.5b", tmp_path, QUICK)
    names = [file.name for file in plan.files]
    assert names[:3] == [f"language/{name}" for name in sorted(language) if name.startswith("model")]
    assert set(names[3:-2]) == {"language/config.json", "language/merges.txt", "language/vocab.json"}
    assert names[-2:] == ["clip/pytorch_model.bin", "videomamba/videomamba_m16_25M_f8_res224.pth"]
    with pytest.raises(ModelError, match=r"videomamba/videomamba_m16\S+ from .* does not have its published SHA-256"):
        fetching.fetch(plan, QUICK)
    assert (plan.folder / "language" / "model-00002-of-00002.safetensors").read_bytes() == TINY
    assert (plan.folder / "clip" / "pytorch_model.bin").read_bytes() == S0

    server.add_repository("a/copy", {"model.safetensors": TINY, "pytorch_model.bin": S0})
    plan = fetching.plan_repository("a/copy", "mobilevideogpt-0.5b", tmp_path, QUICK)
    assert [file.name for file in plan.files] == ["language/model.safetensors", *names[-2:]]
    server.add_repository("a/copy", {"README.md": b"x"})
    with pytest.raises(ModelError, match=r"a/copy holds neither model.safetensors nor pytorch_model.bin"):
        fetching.plan_repository("a/copy", "mobilevideogpt-0.5b", tmp_path, QUICK)


@pytest.mark.parametrize(
    ("names", "model"),
    [
        (["mobileclip_s0.pt"], "mobileclip-s0"),
        (["mobileviclip_tiny.pt", "mobileclip_s0.pt"], "mobileviclip-tiny"),
        (["mobileviclip_tiny.pt"], None),  # half of a model
        (["mobileclip_s0.pt", "mobileclip_s2.pt"], None),  # two of them
        (["photo.jpg"], None),
    ],
)
def test_names_of_files_tell_the_model_only_without_doubt(names: list[str], model: str | None) -> None:
    assert model_by_files(names) == model


def test_a_folder_tells_its_model_by_a_config_or_by_its_files(tmp_path: Path) -> None:
    assert model_of_folder(tmp_path) is None
    (tmp_path / "mobileclip_s0.pt").touch()
    assert model_of_folder(tmp_path) == "mobileclip-s0"
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").write_text('{"model_type": "clip"}')
    assert model_of_folder(tmp_path) == "mobileclip-s0"
    for name in ("mobilevideogpt-0.5b", "mobilevideogpt-1.5b"):
        (tmp_path / name).mkdir()
        fields = {size: getattr(CONFIGS[name].language_model, size) for size in SIZES}
        (tmp_path / name / "config.json").write_text(json.dumps({**fields, "model_type": "MobileVideoGPT_qwen"}))
        told = model_of_folder(tmp_path)
        assert told == (name if name == "mobilevideogpt-0.5b" else None)  # two of them tell none


def test_room_is_asked_for_the_model_that_will_be_made(tmp_path: Path) -> None:
    def plan(model: str, *names: str, ours: bool = False) -> FetchPlan:
        files = tuple(RemoteFile(name, "http://h/x", "h", 1000, None, None) for name in names)
        return FetchPlan(model, files, "", tmp_path, ours)

    answering = plan("mobilevideogpt-0.5b", "language/model.safetensors", "clip/model.safetensors")
    assert (answering.installed_bytes(), answering.installed_bytes(narrow=True)) == (3000, 2000)  # float16 → float32
    assert plan("mobileclip-s0", "mobileclip_s0.pt").installed_bytes() == 1700  # the text encoder once more, as ONNX
    assert plan("mobileclip-s0", "model.safetensors", ours=True).installed_bytes() == 1000


def test_of_the_same_weights_twice_the_safe_format_is_taken() -> None:
    names = ["open_clip_model.bin", "open_clip_model.safetensors", "../evil.pt", ".hidden.pt", "README.md"]
    assert wanted_files("a/b", "mobileclip-s2", names) == ["open_clip_model.safetensors"]
    with pytest.raises(ModelError, match=r"a/b holds no weight file .* that could be mobileclip-s2"):
        wanted_files("a/b", "mobileclip-s2", ["../evil.pt", "README.md"])
