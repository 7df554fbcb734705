"""One file from a host that has bad days: whole and verified, or a sentence and nothing but what can be continued."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer, Trouble

from vidsearch.errors import ModelError
from vidsearch.fetching import hub
from vidsearch.fetching.remote import BytesArrived, Event, FetchedFile, FileStarted, RemoteFile, RetryPolicy, Waiting
from vidsearch.fetching.transfer import fetch_file, remaining_bytes

CONTENT = random.Random(0).randbytes(300_000)
QUICK = RetryPolicy(tries=3, first_wait_s=0.01, timeout_s=5)
CDN = "/cdn/org/name/weights.pt"


@pytest.fixture
def server(hosts: HubServer) -> HubServer:
    hosts.add_repository("org/name", {"weights.pt": CONTENT, "config.json": b"{}"})
    hosts.add_plain("weights.pt", CONTENT)
    return hosts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "arriving").mkdir()
    return tmp_path / "arriving"


@pytest.fixture
def remote(server: HubServer) -> RemoteFile:
    return hub.describe("org/name", "weights.pt", 5)


def plain(server: HubServer) -> RemoteFile:
    """The file at a host without hashes, which says nothing of it beforehand."""
    return RemoteFile("weights.pt", f"{server.url}/plain/weights.pt", "there", None, None, None)


def fetched(remote: RemoteFile, folder: Path, policy: RetryPolicy = QUICK) -> tuple[FetchedFile, list[Event]]:
    events: list[Event] = []
    return fetch_file(remote, folder, events.append, policy), events


def refused(remote: RemoteFile, folder: Path, policy: RetryPolicy = QUICK) -> str:
    with pytest.raises(ModelError) as caught:
        fetch_file(remote, folder, lambda _: None, policy)
    assert not (folder / remote.name).exists()
    return str(caught.value)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_arrives_whole_with_its_hash_and_its_progress(remote: RemoteFile, folder: Path) -> None:
    file, events = fetched(remote, folder)
    assert file.path.read_bytes() == CONTENT
    assert (file.sha256, file.hash_published) == (hashlib.sha256(CONTENT).hexdigest(), True)
    assert events[0] == FileStarted("weights.pt", 0, len(CONTENT))
    assert sum(event.count for event in events if isinstance(event, BytesArrived)) == len(CONTENT)
    assert left(folder) == ["weights.pt", "weights.pt.json"]


def test_a_file_that_is_there_is_not_fetched_again(remote: RemoteFile, folder: Path, server: HubServer) -> None:
    fetched(remote, folder)
    asked = len(server.requests)
    file, _ = fetched(remote, folder)
    assert (len(server.requests), file.path.read_bytes()) == (asked, CONTENT)


def test_a_file_that_changed_on_disk_is_fetched_again(remote: RemoteFile, folder: Path) -> None:
    path = fetched(remote, folder)[0].path
    path.write_bytes(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    assert fetched(remote, folder)[0].path.read_bytes() == CONTENT


@pytest.mark.parametrize("source", ["hub", "plain"])
def test_cuts_are_continued_where_they_were(source: str, remote: RemoteFile, folder: Path, server: HubServer) -> None:
    wanted = remote if source == "hub" else plain(server)
    path = CDN if source == "hub" else "/plain/"
    server.trouble(path, Trouble(cut_after=70_000), times=4)
    file, events = fetched(wanted, folder)
    assert file.path.read_bytes() == CONTENT
    assert [request.range for request in server.asked(path, "GET")] == [
        None,
        "bytes=70000-",
        "bytes=140000-",
        "bytes=210000-",
        "bytes=280000-",
    ]
    assert len([event for event in events if isinstance(event, Waiting)]) == 4


def test_a_later_call_continues_what_an_earlier_one_left(remote: RemoteFile, folder: Path, server: HubServer) -> None:
    server.trouble(CDN, Trouble(cut_after=100_000), times=1)
    server.trouble(CDN, Trouble(status=503))
    assert "is not available now (HTTP 503); try again later" in refused(remote, folder)
    assert left(folder) == ["weights.pt.part", "weights.pt.part.json"]
    assert remaining_bytes(remote, folder) == 200_000
    server.well()
    _, events = fetched(remote, folder)
    assert events[0] == FileStarted("weights.pt", 100_000, len(CONTENT))
    assert server.asked(CDN)[-1].range == "bytes=100000-"
    assert server.asked(CDN)[-1].headers["if-range"] == f'"{hashlib.md5(CONTENT).hexdigest()}"'


def test_a_file_that_changed_at_its_host_is_begun_anew(server: HubServer, folder: Path) -> None:
    server.trouble("/plain/", Trouble(cut_after=100_000), times=1)
    server.trouble("/plain/", Trouble(status=500))
    refused(plain(server), folder)
    server.well()
    other = random.Random(1).randbytes(len(CONTENT))
    server.add_plain("weights.pt", other)
    assert fetched(plain(server), folder)[0].path.read_bytes() == other


def test_a_new_commit_is_begun_anew(server: HubServer, folder: Path, remote: RemoteFile) -> None:
    server.trouble(CDN, Trouble(cut_after=100_000), times=1)
    server.trouble(CDN, Trouble(status=500))
    refused(remote, folder)
    server.well()
    other = random.Random(1).randbytes(len(CONTENT))
    server.add_repository("org/name", {"weights.pt": other})
    fetched(hub.describe("org/name", "weights.pt", 5), folder)
    assert (folder / "weights.pt").read_bytes() == other
    assert server.asked(CDN)[-1].range is None


@pytest.mark.parametrize(
    "trouble",
    [Trouble(no_range=True), Trouble(headers={"Content-Range": "bytes 5-10/300000"}), Trouble(status=416)],
    ids=["range ignored", "other range", "range refused"],
)
def test_a_host_that_does_not_continue_sends_all_again(
    trouble: Trouble, remote: RemoteFile, folder: Path, server: HubServer
) -> None:
    server.trouble(CDN, Trouble(cut_after=100_000), times=1)
    server.trouble(CDN, trouble, times=1)
    assert fetched(remote, folder)[0].path.read_bytes() == CONTENT


def test_a_busy_host_is_waited_for_as_long_as_it_asks(remote: RemoteFile, folder: Path, server: HubServer) -> None:
    server.trouble(CDN, Trouble(status=429, headers={"Retry-After": "1"}), times=1)
    _, events = fetched(remote, folder)
    waits = [event for event in events if isinstance(event, Waiting)]
    assert [event.seconds for event in waits] == [1.0]
    assert "is not available now (HTTP 429)" in waits[0].why


def test_a_host_that_asks_for_an_hour_is_not_waited_for(remote: RemoteFile, folder: Path, server: HubServer) -> None:
    server.trouble(CDN, Trouble(status=429, headers={"Retry-After": "3600"}))
    said = "(HTTP 429); it asks to be left alone for 3600 s: run the same command again then"
    assert said in refused(remote, folder)
    assert len(server.asked(CDN)) == 1


def test_a_host_that_fails_and_recovers(remote: RemoteFile, folder: Path, server: HubServer) -> None:
    server.trouble(CDN, Trouble(status=502), times=2)
    assert fetched(remote, folder)[0].path.read_bytes() == CONTENT


def test_a_slow_drip_arrives_and_a_host_that_falls_silent_is_left(
    remote: RemoteFile, folder: Path, server: HubServer
) -> None:
    hasty = RetryPolicy(tries=2, first_wait_s=0.01, timeout_s=0.3)
    server.trouble(CDN, Trouble(drip=(15_000, 0.02)), times=1)  # longer than the timeout, but never silent for it
    assert fetched(remote, folder, hasty)[0].path.read_bytes() == CONTENT
    (folder / "weights.pt").unlink()
    server.trouble(CDN, Trouble(stall_s=0.8))
    assert "stopped answering; check the connection and run the same command again" in refused(remote, folder, hasty)
    assert left(folder) == ["weights.pt.json"]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (Trouble(status=401), r"may not be read \(HTTP 401\).*HF_TOKEN"),
        (Trouble(status=404), r"there is no file at http://127.0.0.1:\d+/org/name/resolve/\w+/weights.pt \(HTTP 404\)"),
        (Trouble(status=500), "is not available now .HTTP 500.; try again later"),
        (
            Trouble(body=b"  <!DOCTYPE html><p>Sign in".ljust(len(CONTENT))),
            "answered with a web page instead of weights.pt",
        ),
        (Trouble(headers={"Content-Type": "text/html"}), "answered with a web page instead of weights.pt"),
        (Trouble(body=b"version https://git-lfs.github.com/spec/v1\noid".ljust(len(CONTENT))), "Git LFS pointer"),
        (Trouble(body=CONTENT[:-5]), "is 299995 bytes long where 300000 were announced"),
        (Trouble(body=b"\0" + CONTENT[1:]), "does not have its published SHA-256"),
    ],
    ids=["401", "404", "500", "page", "page by its type", "pointer", "wrong length", "wrong bytes"],
)
def test_what_is_not_the_file_is_refused_and_leaves_nothing(
    trouble: Trouble, words: str, server: HubServer, folder: Path
) -> None:
    remote = hub.describe("org/name", "weights.pt", 5)
    server.trouble(CDN, trouble)
    with pytest.raises(ModelError, match=words) as caught:
        fetch_file(remote, folder, lambda _: None, QUICK)
    assert left(folder) == []
    assert "s3cret" not in str(caught.value)
    assert str(caught.value).count(". ") == 0


def test_a_connection_that_is_refused_says_which(folder: Path) -> None:
    remote = RemoteFile("weights.pt", "http://127.0.0.1:1/weights.pt?key=s3cret", "there", None, None, None)
    message = refused(remote, folder)
    assert "the connection to 127.0.0.1:1 failed (Connection refused)" in message
    assert "s3cret" not in message


def test_the_token_reaches_the_hub_and_not_the_host_it_redirects_to(
    server: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.token = "hf_s3cret"
    with pytest.raises(ModelError, match="accept the model's terms there and set HF_TOKEN"):
        hub.describe("org/name", "weights.pt", 5)
    monkeypatch.setenv("HF_TOKEN", "hf_s3cret")
    remote = hub.describe("org/name", "weights.pt", 5)
    assert fetched(remote, folder)[0].path.read_bytes() == CONTENT
    assert all("authorization" not in request.headers for request in server.asked("/cdn/"))
    assert "hf_s3cret" not in repr(remote)
    assert not any(b"hf_s3cret" in path.read_bytes() for path in folder.rglob("*.json"))


def test_a_file_in_the_cache_of_the_hub_is_copied(server: HubServer, folder: Path, tmp_path: Path) -> None:
    cached = tmp_path / "hf" / "hub" / "models--org--name" / "snapshots" / COMMIT / "weights.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(CONTENT)
    remote = hub.describe("org/name", "weights.pt", 5)
    assert remote.cached == cached
    assert fetched(remote, folder)[0].path.read_bytes() == CONTENT
    assert server.asked("/cdn/") == []


def test_a_damaged_file_in_that_cache_is_not_used(server: HubServer, folder: Path, tmp_path: Path) -> None:
    cached = tmp_path / "cached.pt"
    cached.write_bytes(CONTENT[:-1])
    remote = replace(hub.describe("org/name", "weights.pt", 5), cached=cached)
    file, events = fetched(remote, folder)
    assert file.path.read_bytes() == CONTENT
    said = [event.why for event in events if isinstance(event, Waiting)]
    assert said == [f"the copy of weights.pt in {tmp_path} is damaged and not used"]


@pytest.mark.parametrize("tag", [hashlib.sha1(b"blob 2\0{}").hexdigest(), hashlib.sha1(b"{}").hexdigest()])
def test_a_small_file_has_its_published_hash(tag: str, server: HubServer, folder: Path) -> None:
    """Git's name of the content, or, from hosts that stand in for the hub, the hash of the bytes alone."""
    small = "/org/name/resolve/"
    server.trouble(small, Trouble(headers={"ETag": f'"{tag}"'}))
    remote = hub.describe("org/name", "config.json", 5)
    assert fetched(remote, folder)[0].hash_published
    (folder / "config.json").unlink()
    server.well()
    server.trouble(small, Trouble(headers={"ETag": f'"{tag}"'}, body=b"[]"))
    assert f"does not have its published SHA-1 ({tag[:12]}…); it was deleted" in refused(remote, folder)
    assert left(folder) == ["config.json.json"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said(remote: RemoteFile, folder: Path) -> None:
    (folder / ".state").mkdir()
    (folder / ".state" / "weights.pt.part").symlink_to("/dev/full")
    with pytest.raises(
        ModelError, match=r"weights\.pt cannot be kept in .* \(No space left on device\); make room there"
    ):
        fetch_file(remote, folder, lambda _: None, QUICK)
