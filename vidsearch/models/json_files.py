"""JSON files that others published, read with care: bounded in size, an object, or a sentence that says why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vidsearch.errors import ModelError

GET_AGAIN = "get the file again from its publisher"
_LIMIT_BYTES = 64 << 20  # a Qwen2 tokenizer.json takes 7 MB, an index of shards some 50 kB


def read_object(path: Path, advice: str = GET_AGAIN) -> dict[str, Any]:
    """The JSON object in a file. ModelError, which names the file and ends with `advice`, if it does not hold one."""
    value = parse(read_text(path, advice), path, advice)
    if not isinstance(value, dict):
        raise ModelError(f"{path} holds no JSON object; {advice}")
    return value


def read_renames(path: Path) -> dict[str, str]:
    """A user's file of renames: {name in a weight file: our name}. ModelError for what is not one."""
    renames = read_object(path)
    if not all(isinstance(name, str) for name in renames.values()):
        raise ModelError(f'{path} is not a file of renames; write {{"key in the weight file": "our key", ...}}')
    return renames


def read_text(path: Path, advice: str = GET_AGAIN) -> str:
    """The text of a file, UTF-8. ModelError as in `read_object`, also for what is no file, or absurdly large."""
    try:
        if not path.is_file():
            raise ModelError(f"there is no file {path}; {advice}")
        if path.stat().st_size > _LIMIT_BYTES:
            raise ModelError(f"{path} is larger than {_LIMIT_BYTES >> 20} MB, so it is not what it should be; {advice}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not text ({error.reason}); {advice}") from error


def parse(text: str, path: Path, advice: str = GET_AGAIN) -> Any:
    """The value of a JSON text that came from `path`. ModelError for what is not JSON, or nested without end."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ModelError(f"{path} is nested absurdly deep; {advice}") from error
    except ValueError as error:
        what = "a web page, such as a failed download leaves" if text.lstrip()[:1] == "<" else f"not JSON ({error})"
        raise ModelError(f"{path} is {what}; {advice}") from error
