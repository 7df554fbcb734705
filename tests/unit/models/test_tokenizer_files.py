"""Published tokenizer files become one file, and both published forms of a tokenizer the same one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers.pre_tokenizers import ByteLevel

from vidsearch.errors import ModelError
from vidsearch.models.tokenizer_files import generation_settings, read_tokenizer, rows_needed

TEXT = "Who's there?\n\nIt is 12:05, naïve café — 你好, and the  band plays on.   "
MERGES = ["t h", "th e", "Ġ the", "i s", "Ġ is", "o n", "Ġ a"]
ADDED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_old_form(folder: Path, merges: list[str] = MERGES) -> Path:
    """vocab.json, merges.txt and tokenizer_config.json of a tokenizer like Qwen2's, with seven merges."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(merge.replace(" ", "") for merge in merges)]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    added = {
        str(len(tokens) + number): {"content": token, "special": True, "normalized": False}
        for number, token in enumerate(ADDED)
    }
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}))
    return folder


def test_the_old_form_cuts_a_text_as_qwen2_does(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write_old_form(tmp_path))
    tokens = tokenizer.encode("Is the band on the <|im_end|>\n?").tokens
    assert tokens == ["I", "s", "Ġthe", "Ġ", "b", "a", "n", "d", "Ġ", "on", "Ġthe", "Ġ", "<|im_end|>", "Ċ", "?"]
    assert tokenizer.encode("<|im_start|>").ids == [256 + len(MERGES) + 1]
    assert rows_needed(tokenizer) == 256 + len(MERGES) + 3


def test_every_text_comes_back_in_its_normal_form(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write_old_form(tmp_path))
    assert tokenizer.decode(tokenizer.encode(TEXT).ids, skip_special_tokens=False) == TEXT
    assert tokenizer.decode(tokenizer.encode("cafe\u0301").ids) == "café"


def test_the_new_form_is_preferred_and_is_the_same_tokenizer(tmp_path: Path) -> None:
    old = read_tokenizer(write_old_form(tmp_path))
    old.enable_truncation(3)
    old.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "vocab.json").unlink()
    new = read_tokenizer(tmp_path)
    assert new.encode(TEXT).ids == read_tokenizer(write_old_form(tmp_path)).encode(TEXT).ids
    assert len(new.encode(TEXT).ids) > 3


def drop(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def put(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


def change(name: str, value: dict[str, Any]) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **value}))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop("vocab.json"), "holds no tokenizer"),
        (drop("merges.txt"), "there is no file .*merges.txt"),
        (drop("tokenizer_config.json"), "there is no file .*tokenizer_config.json"),
        (put("vocab.json", "<html>"), "vocab.json is a web page"),
        (put("vocab.json", "[" * 100_000), "vocab.json is nested absurdly deep"),
        (put("vocab.json", "[]"), "vocab.json holds no JSON object"),
        (change("vocab.json", {"zz": 3}), "vocab.json does not number its tokens from 0 on"),
        (change("vocab.json", {"zz": "3"}), "vocab.json does not number its tokens from 0 on"),
        (put("merges.txt", "a b c"), "merges.txt has a line that is not a pair"),
        (put("merges.txt", "q z"), "merges.txt does not fit vocab.json"),
        (put("tokenizer_config.json", "{}"), "tokenizer_config.json does not list the added tokens"),
        (
            change("tokenizer_config.json", {"added_tokens_decoder": {"999": {"content": "<|im_end|>"}}}),
            r"numbers <\|im_end\|> 999, which does not follow from vocab.json",
        ),
        (
            change("tokenizer_config.json", {"added_tokens_decoder": {"263": {"content": "<|endoftext|>"}}}),
            r"does not know <\|im_start\|>, <\|im_end\|>",
        ),
        (put("tokenizer.json", "{}"), "tokenizer.json is not used: it has no vocabulary that is known"),
        (put("tokenizer.json", "<!DOCTYPE html>"), "tokenizer.json is a web page"),
        (lambda folder: (folder / "tokenizer.json").write_bytes(b"\xff\xfe"), "tokenizer.json is not text"),
    ],
)
def test_files_that_are_no_such_tokenizer_are_refused(
    spoil: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    spoil(write_old_form(tmp_path))
    with pytest.raises(ModelError, match=words) as refused:
        read_tokenizer(tmp_path)
    assert "\n" not in str(refused.value)


def test_generation_settings_are_read_or_follow_from_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write_old_form(tmp_path))
    end, of_text = tokenizer.token_to_id("<|im_end|>"), tokenizer.token_to_id("<|endoftext|>")
    assert generation_settings(tmp_path, tokenizer) == {
        "do_sample": False,
        "eos_token_id": [end, of_text],
        "repetition_penalty": 1.0,
    }
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": end, "repetition_penalty": 1.1, "top_k": 20}))
    assert generation_settings(tmp_path, tokenizer) == {
        "do_sample": False,
        "eos_token_id": [end],
        "repetition_penalty": 1.1,
        "top_k": 20,
    }


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('{"eos_token_id": 99999}', "ends answers with 99999, which is not a token"),
        ('{"eos_token_id": [-1]}', "ends answers with -1, which is not a token"),
        ('{"eos_token_id": ["a"]}', "ends answers with 'a', which is not a token"),
        ('{"repetition_penalty": 0}', "has a repetition_penalty of 0"),
        ('{"repetition_penalty": NaN}', "has a repetition_penalty of nan"),
        ('{"repetition_penalty": "1"}', "has a repetition_penalty of '1'"),
        ("[]", "holds no JSON object"),
    ],
)
def test_generation_settings_that_cannot_be_followed_are_refused(settings: str, words: str, tmp_path: Path) -> None:
    tokenizer = read_tokenizer(write_old_form(tmp_path))
    (tmp_path / "generation_config.json").write_text(settings)
    with pytest.raises(ModelError, match=words):
        generation_settings(tmp_path, tokenizer)
