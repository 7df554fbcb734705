"""`vidsearch open`: a hit in a player, at its time."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Annotated

from vidsearch.cli import chosen_hits, show
from vidsearch.cli.late import typer
from vidsearch.errors import VidsearchError
from vidsearch.timecode import clock

if TYPE_CHECKING:
    from vidsearch.records import Hit

_FAILS_WITHIN_S = 0.5  # a player that ends so soon with an error has shown nothing

HitNumber = Annotated[int, typer.Argument(metavar="HIT", min=1, help="The number of a hit of the last query.")]
With = Annotated[
    str | None,
    typer.Option("--with", metavar="PLAYER", help="mpv, iina, vlc, celluloid, mplayer, ffplay, system, or a program."),
]
Print = Annotated[bool, typer.Option("--print", help="Print the command instead of running it.")]


def open_hit(number: HitNumber, player: With = None, printed: Print = False) -> None:
    """Open a hit of the last query in a player, at its time.

    Examples: vidsearch open 1; vidsearch open 2 --with vlc; vidsearch open 1 --print
    """
    [hit] = chosen_hits.chosen([str(number)])
    open_in_player(hit, player, printed=printed)


def open_in_player(hit: Hit, player: str | None, *, printed: bool = False) -> None:
    """Starts the player and does not wait for its end; VidsearchError if it does not start."""
    from vidsearch.workflows.players import player_command, shell_text

    command = player_command(hit.path, hit.start_s, player)
    if printed:
        show.write(shell_text(command.arguments) + "\n")
        return
    if not command.at_time:
        show.say(f"vidsearch: {command.player} takes no time; the moment begins at {clock(hit.start_s)}.")
    nowhere = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command.arguments, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
        code = process.wait(timeout=_FAILS_WITHIN_S)
    except OSError as error:
        raise VidsearchError(f"{command.arguments[0]} cannot be started ({error.strerror}).") from error
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it plays on without us
        return
    if code != 0:
        raise VidsearchError(
            f"{command.player} ended at once (exit {code}); "
            f"run what vidsearch open {hit.number} --print prints to see why."
        )
