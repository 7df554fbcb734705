"""Weight files are read safely, and what is not one is refused in a sentence that names the file."""

from __future__ import annotations

import os
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from seeded import seeded, small_config
from torch import Tensor

from vidsearch.errors import ModelError
from vidsearch.models.conversion.checkpoint import from_open_clip, read_checkpoint, read_folder

APPLE = {"image_encoder.model.head.proj": torch.ones(2, 3), "text_encoder.projection_layer": torch.zeros(3, 3)}
CLIPS = {"vision_encoder.head.proj": torch.ones(2, 3)}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


# What is read


@pytest.mark.parametrize("wrapper", [None, "module", "model", "state_dict"])
def test_a_pickle_is_read_with_or_without_its_wrapper(tmp_path: Path, wrapper: str | None) -> None:
    content = OrderedDict(APPLE)
    torch.save({wrapper: content, "epoch": 3} if wrapper else content, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt")
    assert (found.layout, found.has_text) == ("apple", True)
    assert same(dict(found.tensors), APPLE)


def test_a_prefix_that_all_keys_share_is_dropped(tmp_path: Path) -> None:
    torch.save({"module": {f"module.{key}": tensor for key, tensor in CLIPS.items()}}, tmp_path / "a.pt")
    found = read_checkpoint(tmp_path / "a.pt")
    assert (found.layout, found.has_text) == ("mobileviclip", False)
    assert same(dict(found.tensors), CLIPS)


def test_an_old_pickle_is_read(tmp_path: Path) -> None:
    torch.save(APPLE, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    assert same(dict(read_checkpoint(tmp_path / "a.pt").tensors), APPLE)


def test_safetensors_are_read_whatever_the_file_is_called(tmp_path: Path) -> None:
    save_file(APPLE, tmp_path / "a.bin")
    assert same(dict(read_checkpoint(tmp_path / "a.bin").tensors), APPLE)


def test_a_text_encoder_alone_has_a_layout_of_its_own(tmp_path: Path) -> None:
    save_file({"text_encoder.projection_layer": torch.zeros(2, 2)}, tmp_path / "a.safetensors")
    assert read_checkpoint(tmp_path / "a.safetensors").layout == "text"


def test_a_folder_gives_all_its_weight_files(tmp_path: Path) -> None:
    save_file(APPLE, tmp_path / "b.safetensors")
    torch.save(CLIPS, tmp_path / "a.pt")
    (tmp_path / "README.md").write_text("not weights")
    assert [(found.path.name, found.layout) for found in read_folder(tmp_path)] == [
        ("a.pt", "mobileviclip"),
        ("b.safetensors", "apple"),
    ]


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weight file"):
        read_folder(tmp_path)


# What is refused


class Payload:
    """Unpickled as a program would: it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_with_a_payload_is_refused_and_not_executed(tmp_path: Path, zipped: bool) -> None:
    mark, file = tmp_path / "executed", tmp_path / "hostile.pt"
    torch.save({**APPLE, "x": Payload(mark)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match=r"hostile\.pt holds more than tensors"):
        read_checkpoint(file)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "empty"),
        (b"\n <!DOCTYPE html><html>quota exceeded</html>", "a web page"),
        (b"<html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer to a file in Git LFS"),
        (b"RIFF\0\0\0\0AVI LIST", "of an unknown format"),
    ],
)
def test_a_file_that_holds_no_weights_is_named_for_what_it_is(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ModelError, match=rf"weights\.pt is {what}.*not a weight file"):
        read_checkpoint(tmp_path / "weights.pt")


@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, kind: str, kept: float) -> None:
    file = tmp_path / "cut.pt"
    tensors = {"image_encoder.model.a": torch.rand(200, 200), "image_encoder.model.b": torch.rand(100, 100)}
    if kind == "safetensors":
        save_file(tensors, file)
    else:
        torch.save(tensors, file, _use_new_zipfile_serialization=kind == "zip")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * kept)])
    with pytest.raises(ModelError, match=r"cut\.pt is damaged or cut short"):
        read_checkpoint(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.pt cannot be read \(No such file or directory\)"):
        read_checkpoint(tmp_path / "nothing.pt")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (["a", "list"], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"vision_encoder.a": torch.ones(1), "epoch": 3}, r"holds values that are not tensors \(epoch\)"),
        (
            {"resnet.weight": torch.ones(1)},
            r"neither MobileCLIP nor MobileViCLIP \(its first keys are resnet\.weight\)",
        ),
    ],
)
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object, reason: str) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=rf"other\.pt {reason}|other\.pt holds {reason}"):
        read_checkpoint(tmp_path / "other.pt")


def test_a_zip_that_lists_one_member_again_and_again_is_refused_unread(tmp_path: Path) -> None:
    """2,000 entries of the central directory lead to the same stored data: reading them all would take hours."""
    file = tmp_path / "again.pt"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data/0", bytes(1 << 20))
        archive.filelist = archive.filelist * 2000
    with pytest.raises(ModelError, match=r"again\.pt lists the same data several times"):
        read_checkpoint(file)


@pytest.mark.parametrize("shape", [(200_000, 10_000), (10**12,)])
def test_a_tensor_whose_shape_is_larger_than_its_data_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensors = {"visual.trunk.head.fc.weight": torch.zeros(1).expand(shape), "visual.trunk.a": torch.ones(2)}
    torch.save(tensors, tmp_path / "blown.pt")
    with pytest.raises(
        ModelError, match=r"blown\.pt has fewer values than the shape of visual\.trunk\.head\.fc\.weight"
    ):
        read_checkpoint(tmp_path / "blown.pt")


def test_a_sparse_tensor_is_refused(tmp_path: Path) -> None:
    torch.save({"vision_encoder.a": torch.eye(3).to_sparse()}, tmp_path / "sparse.pt")
    with pytest.raises(ModelError, match=r"sparse\.pt"):
        read_checkpoint(tmp_path / "sparse.pt")


# open_clip's names

OPEN_CLIP = {
    "logit_scale": "logit_scale",
    "image_encoder.model.patch_embed.0.rbr_conv.0.conv.weight": "visual.trunk.stem.0.conv_kxk.0.conv.weight",
    "image_encoder.model.patch_embed.1.rbr_scale.bn.bias": "visual.trunk.stem.1.conv_scale.bn.bias",
    "image_encoder.model.patch_embed.2.rbr_skip.weight": "visual.trunk.stem.2.identity.weight",
    "image_encoder.model.network.0.0.layer_scale": "visual.trunk.stages.0.blocks.0.layer_scale.gamma",
    "image_encoder.model.network.2.1.token_mixer.layer_scale": (
        "visual.trunk.stages.1.blocks.1.token_mixer.layer_scale.gamma"
    ),
    "image_encoder.model.network.4.0.token_mixer.mixer.rbr_conv.0.bn.weight": (
        "visual.trunk.stages.2.blocks.0.token_mixer.mixer.conv_kxk.0.bn.weight"
    ),
    "image_encoder.model.network.1.proj.0.lkb_origin.conv.weight": (
        "visual.trunk.stages.1.downsample.proj.0.large_conv.conv.weight"
    ),
    "image_encoder.model.network.5.proj.0.se.fc1.bias": "visual.trunk.stages.3.downsample.proj.0.se.fc1.bias",
    "image_encoder.model.network.6.pe.weight": "visual.trunk.stages.3.pos_emb.pos_enc.weight",
    "image_encoder.model.network.7.0.token_mixer.qkv.weight": "visual.trunk.stages.3.blocks.0.token_mixer.qkv.weight",
    "image_encoder.model.network.7.0.layer_scale_1": "visual.trunk.stages.3.blocks.0.layer_scale_1.gamma",
    "image_encoder.model.network.7.0.convffn.conv.bn.running_var": (
        "visual.trunk.stages.3.blocks.0.mlp.conv.bn.running_var"
    ),
    "image_encoder.model.conv_exp.se.reduce.weight": "visual.trunk.final_conv.se.fc1.weight",
    "image_encoder.model.conv_exp.rbr_conv.0.conv.weight": "visual.trunk.final_conv.conv_kxk.0.conv.weight",
    "image_encoder.model.head.proj": "visual.trunk.head.fc.weight",
    "text_encoder.embedding_layer.weight": "text.token_embedding.weight",
    "text_encoder.positional_embedding.pos_embed.pos_embed": "text.positional_embedding",
    "text_encoder.transformer.0.pre_norm_mha.0.weight": "text.transformer.resblocks.0.ln_1.weight",
    "text_encoder.transformer.0.pre_norm_mha.1.qkv_proj.weight": "text.transformer.resblocks.0.attn.in_proj_weight",
    "text_encoder.transformer.0.pre_norm_mha.1.out_proj.bias": "text.transformer.resblocks.0.attn.out_proj.bias",
    "text_encoder.transformer.0.pre_norm_ffn.1.weight": "text.transformer.resblocks.0.mlp.c_fc.weight",
    "text_encoder.transformer.0.pre_norm_ffn.4.bias": "text.transformer.resblocks.0.mlp.c_proj.bias",
    "text_encoder.final_layer_norm.bias": "text.ln_final.bias",
    "text_encoder.projection_layer": "text.text_projection",
}


def test_open_clips_names_and_shapes_become_apples(tmp_path: Path) -> None:
    state = seeded(small_config("mobileclip-s2")).state_dict()
    given = {theirs: state[ours] for ours, theirs in OPEN_CLIP.items()}
    given["visual.trunk.head.fc.weight"] = given["visual.trunk.head.fc.weight"].T
    given["visual.trunk.head.fc.bias"] = torch.zeros(48)
    given["text.positional_embedding"] = given["text.positional_embedding"][0, 0]
    for key in [key for key in given if key.endswith(".gamma")]:
        given[key] = given[key].flatten()
    assert same(from_open_clip(given, tmp_path), {ours: state[ours] for ours in OPEN_CLIP})


def test_an_open_clip_head_with_a_bias_is_another_network(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"head\.fc\.bias"):
        from_open_clip({"visual.trunk.head.fc.bias": torch.ones(3)}, tmp_path / "a.pt")
