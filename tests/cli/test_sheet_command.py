"""`vidsearch sheet`: of a query's moments, or of hits that are named."""

from __future__ import annotations

from pathlib import Path

from support import RunVidsearch


def test_a_sheet_is_made_of_words_or_of_hits(command: RunVidsearch, clips_library: Path, tmp_path: Path) -> None:
    done = command("sheet", "a red square", "-o", tmp_path / "s.png", "-k", "2")
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.decode() == f"2 pictures in {tmp_path / 's.png'}.\n"
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")
    done = command("sheet", "2", "-o", tmp_path / "s.pdf")
    assert done.stderr.decode() == f"1 picture in {tmp_path / 's.pdf'}.\n"
    again = command("sheet", "2", "-o", tmp_path / "s.pdf")
    assert (again.returncode, again.stdout) == (2, b"")
    assert b"would be overwritten" in again.stderr
    assert command("sheet", "2", "-o", tmp_path / "s.pdf", "--force").returncode == 0
    assert command("sheet", "a zebra", "-o", tmp_path / "z.pdf").returncode == 1
