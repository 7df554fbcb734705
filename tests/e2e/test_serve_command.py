"""`vidsearch serve` as a program: what it prints, whom it answers, how it ends."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support import CLIPS, PROGRAM, RunVidsearch, environment


@contextmanager
def serving(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The program and the link that it prints once it answers."""
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(None),
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().decode().strip()
    finally:
        process.kill()
        process.communicate()


def status(link: str, target: str, **headers: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(link).port or 0, timeout=30)
    try:
        connection.request("GET", target, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_page_answers_until_ctrl_c(clips_library: Path, vidsearch: RunVidsearch) -> None:
    with serving() as (process, link):
        assert link.startswith("http://127.0.0.1:") and link.endswith("/")
        assert status(link, "/") == status(link, "/api/search?q=a+red+square") == 200
        taken = vidsearch("serve", "--port", str(urlsplit(link).port))
        assert taken.returncode == 2
        assert taken.stderr.decode().startswith(f"vidsearch: Port {urlsplit(link).port} is taken")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err.decode()) == (0, b"", "Ctrl-C ends the server.\n")


def test_ctrl_c_ends_it_in_the_middle_of_an_answer(tmp_path: Path, vidsearch: RunVidsearch) -> None:
    """A browser that has paused a film reads no more of it."""
    film = tmp_path / "film.mp4"
    film.write_bytes((CLIPS / "red-square-left.mp4").read_bytes() + struct.pack(">I4s", 64 << 20, b"free"))
    os.truncate(film, film.stat().st_size + (64 << 20) - 8)
    assert vidsearch("index", str(film)).returncode == 0
    with serving() as (process, link), socket.create_connection(("127.0.0.1", urlsplit(link).port or 0), 30) as browser:
        browser.sendall(f"GET /api/videos/1/file HTTP/1.1\r\nHost: {urlsplit(link).netloc}\r\n\r\n".encode())
        assert browser.recv(12) == b"HTTP/1.1 200"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err.decode()) == (0, b"", "Ctrl-C ends the server.\n")


def test_another_address_takes_a_token(clips_library: Path) -> None:
    with serving("--host", "0.0.0.0") as (_, link):
        token = link.partition("?token=")[2]
        assert len(token) >= 40
        assert status(link, "/api/library") == 401
        assert status(link, f"/?token={token}") == 303
        assert status(link, "/api/library", Authorization=f"Bearer {token}") == 200
        name = f"evil.example:{urlsplit(link).port}"
        assert status(link, "/api/library", Host=name, Authorization=f"Bearer {token}") == 403


@pytest.mark.parametrize(
    ("host", "said"), [("", "is empty"), ("\udcff", "is not text"), ("a..b", "cannot listen on a..b")]
)
def test_an_address_that_is_none_is_told(vidsearch: RunVidsearch, clips_library: Path, host: str, said: str) -> None:
    done = vidsearch("serve", "--port", "0", "--host", host)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, b"", 1)
    assert said in done.stderr.decode()


def test_no_library_and_no_packages_are_told(vidsearch: RunVidsearch, clips_library: Path, tmp_path: Path) -> None:
    done = vidsearch("serve", "--port", "0", env={"VIDSEARCH_HOME": str(tmp_path / "nowhere")})
    assert done.returncode == 4 and done.stderr.decode().startswith("vidsearch: no library in ")
    program = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['vidsearch', 'serve', '--port', '0']; "
        "from vidsearch.__main__ import main; main()"
    )
    without = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment(None), check=False)
    assert without.returncode == 2
    assert "pip install 'vidsearch[serve]'" in without.stderr.decode()
    assert len(without.stderr.decode().splitlines()) == 1
