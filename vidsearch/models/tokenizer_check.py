"""May a tokenizer.json be used? Its parts, patterns and numbers, before the tokenizers library runs them. No torch.

A tokenizer can be made to multiply a text (a replacement), to take exponential time over it (a pattern), or to fill
rows up without end (padding). Only parts that cannot are known here; Qwen2's and BERT's tokenizers are made of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidsearch.errors import ModelError
from vidsearch.models.json_files import read_object

if TYPE_CHECKING:
    from vidsearch.models.folder import ModelFolder

_PARTS = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_KNOWN = frozenset(
    (
        *("Sequence", "NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "BertNormalizer"),
        *("Split", "ByteLevel", "Whitespace", "WhitespaceSplit", "BertPreTokenizer", "Punctuation", "Digits"),
        *("TemplateProcessing", "BertProcessing", "WordPiece", "BPEDecoder", "Fuse"),
    )
)
_MODELS = ("BPE", "WordPiece", "WordLevel")
_REPEATED_GROUP = re.compile(r"\)[*+{]")  # what exponential patterns have in common
_LONGEST_PATTERN, _LONGEST_TOKEN, _MOST_TOKENS, _MOST_ADDED, _LONGEST_ROW = 400, 1000, 1 << 20, 10_000, 1 << 15


def check_tokenizer(folder: ModelFolder) -> None:
    """ModelError, which names the file and its fault, unless the tokenizer of a model folder may be used."""
    check_tokenizer_file(folder.tokenizer)


def check_tokenizer_file(path: Path) -> None:
    """The same for a file."""
    fields = read_object(path)
    problem = next(_problems(fields), None)
    if problem is not None:
        raise ModelError(f"the tokenizer {path} is not used: {problem}; get the file again")


def _problems(fields: dict[str, Any]) -> Iterator[str]:
    for name in _PARTS:
        for part in _objects(fields.get(name)):
            yield from _part_problems(part)
    yield from _model_problems(fields.get("model"))
    yield from _added_problems(fields.get("added_tokens"))
    numbers = [number for name in ("padding", "truncation") for number in _numbers(fields.get(name))]
    if any(number > _LONGEST_ROW for number in numbers):
        yield f"it fills rows up to {max(numbers)} tokens"


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value, itself included."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _part_problems(part: dict[str, Any]) -> Iterator[str]:
    kind, pattern = part.get("type"), part.get("Regex")
    if kind is not None and not _is_one_of(kind, _KNOWN):
        yield f"it has a part of the unknown type {kind!r:.60}"
    if pattern is None:
        return
    if not isinstance(pattern, str) or len(pattern) > _LONGEST_PATTERN or _REPEATED_GROUP.search(pattern):
        yield f"its pattern {pattern!r:.60} can take time without end"


def _is_one_of(kind: Any, known: Collection[str]) -> bool:
    return isinstance(kind, str) and kind in known


def _model_problems(model: Any) -> Iterator[str]:
    if not isinstance(model, dict) or not _is_one_of(model.get("type", "BPE"), _MODELS):
        yield "it has no vocabulary that is known"
        return
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or len(vocabulary) > _MOST_TOKENS:
        yield "it has no list of tokens, or one of more than a million"
        return
    wrong = [token for token, number in vocabulary.items() if type(number) is not int or not 0 <= number < _MOST_TOKENS]
    if wrong:
        yield f"its token {wrong[0]!r:.60} has no number, or one beyond a million"


def _added_problems(added: Any) -> Iterator[str]:
    tokens = added if isinstance(added, list) else []
    if len(tokens) > _MOST_ADDED or any(len(str(token)) > _LONGEST_TOKEN for token in tokens):
        yield "it adds tokens without end"


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _numbers(inner)
