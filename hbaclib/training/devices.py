"""Devices, threads, precision and seeds of a run. `choose_runtime` is the one place that chooses.

Results are reproducible for one recipe on one kind of device: the seed, deterministic operations and the number of
threads within an operation together fix them.

A process that trains on a GPU claims it for its whole life, because TensorFlow cannot leave a GPU; the operating system
frees the claim when the process ends, however it ends.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hbaclib.compat.keras import layer_seeds_from
from hbaclib.compat.keras_settings import check_keras
from hbaclib.errors import PlatformError
from hbaclib.files import private_file, private_folder, write_private
from hbaclib.locks import BusyError, hold
from hbaclib.platform import unseen_gpus
from hbaclib.training.gpus import keep_off_gpus, unseen_error, visible_gpus
from hbaclib.training.recipe import Recipe

log = logging.getLogger(__name__)

HERE = ("here",)
"""Stands for the GPUs of the host that a fit runs on, where that host is not known yet."""

_SAY_AFTER, _SAY_EVERY = 5.0, 60.0  # seconds of waiting for a device
_claims: dict[str, ExitStack] = {}


@dataclass(frozen=True)
class Runtime:
    """Where and how the fits of a run are trained.

    Attributes:
        kind: ``cpu``, ``one device`` (one fit after the other), ``process per device`` (as many fits at a time as there
            are devices), ``mirrored`` (one fit after the other, all devices share every batch) or ``cluster`` (each fit
            takes a device where it runs).
        processes: number of processes that train beside each other.
        claim: devices of this host to claim: ``mirrored`` all of them, the others one for each process.
        devices: TensorFlow's names of the devices that a fit is put on; empty leaves it to TensorFlow, which takes the
            first GPU that it sees, or the CPU.
    """

    kind: Literal["cpu", "one device", "process per device", "mirrored", "cluster"]
    processes: int
    claim: tuple[str, ...]
    devices: tuple[str, ...]

    @property
    def in_children(self) -> bool:
        """Whether the fits run in processes of their own on this host: on a GPU always, a single fit too."""
        return self.kind != "cluster" and (bool(self.claim) or any("GPU" in name.upper() for name in self.devices))


def choose_runtime(
    gpus: tuple[str, ...],
    n_fits: int = 1,
    *,
    devices: tuple[str, ...] | None = None,
    mirrored: bool = False,
    workers: int = 0,
    jobs: int = 1,
) -> Runtime:
    """Choose between CPU, one GPU, several GPUs in one of two ways, and a cluster. Touches no device.

    Args:
        gpus: names of this host's GPUs, as `visible_gpus` gives them.
        n_fits: number of fits that are due.
        devices: what the user named: GPU numbers, or TensorFlow's names such as ``CPU:1``; None takes the GPUs.
        mirrored: let all devices share every batch, in place of one fit a device.
        workers: processes of a cluster; 0 where there is none.
        jobs: processes that joblib was told to use.

    Returns:
        The choice. Several devices get a process each where several fits are due, unless they are to be mirrored; one
        fit alone gets the first device that is free.

    Raises:
        PlatformError: the host has GPUs, and none of those that the user named.
    """
    chosen = gpus if devices is None else devices
    if mirrored and len(chosen) > 1:
        # TensorFlow numbers the GPUs that it sees from 0, whatever their numbers outside.
        names = tuple(
            name if ":" in name else f"GPU:{gpus.index(name) if name in gpus else place}"
            for place, name in enumerate(chosen)
        )
        return Runtime("mirrored", 1, tuple(name for name in chosen if name in gpus), names)
    if workers:
        return Runtime("cluster", workers, HERE if devices is None else devices, ())
    if len(chosen) > 1 and n_fits > 1:
        return Runtime("process per device", min(len(chosen), n_fits), chosen, ())
    if len(chosen) == 1 and ":" in chosen[0]:
        return Runtime("one device", 1, (), chosen)
    # Numbers that name no GPU of this host are no device to claim.
    free = tuple(name for name in chosen if name in gpus)
    if gpus and devices and not free:
        raise PlatformError(f"devices {', '.join(devices)} do not exist; here are the GPUs {', '.join(gpus)}")
    return Runtime("one device", 1, free, ()) if free else Runtime("cpu", jobs, (), ())


def claim_device(devices: tuple[str, ...], patience: float = 3600.0, purpose: str = "") -> str:
    """Claim one of several devices for this process: no other process on this host gets the same one.

    Args:
        devices: names of the devices, all of this host.
        patience: seconds to wait for a free one; the log says who holds them.
        purpose: what the device is for, told to those who wait.

    Returns:
        The device's name. A process that holds one of them already keeps it.

    Raises:
        PlatformError: none came free in time.
    """
    held = [device for device in devices if device in _claims]
    begin = time.monotonic()
    say = begin + _SAY_AFTER
    while time.monotonic() < begin + patience:
        for device in held or devices:
            if _try_claim(device, purpose):
                return device
        if time.monotonic() > say:
            say += _SAY_EVERY
            log.warning(
                "waiting for a free device (%s), for %.0f s at most; a process keeps its own until it ends: use no "
                "more workers on a host than it has devices",
                _holders(devices),
                begin + patience - time.monotonic(),
            )
        time.sleep(0.2)
    raise PlatformError(
        f"no free device among {', '.join(devices)} within {patience:.0f} s ({_holders(devices)}); a process keeps its "
        "own until it ends: end those that are idle, and use no more workers on a host than it has devices (for Dask: "
        "as many processes as GPUs, one thread each)"
    )


def names_cpu(devices: tuple[str, ...]) -> bool:
    """Whether somebody has named devices, and all of them are CPUs, such as ``CPU:0`` or ``/CPU:1``."""
    return bool(devices) and all("CPU" in name.upper() for name in devices)


def take_devices(
    claim: tuple[str, ...], devices: tuple[str, ...] = (), purpose: str = ""
) -> tuple[str, tuple[str, ...]]:
    """Claim what a fit is trained on, for this process and its whole life, before TensorFlow starts in it.

    Args:
        claim: devices of this host, all of which are claimed where ``devices`` are to share every batch, else one.
            ``HERE`` stands for the GPUs of the host that the fit runs on.
        devices: TensorFlow's names of the devices that the fit is put on.
        purpose: see `claim_device`.

    Returns:
        The name by which messages and records call them, and TensorFlow's names; none leaves it to TensorFlow. Where
        they are CPUs, TensorFlow has no GPU to take.

    Raises:
        PlatformError: another process does not give a device free.
    """
    claim = visible_gpus() if claim == HERE else claim
    _make_cpus(devices)
    if names_cpu(devices):
        keep_off_gpus()
    if not claim:
        return ", ".join(devices or held_devices()) or "default", devices
    if devices:
        return ", ".join(claim_device((name,), purpose=purpose) for name in claim), devices
    device = claim_device(claim, purpose=purpose)
    see_only(device)
    if ":" in device:
        _make_cpus((device,))
        return device, (device,)
    return device, ()  # TensorFlow calls the GPU that it sees its number 0


def see_only(device: str) -> None:
    """Let TensorFlow, which starts after this, see one device alone: a GPU (a number or a UUID), or the CPU."""
    if names_cpu((device,)):
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    elif ":" not in device:
        os.environ["CUDA_VISIBLE_DEVICES"] = device


def _make_cpus(devices: tuple[str, ...]) -> None:
    """Let TensorFlow have as many logical CPUs as names such as ``CPU:1`` ask for, where it has not started yet."""
    numbers = [name.rpartition(":")[2] for name in devices if name.lstrip("/").upper().startswith("CPU:")]
    most = max((int(number) for number in numbers if number.isdigit()), default=0)
    if not most:
        return
    import tensorflow as tf

    cpus = tf.config.list_physical_devices("CPU")
    with suppress(RuntimeError):
        if len(tf.config.get_logical_device_configuration(cpus[0]) or []) <= most:
            made = [tf.config.LogicalDeviceConfiguration()] * (most + 1)
            tf.config.set_logical_device_configuration(cpus[0], made)


def held_devices() -> tuple[str, ...]:
    """Names of the devices that this process has claimed."""
    return tuple(_claims)


def _try_claim(device: str, purpose: str) -> bool:
    """Claim a device, or keep it, and note who holds it; whether this process has it now."""
    if device not in _claims:
        claim = ExitStack()
        try:
            claim.enter_context(hold(_claim_path(device, ".lock"), wait=False))
        except BusyError:
            return False
        _claims[device] = claim
    note = {"process": os.getpid(), "purpose": purpose, "begin": time.time()}
    # In a file of its own: whoever tries a lock may empty the lock's.
    write_private(_claim_path(device, ".json"), json.dumps(note))
    return True


def _claim_path(device: str, ending: str) -> Path:
    name = re.sub(r"[^\w.-]", "_", device.strip("/").replace(":", "-"))
    return private_file(private_folder("devices"), f"{name}{ending}")


def _holders(devices: tuple[str, ...]) -> str:
    """Who holds the devices, for messages."""
    said = []
    for device in devices:
        try:
            note = json.loads(_claim_path(device, ".json").read_text(encoding="utf-8"))
            since = time.strftime("%H:%M:%S", time.localtime(note["begin"]))
            said.append(f"{device} is held by process {note['process']} for {note['purpose'] or 'a fit'} since {since}")
        except (OSError, ValueError, KeyError, TypeError):
            said.append(f"{device} is held by another process")
    return ", ".join(said)


def release_devices() -> None:
    """Give back what this process has claimed."""
    for claim in _claims.values():
        claim.close()
    _claims.clear()


def configure(recipe: Recipe, *, cpu: bool = False) -> dict[str, Any]:
    """Set threads, determinism and precision, before TensorFlow starts where that is possible.

    Args:
        recipe: its ``threads`` and ``precision`` decide.
        cpu: the CPU is asked for, whatever the machine has (see `names_cpu`).

    Returns:
        What is in force: ``threads``, ``precision``, ``gpus`` (0 where the CPU is asked for).

    Raises:
        PlatformError: Keras is set up for other networks, or there is a GPU that TensorFlow does not see, and nobody
            has asked for the CPU.
    """
    check_keras()
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Memory of a GPU is taken as it is needed; where TensorFlow has started already, it stays as it is.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    import keras
    import tensorflow as tf

    # Layers are numbered through a process; begun anew, a weight file is the same whatever was built before.
    keras.utils.clear_session()
    try:
        if tf.config.threading.get_intra_op_parallelism_threads() != recipe.threads:
            tf.config.threading.set_intra_op_parallelism_threads(recipe.threads)
    except RuntimeError:
        log.warning(
            "TensorFlow had started with %d threads, the recipe asks for %d: results can differ in the last bits",
            tf.config.threading.get_intra_op_parallelism_threads(),
            recipe.threads,
        )
    tf.config.experimental.enable_op_determinism()
    gpus = [] if cpu else tf.config.list_physical_devices("GPU")
    if not gpus and not cpu and unseen_gpus():
        raise unseen_error()
    keras.config.set_dtype_policy(choose_precision(recipe.precision, on_gpu=bool(gpus)))
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    return {"threads": threads, "precision": current_precision(), "gpus": len(gpus)}


def choose_precision(wish: str, *, on_gpu: bool) -> str:
    """``float32`` or ``mixed_float16``: what the recipe wishes, which for ``auto`` the device decides."""
    return ("mixed_float16" if on_gpu else "float32") if wish == "auto" else wish


def current_precision() -> str:
    """The precision in force, as `configure` set it: ``float32`` or ``mixed_float16``."""
    import keras

    return str(keras.config.dtype_policy().name)


def own_initial_weights(*key: int) -> AbstractContextManager[None]:
    """Within its block, networks get initial weights that depend on these numbers alone.

    To seed Python's global generator would not give the same network twice: other threads of the process draw from it
    as well.
    """
    return layer_seeds_from(random.Random(int(np.random.SeedSequence(key).generate_state(1)[0])))


def seed_everything(*key: int) -> None:
    """Seed Python, NumPy and TensorFlow from several numbers together."""
    import keras

    keras.utils.set_random_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
