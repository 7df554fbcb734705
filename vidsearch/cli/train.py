"""`vidsearch train`: hands its arguments to the training commands as they are."""

from __future__ import annotations

import typer


def train(ctx: typer.Context) -> None:
    """Train a model on the synthetic world or on a folder of captioned clips (extra: vidsearch[train])."""
    from vidsearch.training.commands import main  # late: torch

    main(ctx.args)
