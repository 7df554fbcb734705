"""The tokenizer of the small model: whole words of the synthetic world, and the marks of a conversation."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

from vidsearch.training.ask.questions import all_words

START, END, PADDING, UNKNOWN = "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<unk>"
_ROLES = ("system", "user", "assistant", "you", "are", "a", "helpful", "\n")


def build_tokenizer() -> Tokenizer:
    """Words in lower case, `?` and `.` apart, line breaks as tokens; the marks first, so that their ids are stable."""
    marks = (PADDING, START, END, UNKNOWN)
    words = [*marks, *dict.fromkeys([*_ROLES, *all_words()])]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" +"), "removed"),
            pre_tokenizers.Split(Regex(r"[?.!,\n]"), "isolated"),
        ]
    )
    tokenizer.add_special_tokens(list(marks[:3]))
    return tokenizer
