"""Token ids against CLIP's own tokenizer: equal, every one."""

import numpy as np
from recipe import shared_json

from vidsearch.models.mobileviclip.tokenizer import pre_text, token_ids, tokenize


def test_every_stored_text_has_the_stored_ids() -> None:
    for case in shared_json("parity/mobileclip/tokenizer.json")["cases"]:
        row = np.zeros(77, np.int64)
        row[: len(case["ids"])] = case["ids"]
        np.testing.assert_array_equal(tokenize([case["text"]]), row[None], err_msg=repr(case["text"]))
        assert len(token_ids(case["text"])) + 2 == case["untruncated_length"]


def test_every_stored_caption_is_simplified_as_stored() -> None:
    cases = shared_json("parity/mobileclip/eval_helpers.json")["pre_text"]
    assert [pre_text(case["input"]) for case in cases] == [case["output"] for case in cases]
