"""The prompt of Mobile-VideoGPT around the frames and a question, as token ids.

Source: the released program's chat template (Qwen2). The text is cut at the placeholders and the two pieces are
tokenised on their own, so the piece before the frames never changes and stands here as ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vidsearch.models.mobilevideogpt.config import IMAGE_TOKEN

BEFORE_FRAMES = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
AFTER_QUESTION = "<|im_end|>\n<|im_start|>assistant\n"
BEFORE_FRAMES_IDS = (151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198, 151644, 872, 198)
STOP_IDS = (151645, 151643)  # <|im_end|>, <|endoftext|>; a checkpoint's generation_config.json goes before them


def prompt_text(question: str, frames: int = 16) -> str:
    """The whole prompt with one <image> for each frame, to show; the network takes `prompt_ids`."""
    return BEFORE_FRAMES + "<image>" * frames + text_after_frames(question)


def text_after_frames(question: str) -> str:
    """What follows the frames; tokenised in one piece."""
    return f"\n{question}{AFTER_QUESTION}"


def prompt_ids(question: str, encode: Callable[[str], Sequence[int]], frames: int = 16) -> list[int]:
    """Token ids with one IMAGE_TOKEN for each frame; `encode` is the Qwen2 tokenizer, special tokens recognised."""
    return [*BEFORE_FRAMES_IDS, *[IMAGE_TOKEN] * frames, *encode(text_after_frames(question))]
