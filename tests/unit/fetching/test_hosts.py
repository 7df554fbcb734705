"""What hosts say about a file before it is fetched: the hub, a plain server, a Drive folder."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import COMMIT, HubServer, Trouble, drive_id

from vidsearch.errors import ModelError
from vidsearch.fetching import drive, hub, published, web
from vidsearch.fetching.remote import RemoteFile, RetryPolicy, report_nothing
from vidsearch.fetching.transfer import fetch_file
from vidsearch.models.registry import KNOWN_MODELS, DriveSource, HubSource, WebSource, WeightFile

CONTENT = random.Random(0).randbytes(5000)
QUICK = RetryPolicy(tries=2, first_wait_s=0.01, timeout_s=5)
FOLDER = "1FolderFolderFolderFolderFolderFo"
MIRROR = WebSource("https://example.invalid/files", "VIDSEARCH_APPLE_URL")


@pytest.fixture
def server(hosts: HubServer) -> HubServer:
    hosts.add_repository("org/name", {"weights.pt": CONTENT, "config.json": b"{}", "images/a.png": b"x"})
    hosts.add_plain("weights.pt", CONTENT)
    hosts.add_drive_folder(FOLDER, {"notes.txt": b"x", "weights.pt": CONTENT})
    return hosts


def test_the_hub_tells_commit_size_and_hash(server: HubServer) -> None:
    file = hub.describe("org/name", "weights.pt", 5)
    assert (file.size_bytes, file.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert file.url == f"{server.url}/org/name/resolve/{COMMIT}/weights.pt"
    assert server.asked("/cdn/") == []
    small = hub.describe("org/name", "config.json", 5)
    assert (small.size_bytes, small.sha256, small.hash_published) == (2, None, True)
    assert small.sha1 == hashlib.sha1(b"blob 2\0{}").hexdigest()  # no LFS file: git's name of it
    assert hub.files_of("org/name", 5) == ["weights.pt", "config.json", "images/a.png"]


def test_what_does_not_answer_as_the_hub_is_said(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.trouble("/org/name/resolve", Trouble(status=200))
    with pytest.raises(ModelError, match="does not answer as Hugging Face does; check HF_ENDPOINT"):
        hub.describe("org/name", "weights.pt", 5)
    server.trouble("/api/", Trouble(status=200, body=b"<html>"))
    with pytest.raises(ModelError, match="does not answer with a list of files"):
        hub.files_of("org/name", 5)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(web.HostTroubleError, match=r"the connection to 127.0.0.1:1 failed"):
        hub.describe("org/name", "weights.pt", 5)


def test_a_drive_folder_gives_the_file_behind_its_question(server: HubServer, tmp_path: Path) -> None:
    file = drive.describe(FOLDER, "weights.pt", None, 5)
    assert (file.size_bytes, file.sha256) == (len(CONTENT), None)
    assert "confirm=t" in file.url and "at=AB%26C" in file.url
    assert fetch_file(file, tmp_path, report_nothing, QUICK).path.read_bytes() == CONTENT


def test_a_cut_from_drive_is_continued(server: HubServer, tmp_path: Path) -> None:
    file = drive.describe(FOLDER, "weights.pt", None, 5)
    server.trouble("/download", Trouble(cut_after=2000), times=1)
    assert fetch_file(file, tmp_path, report_nothing, QUICK).path.read_bytes() == CONTENT
    assert server.asked("/download")[-1].range == "bytes=2000-"
    assert server.asked("/download")[-1].headers["if-range"] == "Wed, 21 Oct 2015 07:28:00 GMT"


def test_a_folder_that_cannot_be_listed_gives_the_reported_file(server: HubServer) -> None:
    server.trouble("/embeddedfolderview", Trouble(status=404))
    with pytest.raises(ModelError, match="HTTP 404"):
        drive.describe(FOLDER, "weights.pt", None, 5)
    assert drive.describe(FOLDER, "weights.pt", drive_id("weights.pt"), 5).size_bytes == len(CONTENT)


def test_a_folder_without_the_file_is_said(server: HubServer) -> None:
    with pytest.raises(ModelError, match=f"Google Drive folder {FOLDER} has no other.pt; it may have moved"):
        drive.describe(FOLDER, "other.pt", None, 5)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (
            b'<html><p class="uc-error-subcaption">Too many users have\n viewed this file.</p></html>',
            r"Google Drive does not give weights.pt \(Too many users have viewed this file.\); open http",
        ),
        (b"<html>Sign in</html>", "Google Drive does not give weights.pt; open http"),
        (
            b'<form id="download-form" action="http://elsewhere/x"><input type="hidden" name="id" value="1"></form>',
            "an address without encryption",
        ),
    ],
    ids=["quota", "sign in", "no encryption"],
)
def test_what_drive_says_instead_of_a_file_is_passed_on(page: bytes, words: str, server: HubServer) -> None:
    server.trouble("/uc", Trouble(status=200, body=page, headers={"Content-Type": "text/html"}))
    with pytest.raises(ModelError, match=words):
        drive.describe(FOLDER, "weights.pt", None, 5)


def test_a_question_after_the_question_is_the_end(server: HubServer) -> None:
    page = b'<form id="download-form" action="%s/download"><input type="hidden" name="id" value="1"></form>'
    answer = Trouble(status=200, body=page % server.url.encode(), headers={"Content-Type": "text/html"})
    server.trouble("/uc", answer)
    server.trouble("/download", answer)
    with pytest.raises(ModelError, match=r"asks for more than a confirmation before it gives weights.pt"):
        drive.describe(FOLDER, "weights.pt", None, 5)


def test_the_first_place_that_has_the_file_is_taken(server: HubServer) -> None:
    both = WeightFile("weights.pt", (HubSource("org/name"), MIRROR), 0)
    assert published.describe(both, QUICK, report_nothing).sha256 is not None
    server.trouble("/org/name/", Trouble(status=503))
    found = published.describe(both, QUICK, report_nothing)
    assert (found.url, found.sha256, found.size_bytes) == (f"{server.url}/plain/weights.pt", None, len(CONTENT))
    assert found.etag == f'"{hashlib.md5(CONTENT).hexdigest()}"'


def test_when_no_place_has_it_each_says_why(server: HubServer) -> None:
    with pytest.raises(ModelError) as caught:
        published.describe(WeightFile("x.pt", (HubSource("org/name"), MIRROR), 0), QUICK, report_nothing)
    message = str(caught.value)
    assert "/org/name/resolve/main/x.pt (HTTP 404)" in message
    assert "/plain/x.pt (HTTP 404)" in message
    assert message.count(web.BY_HAND) == 1
    server.trouble("/org/name/", Trouble(status=401))
    with pytest.raises(ModelError, match=r"and set HF_TOKEN; and there is no file at \S+ \(HTTP 404\)"):
        published.describe(WeightFile("x.pt", (HubSource("org/name"), MIRROR), 0), QUICK, report_nothing)


def test_a_hash_published_elsewhere_counts(server: HubServer, tmp_path: Path) -> None:
    wrong = WeightFile("weights.pt", (MIRROR,), 0, sha256="0" * 64)
    file = published.describe(wrong, QUICK, report_nothing)
    with pytest.raises(ModelError, match="does not have its published SHA-256"):
        fetch_file(file, tmp_path, report_nothing, QUICK)


def test_a_proxy_is_used(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(ModelError):
        web.text("http://example.invalid/x", {}, 5, limit_bytes=10)
    assert server.requests[-1].path == "/x"
    assert server.requests[-1].headers["host"] == "example.invalid"


def test_an_answer_without_end_is_not_read(server: HubServer) -> None:
    with pytest.raises(ModelError, match="too large to be what was asked for"):
        web.text(f"{server.url}/plain/weights.pt", {}, 5, limit_bytes=100)


def test_addresses_are_shown_without_secrets() -> None:
    assert web.shown("https://user:pass@host:8443/a/b?X-Amz-Signature=1#x") == "https://host:8443/a/b"


def test_from_encryption_to_none_is_not_followed() -> None:
    redirects = web._Redirects()
    request = web.urllib.request.Request("https://host/file")
    with pytest.raises(ModelError, match="https://host/file redirects to an address without encryption"):
        redirects.redirect_request(request, None, 302, "", None, "http://host/file")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["1", "true", "YES", " on "])
def test_offline_is_said_in_several_words(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDSEARCH_OFFLINE", value)
    with pytest.raises(ModelError, match="x cannot be fetched: VIDSEARCH_OFFLINE is set"):
        web.require_network("x")
    monkeypatch.setenv("VIDSEARCH_OFFLINE", "0")
    web.require_network("x")


def test_every_published_file_has_a_place() -> None:
    files = [file for model in KNOWN_MODELS.values() for file in model.weights if isinstance(file, WeightFile)]
    assert {file.name for file in files} == {
        "videomamba_m16_25M_f8_res224.pth",
        "mobileviclip_small.pt",
        "mobileviclip_tiny.pt",
        "mobileclip_s0.pt",
        "mobileclip_s2.pt",
    }
    for file in files:
        assert file.sources
        drive_only = all(isinstance(source, DriveSource) for source in file.sources)
        assert file.size_published is not drive_only  # Drive's files are the ones whose size nobody has written down


def test_a_token_is_never_printed() -> None:
    file = RemoteFile("x", "http://h/x", "h", 1, None, None, headers={"Authorization": "Bearer hf_s3cret"})
    assert "hf_s3cret" not in repr(file)
    assert "hf_s3cret" not in repr(replace(file, size_bytes=2))
