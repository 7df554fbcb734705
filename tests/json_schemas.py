"""What the program prints, against the schema that `vidsearch schema` prints of it: no field of it is undescribed."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from vidsearch.cli import schema as schema_command


def follows(name: str, printed: bytes | str) -> Any:
    """One JSON document that a command printed, read; AssertionError where it is not what the schema `name` says."""
    document = json.loads(printed)
    schema = json.loads((schema_command.FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    wrong = [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(strict(schema)).iter_errors(document)
    ]
    assert not wrong, wrong
    return document


def strict(schema: Any) -> Any:
    """The same schema, which refuses fields that it does not describe."""
    if isinstance(schema, list):
        return [strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {} if "properties" not in schema else {"additionalProperties": False}
    return closed | {key: strict(value) for key, value in schema.items()}
