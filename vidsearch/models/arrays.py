"""A model folder's weights → numpy arrays, those that are wanted. No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vidsearch.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vidsearch.models.folder import ModelFolder


def read_arrays(folder: ModelFolder, prefix: str) -> dict[str, NDArray[Any]]:
    """The tensors whose names begin with `prefix`, by name, in the dtype that they are stored in.

    ModelError for a file that is damaged or cut short.
    """
    from safetensors import SafetensorError, safe_open  # late: only a question about words needs the file

    try:
        with safe_open(folder.weights, framework="numpy") as tensors:
            names = [name for name in tensors.keys() if name.startswith(prefix)]  # noqa: SIM118 - no mapping
            return {name: tensors.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{folder.weights} is damaged ({error}); install {folder.name} again") from error
