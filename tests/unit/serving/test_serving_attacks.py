"""What a hostile client can try, each with what it gets."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from fakes import ScriptedAnswerer
from serving import QUESTION, Reply, Served, served

from vidsearch.serving import guard
from vidsearch.serving import server as server_module
from vidsearch.serving.guard import MOST_BODY_BYTES
from vidsearch.serving.indexing import Indexing

SECRET = "root:x:0"
PATHS = [
    "../../../../etc/passwd",
    "/etc/passwd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..\\..\\etc\\passwd",
    "file:///etc/passwd",
]
START = "/api/indexing/start"
ASK = b"POST /api/ask HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
QUERY_FIELDS = [
    ("/api/search", "q"),
    ("/api/search", "top"),
    ("/api/search", "per_video"),
    ("/api/search", "min_score"),
    ("/api/search", "all"),
    ("/api/videos", "state"),
    ("/api/videos", "limit"),
    ("/api/videos/{number}/picture", "time_s"),
    ("/api/videos/{number}/picture", "side"),
    ("/api/videos/{number}/converted", "start_s"),
    ("/api/videos/{number}/converted", "height"),
    ("/api/videos/{number}/curve", "q"),
    ("/api/videos/{number}/file", "path"),
]


def is_refused(reply: Reply) -> bool:
    """Refused in one sentence, which tells nothing of the program."""
    if not 400 <= reply.status < 500:
        return False
    sentence = reply.json["error"]
    return "\n" not in sentence and "Traceback" not in sentence and ".py" not in sentence


@pytest.mark.parametrize("path", PATHS)
def test_no_field_leads_to_a_file(server: Served, square: int, path: str) -> None:
    for target, name in QUERY_FIELDS:
        reply = server.get(f"{target.format(number=square)}?{name}={quote(path)}")
        assert SECRET.encode() not in reply.body
        assert is_refused(reply) or (name == "q" and reply.status == 200)
    for target in ("/static/{}", "/video/{}", "/api/videos/{}", "/api/videos/{}/file", "/api/videos/{}/picture", "/{}"):
        for written in (path, quote(path, safe="")):
            reply = server.get(target.format(written.replace("\\", "%5c")))
            assert SECRET.encode() not in reply.body
            assert is_refused(reply) or reply.body.startswith(b"<!doctype html>")
    body = {"video": 1, "start_s": 0, "end_s": 4, "question": QUESTION}
    for name in ("video", "start_s", "end_s"):
        assert is_refused(server.post("/api/ask", body | {name: path}))
    assert is_refused(server.post("/api/ask", body | {"path": path}))
    assert is_refused(server.post("/api/indexing/start", {"path": path}))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1", "localhost.evil:{port}", ""]
)
def test_a_name_that_is_not_ours_is_refused(server: Served, host: str) -> None:
    """DNS rebinding: a name of another site that points to this machine."""
    reply = server.get("/api/library", Host=host.format(port=server.port))
    assert reply.status == 403 and is_refused(reply)


def test_names_of_this_machine_are_ours(server: Served) -> None:
    for host in ("127.0.0.1", "localhost", "LOCALHOST", "[::1]"):
        assert server.get("/api/library", Host=f"{host}:{server.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
    ],
)
def test_pages_of_other_sites_are_refused(server: Served, square: int, headers: dict[str, str]) -> None:
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    for method, target in (
        ("GET", "/api/library"),
        ("GET", f"/api/videos/{square}/file"),
        ("POST", "/api/indexing/start"),
    ):
        reply = server.request(method, target, headers={**headers, "content-type": "application/json"}, body=b"{}")
        assert reply.status == 403 and is_refused(reply)
    assert server.parts.indexing.progress.state == "none"


def test_a_form_of_another_site_is_refused_without_any_header_of_the_browser(server: Served) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        reply = server.request("POST", "/api/indexing/start", headers={"content-type": kind}, body=b"{}")
        assert reply.status == 415 and is_refused(reply)
    assert server.parts.indexing.progress.state == "none"


def test_a_link_from_elsewhere_opens_the_page(server: Served) -> None:
    reply = server.get("/?q=dog", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")
    assert reply.status == 200


def test_the_page_may_load_nothing_from_elsewhere(server: Served) -> None:
    for target in ("/", "/api/library", "/nowhere"):
        headers = server.get(target).headers
        policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
        assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
        assert all(value in ("'self'", "'none'", "'self' data:") for value in policy.values())
        assert (
            headers["x-content-type-options"] == "nosniff" and headers["cross-origin-resource-policy"] == "same-origin"
        )


def test_bodies_that_are_too_large_are_refused_unread(server: Served) -> None:
    announced = ASK + b"Content-Length: %d\r\n\r\n"
    answer = raw(server, announced % (server.port, MOST_BODY_BYTES + 1))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert raw(server, announced % (server.port, 10**30)).startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))
    chunk = b"%x\r\n%s\r\n" % (64 * 1024, b" " * 64 * 1024)
    head = ASK + b"Transfer-Encoding: chunked\r\n\r\n"
    assert raw(server, head % server.port + chunk * 8).startswith(b"HTTP/1.1 413 ")
    headers = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX: %s\r\n\r\n" % (server.port, b"x" * (1 << 20))
    assert b" 400 " in raw(server, headers)[:20]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"nonsense", b"{" * 50_000, b'{"video": 1e999}', b"\xff", b'{"video": NaN}']
)
def test_bodies_that_say_nothing_are_refused(server: Served, body: bytes) -> None:
    reply = server.request("POST", "/api/ask", headers={"content-type": "application/json"}, body=body)
    assert reply.status == 400 and is_refused(reply)


@pytest.mark.parametrize(
    "target",
    [
        "/api/search",
        "/api/search?q=",
        "/api/search?q=%00",
        "/api/search?q=a&q=b",
        "/api/search?q=a&top=0",
        "/api/search?q=a&top=1e3",
        "/api/search?q=a&top=" + "9" * 5000,
        "/api/search?q=a&min_score=nan",
        "/api/search?q=a&min_score=-inf",
        "/api/search?q=a&all=maybe",
        "/api/search?q=" + "a" * 1001,
        "/api/videos?offset=-1",
        "/api/videos?limit=٣",
        "/api/videos/0",
        "/api/videos/-1",
        "/api/videos/1.0",
        "/api/videos/99999999999999999999",
        "/api/videos/9007199254740991",
        "/api/videos/1/picture?time_s=-1e9",
        "/api/videos/1/picture?time_s=1e9",
        "/api/videos/1/picture?start_s=5&end_s=5",
        "/api/videos/1/picture?side=10000",
        "/api/videos/1/converted?height=100000",
    ],
)
def test_numbers_and_texts_out_of_their_bounds_are_refused(server: Served, target: str) -> None:
    assert is_refused(server.get(quote(target, safe="/?=&%.-")))


def test_slow_clients_hold_nobody_up_and_are_sent_away(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "BODY_TIMEOUT_S", 0.5)
    monkeypatch.setattr(server_module, "HEADER_TIMEOUT_S", 0.5)
    slow_head = [connected(server) for _ in range(50)]
    slow_body = [connected(server) for _ in range(50)]
    for connection in slow_head:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    head = ASK + b"Content-Length: 100\r\n\r\n{"
    for connection in slow_body:
        connection.sendall(head % server.port)
    assert server.get("/api/search?q=a+red+square").status == 200
    assert all(everything(connection) == b"" for connection in slow_head)
    assert all(everything(connection).startswith(b"HTTP/1.1 408 ") for connection in slow_body)


def test_two_hundred_at_once_are_all_answered(server: Served) -> None:
    targets = ["/api/search?q=a+red+square", "/api/library", "/", "/api/videos?limit=5", "/api/videos/1/file"] * 40
    with ThreadPoolExecutor(200) as threads:
        replies = list(threads.map(server.get, targets))
    assert {reply.status for reply in replies} == {200}


def test_a_reader_who_takes_nothing_costs_no_memory_and_leaves_a_file_closed(server: Served, square: int) -> None:
    before = open_files()
    connection = connected(server)
    connection.sendall(b"GET /api/videos/%d/file HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (square, server.port))
    connection.recv(1)
    connection.close()
    assert eventually(lambda: open_files() <= before)


def test_conversions_are_few_and_end_with_their_viewer(server: Served) -> None:
    video = server.get("/api/search?q=a+purple+star+moving+left&top=1").json["hits"][0]["video"]
    ask = b"GET /api/videos/%d/converted HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % (video, server.port)
    viewers = [connected(server, receive_bytes=1024) for _ in range(2)]
    for viewer in viewers:
        viewer.sendall(ask)
        assert viewer.recv(12) == b"HTTP/1.1 200"
    pids = server.parts.conversions.pids
    assert len(pids) <= 2
    if len(pids) == 2:  # both wait for their viewers
        refused = server.get(f"/api/videos/{video}/converted")
        assert refused.status in (200, 503)
    for viewer in viewers:
        viewer.close()
    assert eventually(lambda: not server.parts.conversions.pids)
    assert eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_a_failure_is_one_line_for_us_and_a_sentence_for_the_client(
    server: Served, square: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(number: int) -> None:
        raise RuntimeError(f"a bug that knows /home/me/secret and {number}")

    monkeypatch.setattr(type(server.parts.catalogue), "entry", lambda self, number: broken(number))
    with caplog.at_level(logging.INFO, "vidsearch"):
        reply = server.get(f"/api/videos/{square}")
    assert (reply.status, reply.json) == (500, {"error": "The server failed; its log has a line about it."})
    [record] = [record for record in caplog.records if record.name == "vidsearch.serving.guard"]
    assert record.exc_info is None and "\n" not in record.getMessage() and "a bug that knows" in record.getMessage()


def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "vidsearch.serving.guard"):
        with connected(server) as connection:
            connection.sendall(ASK % server.port + b'Content-Length: 1000\r\n\r\n{"video": 1')
        assert eventually(lambda: caplog.records)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "POST /api/ask: the client left")
    ]


@pytest.fixture(scope="module")
def guarded(indexed_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIDSEARCH_HOME", str(tmp_path_factory.mktemp("guarded-home")))
        with served(indexed_clips, ScriptedAnswerer({}), token="the-token") as running:
            yield running


def test_without_the_token_nothing_is_told(guarded: Served) -> None:
    for target in (
        "/",
        "/static/main.js",
        "/api/library",
        "/api/videos/1/file",
        "/?token=",
        "/?token=wrong",
        "/video/1?token=the-token",
    ):
        reply = guarded.get(target)
        assert reply.status == 401 and is_refused(reply) and b"<" not in reply.body
    for header in (
        {"Cookie": "vidsearch-1=the-token"},
        {"Authorization": "Bearer the-toke"},
        {"Authorization": "Basic the-token"},
    ):
        assert guarded.request("GET", "/api/library", headers=header).status == 401
    assert guarded.request("GET", "/api/library", headers={"Cookie": f"vidsearch-{guarded.port}=\xe9"}).status == 401


def test_the_link_becomes_a_cookie_that_scripts_cannot_read(guarded: Served) -> None:
    reply = guarded.get("/?token=the-token")
    assert (reply.status, reply.headers["location"]) == (303, "/")
    cookie, *attributes = reply.headers["set-cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Lax"} <= set(attributes)
    assert guarded.get("/api/library", Cookie=cookie).status == 200
    assert guarded.get("/api/library", Authorization="Bearer the-token").status == 200
    assert guarded.get("/api/library", Cookie=cookie, Origin="http://evil.example").status == 403


def test_an_answer_that_nobody_hears_is_not_given_to_its_end(server: Served, square: int) -> None:
    body = json.dumps({"video": square, "start_s": 0, "end_s": 4, "question": QUESTION}).encode()
    head = ASK + b"Content-Length: %d\r\n\r\n"
    connection = connected(server)
    connection.sendall(head % (server.port, len(body)) + body)
    connection.recv(12)
    connection.close()
    assert server.post("/api/ask", json.loads(body)).status == 200


def connected(server: Served, *, receive_bytes: int | None = None) -> socket.socket:
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", server.port))
    return connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    pieces = []
    try:
        while piece := connection.recv(65536):
            pieces.append(piece)
    except ConnectionError:  # closed with bytes of ours unread
        pass
    connection.close()
    return b"".join(pieces)


def raw(server: Served, request: bytes) -> bytes:
    connection = connected(server)
    try:
        connection.sendall(request)
    except ConnectionError:  # refused before all was sent
        pass
    return everything(connection)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def eventually(holds: object) -> bool:
    assert callable(holds)
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder holds modules with the names of some that are imported, as a folder of downloads may."""
    for name in ("json", "argparse", "av", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_conversion_imports_nothing_from_the_current_folder(server: Served, square: int, trapped: Path) -> None:
    reply = server.get(f"/api/videos/{square}/converted?height=240")
    assert (reply.status, reply.headers["content-type"]) == (200, "video/mp4")


def test_a_run_of_indexing_imports_nothing_from_the_current_folder(trapped: Path) -> None:
    async def run() -> Indexing:
        indexing = Indexing(trapped / "home", "mobileviclip-nano", "cpu")
        await indexing.start(retry_failed=False)
        async for _ in indexing.events():
            pass
        return indexing

    progress = asyncio.run(run()).progress
    assert progress.state == "failed"
    assert progress.error is not None and progress.error.startswith("no library in ")
