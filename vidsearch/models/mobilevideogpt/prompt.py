"""The prompt of Mobile-VideoGPT around the frames and a question, as token ids.

Source: the released program's chat template (Qwen2). The text is cut at the placeholders and the two pieces are
tokenised on their own, so the piece before the frames never changes and stands here as ids.
"""

from __future__ import annotations

BEFORE_FRAMES = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
AFTER_QUESTION = "<|im_end|>\n<|im_start|>assistant\n"
BEFORE_FRAMES_IDS = (151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198, 151644, 872, 198)
STOP_IDS = (151645, 151643)  # <|im_end|>, <|endoftext|>; a checkpoint's generation_config.json goes before them


def text_after_frames(question: str) -> str:
    """What follows the frames; tokenised in one piece."""
    return f"\n{question}{AFTER_QUESTION}"
