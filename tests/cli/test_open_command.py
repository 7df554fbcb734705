"""`vidsearch open`: a real program gets the file and the time, whatever the file's name is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import CLIPS, RunVidsearch
from video_samples import even_times, make_video

from vidsearch.errors import VidsearchError
from vidsearch.workflows.players import PLAYERS, player_command, shell_text

CLIP = CLIPS / "red-square-left.mp4"
RECORDER = (
    f"#!{sys.executable}\nimport os, sys\nopen({{0!r}}, 'wb').write(b'\\0'.join(map(os.fsencode, sys.argv[1:])))\n"
)


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder alone on PATH, in which programs named as players write down what they were given."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    monkeypatch.setenv("PATH", str(bin_folder))
    for name in ("mpv", "vlc", "xdg-open", "open", "mine"):
        program = bin_folder / name
        program.write_text(RECORDER.format(str(tmp_path / f"{name}.given")))
        program.chmod(0o755)
    return tmp_path


def given(recorded: Path, name: str) -> list[bytes]:
    file = recorded / f"{name}.given"
    for _ in range(200):
        if file.exists() and file.stat().st_size:
            return file.read_bytes().split(b"\0")
        time.sleep(0.05)
    raise AssertionError(f"{name} was not started")


@pytest.fixture
def odd_hit(command: RunVidsearch, tmp_path: Path) -> Path:
    """Hit 1 of a library with one file, whose name is everything that a name can be."""
    folder = tmp_path / "-videos"
    folder.mkdir()
    film = folder / os.fsdecode(b"-a 'b' \"c\" $(d)\n\xe9 #1.mp4")
    shutil.copy(CLIP, film)
    assert command("index", folder).returncode == 0
    assert command("query", "a red square", "--all").returncode == 0
    return film


def test_the_player_gets_the_whole_name_and_the_time(command: RunVidsearch, odd_hit: Path, recorded: Path) -> None:
    for player, options in (
        ("mpv", [b"--start=0.000", b"--rebase-start-time=no", b"--"]),
        ("vlc", [b"--start-time=0.000"]),
        ("mine", []),
    ):
        done = command("open", "1", "--with", player)
        assert done.returncode == 0, done.stderr.decode()
        assert given(recorded, player) == [*options, os.fsencode(odd_hit)]
        assert (b"mine takes no time" in done.stderr) == (player == "mine")
    done = command("open", "1", "--with", "system")
    assert done.stderr == b"vidsearch: system takes no time; the moment begins at 00:00.0.\n"
    assert given(recorded, "open" if sys.platform == "darwin" else "xdg-open") == [os.fsencode(odd_hit)]
    (recorded / "mpv.given").unlink()
    assert command("query", "a red square", "--all", "--open").returncode == 0
    assert given(recorded, "mpv")[-1] == os.fsencode(odd_hit)


def test_a_printed_command_comes_back_from_a_shell_as_it_was(
    command: RunVidsearch, odd_hit: Path, recorded: Path
) -> None:
    done = command("open", "1", "--print")
    assert done.stdout.isascii()
    assert len(done.stdout.splitlines()) == 1
    assert not (recorded / "mpv.given").exists()
    subprocess.run(["/bin/bash", "-c", done.stdout], check=True, timeout=30)
    assert given(recorded, "mpv")[-1] == os.fsencode(odd_hit)


def test_a_player_that_is_not_there_or_fails_is_one_sentence(
    command: RunVidsearch, clips_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("query", "a red square", "--all")
    monkeypatch.setenv("PATH", str(tmp_path))
    none, other = command("open", "1"), command("open", "1", "--with", "kaffeine")
    assert (none.returncode, none.stderr.split(b";")[0]) == (2, b"vidsearch: There is no player here")
    assert (other.returncode, other.stderr.split(b";")[0]) == (2, b"vidsearch: There is no player kaffeine here")
    (tmp_path / "mpv").write_text("#!/bin/sh\nexit 4\n")
    (tmp_path / "mpv").chmod(0o755)
    failed = command("open", "1")
    assert (failed.returncode, len(failed.stderr.splitlines())) == (2, 1)
    assert b"mpv ended at once (exit 4)" in failed.stderr
    (tmp_path / "mpv").write_bytes(b"\x7fELF no program")
    assert b"cannot be started" in command("open", "1").stderr
    assert command("open", "99").returncode == 2


def test_names_stay_text_in_the_printed_command() -> None:
    assert shell_text(["mpv", "--start=1.000", "/a b/é.mp4"]) == "mpv --start=1.000 '/a b/é.mp4'"
    assert shell_text(["x", os.fsdecode(b"\x1b[2Jit's\xe9\\1\n")]) == r"x $'\033[2Jit\'s\351\\1\012'"


def test_every_player_with_a_name_of_its_own_states_what_it_takes(tmp_path: Path) -> None:
    assert [player.name for player in PLAYERS if not player.takes_time] == ["system"]
    with pytest.raises(VidsearchError, match="There is no player no-such-player here"):
        player_command(tmp_path / "a.mp4", 1.0, "no-such-player")


@pytest.mark.skipif(shutil.which("mpv") is None, reason="mpv is not installed (apt-get install mpv)")
@pytest.mark.parametrize("late_s", [0.0, 10.0])
def test_the_real_mpv_begins_at_the_time_of_the_file(late_s: float, tmp_path: Path) -> None:
    """Also of a file whose times do not begin at zero."""
    video = make_video(tmp_path / "-a b.mkv", even_times(100, 25, late_s))
    program, *arguments = player_command(video, late_s + 2.0, "mpv").arguments
    quiet = ["--no-config", "--vo=null", "--ao=null", "--frames=1", "--term-playing-msg=at=${=time-pos}"]
    done = subprocess.run([program, *quiet, *arguments], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout
    at_s = float(done.stdout.split(b"at=")[1].split()[0])
    assert at_s == pytest.approx(late_s + 2.0, abs=0.021)  # half a frame


@pytest.mark.skipif(shutil.which("vlc") is None, reason="VLC is not installed (apt-get install vlc-bin)")
def test_the_real_vlc_knows_the_options_that_it_is_given() -> None:
    [player] = [player for player in PLAYERS if player.name == "vlc"]
    helped = subprocess.run(["vlc", "-H", "--no-color"], capture_output=True, timeout=60, check=False).stdout.decode()
    if "supposed to be run as root" in helped or not helped:
        pytest.skip("VLC does not run as root")
    for argument in player.arguments:
        assert argument.partition("=")[0] in helped
