"""A tokenizer is looked at before it is used: what could take time or memory without end is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asking_model import word_tokenizer

from vidsearch.errors import ModelError
from vidsearch.models.folder import BUNDLED_DIR
from vidsearch.models.tokenizer_check import check_tokenizer_file
from vidsearch.models.tokenizer_files import parse_tokenizer

FIELDS: dict[str, Any] = json.loads(word_tokenizer().to_str())
SPLIT = {"type": "Split", "behavior": "Isolated", "invert": False}
REPLACE = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000}


def test_the_tokenizers_that_are_used_pass() -> None:
    check_tokenizer_file(BUNDLED_DIR / "mobilevideogpt-nano" / "tokenizer.json")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"normalizer": REPLACE}, "it has a part of the unknown type 'Replace'"),
        ({"normalizer": {"type": "Sequence", "normalizers": [REPLACE]}}, "it has a part of the unknown type 'Replace'"),
        ({"decoder": {"type": "Precompiled"}}, "it has a part of the unknown type 'Precompiled'"),
        ({"pre_tokenizer": {**SPLIT, "pattern": {"Regex": "(a+)+$"}}}, r"its pattern '\(a\+\)\+\$' can take time"),
        ({"pre_tokenizer": {**SPLIT, "pattern": {"Regex": "a" * 500}}}, "its pattern 'a+ can take time without end"),
        ({"model": {"type": "Unigram", "vocab": []}}, "it has no vocabulary that is known"),
        ({"model": 3}, "it has no vocabulary that is known"),
        ({"model": {"type": "WordLevel"}}, "it has no list of tokens"),
        ({"model": {"type": "WordLevel", "vocab": {"a": -1}}}, "its token 'a' has no number, or one beyond a million"),
        ({"model": {"type": "WordLevel", "vocab": {"a": 1 << 40}}}, "its token 'a' has no number"),
        ({"model": {"type": "WordLevel", "vocab": {"a": "b"}}}, "its token 'a' has no number"),
        ({"added_tokens": [{"content": "a" * 5000}]}, "it adds tokens without end"),
        ({"padding": {"strategy": {"Fixed": 1 << 30}}}, "it fills rows up to 1073741824 tokens"),
    ],
)
def test_what_a_tokenizer_may_not_do_is_named(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**FIELDS, **change}), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"the tokenizer .*tokenizer\.json is not used: {reason}"):
        parse_tokenizer(file)
