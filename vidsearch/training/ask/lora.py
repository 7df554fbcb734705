"""Low-rank adapters of the language model.

Source: LoRA (arXiv 2106.09685) section 4.1; where they stand, rank, alpha and dropout as in the released training
programs of Mobile-VideoGPT. The files are in the format of the peft library.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidsearch.models.qwen2.decoder import CausalLanguageModel

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER_FILE = "adapter_model.safetensors"
ADAPTER_CONFIG_FILE = "adapter_config.json"
_PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """Defaults: the released programs'."""

    rank: int = 128
    alpha: int = 256
    dropout: float = 0.05


class AdaptedLinear(nn.Module):
    """y = W x + b + (alpha / rank) · B A dropout(x); W and b are those of a linear layer and stay as they are."""

    def __init__(self, base: nn.Linear, settings: LoraSettings) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = settings.alpha / settings.rank
        self.dropout = settings.dropout
        self.lora_A = nn.Parameter(base.weight.new_empty(settings.rank, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, settings.rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out). Without dropout the product goes into the weight: far fewer multiplications."""
        if not (self.training and self.dropout):
            return F.linear(x, self.merged_weight(), self.base.bias)
        low = F.linear(F.dropout(x, self.dropout), self.lora_A)
        return self.base(x) + self.scale * F.linear(low, self.lora_B)

    def merged_weight(self) -> Tensor:
        """(out, in): the base's weight with the adapter in it."""
        return self.base.weight + self.scale * (self.lora_B @ self.lora_A)


def adapt(network: CausalLanguageModel, settings: LoraSettings) -> list[nn.Parameter]:
    """Put an adapter on every linear layer of the decoder's blocks, in place, and return what is to be trained."""
    trained: list[nn.Parameter] = []
    for layer in network.model.layers:
        for parent in (layer.self_attn, layer.mlp):
            for name in TARGETS:
                if isinstance(base := getattr(parent, name, None), nn.Linear):
                    adapted = AdaptedLinear(base, settings).train(base.training)
                    setattr(parent, name, adapted)
                    trained += [adapted.lora_A, adapted.lora_B]
    return trained


@torch.no_grad()
def merge(network: CausalLanguageModel) -> None:
    """Make the adapters part of the weights, in place: afterwards the network has its published names again."""
    for _, parent, name, adapted in list(_adapted(network)):
        adapted.base.weight.copy_(adapted.merged_weight())
        setattr(parent, name, adapted.base.requires_grad_(True))


def save_adapter(network: CausalLanguageModel, settings: LoraSettings, folder: Path, base_model: str) -> None:
    """Write the adapters of a network as peft does: adapter_model.safetensors and adapter_config.json."""
    from safetensors.torch import save_file  # late: training on a bare machine has numpy and torch alone

    tensors = {}
    for path, _, _, adapted in _adapted(network):
        tensors[f"{_PEFT_PREFIX}{path}.lora_A.weight"] = adapted.lora_A.detach().contiguous()
        tensors[f"{_PEFT_PREFIX}{path}.lora_B.weight"] = adapted.lora_B.detach().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / ADAPTER_FILE)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_model,
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "bias": "none",
        "target_modules": list(TARGETS),
    }
    (folder / ADAPTER_CONFIG_FILE).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _adapted(network: CausalLanguageModel) -> Iterator[tuple[str, nn.Module, str, AdaptedLinear]]:
    """Of each adapter: the path of its layer, the module it is in, its name there, and itself."""
    modules = dict(network.named_modules())
    for path, module in modules.items():
        if isinstance(module, AdaptedLinear):
            parent, _, name = path.rpartition(".")
            yield path, modules[parent], name, module
