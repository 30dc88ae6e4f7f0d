"""Private parts of joblib: where parallel calls run, and the worker processes that it keeps."""

from __future__ import annotations

import contextlib
import importlib
from types import ModuleType


def active_backend() -> tuple[str, int | None]:
    """Name of the class that parallel calls run on (``LokyBackend``, ...) and the processes it was told to use, if any.

    Calls ``joblib.parallel.get_active_backend``, which is not documented; seen with joblib 1.6.
    """
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend()
    return type(backend).__name__, jobs


def end_idle_workers() -> None:
    """End the worker processes that joblib keeps for minutes after a run; each keeps what it holds, a GPU for instance.

    Calls ``joblib.externals.loky.get_reusable_executor``; seen with joblib 1.6.
    """
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


def pickle_by_value(module: ModuleType) -> None:
    """Let worker processes get a module's functions whole: they cannot import them by name.

    Calls ``register_pickle_by_value`` of the cloudpickle that joblib takes: newer versions the installed one, older
    ones the copy that they carry (``joblib.externals.cloudpickle``); seen with joblib 1.6.
    """
    for name in ("cloudpickle", "joblib.externals.cloudpickle"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name).register_pickle_by_value(module)
