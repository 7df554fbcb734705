"""JSON files that others published, read with care: bounded in size, an object, or a sentence that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vidsearch.errors import ModelError

_LIMIT_BYTES = 64 << 20  # a Qwen2 tokenizer.json takes 7 MB, an index of shards some 50 kB


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. ModelError, which names the file, where there is none or it is absurdly large."""
    value = parse(read_text(path), path)
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object; get the file again from its publisher")
    return value


def read_renames(path: Path) -> dict[str, str]:
    """A user's file of renames: {name in a weight file: our name}. ModelError for what is not one."""
    renames = read_object(path)
    if not all(isinstance(name, str) for name in renames.values()):
        raise ModelError(f'{path} is not a file of renames; write {{"key in the weight file": "our key", ...}}')
    return renames


def read_text(path: Path) -> str:
    """The text of a published file, UTF-8. ModelError as in `read_object`."""
    try:
        if not path.is_file():
            raise ModelError(f"there is no file {path}; get it from the publisher of the weights")
        if path.stat().st_size > _LIMIT_BYTES:
            raise ModelError(
                f"{path} is larger than {_LIMIT_BYTES >> 20} MB, so it is not what its name says; get it again"
            )
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not text ({error.reason}); get the file again from its publisher") from error


def parse(text: str, path: Path) -> Any:
    """The value of a JSON text that came from `path`. ModelError for what is not JSON, or nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ModelError(f"{path} is nested absurdly deep; get the file again from its publisher") from error
    except ValueError as error:
        what = "a web page, such as a failed download leaves" if text.lstrip()[:1] == "<" else f"no JSON ({error})"
        raise ModelError(f"{path} is {what}; get the file again from its publisher") from error
