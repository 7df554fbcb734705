"""Opening a model is quick because of what it leaves out: torch's compiler, and a copy of the network."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from vidsearch.models.folder import BUNDLED_DIR, open_folder
from vidsearch.models.mobileviclip.load import Form, load_network

NANO = BUNDLED_DIR / "mobileviclip-nano"
LOAD = """
import sys, torch
from pathlib import Path
from vidsearch.models.folder import open_folder
from vidsearch.models.mobileviclip.load import load_network
before = set(sys.modules)
load_network(open_folder(Path(sys.argv[1])), sys.argv[2])
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_loading_imports_nothing_but_the_reader_of_the_file() -> None:
    """In the fused form, which is made from the two others."""
    done = subprocess.run([sys.executable, "-c", LOAD, NANO, "fused"], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["safetensors", "torch"]


@pytest.mark.parametrize("form", ["inference", "fused"])
def test_folding_while_loading_gives_what_folding_a_copy_gives(form: Form) -> None:
    folder = open_folder(NANO)
    whole = load_network(folder, "train")
    copied = whole.reparameterize() if form == "inference" else whole.fuse()
    loaded = load_network(folder, form)
    assert loaded.state_dict().keys() == copied.state_dict().keys()
    for key, tensor in copied.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
    assert not loaded.training and not any(parameter.requires_grad for parameter in loaded.parameters())
