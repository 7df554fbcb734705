"""Pictures in a terminal: it is asked what it can, and each protocol carries the picture whole."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import PROGRAM, RunVidsearch, environment

from vidsearch.cli.pictures import iterm, kitty
from vidsearch.cli.sixel import fitted, sixel
from vidsearch.video.jpeg import from_jpeg

KITTY = b"\x1b_Gi=31;OK\x1b\\\x1bP>|kitty(0.31.0)\x1b\\\x1b[6;18;9t\x1b[?62;c"
WEZTERM = b"\x1bP>|WezTerm 20240203\x1b\\\x1b[6;20;10t\x1b[?65;4;6;18;22c"
XTERM = b"\x1bP>|XTerm(390)\x1b\\\x1b[6;16;8t\x1b[?64;1;2;4;6c"
PLAIN = b"\x1b[?1;2c"
ASK = "from vidsearch.cli.terminal import ask_terminal; t = ask_terminal(); print('said', t.protocol, t.cell_px)"


def on_terminal(command: list[str], answer: bytes) -> tuple[int, bytes]:
    """Runs a command on a terminal that answers once, when it is asked for its attributes; (exit code, all output)."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment())
    os.close(terminal)
    seen = bytearray()

    def answering() -> None:
        answered = False
        try:
            while piece := os.read(controller, 65536):
                seen.extend(piece)
                if not answered and b"\x1b[c" in seen:
                    os.write(controller, answer)
                    answered = True
        except OSError:  # the other end is closed
            pass

    thread = threading.Thread(target=answering)
    thread.start()
    code = process.wait(timeout=120)
    thread.join(timeout=30)
    os.close(controller)
    return code, bytes(seen)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (KITTY, "kitty (9, 18)"),
        (WEZTERM, "iterm (10, 20)"),
        (XTERM, "sixel (8, 16)"),
        (PLAIN, "None (10, 20)"),
        (b"", "None (10, 20)"),
    ],
    ids=["kitty", "wezterm", "xterm", "plain", "silent"],
)
def test_a_terminal_is_asked_what_it_can(answer: bytes, said: str) -> None:
    code, seen = on_terminal([sys.executable, "-c", ASK], answer)
    assert code == 0
    assert f"said {said}\r\n".encode() in seen
    assert b"31;OK" not in seen  # what it answers is not echoed


def test_a_pipe_is_never_asked() -> None:
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, check=True, env=environment())
    assert done.stdout == b"said None (10, 20)\n"


def test_hits_have_pictures_beside_them_in_a_terminal_and_none_in_a_pipe(
    command: RunVidsearch, clips_library: Path
) -> None:
    arguments = ["query", "a red square", "--all", "-k", "2", "--pictures", "auto"]
    code, seen = on_terminal([*PROGRAM, *arguments], KITTY)
    assert code == 0
    shown = re.findall(rb"\x1b_Ga=T,q=2,C=1,f=24,o=z,s=\d+,v=\d+,c=16,r=6,m=\d;", seen)
    assert len(shown) == 2
    assert re.search(rb"\x1b8\x1b\[19G1  0\.\d{3}  \w+\r\n\x1b\[19G00:00\.0 - ", seen)
    piped = command(*arguments)
    assert piped.stdout == command(*arguments[:-2]).stdout
    assert b"\x1b" not in piped.stdout
    asked_for = command(*arguments[:-1], "sixel")
    assert asked_for.stdout.count(b"\x1bP0;1q") == 2
    assert json.loads(command(*arguments, "--json").stdout)["hits"]


def test_a_hit_is_shown_as_a_strip(command: RunVidsearch, clips_library: Path) -> None:
    (hit,) = json.loads(command("query", "a red square", "--all", "-k", "1", "--json").stdout)["hits"]
    done = command("show", "1", "--pictures", "iterm", "-n", "3")
    assert done.returncode == 0
    data = re.search(rb"\x1b\]1337;File=[^:]*:([^\x07]*)\x07", done.stdout)
    assert data is not None
    picture = from_jpeg(base64.b64decode(data[1]))
    height_px, width_px, _ = picture.shape
    assert width_px == 4 * height_px  # three pictures of 4 : 3
    third_s = (hit["end_s"] - hit["start_s"]) / 3
    middles = " ".join(f"00:{hit['start_s'] + third_s * (number + 0.5):04.1f}" for number in range(3))
    assert done.stderr.startswith(f"Frames at {middles}\n".encode())
    piped = command("show", "1")
    assert piped.returncode == 0
    assert piped.stdout.startswith(b"1\t0.")
    assert b"vidsearch sheet 1 -o FILE.png" in piped.stderr
    assert command("show", "1", "--pictures", "never").stderr == b""
    assert command("show", "77").returncode == 2


def test_a_video_that_is_gone_leaves_its_line(command: RunVidsearch, clips_library: Path, tmp_path: Path) -> None:
    film = tmp_path / "a.mp4"
    film.write_bytes((Path(__file__).parents[2] / "examples/clips/red-square-left.mp4").read_bytes())
    command("index", film)
    film.write_bytes(b"nothing")
    done = command("query", "a red square", "--under", film, "--all", "--pictures", "kitty")
    assert done.returncode == 0
    assert b"_Ga=T" not in done.stdout
    assert b"(is not a video: no format fits its content.)" in done.stdout


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    """(37, 50, 3), noise above and one colour below, so that there is more than one chunk."""
    noise = np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)
    noise[20:] = (255, 51, 0)
    return noise


def test_kitty_gets_the_pixels_in_chunks(picture: NDArray[np.uint8]) -> None:
    pieces = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(picture, 5, 3))
    assert [about.endswith("m=1") for about, _ in pieces] == [True] * (len(pieces) - 1) + [False]
    assert all(len(data) <= 4096 for _, data in pieces)
    pixels = zlib.decompress(base64.b64decode("".join(data for _, data in pieces)))
    assert pixels == picture.tobytes()
    assert pieces[0][0].startswith("a=T,q=2,C=1,f=24,o=z,s=50,v=37,c=5,r=3,")


def test_iterm_gets_a_jpeg_and_its_size(picture: NDArray[np.uint8]) -> None:
    about, data = iterm(picture, 5, 3).removeprefix("\x1b]1337;File=").removesuffix("\x07").split(":")
    fields = dict(field.split("=") for field in about.split(";"))
    assert len(base64.b64decode(data)) == int(fields["size"])
    assert (fields["width"], fields["height"], fields["inline"]) == ("5", "3", "1")


def test_sixels_show_the_picture(picture: NDArray[np.uint8]) -> None:
    drawn = decode_sixel(sixel(picture))
    assert drawn.shape == picture.shape
    np.testing.assert_array_equal(drawn[20:], picture[20:])  # one of the 216 colours
    # Dithered: each pixel lies within a level and a half, their mean within a fraction of one.
    assert np.abs(drawn[:20].astype(int) - picture[:20]).max() <= 51 * 1.0 + 1
    assert abs(drawn[:20].mean() - picture[:20].mean()) < 3


def test_a_picture_is_fitted_whole() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    assert fitted(wide, 80, 80).shape == (20, 80, 3)
    assert fitted(wide, 8, 80).shape == (2, 8, 3)


def decode_sixel(text: str) -> NDArray[np.uint8]:
    """A picture from sixels, as a terminal reads them."""
    found = re.fullmatch(r'\x1bP0;1q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert found is not None
    width, height = int(found[1]), int(found[2])
    picture = np.zeros((height, width, 3), np.uint8)
    palette: dict[int, list[int]] = {}
    x, top, colour = 0, 0, 0
    for match in re.finditer(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)(.)|([?-~])|([$-])", found[3]):
        if match[1]:
            colour = int(match[1])
            if match[2]:
                palette[colour] = [round(int(match[n]) * 2.55) for n in (2, 3, 4)]
        elif match[8]:
            x, top = 0, top + (6 if match[8] == "-" else 0)
        else:
            count, sign = (int(match[5]), match[6]) if match[5] else (1, match[7])
            for row in range(6):
                if (ord(sign) - 63) >> row & 1:
                    picture[top + row, x : x + count] = palette[colour]
            x += count
    return picture
