"""The devices of this machine, and the precision in which each is fast."""

from __future__ import annotations

import torch

from vidsearch.errors import VidsearchError

DEVICES = "auto, cpu, cuda, cuda:N or mps"


def named_device(name: str) -> torch.device:
    """The device of that name. VidsearchError if torch does not know the name, or does not find the device here."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise VidsearchError(f"there is no kind of device called {name!r}; choose {DEVICES}") from None
    if device.type not in ("cpu", *accelerators()):
        there = ", ".join(["cpu", *accelerators()])
        raise VidsearchError(f"this machine has no device {name!r} that torch can use; choose one of {there}")
    return device


def accelerators() -> list[str]:
    """The devices besides the CPU that torch finds on this machine, the fastest first."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name, there in found.items() if there]


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it in hardware, else float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        # A torch that does not tell gets float32.
        able: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32
