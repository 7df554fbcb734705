"""Mobile-VideoGPT from `pull` to an answer, as processes: three repositories on loopback, one installed model."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hub_server import HubServer, Trouble
from published import publish, seeded_videogpt
from support import CLIPS, RunVidsearch, environment, run_on_terminal

NAME = "mobilevideogpt-0.5b"
LANGUAGE = "Amshaker/Mobile-VideoGPT-0.5B"
COPY = "somebody/finetuned"
MAMBA = "videomamba_m16_25M_f8_res224.pth"
CLIP = CLIPS / "red-square-left.mp4"
ANSWER = ("ask", CLIP, "what is there?", "--json", "--max-new-tokens", "4")

# The program with a published size of a thousandth of the real one, and that file's own hash: pulling reads files of
# this size, and afterwards the model's own config tells the unchanged program what it is.
SMALL_SIZE = """
import os
from dataclasses import replace
from published import SMALL
from vidsearch.cli.app import main
from vidsearch.models.mobilevideogpt.config import CONFIGS
from vidsearch.models.registry import KNOWN_MODELS
NAME = "mobilevideogpt-0.5b"
*others, mamba = KNOWN_MODELS[NAME].weights
mamba = replace(mamba, sha256=os.environ["MAMBA_SHA256"])
KNOWN_MODELS[NAME] = replace(KNOWN_MODELS[NAME], weights=(*others, mamba))
CONFIGS[NAME] = SMALL
main()
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three repositories in a folder each, the language model in shards. Do not change."""
    return publish(tmp_path_factory.mktemp("published") / "parts", seeded_videogpt(), shards=3)


@pytest.fixture
def server(published: Path) -> Iterator[HubServer]:
    with HubServer() as server:
        for repository, folder in (
            (LANGUAGE, "Mobile-VideoGPT-0.5B"),
            (COPY, "Mobile-VideoGPT-0.5B"),
            ("openai/clip-vit-base-patch16", "clip-vit-base-patch16"),
            ("OpenGVLab/VideoMamba", "VideoMamba"),
        ):
            files = {path.name: path.read_bytes() for path in (published / folder).iterdir()}
            server.add_repository(repository, {**files, "README.md": b"x"})
        yield server


@pytest.fixture
def hosts(server: HubServer, published: Path, tmp_path: Path) -> dict[str, str]:
    return {
        **server.environment(),
        "HF_HOME": str(tmp_path / "hf"),
        "MAMBA_SHA256": hashlib.sha256((published / "VideoMamba" / MAMBA).read_bytes()).hexdigest(),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
    }


def small(env: Mapping[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """The program with the small published size."""
    return subprocess.run(
        [sys.executable, "-c", SMALL_SIZE, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(env),
        timeout=120,
        check=False,
    )


def test_from_three_repositories_to_an_answer(
    hosts: Mapping[str, str], server: HubServer, own_home: Path, vidsearch: RunVidsearch
) -> None:
    server.trouble(f"/cdn/{LANGUAGE}/model-00002", Trouble(cut_after=10_000), times=1)
    pulled = small(hosts, "models", "pull", NAME, "--yes", "--as-stored")
    said = pulled.stderr.decode()
    assert pulled.returncode == 0, said
    for file, source in (
        ("language/model-00001-of-00003.safetensors", LANGUAGE),
        ("language/tokenizer.json", LANGUAGE),
        ("clip/model.safetensors", "openai/clip-vit-base-patch16"),
        (f"videomamba/{MAMBA}", "OpenGVLab/VideoMamba"),
    ):
        assert any(f"file     {file}, " in line and f"/{source}, SHA-256 " in line for line in said.splitlines()), file
    assert "file     language/config.json" in said and "SHA-1 " in said and "no hash published" not in said
    assert "licence  not seen; their programs name CC BY-NC-SA 4.0" in said
    assert "was cut after 10000 of" in said
    assert server.asked(f"/cdn/{LANGUAGE}/model-00002")[-1].range == "bytes=10000-"
    assert "ok: the same question again: the same answer" in said
    assert [path.name for path in (own_home / "models" / ".downloads").iterdir()] == [f"{NAME}.lock"]

    offline = {"VIDSEARCH_OFFLINE": "1", "HF_ENDPOINT": server.url}
    asked = len(server.requests)
    answered = vidsearch(*ANSWER, env=offline)
    assert answered.returncode == 0, answered.stderr.decode()
    answer = json.loads(answered.stdout)
    assert (answer["model"], len(answer["frames_s"]), answer["answers"][0]["tokens"]) == (NAME, 16, 4)
    facts = json.loads(vidsearch("models", "info", NAME, "--json", env=offline).stdout)
    assert len(server.requests) == asked
    rows = {row["name"]: row for row in facts["provenance"]["fetched"]}
    assert all(row["hash_published"] for row in rows.values())
    assert {row["name"] for row in facts["provenance"]["files"]} <= set(rows)
    assert vidsearch("models", "verify", NAME, env=offline).returncode == 0


def test_a_repository_or_a_folder_in_that_layout_needs_no_name(
    hosts: Mapping[str, str], server: HubServer, published: Path, own_home: Path, vidsearch: RunVidsearch
) -> None:
    weights = own_home / "models" / NAME / "model.safetensors"
    pulled = small(hosts, "models", "pull", COPY, "--yes")
    assert pulled.returncode == 0, pulled.stderr.decode()
    assert f"/{COPY}, SHA-256 " in pulled.stderr.decode() and "licence  not known" in pulled.stderr.decode()
    assert server.asked(f"/cdn/{LANGUAGE}/") == []
    from_hub, asked = weights.read_bytes(), len(server.requests)
    assert vidsearch("models", "remove", NAME).returncode == 0
    pulled = small({**hosts, "VIDSEARCH_OFFLINE": "1"}, "models", "pull", published)
    assert pulled.returncode == 0, pulled.stderr.decode()
    assert weights.read_bytes() == from_hub
    assert len(server.requests) == asked


def test_a_repository_of_the_other_size_is_told_before_anything_is_fetched(
    hosts: Mapping[str, str], server: HubServer
) -> None:
    pulled = small(hosts, "models", "pull", "mobilevideogpt-1.5b", "--from", COPY, "--yes")
    assert pulled.returncode == 5
    said = pulled.stderr.decode()
    assert said == f"vidsearch: {COPY} holds the model {NAME}, not mobilevideogpt-1.5b; pull it by that name\n"
    assert server.asked("/cdn/") == []


def test_the_first_question_offers_the_model(hosts: Mapping[str, str], server: HubServer) -> None:
    code, shown = run_on_terminal([sys.executable, "-c", SMALL_SIZE, *ANSWER], b"n\n", hosts)
    assert code == 5
    assert f"{NAME} is not on this machine." in shown
    assert f"{NAME}: answers about real videos; the default of ask" in shown
    assert "size     about 2.3 GB" in shown
    assert "Fetch it now? [y/N]" in shown
    assert server.requests == []
    code, shown = run_on_terminal([sys.executable, "-c", SMALL_SIZE, *ANSWER], b"y\n", hosts)
    assert code == 0, shown
    assert f'"model": "{NAME}"' in shown


def test_without_a_terminal_the_question_says_which_command_to_run(
    hosts: Mapping[str, str], server: HubServer, vidsearch: RunVidsearch
) -> None:
    asked = vidsearch(*ANSWER, env=hosts)
    assert (asked.returncode, asked.stdout) == (5, b"")
    assert f"  vidsearch models pull {NAME} --yes    (about 2281 MB, " in asked.stderr.decode()
    assert server.requests == []
