"""Pictures in a terminal: kitty's and iTerm2's protocols, and sixel; beside text, or as a strip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, Self

from vidsearch.cli import show
from vidsearch.cli.late import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vidsearch.cli.terminal import Protocol, Terminal
    from vidsearch.records import Hit

Mode = Literal["auto", "never", "kitty", "iterm", "sixel"]
Pictures = Annotated[
    Mode,
    typer.Option(
        "--pictures",
        envvar="VIDSEARCH_PICTURES",
        help="Pictures in the terminal; auto: if it says that it can, by the protocol that it knows.",
    ),
]

_ROWS = 6  # of text that a picture beside it takes
_GAP = 2  # columns between a picture and its text
_CHUNK = 4096  # of base64, the most that kitty takes in one escape
_SAVE, _RESTORE = "\x1b7", "\x1b8"  # DECSC, DECRC: the cursor's place


class TerminalPictures:
    """Draws pictures of moments into one terminal. A context manager: leaving it ends the decoding workers."""

    def __init__(self, protocol: Protocol, terminal: Terminal) -> None:
        from vidsearch.video.thumbnails import Thumbnails

        self._protocol = protocol
        self._terminal = terminal
        self._thumbnails = Thumbnails()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thumbnails.close()

    def beside(self, hit: Hit, lines: Sequence[str]) -> str:
        """A picture of the moment with lines of text beside it; text alone if the video cannot be read now."""
        from vidsearch.errors import VideoError
        from vidsearch.video.jpeg import from_jpeg

        try:
            picture = from_jpeg(self._thumbnails.poster(hit.path, hit.start_s, hit.end_s, hit.best_s))
        except VideoError as error:
            return self._block("", 0, [*lines, f"({show.without_name(hit.path, str(error))})"], rows=0)
        columns = self._columns(picture, _ROWS, self._terminal.columns // 3)
        return self._block(self._drawn(picture, columns, _ROWS), columns + _GAP, lines, rows=_ROWS)

    def strip(self, hit: Hit, frames: int) -> tuple[str, list[float]]:
        """So many frames of the moment side by side, over the width of the terminal, and their times.

        Raises VideoError if the video cannot be read.
        """
        import numpy as np

        from vidsearch.video.jpeg import from_jpeg

        step_s = (hit.end_s - hit.start_s) / frames
        times = [hit.start_s + step_s * (number + 0.5) for number in range(frames)]
        pictures = [from_jpeg(data) for data in self._thumbnails.strip(hit.path, times)]
        whole = np.concatenate(pictures, axis=1)
        width, height = self._terminal.cell_px
        columns = self._terminal.columns - 1
        rows = max(1, round(columns * width * whole.shape[0] / whole.shape[1] / height))
        return self._block(self._drawn(whole, columns, rows), 0, [], rows=rows), times

    def _columns(self, picture: NDArray[np.uint8], rows: int, most: int) -> int:
        width, height = self._terminal.cell_px
        return max(1, min(most, round(rows * height * picture.shape[1] / picture.shape[0] / width)))

    def _block(self, drawn: str, indent: int, lines: Sequence[str], *, rows: int) -> str:
        """Room first, so that nothing scrolls while the picture is drawn; the picture; then the lines beside it."""
        from rich.cells import set_cell_size

        height = max(rows, len(lines))
        room = max(10, self._terminal.columns - indent - 1)
        out = ["\n" * height, f"\x1b[{height}A", _SAVE, drawn, _RESTORE]
        for number in range(height):
            text = show.printable(lines[number]) if number < len(lines) else ""
            place = f"\x1b[{indent + 1}G" if text else ""
            out.append(f"{place}{set_cell_size(text, room).rstrip() if len(text) > room else text}\n")
        return "".join(out)

    def _drawn(self, picture: NDArray[np.uint8], columns: int, rows: int) -> str:
        match self._protocol:
            case "kitty":
                return kitty(picture, columns, rows)
            case "iterm":
                return iterm(picture, columns, rows)
            case "sixel":
                from vidsearch.cli.sixel import fitted, sixel

                width, height = self._terminal.cell_px
                return sixel(fitted(picture, columns * width, rows * height))


def open_pictures(mode: Mode) -> TerminalPictures | None:
    """What draws into the terminal on stdout; None if pictures are not wanted, or if it shows none.

    A protocol that was asked for is used wherever stdout goes; `auto` sends nothing into a pipe.
    """
    if mode == "never":
        return None
    from vidsearch.cli.terminal import ask_terminal

    terminal = ask_terminal()
    protocol = terminal.protocol if mode == "auto" else mode
    return None if protocol is None else TerminalPictures(protocol, replace(terminal, protocol=protocol))


@contextmanager
def closing_pictures(mode: Mode) -> Iterator[TerminalPictures | None]:
    """The same for a `with`."""
    drawing = open_pictures(mode)
    if drawing is None:
        yield None
        return
    with drawing:
        yield drawing


def kitty(picture: NDArray[np.uint8], columns: int, rows: int) -> str:
    """uint8 RGB (H, W, 3) over so many cells; the cursor stays. kitty graphics protocol, "transmission"."""
    import base64
    import zlib

    height, width, _ = picture.shape
    data = base64.b64encode(zlib.compress(picture.tobytes())).decode()
    pieces = [data[start : start + _CHUNK] for start in range(0, len(data), _CHUNK)]
    out = []
    for number, piece in enumerate(pieces):
        more = int(number < len(pieces) - 1)
        about = f"a=T,q=2,C=1,f=24,o=z,s={width},v={height},c={columns},r={rows}," if number == 0 else ""
        out.append(f"\x1b_G{about}m={more};{piece}\x1b\\")
    return "".join(out)


def iterm(picture: NDArray[np.uint8], columns: int, rows: int) -> str:
    """The same by iTerm2's inline images protocol."""
    import base64

    from vidsearch.video.jpeg import to_jpeg

    data = to_jpeg(picture)
    about = f"inline=1;size={len(data)};width={columns};height={rows};preserveAspectRatio=1;doNotMoveCursor=1"
    return f"\x1b]1337;File={about}:{base64.b64encode(data).decode()}\x07"
