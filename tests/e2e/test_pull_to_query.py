"""`pull`, then `index`, then `query`, as processes against hosts on loopback; and what the program says on bad days."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from hub_server import HubServer, Trouble
from seeded import TEXT_MCT, TEXT_PRUNED, seeded, small_config
from support import CLIPS, PROGRAM, RunVidsearch, environment, run_on_terminal

from vidsearch.models.conversion.mobileviclip import write_model_folder
from vidsearch.models.mobileviclip.config import CONFIGS

FOLDER = "1ROJYwQeO8lt4mEfNjEIAIDWj736WIQq7"
NAME = "mobileviclip-tiny"
REPOSITORY = "somebody/small-tiny"
FULL_SIZE = "VIDSEARCH_FULL_PARITY"
CLIP = CLIPS / "red-square-left.mp4"

# The program with published sizes a thousandth of the real ones: pulling reads files of these sizes, and afterwards the
# model's own config tells the unchanged program what it is.
SMALL_SIZES = """
import sys
from seeded import TEXT_MCT, small_config
from vidsearch.cli.app import main
from vidsearch.models.mobileviclip.config import CONFIGS
for name in ("mobileclip-s0", "mobileviclip-tiny"):
    CONFIGS[name] = small_config(name, TEXT_MCT)
main()
"""


@pytest.fixture(scope="module")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a small model in our layout."""
    folder = tmp_path_factory.mktemp("made") / NAME
    write_model_folder(seeded(small_config(NAME, TEXT_PRUNED)), folder, provenance={"source": "x"})
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def published_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """`mobileviclip_tiny.pt` and `mobileclip_s0.pt` as their publishers lay them out, small."""
    folder = tmp_path_factory.mktemp("published")
    state = seeded(small_config(NAME, TEXT_MCT)).state_dict()
    vision = {key: tensor for key, tensor in state.items() if not key.startswith("text_encoder.")}
    torch.save({"module": vision}, folder / "mobileviclip_tiny.pt")
    apple = seeded(small_config("mobileclip-s0", TEXT_MCT), seed=5).state_dict()
    torch.save(apple, folder / "mobileclip_s0.pt")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def server(model_files: Mapping[str, bytes], published_files: Mapping[str, bytes]) -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repository(REPOSITORY, model_files)
        server.add_repository("apple/MobileCLIP-S0", {"mobileclip_s0.pt": published_files["mobileclip_s0.pt"]})
        server.add_drive_folder(
            FOLDER, {"README.md": b"x", "mobileviclip_tiny.pt": published_files["mobileviclip_tiny.pt"]}
        )
        yield server


@pytest.fixture
def hosts(server: HubServer, tmp_path: Path) -> dict[str, str]:
    return {**server.environment(), "HF_HOME": str(tmp_path / "hf"), "VIDSEARCH_MODEL": NAME}


def models_published(env: Mapping[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    """`vidsearch models` with small published sizes."""
    return subprocess.run(
        [sys.executable, "-c", SMALL_SIZES, "models", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(with_tests(env)),
        timeout=120,
        check=False,
    )


def with_tests(env: Mapping[str, str]) -> dict[str, str]:
    """For a program that imports modules of the tests."""
    return {**env, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}


def files_below(folder: Path) -> set[str]:
    """All but the locks, which stay."""
    names = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return {name for name in names if not name.endswith(".lock")}


def test_from_the_hub_to_an_answer(
    hosts: Mapping[str, str], server: HubServer, own_home: Path, vidsearch: RunVidsearch, command: RunVidsearch
) -> None:
    server.trouble(f"/cdn/{REPOSITORY}/model.safetensors", Trouble(cut_after=20_000), times=1)
    pulled = vidsearch("models", "pull", NAME, "--from", REPOSITORY, "--yes", env=hosts)
    said = pulled.stderr.decode()
    assert pulled.returncode == 0, said
    assert f"from 127.0.0.1:{server.port}/{REPOSITORY}, SHA-256 " in said
    assert "licence  not known" in said
    assert "was cut after 20000 of" in said
    assert f"Installed {NAME} in " in said
    assert [request.range for request in server.asked(f"/cdn/{REPOSITORY}/model.safetensors")] == [None, "bytes=20000-"]
    assert files_below(own_home / "models") - {"fetched.json"} == {
        f"{NAME}/{name}" for name in ("config.json", "hashes.json", "model.safetensors", "selftest.json", "text.onnx")
    }

    offline = {**hosts, "VIDSEARCH_OFFLINE": "1"}
    asked = len(server.requests)
    assert vidsearch("index", CLIP, env=offline).returncode == 0
    answer = json.loads(command("query", "a red square", "--json", env=offline).stdout)
    assert [Path(hit["path"]).name for hit in answer["hits"]] == [CLIP.name]
    assert answer["hits"][0]["model"] == NAME
    assert len(server.requests) == asked

    facts = json.loads(command("models", "info", NAME, "--json", env=offline).stdout)
    rows = {row["name"]: row for row in facts["provenance"]["fetched"]}
    assert rows["model.safetensors"]["hash_published"] is True
    assert rows["model.safetensors"]["url"].startswith(f"{server.url}/{REPOSITORY}/resolve/0123456789abcdef")
    assert "has its published hash" in command("models", "info", NAME, env=offline).stdout.decode()
    assert command("models", "verify", env=offline).returncode == 0


@pytest.mark.slow
def test_from_hosts_without_hashes_to_an_answer_and_no_further_when_a_file_changed(
    hosts: Mapping[str, str],
    server: HubServer,
    own_home: Path,
    published_files: Mapping[str, bytes],
    vidsearch: RunVidsearch,
    command: RunVidsearch,
) -> None:
    server.trouble("/apple/MobileCLIP-S0/", Trouble(status=404), times=1)  # then Apple's own host is asked
    server.add_plain("mobileclip_s0.pt", published_files["mobileclip_s0.pt"])
    pulled = models_published(hosts, "pull", NAME, "--yes")
    said = pulled.stderr.decode()
    assert pulled.returncode == 0, said
    assert f"from Google Drive folder {FOLDER}, no hash published" in said
    assert f"from 127.0.0.1:{server.port}/plain, no hash published" in said
    assert "licence  derived from Apple's weights" in said
    assert vidsearch("index", CLIP, env=hosts).returncode == 0
    assert command("query", "a red square", env=hosts).returncode == 0
    facts = json.loads(command("models", "info", NAME, "--json", env=hosts).stdout)
    rows = {row["name"]: row["hash_published"] for row in facts["provenance"]["fetched"]}
    assert rows == {"mobileviclip_tiny.pt": False, "mobileclip_s0.pt": False}
    assert (
        "no hash published; later fetches must equal it" in command("models", "info", NAME, env=hosts).stdout.decode()
    )

    asked = len(server.requests)
    again = vidsearch("models", "pull", NAME, "--yes", env=hosts)
    assert (again.returncode, len(server.requests)) == (0, asked)
    assert b"is here already" in again.stderr

    changed = bytearray(published_files["mobileviclip_tiny.pt"])
    changed[-1] ^= 0xFF  # another content of the same length
    server.add_drive_folder(FOLDER, {"mobileviclip_tiny.pt": bytes(changed)})
    refused = models_published(hosts, "pull", NAME, "--yes", "--force")
    assert refused.returncode == 5
    assert "is not what it was when it was first fetched" in refused.stderr.decode()
    assert "mobileviclip_tiny.pt" not in {Path(name).name for name in files_below(own_home / "models")}
    assert (own_home / "models" / NAME / "model.safetensors").is_file()


@pytest.mark.slow
def test_what_was_damaged_on_its_way_without_a_hash_is_fetched_anew(
    hosts: Mapping[str, str],
    server: HubServer,
    own_home: Path,
    published_files: Mapping[str, bytes],
    tmp_path: Path,
) -> None:
    def refused(content: bytes | None, *arguments: str) -> str:
        """What a pull says that ends with nothing installed; Drive gives this content once, or is not asked for it."""
        if content is not None:
            server.trouble("/download", Trouble(body=content), times=2)  # its headers are asked for first
        done = models_published(hosts, "pull", NAME, "--yes", *arguments)
        assert done.returncode == 5
        assert not (own_home / "models" / NAME).exists()
        return done.stderr.decode().splitlines()[-1]

    whole = published_files["mobileviclip_tiny.pt"]
    checkpoint = torch.load(io.BytesIO(whole), weights_only=True)
    checkpoint["module"]["vision_encoder.patch_embed.0.rbr_conv.0.conv.weight"][0] = torch.nan
    changed = tmp_path / "mobileviclip_tiny.pt"  # as long as the whole one: the name is stored in it
    torch.save(checkpoint, changed)
    for content in (changed.read_bytes(), None):  # what can be read stays, for whoever wants to look at it
        said = refused(content)
        assert "mobileviclip_tiny.pt is damaged: vision_encoder.patch_embed.0" in said
        assert said.endswith("used by the next pull; --force fetches anew what has no hash)")
    damaged = bytearray(whole)
    damaged[len(damaged) // 2] ^= 0xFF
    said = refused(bytes(damaged), "--force")
    assert "mobileviclip_tiny.pt is damaged (" in said
    assert said.endswith("(it was deleted; the other files are used by the next pull)")
    assert not list((own_home / "models" / ".downloads" / NAME).glob("mobileviclip*"))
    assert models_published(hosts, "pull", NAME, "--yes").returncode == 0
    assert len(server.asked("/cdn/apple/MobileCLIP-S0/")) == 1  # its hash says that it is whole


@pytest.mark.slow
def test_files_by_hand_with_a_name_that_is_told(
    own_home: Path, published_files: Mapping[str, bytes], tmp_path: Path, vidsearch: RunVidsearch
) -> None:
    """The names of temporal weights are not public: one that the structure does not place is given by hand."""
    folder, renames = tmp_path / "brought", tmp_path / "renames.json"
    folder.mkdir()
    for name, content in published_files.items():
        (folder / name).write_bytes(content)
    checkpoint = torch.load(folder / "mobileviclip_tiny.pt", weights_only=True)
    place, odd = "vision_encoder.network.0.0.temporal.conv", "vision_encoder.odd"
    told = {f"{odd}.{name}": f"{place}.{name}" for name in ("weight", "bias")}
    checkpoint["module"] |= {key: checkpoint["module"].pop(canonical) for key, canonical in told.items()}
    torch.save(checkpoint, folder / "mobileviclip_tiny.pt")
    offline = {"VIDSEARCH_OFFLINE": "1"}
    add = ("add", NAME, "--from", folder)
    refused = models_published(offline, *add)
    assert refused.returncode == 5
    assert "mobileviclip_tiny.pt does not fit mobileviclip-tiny: " in refused.stderr.decode()
    assert "vision_encoder.odd.weight (8, 1, 3)" in refused.stderr.decode()
    renames.write_text(json.dumps(told))
    added = models_published(offline, *add, "--renames", renames)
    assert added.returncode == 0, added.stderr.decode()
    assert vidsearch("index", CLIP, env={**offline, "VIDSEARCH_MODEL": NAME}).returncode == 0


@pytest.mark.timeout(1200)
@pytest.mark.skipif(FULL_SIZE not in os.environ, reason=f"two files of full size; set {FULL_SIZE}=1 to run it")
def test_the_published_size_from_pull_to_an_answer(
    hosts: Mapping[str, str], server: HubServer, own_home: Path, vidsearch: RunVidsearch, tmp_path: Path
) -> None:
    tiny, s0 = tmp_path / "mobileviclip_tiny.pt", tmp_path / "mobileclip_s0.pt"
    state = seeded(CONFIGS[NAME]).state_dict()
    torch.save({"module": {key: state[key] for key in state if not key.startswith("text_encoder.")}}, tiny)
    torch.save(seeded(CONFIGS["mobileclip-s0"], seed=5).state_dict(), s0)
    server.add_drive_folder(FOLDER, {tiny.name: tiny.read_bytes()})
    server.add_repository("apple/MobileCLIP-S0", {s0.name: s0.read_bytes()})
    server.trouble("/cdn/", Trouble(cut_after=100_000_000), times=1)
    pulled = vidsearch("models", "pull", NAME, "--yes", env=hosts, timeout_s=900)
    assert pulled.returncode == 0, pulled.stderr.decode()
    assert "ok: ONNX text encoder" in pulled.stderr.decode()
    assert server.asked("/cdn/")[-1].range == "bytes=100000000-"
    assert vidsearch("index", CLIP, env=hosts, timeout_s=900).returncode == 0
    answer = json.loads(vidsearch("query", "a red square", "--json", env=hosts).stdout)
    assert answer["hits"][0]["model"] == NAME


def test_a_folder_may_be_pulled_by_its_name_alone(
    model_files: Mapping[str, bytes], hosts: Mapping[str, str], own_home: Path, tmp_path: Path, vidsearch: RunVidsearch
) -> None:
    folder = tmp_path / "brought"
    folder.mkdir()
    for name, content in model_files.items():
        (folder / name).write_bytes(content)
    pulled = vidsearch("models", "pull", folder, env={**hosts, "VIDSEARCH_OFFLINE": "1"})
    assert pulled.returncode == 0, pulled.stderr.decode()
    assert (own_home / "models" / NAME / "model.safetensors").read_bytes() == model_files["model.safetensors"]


def cut_off(hosts: Mapping[str, str], server: HubServer, home: Path, how: signal.Signals) -> tuple[int, str, Path]:
    """Ends a pull while its largest file arrives: (exit code, what it said, the part that it left)."""
    server.trouble(f"/cdn/{REPOSITORY}/model.safetensors", Trouble(drip=(10_000, 0.2)), times=1)
    command = [sys.executable, "-m", "vidsearch", "models", "pull", NAME, "--from", REPOSITORY, "--yes"]
    part = home / "models" / ".downloads" / NAME / ".state" / "model.safetensors.part"
    process = subprocess.Popen(command, env=environment(hosts), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 20_000) and time.monotonic() < deadline:
            time.sleep(0.02)
    finally:
        process.send_signal(how)
        said = process.communicate(timeout=60)[1].decode()
    assert part.stat().st_size > 20_000
    assert not (home / "models" / NAME).exists()
    return process.returncode, said, part


def test_a_killed_pull_is_continued(
    hosts: Mapping[str, str], server: HubServer, own_home: Path, vidsearch: RunVidsearch
) -> None:
    kept = cut_off(hosts, server, own_home, signal.SIGKILL)[2].stat().st_size
    assert vidsearch("models", "pull", NAME, "--from", REPOSITORY, "--yes", env=hosts).returncode == 0
    assert server.asked(f"/cdn/{REPOSITORY}/model.safetensors")[-1].range == f"bytes={kept}-"


def test_ctrl_c_says_how_to_go_on(hosts: Mapping[str, str], server: HubServer, own_home: Path) -> None:
    code, said, _ = cut_off(hosts, server, own_home, signal.SIGINT)
    assert code == 130
    assert said.endswith("Stopped. What arrived is kept; run the same command again to go on.\n")


def test_two_at_once_fetch_once(hosts: Mapping[str, str], server: HubServer, tmp_path: Path) -> None:
    gate = threading.Event()  # opens when one of the two has said that it waits for the other
    server.trouble(f"/cdn/{REPOSITORY}/model.safetensors", Trouble(gate=gate), times=1)
    command = [sys.executable, "-m", "vidsearch", "models", "pull", NAME, "--from", REPOSITORY, "--yes"]
    said = [tmp_path / "first", tmp_path / "second"]
    both = []
    for path in said:
        with path.open("wb") as file:
            both.append(subprocess.Popen(command, env=environment(hosts), stderr=file, stdin=subprocess.DEVNULL))
    deadline = time.monotonic() + 50
    while not any(b"another vidsearch is fetching" in path.read_bytes() for path in said):
        assert time.monotonic() < deadline, [path.read_bytes() for path in said]
        time.sleep(0.05)
    gate.set()
    assert [process.wait(timeout=60) for process in both] == [0, 0], [path.read_bytes() for path in said]
    assert len(server.asked(f"/cdn/{REPOSITORY}/model.safetensors", "GET")) == 1
    assert sum(b"is here already" in path.read_bytes() for path in said) == 1


# Every connection is counted by the interpreter itself, whoever opens it.
COUNTED = """
import sys
def hook(event, arguments):
    if event.startswith("socket.") and event not in ("socket.__new__",):
        print("TOUCHED", event, arguments, file=sys.stderr, flush=True)
sys.addaudithook(hook)
from vidsearch.cli.app import main
main()
"""


def counted(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", COUNTED, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=environment(env),
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("variable", ["VIDSEARCH_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_touches_no_socket(variable: str, hosts: Mapping[str, str], server: HubServer) -> None:
    for arguments in ([NAME], [NAME, "--from", REPOSITORY], [REPOSITORY]):
        done = counted({**hosts, variable: "1"}, "models", "pull", *arguments, "--yes")
        assert done.returncode == 5
        assert f"cannot be fetched: {variable} is set; unset it or bring the file yourself" in done.stderr.decode()
        assert b"TOUCHED" not in done.stderr
    assert server.requests == []


def test_the_count_of_sockets_does_count(hosts: Mapping[str, str], server: HubServer) -> None:
    done = counted(hosts, "models", "pull", "nobody/nothing", "--yes")
    assert done.returncode == 5
    assert b"TOUCHED socket.connect" in done.stderr


def test_without_a_terminal_nothing_is_fetched_unasked(
    hosts: Mapping[str, str], server: HubServer, vidsearch: RunVidsearch
) -> None:
    pulled = vidsearch("models", "pull", NAME, env=hosts)
    assert (pulled.returncode, pulled.stderr) == (
        2,
        f"vidsearch: without a terminal nobody can be asked; add --yes to fetch {NAME}\n".encode(),
    )
    indexed = vidsearch("index", CLIP, env=hosts)
    assert indexed.returncode == 5
    assert f"vidsearch models pull {NAME} --yes    (about 431 MB, Google Drive folder" in indexed.stderr.decode()
    assert server.requests == []


def test_a_person_is_asked(hosts: Mapping[str, str], server: HubServer, own_home: Path) -> None:
    command = [*PROGRAM, "models", "pull", NAME, "--from", REPOSITORY]
    code, shown = run_on_terminal(command, b"n\n", hosts)
    assert (code, "Nothing was fetched." in shown) == (0, True)
    assert "[y/N]" in shown
    assert {request.path.rsplit("/", 1)[1] for request in server.asked("/cdn/")} == {"config.json"}  # names the model
    code, shown = run_on_terminal(command, b"y\n", hosts)
    assert code == 0, shown
    assert "model.safetensors" in shown and "B/s" in shown
    assert (own_home / "models" / NAME / "config.json").is_file()


@pytest.mark.slow
def test_the_first_index_offers_the_model_and_goes_on_with_it(
    hosts: Mapping[str, str], server: HubServer, vidsearch: RunVidsearch
) -> None:
    code, shown = run_on_terminal([*PROGRAM, "index", CLIP], b"n\n", hosts)
    assert code == 5
    assert f"{NAME} is not on this machine." in shown
    assert f"1  {NAME}: search of real videos on a slow machine" in shown
    assert f"source   Google Drive folder {FOLDER}" in shown
    assert "licence  derived from Apple's weights" in shown
    assert "size     about 431.0 MB" in shown
    assert "Fetch which one? [1/2/N]" in shown
    assert server.requests == []
    code, shown = run_on_terminal([sys.executable, "-c", SMALL_SIZES, "index", CLIP], b"1\n", with_tests(hosts))
    assert code == 0, shown
    assert "Installed mobileviclip-tiny" in shown
    hits = json.loads(vidsearch("query", "a red square", "--json", env=hosts).stdout)["hits"]
    assert [Path(hit["path"]).name for hit in hits] == [CLIP.name]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Trouble(status=404), "there is no file at http://127.0.0.1:"),
        (Trouble(status=403), "may not be read (HTTP 403)"),
        (Trouble(headers={"X-Linked-Size": str(10**16)}), "needs 20000000.0 GB in "),
        (
            Trouble(headers={"X-Linked-Etag": '"' + "0" * 64 + '"'}),
            "does not have its published SHA-256 (000000000000…",
        ),
    ],
    ids=["404", "403", "no room", "wrong hash"],
)
def test_each_failure_is_one_sentence_and_leaves_nothing(
    trouble: Trouble, words: str, hosts: Mapping[str, str], server: HubServer, own_home: Path, vidsearch: RunVidsearch
) -> None:
    server.trouble(f"/{REPOSITORY}/resolve/main/model.safetensors", trouble)
    pulled = vidsearch("models", "pull", NAME, "--from", REPOSITORY, "--yes", env=hosts)
    assert pulled.returncode == 5
    last = [line for line in pulled.stderr.decode().splitlines() if not line.startswith("  ")][-1]  # ways are indented
    assert last.startswith("vidsearch: ") and words in last
    assert "Traceback" not in pulled.stderr.decode()
    assert {Path(name).name for name in files_below(own_home / "models")} <= {"config.json", "config.json.json"}
    assert not (own_home / "models" / NAME).exists()


@pytest.mark.slow
def test_what_is_no_model_is_said(hosts: Mapping[str, str], server: HubServer, vidsearch: RunVidsearch) -> None:
    server.add_repository("somebody/photos", {"a.jpg": b"x", "open_clip.bin": b"x" * 5000})
    for arguments, code, words in (
        (["x"], 5, "no model is called 'x'"),
        (["./nowhere/at/all"], 2, "is neither a folder here nor a repository's name"),
        (["somebody/nothing"], 5, "may not be read (HTTP 401): it does not exist, or needs permission"),
        (["somebody/photos"], 5, "do not tell which model it holds; name it: vidsearch models pull NAME --from"),
        ([NAME, "--from", "somebody/photos"], 5, "open_clip.bin"),
        ([NAME, "--from", "somebody/photos", "--as-stored"], 5, "is stored as float32 or float16; leave out --as-sto"),
        (["mobileviclip-nano"], 0, "is here already"),
        ([str(CLIPS)], 2, "does not tell which model it holds; name it"),
    ):
        done = vidsearch("models", "pull", *arguments, "--yes", env=hosts)
        assert (done.returncode, words in done.stderr.decode()) == (code, True), done.stderr.decode()
