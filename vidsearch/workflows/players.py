"""A moment ─▶ the command that opens it in a player. A command is a list of arguments; no shell reads it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidsearch.errors import VidsearchError

_MPV_TIMES = "rebase-start-time=no"  # mpv counts from a file's first picture; our times are the file's own
_APP_IINA = "/Applications/IINA.app/Contents/MacOS/iina-cli"
_APP_VLC = "/Applications/VLC.app/Contents/MacOS/VLC"


@dataclass(frozen=True, slots=True)
class Player:
    """A player: its programs, the first that is there is taken; and its arguments, `{time}` in seconds."""

    name: str
    programs: tuple[str, ...]
    arguments: tuple[str, ...]
    end_of_options: tuple[str, ...] = ()

    @property
    def takes_time(self) -> bool:
        return any("{time}" in argument for argument in self.arguments)


# In the order in which they are looked for.
PLAYERS = (
    Player("mpv", ("mpv",), ("--start={time}", f"--{_MPV_TIMES}"), ("--",)),
    Player("iina", ("iina", "iina-cli", _APP_IINA), ("--no-stdin", "--mpv-start={time}", f"--mpv-{_MPV_TIMES}")),
    Player("vlc", ("vlc", _APP_VLC), ("--start-time={time}",)),
    Player("celluloid", ("celluloid",), ("--mpv-start={time}", f"--mpv-{_MPV_TIMES}")),
    Player("mplayer", ("mplayer",), ("-ss", "{time}")),
    Player("ffplay", ("ffplay",), ("-ss", "{time}", "-i")),
    Player("system", ("open",) if sys.platform == "darwin" else ("xdg-open", "explorer.exe"), ()),
)
NAMES = tuple(player.name for player in PLAYERS)


@dataclass(frozen=True, slots=True)
class PlayerCommand:
    """What to run. `at_time`: whether it opens the file at the moment, or at its beginning."""

    arguments: tuple[str, ...]
    player: str
    at_time: bool


def player_command(path: Path, start_s: float, name: str | None = None) -> PlayerCommand:
    """The command for a player, or for the first of `PLAYERS` that is there; `path` is absolute.

    Another name is that of a program, which gets the file alone. Raises VidsearchError if there is no such player.
    """
    if name is None:
        candidates: Sequence[Player] = PLAYERS
    else:
        candidates = [player for player in PLAYERS if player.name == name] or [Player(name, (name,), ())]
    for player in candidates:
        for program in player.programs:
            if found := shutil.which(program):
                options = [argument.format(time=f"{max(start_s, 0.0):.3f}") for argument in player.arguments]
                arguments = (found, *options, *player.end_of_options, str(path))
                return PlayerCommand(arguments, player.name, player.takes_time)
    if name is None:
        raise VidsearchError("There is no player here; install mpv or VLC, or name a program with --with.")
    raise VidsearchError(f"There is no player {name} here; install it, or choose another one: {', '.join(NAMES)}.")


def shell_text(arguments: Sequence[str]) -> str:
    """The command as it can be pasted into a shell. What a terminal would obey, or is no text, is written `$'\\x1b'`.

    That form is POSIX's of 2024, and bash's, zsh's and ksh's of old.
    """
    return " ".join(_quoted(argument) for argument in arguments)


def _quoted(argument: str) -> str:
    if all(sign.isprintable() for sign in argument):
        return shlex.quote(argument)
    pieces = []
    for byte in os.fsencode(argument):
        sign = chr(byte)
        if sign in "'\\":
            pieces.append(f"\\{sign}")
        elif 32 <= byte < 127:
            pieces.append(sign)
        else:
            pieces.append(f"\\{byte:03o}")  # always three digits: a digit may follow
    return f"$'{''.join(pieces)}'"
