"""Private parts of joblib: where parallel calls run, and the worker processes that it keeps."""

from __future__ import annotations

import contextlib
import importlib
from concurrent.futures import Executor
from types import ModuleType


def active_backend() -> tuple[str, int | None]:
    """Name of the class that parallel calls run on (``LokyBackend``, ...) and the processes it was told to use, if any.

    Calls ``joblib.parallel.get_active_backend``, which is not documented; seen with joblib 1.6.
    """
    from joblib.parallel import get_active_backend

    backend, jobs = get_active_backend()
    return type(backend).__name__, jobs


def cluster_executor() -> Executor:
    """The Dask cluster that parallel calls run on, within ``joblib.parallel_config("dask")``.

    Takes the ``client`` of the backend that ``joblib.parallel.get_active_backend`` gives, which is not documented; seen
    with joblib 1.6 and distributed 2026.8.
    """
    from joblib.parallel import get_active_backend

    backend, _ = get_active_backend()
    executor: Executor = backend.client.get_executor(pure=False)  # the same call again is another one
    return executor


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


def worker_process() -> Executor:
    """One process that runs what it is given, one after the other, until it is shut down or killed.

    It is sent functions and arguments as joblib's own workers are, those of a notebook or of ``--module`` too. A call
    in a process that was killed raises ``concurrent.futures.process.BrokenProcessPool``, and so does every later one.
    ``shutdown(kill_workers=True)`` ends it in the middle of its work.

    Calls ``joblib.externals.loky.ProcessPoolExecutor``; seen with joblib 1.6.
    """
    from joblib.externals.loky import ProcessPoolExecutor

    executor: Executor = ProcessPoolExecutor(max_workers=1)
    return executor
