"""Read the weights of a PyTorch file of the older kind, without PyTorch and without running anything that it says.

Such a file is five pickles (a magic number, the protocol's, facts of the machine, the state dict, the order of the
storages), then for each storage its length and its values. A pickle may name any function of any package; here three
kinds of names are known, none of which does anything but build a table.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hbaclib.errors import ConfigError

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_STORAGES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies: key of its storage, its first value there, shape and strides."""

    storage: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _rebuild(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_KNOWN: dict[tuple[str, str], Callable[..., Any] | str] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    """A reader of pickles that knows the names above and no other."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, encoding="utf-8")
        self.storages: dict[str, tuple[str, int]] = {}

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which weights have no need of")
        return _KNOWN[module, name]

    def persistent_load(self, identity: Any) -> str:
        kind, dtype, key, _, size, view = identity
        if kind != "storage" or dtype not in _STORAGES.values() or view is not None:
            raise pickle.UnpicklingError(f"a storage of unknown kind: {identity!r}")
        self.storages[key] = (dtype, int(size))
        return str(key)


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Read the state dict of a network.

    Args:
        path: a file that ``torch.save`` wrote before PyTorch 1.6, or with ``_use_new_zipfile_serialization=False``.

    Returns:
        Name -> array, in the file's order.

    Raises:
        ConfigError: there is no such file, it is torn or of another kind, or its pickle names anything but tensors.
    """
    try:
        return _read(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # whatever a torn pickle does
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ConfigError(f"{path}: not the weights of a PyTorch network of the older file format ({reason})") from None


def _read(content: bytes) -> dict[str, np.ndarray]:
    file = io.BytesIO(content)
    if (magic := _Unpickler(file).load()) != _MAGIC:
        raise ValueError(f"it begins with {magic!r}")
    if (protocol := _Unpickler(file).load()) != _PROTOCOL:
        raise ValueError(f"protocol {protocol!r}, expected {_PROTOCOL}")
    _Unpickler(file).load()
    unpickler = _Unpickler(file)
    state = unpickler.load()
    if not isinstance(state, dict) or not all(isinstance(tensor, _Tensor) for tensor in state.values()):
        raise ValueError(f"it holds a {type(state).__name__}, expected names and tensors")
    storages = {}
    for key in _Unpickler(file).load():
        dtype, size = unpickler.storages[key]
        (length,) = struct.unpack("<q", file.read(8))
        if length != size:
            raise ValueError(f"storage {key} has {length} values, expected {size}")
        data = file.read(size * np.dtype(dtype).itemsize)
        storages[key] = np.frombuffer(data, dtype, size)
    return {str(name): _view(storages[tensor.storage], tensor) for name, tensor in state.items()}


def _view(storage: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """A tensor's values; every one of them lies in the storage."""
    if math.prod(tensor.shape) > len(storage):  # before memory is taken for them
        raise ValueError(f"a tensor of shape {tensor.shape} in a storage of {len(storage)} values")
    numbers = np.full(tensor.shape, tensor.offset, np.int64)
    for axis, (size, stride) in enumerate(zip(tensor.shape, tensor.strides, strict=True)):
        along = np.arange(size, dtype=np.int64) * stride
        numbers += along.reshape([-1 if i == axis else 1 for i in range(len(tensor.shape))])
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < len(storage):
        raise ValueError("a tensor lies outside its storage")
    return storage[numbers]
