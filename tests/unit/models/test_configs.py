"""Configurations: plain values that survive JSON, and the published sizes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from vidsearch.errors import ModelError
from vidsearch.models.mobileviclip.config import ABLATION, CONFIGS, MobileViCLIPConfig, config_from_dict


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_config_survives_json(name: str) -> None:
    config = CONFIGS[name]
    assert config.name == name
    again = config_from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)  # lists became tuples again


def test_a_config_of_a_video_network_is_known_by_its_temporal_part() -> None:
    kinds = {
        name: isinstance(config_from_dict(config.to_dict()), MobileViCLIPConfig) for name, config in CONFIGS.items()
    }
    assert kinds == {name: name.startswith("mobileviclip") for name in CONFIGS}


def test_an_unknown_field_is_named() -> None:
    values = CONFIGS["mobileviclip-tiny"].to_dict()
    values["temporal"]["speed"] = 3
    with pytest.raises(ModelError, match=r"network\.temporal has an unknown field speed"):
        config_from_dict(values)


def test_a_missing_field_is_named() -> None:
    values = CONFIGS["mobileclip-s0"].to_dict()
    del values["image"]["widths"]
    with pytest.raises(ModelError, match=r"network\.image lacks the field widths"):
        config_from_dict(values)


@pytest.mark.parametrize("values", [{"image": 3}, {"text": None}])
def test_a_part_that_is_no_object_is_named(values: dict[str, object]) -> None:
    (name,) = values
    with pytest.raises(ModelError, match=rf"network\.{name} must be an object"):
        config_from_dict({**CONFIGS["mobileclip-s0"].to_dict(), **values})


def test_the_ablation_has_the_papers_five_rows() -> None:
    switches = [(row.repmixer, row.joint_attention, row.tpe) for row in ABLATION.values()]
    assert switches == [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, True, True),
        (True, True, True),
    ]


def test_configs_and_tokens_need_no_torch() -> None:
    program = (
        "import sys; from vidsearch.models.mobileviclip import config, tokenizer;"
        "tokenizer.tokenize(['a dog']); print('torch' in sys.modules, 'ftfy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
