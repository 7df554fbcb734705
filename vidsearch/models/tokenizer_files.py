"""The tokenizer and the generation settings beside published weights → tokenizer.json and generation_config.json.

Source: Qwen2's byte-level BPE as its tokenizer files and the tokenizers library describe it: NFC, a split by one
expression, bytes as letters. A repository holds tokenizer.json, or the older vocab.json, merges.txt and
tokenizer_config.json, from which the same is made here. Sources of the stop tokens: docs/networks.md.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE

from vidsearch.errors import ModelError
from vidsearch.models.json_files import read_object, read_text
from vidsearch.models.tokenizer_check import check_tokenizer_file

MARKS = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
STOP_MARKS = MARKS[1:]
GENERATION_DEFAULTS = {"do_sample": False, "repetition_penalty": 1.0}
_TOKENIZER, _VOCABULARY, _MERGES, _SETTINGS = "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json"
_GENERATION = "generation_config.json"
# Where Qwen2 cuts a text before bytes are merged.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder of published files. ModelError where there is none, or not one of this family."""
    if (folder / _TOKENIZER).is_file():
        tokenizer = parse_tokenizer(folder / _TOKENIZER)
    elif (folder / _VOCABULARY).is_file():
        tokenizer = _from_vocabulary(folder)
    else:
        raise ModelError(
            f"{folder} holds no tokenizer ({_TOKENIZER}, or {_VOCABULARY}, {_MERGES} and {_SETTINGS}); "
            "get it from the repository of the weights"
        )
    lacking = [mark for mark in MARKS if tokenizer.token_to_id(mark) is None]
    if lacking:
        raise ModelError(f"the tokenizer in {folder} does not know {', '.join(lacking)}; get that of the weights")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def parse_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a tokenizer.json. ModelError for what is not one."""
    check_tokenizer_file(path)
    try:
        return Tokenizer.from_str(read_text(path))
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(f"{path} is not a tokenizer ({_first_line(error)}); get the file again") from error


def rows_needed(tokenizer: Tokenizer) -> int:
    """Rows that an embedding table needs for every token: the highest number and one."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def generation_settings(folder: Path, tokenizer: Tokenizer) -> dict[str, Any]:
    """The published generation settings, or, where a repository has none, those of the reference without any.

    `eos_token_id` is a list of numbers of the tokenizer, `repetition_penalty` a positive number; what else is there is
    kept. ModelError for values that are not such.
    """
    path = folder / _GENERATION
    settings = {**GENERATION_DEFAULTS, **(read_object(path) if path.is_file() else {})}
    stops = settings.get("eos_token_id") or [tokenizer.token_to_id(mark) for mark in STOP_MARKS]
    settings["eos_token_id"] = stops if isinstance(stops, list) else [stops]
    known = set(tokenizer.get_vocab(with_added_tokens=True).values())
    wrong = [stop for stop in settings["eos_token_id"] if type(stop) is not int or stop not in known]
    if wrong:
        raise ModelError(f"{path} ends answers with {wrong[0]!r}, which is not a token; get the file of these weights")
    penalty = settings["repetition_penalty"]
    if type(penalty) not in (int, float) or not 0 < penalty < math.inf:
        raise ModelError(f"{path} has a repetition_penalty of {penalty!r}; get the file of these weights")
    return settings


def _from_vocabulary(folder: Path) -> Tokenizer:
    """Qwen2's tokenizer from vocab.json and merges.txt, its added tokens from tokenizer_config.json."""
    tokenizer = Tokenizer(_bpe(folder))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    for number, token in _added_tokens(folder):
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
        if tokenizer.token_to_id(token.content) != number:
            raise ModelError(
                f"{folder / _SETTINGS} numbers {token.content} {number}, which does not follow from {_VOCABULARY}; "
                "get both files from one repository"
            )
    return tokenizer


def _bpe(folder: Path) -> BPE:
    vocabulary = read_object(folder / _VOCABULARY)
    wrong = [token for token, number in vocabulary.items() if type(number) is not int]
    if wrong or sorted(vocabulary.values()) != list(range(len(vocabulary))):
        raise ModelError(f"{folder / _VOCABULARY} does not number its tokens from 0 on; get the file again")
    lines = [line for line in read_text(folder / _MERGES).split("\n") if line and not line.startswith("#version")]
    merges = [tuple(line.rstrip("\r").split(" ")) for line in lines]
    if any(len(merge) != 2 for merge in merges):
        raise ModelError(f"{folder / _MERGES} has a line that is not a pair of tokens; get the file again")
    try:
        return BPE(vocabulary, [(left, right) for left, right in merges], fuse_unk=False, byte_fallback=False)
    except Exception as error:  # the library raises nothing narrower
        raise ModelError(
            f"{folder / _MERGES} does not fit {_VOCABULARY} ({_first_line(error)}); get both files again"
        ) from error


def _added_tokens(folder: Path) -> list[tuple[int, AddedToken]]:
    """Number and token, ascending. ModelError where tokenizer_config.json does not list them."""
    try:
        listed = read_object(folder / _SETTINGS)["added_tokens_decoder"]
        tokens = {int(number): _added(fields) for number, fields in listed.items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder / _SETTINGS} does not list the added tokens; get the file again") from error
    return sorted(tokens.items(), key=lambda numbered: numbered[0])


def _added(fields: dict[str, Any]) -> AddedToken:
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(str(fields["content"]), **{name: bool(fields.get(name, False)) for name in flags})


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["unreadable"])[0][:200]


def generation_text(settings: dict[str, Any]) -> str:
    """The text of generation_config.json."""
    return json.dumps(settings, indent=1) + "\n"
