"""A few of the hundred ways in which a host can misbehave; `make soak` tries all of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from host_behaviours import QUICK, behaviours, fetch_from
from hub_server import HubServer, Trouble

from vidsearch.errors import ModelError
from vidsearch.fetching import hub, web
from vidsearch.fetching.remote import RemoteFile, RetryPolicy
from vidsearch.fetching.transfer import fetch_file

ALL = dict(behaviours())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("announced", [True, False], ids=["hub", "plain"])
def test_a_host_that_misbehaves_ends_in_a_sentence(
    hosts: HubServer, tmp_path: Path, name: str, announced: bool
) -> None:
    (tmp_path / "arriving").mkdir()
    said = fetch_from(hosts, ALL[name], tmp_path / "arriving", announced=announced)
    assert said is not None or name == "length superscript"


def test_nothing_is_written_beyond_the_announced_size(hosts: HubServer, tmp_path: Path) -> None:
    (tmp_path / "arriving").mkdir()
    said = fetch_from(hosts, Trouble(endless=True), tmp_path / "arriving", announced=True)
    assert "more than the announced 300000 bytes come for weights.pt" in str(said)
    assert [path.name for path in tmp_path.rglob("*.part")] == []


def test_a_range_that_begins_elsewhere_is_not_asked_for_without_end(hosts: HubServer, tmp_path: Path) -> None:
    hosts.add_plain("weights.pt", bytes(100_000))
    lie = Trouble(status=206, headers={"Content-Range": "bytes 0-99/100000"}, body=bytes(50))
    hosts.trouble("/plain/", lie)
    remote = RemoteFile("weights.pt", f"{hosts.url}/plain/weights.pt", "there", 100_000, None, "0" * 64)
    with pytest.raises(ModelError):
        fetch_file(remote, tmp_path, lambda _: None, RetryPolicy(tries=3, first_wait_s=0.001))
    assert len(hosts.requests) < 12


def test_a_host_that_gives_a_byte_a_request_is_left(hosts: HubServer, tmp_path: Path) -> None:
    hosts.add_plain("weights.pt", bytes(100_000))
    hosts.trouble("/plain/", Trouble(cut_after=1))
    remote = RemoteFile("weights.pt", f"{hosts.url}/plain/weights.pt", "there", None, None, None)
    with pytest.raises(ModelError, match="was cut after"):
        fetch_file(remote, tmp_path, lambda _: None, RetryPolicy(first_wait_s=0.0001, most_requests=25))
    assert len(hosts.requests) == 25


def test_a_host_that_drips_is_left(hosts: HubServer, tmp_path: Path) -> None:
    hosts.add_plain("weights.pt", bytes(100_000))
    hosts.trouble("/plain/", Trouble(drip=(1, 0.02)))
    remote = RemoteFile("weights.pt", f"{hosts.url}/plain/weights.pt", "there", None, None, None)
    slow = RetryPolicy(tries=1, slow_s=0.2, least_bytes_s=1000)
    with pytest.raises(ModelError, match="bytes a second"):
        fetch_file(remote, tmp_path, lambda _: None, slow)


@pytest.mark.parametrize(
    "trouble", [Trouble(drip_head_s=0.005), Trouble(drip_chunk_s=0.005)], ids=["headers", "the line before a chunk"]
)
def test_a_host_whose_headers_drip_is_left(hosts: HubServer, tmp_path: Path, trouble: Trouble) -> None:
    """Each byte comes within the time of a read; together they would take minutes."""
    hosts.add_plain("weights.pt", bytes(100_000))
    hosts.trouble("/plain/", trouble)
    remote = RemoteFile("weights.pt", f"{hosts.url}/plain/weights.pt", "there", None, None, None)
    with pytest.raises(ModelError, match=r"/plain/weights\.pt answers at \d+ bytes a second; run the same command"):
        fetch_file(remote, tmp_path, lambda _: None, RetryPolicy(timeout_s=0.05))
    assert len(hosts.requests) == 1
    with pytest.raises(ModelError, match="bytes a second"):
        web.text(remote.url, {}, 0.05, limit_bytes=1000)


def test_a_file_that_changes_under_an_unfinished_one_is_begun_anew(hosts: HubServer, tmp_path: Path) -> None:
    """A host that ignores If-Range and sends the rest of another file, with the mark of that one."""
    one, other = bytes(200_000), b"x" * 200_000
    hosts.add_plain("weights.pt", one)
    hosts.trouble("/plain/", Trouble(cut_after=50_000), times=1)
    changed = {"Content-Range": "bytes 50000-199999/200000", "ETag": '"new"'}
    hosts.trouble("/plain/", Trouble(status=206, headers=changed, body=other[50_000:]), times=1)
    remote = RemoteFile("weights.pt", f"{hosts.url}/plain/weights.pt", "there", None, None, None)
    file = fetch_file(remote, tmp_path, lambda _: None, RetryPolicy(first_wait_s=0.001))
    assert file.path.read_bytes() == one


@pytest.mark.parametrize("listing", [b'[{"type": "file", "path": 5}]', b"[[1]]", b'{"a": 1}', b"[" * 5000, b"\xff"])
def test_a_listing_that_is_none_is_told(hosts: HubServer, listing: bytes) -> None:
    hosts.trouble("/api/", Trouble(status=200, body=listing))
    with pytest.raises(ModelError, match="does not answer with a list of files"):
        hub.files_of("org/name", 5)


@pytest.mark.parametrize("header", ["\xb2", "9" * 5000, "-1", "1e3"])
def test_a_size_that_is_no_number_is_unknown(hosts: HubServer, header: str) -> None:
    hosts.add_repository("org/name", {"weights.pt": bytes(2000)})
    hosts.trouble("/org/name/", Trouble(headers={"X-Linked-Size": header}))
    assert hub.describe("org/name", "weights.pt", 5).size_bytes is None


@pytest.mark.parametrize("address", ["ftp://127.0.0.1/x", "file:///etc/passwd", "data:,x"])
def test_only_the_web_is_asked(address: str) -> None:
    with pytest.raises(ModelError, match="is not an address of the web"), web.opened(address, {}, 1):
        pass
