"""For researchers: build a network by name, fold its branches for inference, and see that nothing changed.

python examples/fold_a_network.py [mobileviclip-nano]
"""

from __future__ import annotations

import sys

import torch

import vidsearch


def main(name: str) -> None:
    network = vidsearch.build(name)  # training form, fresh weights
    folded = network.reparameterize()  # inference form: one convolution where training had several branches
    side = network.config.preprocessing.side_px
    clips = torch.rand(2, network.config.preprocessing.frames, 3, side, side)
    with torch.inference_mode():
        difference = (network.encode_video(clips) - folded.encode_video(clips)).abs().max().item()
    for form, module in (("training", network), ("inference", folded)):
        print(f"{form:>9} form: {sum(p.numel() for p in module.parameters()):,} parameters")
    print(f"largest difference of the unit vectors: {difference:.1e}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "mobileviclip-nano")
