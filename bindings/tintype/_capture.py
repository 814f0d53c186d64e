"""Capture: an object becomes pickle bytes and a list of storages, as ``torch.save`` would make them.

The native walk does it for the types of ordinary checkpoints; anything else sends the whole object
through Python's pickler here. The storages of one save are collected in one table, so that several
files over the same tensors share them.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch.serialization import location_tag, normalize_storage_type

from tintype._errors import UnpicklableError, UnsupportedError
from tintype._locate import locate_unpicklable, place_of
from tintype._tintype import Captured, StorageTable

__all__ = ["Captured", "StorageTable", "capture", "capture_by_pickler"]

TOO_DEEP = "an object that is nested too deep for Python's pickler: put flat lists or dicts there"
_DEVICE_TYPES = ("cpu", "cuda", "meta")


def capture(obj: object, table: StorageTable) -> Captured:
    """Captures ``obj`` and adds its storages to ``table``.

    Raises UnpicklableError, naming the type, for what cannot be pickled; RuntimeError, as
    ``torch.save`` does, for one storage seen as two dtypes; UnsupportedError for other devices and
    fake tensors, and within ``torch.serialization.skip_data``.
    """
    _refuse_skip_data()
    captured = table.capture(obj)
    if isinstance(captured, str):
        return capture_by_pickler(obj, table, reason=captured)
    return captured


def capture_by_pickler(obj: object, table: StorageTable, reason: str) -> Captured:
    """The same through Python's pickler, protocol 2, storages by persistent id. ``reason`` names
    what forced it, for the report. RuntimeError too where pickling moved a storage."""
    storages: list[int] = []
    buffer = io.BytesIO()
    persistent_id = _persistent_id(table, storages)

    fake_tensor = _fake_tensor_class()

    class StoragePickler(pickle.Pickler):
        def persistent_id(self, part: Any) -> Any:
            if isinstance(part, fake_tensor):
                raise UnsupportedError(
                    f"cannot save {place_of(obj, part)}: a FakeTensor has a shape and no values"
                )
            return persistent_id(part)

    try:
        StoragePickler(buffer, protocol=2).dump(obj)
    except RecursionError as error:
        raise UnpicklableError(f"cannot save {TOO_DEEP}") from error
    except (pickle.PicklingError, TypeError, AttributeError, NotImplementedError) as error:
        place, name = locate_unpicklable(obj)
        raise UnpicklableError(
            f"cannot save {place}, a {name}: {error}; leave it out, or save its state_dict()"
        ) from error
    if not table.is_unmoved():
        raise RuntimeError(
            "cannot save the object: pickling it resized or replaced the memory of a tensor that "
            "was pickled before (a __reduce__ or __getstate__ did, or another thread)"
        )
    return Captured.from_pickler(buffer.getvalue(), storages, f"pickler: {reason}")


def _refuse_skip_data() -> None:
    tls = getattr(torch.serialization, "_serialization_tls", None)
    if getattr(tls, "skip_data", False):
        raise UnsupportedError(
            "torch.serialization.skip_data() is not supported: only torch.save writes a checkpoint "
            "without its bytes"
        )


def _fake_tensor_class() -> tuple[type, ...]:
    """Empty where nobody has imported it, and so nobody has one."""
    module = sys.modules.get("torch._subclasses.fake_tensor")
    return () if module is None else (module.FakeTensor,)


def _persistent_id(table: StorageTable, storages: list[int]) -> Callable[[Any], Any]:
    """The persistent_id of one file: numbers its storages in the order in which they are met."""
    keys: dict[int, str] = {}
    dtypes: dict[int, torch.dtype] = {}

    def persistent_id(part: Any) -> Any:
        is_typed = isinstance(part, torch.storage.TypedStorage)
        if not is_typed and not torch.is_storage(part):
            return None
        storage, dtype, storage_type, count, item_bytes = _describe(part, is_typed)
        _check_device(storage)
        _check_dtype(storage, dtype, dtypes)
        identity = storage._cdata
        if identity not in keys:
            keys[identity] = str(len(keys))
            number_bytes = item_bytes // 2 if dtype.is_complex else item_bytes
            is_floating = dtype.is_complex or dtype.is_floating_point
            storages.append(table.add(storage, count * item_bytes, number_bytes, is_floating))
        return ("storage", storage_type, keys[identity], location_tag(storage), count)

    return persistent_id


def _describe(part: Any, is_typed: bool) -> tuple[torch.UntypedStorage, torch.dtype, Any, int, int]:
    """(untyped storage, dtype, the class that stands in the pickle, element count, bytes each)."""
    if is_typed:
        name = part._pickle_storage_type()
        return (
            part._untyped_storage,
            part.dtype,
            getattr(torch, name),
            part._size(),
            (part._element_size()),
        )
    return part, torch.uint8, normalize_storage_type(type(part)), part.nbytes(), 1


def _check_device(storage: torch.UntypedStorage) -> None:
    if storage.device.type not in _DEVICE_TYPES:
        raise UnsupportedError(
            f"a tensor is on device {storage.device}: only cpu, cuda and meta tensors can be saved; "
            "move it with .cpu() first"
        )


def _check_dtype(
    storage: torch.UntypedStorage, dtype: torch.dtype, dtypes: dict[int, torch.dtype]
) -> None:
    if storage.device.type == "meta" or storage.data_ptr() == 0:
        return
    if dtypes.setdefault(storage.data_ptr(), dtype) != dtype:
        raise RuntimeError(
            "Cannot save multiple tensors or storages that view the same data as different types"
        )
