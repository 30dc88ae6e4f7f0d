"""Devices, threads, precision and seeds of a run.

Results are reproducible for one recipe on one kind of device: the seed, deterministic operations and the number of
threads within an operation together fix them. XLA compiles the steps on a single GPU and nowhere else: it fails under
`MirroredStrategy`, and on a CPU it makes an EfficientNet ten times slower.

A process that fits on one of several GPUs claims it for its whole life, because TensorFlow cannot leave a GPU; the
operating system frees the claim when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hbaclib.errors import ConfigError, PlatformError

if TYPE_CHECKING:
    import tensorflow as tf

    from hbaclib.training.recipe import Recipe

log = logging.getLogger(__name__)

_claims: dict[str, IO[str]] = {}


def visible_gpus() -> tuple[str, ...]:
    """Numbers of this host's GPUs, found without touching them (so that worker processes can have them)."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(part for part in chosen.split(",") if part.strip() not in {"", "-1"})
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU "))


def claim_device(devices: tuple[str, ...], patience: float = 3600.0) -> str:
    """Claim one of several devices for this process: no other process on this host gets the same one.

    Args:
        devices: names of the devices, all of this host.
        patience: seconds to wait for a free one.

    Returns:
        The device's name. A process that holds one of them already keeps it.

    Raises:
        PlatformError: none came free in time.
    """
    for device in devices:
        if device in _claims:
            return device
    folder = Path(tempfile.gettempdir()) / f"hbac-devices-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    end = time.monotonic() + patience
    while time.monotonic() < end:
        for device in devices:
            name = device.strip("/").replace("/", "_").replace(":", "-")
            file = open(folder / f"{name}.lock", "w")  # noqa: SIM115 - stays open as long as the claim
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                file.close()
                continue
            _claims[device] = file
            return device
        time.sleep(0.2)
    raise PlatformError(
        f"no free device among {', '.join(devices)} within {patience:.0f} s; other processes hold them all, each as "
        "long as it lives: start no more worker processes than there are devices"
    )


def release_devices() -> None:
    """Give back what this process has claimed."""
    for file in _claims.values():
        file.close()
    _claims.clear()


def configure(recipe: Recipe) -> dict[str, Any]:
    """Set threads, determinism and precision, before TensorFlow starts where that is possible.

    Args:
        recipe: its ``threads`` and ``precision`` decide.

    Returns:
        What is in force: ``threads``, ``precision``, ``gpus``.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            log.debug("TensorFlow had already started; memory growth of %s stays as it is", gpu.name)
    precision = recipe.precision
    if precision == "auto":
        precision = "mixed_float16" if gpus else "float32"
    keras.config.set_dtype_policy(precision)
    return {
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "precision": precision,
        "gpus": len(gpus),
    }


def make_strategy(devices: tuple[str, ...] = (), batch: int = 0) -> tf.distribute.Strategy:
    """How one fit is spread: over nothing (default), one given device, or several with equal shares of every batch.

    Args:
        devices: TensorFlow's names, for instance ``("GPU:0", "GPU:1")``.
        batch: rows of a step over all devices.

    Raises:
        ConfigError: the batch cannot be shared equally.
        PlatformError: a device does not exist.
    """
    import tensorflow as tf

    if not devices:
        return tf.distribute.get_strategy()
    known = {device.name.removeprefix("/device:") for device in tf.config.list_logical_devices()}
    missing = [device for device in devices if device.removeprefix("/") not in known]
    if missing:
        raise PlatformError(f"devices {', '.join(missing)} do not exist; here are {', '.join(sorted(known))}")
    if len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0])
    if batch % len(devices):
        raise ConfigError(f"batch is {batch}, expected a multiple of the {len(devices)} devices, so that none is idle")
    # The default way of summing numbers its sums anew for each strategy, so that a second fit in the same process meets
    # the first one's; summing on one device has no such state, and always the same order.
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=tf.distribute.ReductionToOneDevice())


def uses_xla(strategy: tf.distribute.Strategy) -> bool:
    """Whether XLA may compile the steps of a fit: on one GPU that no strategy spreads."""
    import tensorflow as tf

    return not tf.distribute.has_strategy() and strategy is tf.distribute.get_strategy() and _has_gpu()


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def compile_step(function: Callable[..., Any], *, xla: bool) -> Callable[..., Any]:
    """A graph of a training step; one that XLA cannot compile runs without it, and the log says so.

    Args:
        function: takes and returns tensors, may change variables.
        xla: try XLA first.

    Returns:
        The compiled function.
    """
    import tensorflow as tf

    plain = tf.function(function, jit_compile=False)
    if not xla:
        return plain
    refusals = (
        tf.errors.InvalidArgumentError,
        tf.errors.UnimplementedError,
        tf.errors.InternalError,
        tf.errors.NotFoundError,
        tf.errors.FailedPreconditionError,
    )
    chosen: list[Callable[..., Any]] = []

    def step(*given: Any) -> Any:
        if not chosen:
            fused = tf.function(function, jit_compile=True)
            try:
                # XLA writes the variables when all else is done: a step that fails has changed nothing.
                result = fused(*given)
            except refusals as error:
                log.warning("XLA cannot compile this network, which runs without it: %s", str(error).partition("\n")[0])
                chosen.append(plain)
            else:
                chosen.append(fused)
                return result
        return chosen[0](*given)

    return step


@contextmanager
def own_initial_weights(*key: int) -> Iterator[None]:
    """Within the block, networks get initial weights that depend on these numbers alone.

    Keras seeds each layer from Python's global generator. Other threads of the process draw from it as well (those of a
    Dask worker do), so that seeding it once would not give the same network twice. The name that is replaced here is
    not part of Keras' public interface; a test holds that it still works.
    """
    import numpy as np
    from keras.src.random import seed_generator

    before = seed_generator.python_random
    seed_generator.python_random = random.Random(int(np.random.SeedSequence(key).generate_state(1)[0]))
    try:
        yield
    finally:
        seed_generator.python_random = before


def seed_everything(*key: int) -> None:
    """Seed Python, NumPy and TensorFlow from several numbers together."""
    import keras
    import numpy as np

    keras.utils.set_random_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
