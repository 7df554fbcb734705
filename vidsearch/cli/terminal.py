"""What a terminal says of itself: whether it shows pictures, by which protocol, and how large its cells are.

It is asked, not guessed from its name: kitty's query action, XTVERSION (`CSI > q`), the size of a cell (`CSI 16 t`),
then the device attributes (`CSI c`), which every terminal answers, so that this answer ends the waiting.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from vidsearch.frozen import dataclass

Protocol = Literal["kitty", "iterm", "sixel"]

_QUESTIONS = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[>q\x1b[16t\x1b[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_CELL = re.compile(rb"\x1b\[6;(\d+);(\d+)t")
_NAME = re.compile(rb"\x1bP>\|([^\x1b]*)\x1b")
_SIXEL = b"4"  # among the device attributes
_ITERM_LIKE = (b"iterm2", b"wezterm", b"mintty")
_PATIENCE_S = 1.0  # over a slow line
_USUAL_CELL_PX = (10, 20)


@dataclass(frozen=True, slots=True)
class Terminal:
    """How pictures are sent, None where they cannot be; the size of a cell in pixels, and the columns of a line."""

    protocol: Protocol | None
    cell_px: tuple[int, int] = _USUAL_CELL_PX
    columns: int = 80


def ask_terminal() -> Terminal:
    """What the terminal on stdout says; no protocol where stdout is none, or where nobody can be asked."""
    columns = shutil.get_terminal_size().columns
    if not sys.stdout.isatty():
        return Terminal(None, columns=columns)
    with _keyboard() as keyboard:
        if keyboard is None or not _in_foreground(keyboard):
            return Terminal(None, columns=columns)
        said = _ask(keyboard)
    cell = _CELL.search(said)
    size = (int(cell[2]), int(cell[1])) if cell and int(cell[1]) and int(cell[2]) else _USUAL_CELL_PX
    return Terminal(_protocol(said), size, columns)


def _protocol(said: bytes) -> Protocol | None:
    name = _NAME.search(said)
    attributes = _ATTRIBUTES.search(said)
    if b"\x1b_Gi=31;OK" in said:
        return "kitty"
    if name and name[1].lower().startswith(_ITERM_LIKE):
        return "iterm"
    if attributes and _SIXEL in attributes[1].split(b";")[1:]:
        return "sixel"
    return None


@contextmanager
def _keyboard() -> Iterator[int | None]:
    """Where the terminal's answers arrive: stdin, or the controlling terminal if stdin is something else."""
    if sys.stdin is not None and sys.stdin.isatty():
        yield sys.stdin.fileno()
        return
    try:
        keyboard = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        yield None
        return
    try:
        yield keyboard
    finally:
        os.close(keyboard)


def _in_foreground(keyboard: int) -> bool:
    """A job in the background that changed the terminal would be stopped."""
    try:
        return os.tcgetpgrp(keyboard) == os.getpgrp()
    except OSError:  # not our controlling terminal: there are no jobs
        return True


def _ask(keyboard: int) -> bytes:
    """Everything that comes back until the last question is answered."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return b""
    said = b""
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard, termios.TCSANOW)
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), _QUESTIONS)
        until = time.monotonic() + _PATIENCE_S
        while not _ATTRIBUTES.search(said) and (left_s := until - time.monotonic()) > 0:
            if select.select([keyboard], [], [], left_s)[0]:
                piece = os.read(keyboard, 4096)
                if not piece:
                    break
                said += piece
    except OSError:
        return b""
    finally:
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSANOW, before)
    return said
