"""Several devices in one fit: `MirroredStrategy`, and everything that is there for its sake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from hbaclib.errors import ConfigError, PlatformError
from hbaclib.training.devices import current_precision


class Replicas:
    """The devices of one fit, one as a rule; of several, each has a copy of the network and a share of every batch.

    Args:
        devices: TensorFlow's names, for instance ``("GPU:0", "GPU:1")``; empty leaves the choice to TensorFlow.
        batch: rows of a step over all devices.

    Raises:
        ConfigError, PlatformError: as `make_strategy` says.
    """

    def __init__(self, devices: tuple[str, ...], batch: int) -> None:
        self.strategy = make_strategy(devices, batch)
        self.number = self.strategy.num_replicas_in_sync
        self._first = devices[:1]
        gpus = [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]
        alone = [name for name in devices or gpus[:1] if name.removeprefix("/") in gpus] if self.number == 1 else []
        self.gpu = alone[0] if alone else ""
        """The GPU to which whole batches go; empty on a CPU, and where several devices share them."""
        # Asked here: the threads in which the devices run know no policy of Keras'.
        self._overflows = self.number > 1 and current_precision() == "mixed_float16"

    def build(self, build: Callable[[], Any]) -> Any:
        """A network with the same initial weights on any number of devices."""
        # One device's own strategy: its optimizer takes no variables of another one's.
        with (self.strategy if self.number == 1 else make_strategy(self._first)).scope():
            model = build()
        if self.number == 1:
            return model
        # A strategy draws other initial weights from the same seed.
        weights = model.get_weights()
        with self.strategy.scope():
            model = build()
            model.set_weights(weights)
        return model

    def share(self, *tensors: Any) -> tuple[Any, ...]:
        """Cut a batch into equal shares, one a device."""
        if self.number == 1:
            return tensors

        def cut(tensor: Any) -> Any:
            size = tensor.shape[0] // self.number

            def part(context: Any) -> Any:
                start = context.replica_id_in_sync_group * size
                return tensor[start : start + size]

            return self.strategy.experimental_distribute_values_from_function(part)

        return tuple(map(cut, tensors))

    def summed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs on every device with its share, as `share` cuts them; the results are summed."""

        def on_all(*shares: Any) -> Any:
            results = self.strategy.run(function, args=shares)
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, results, axis=None)

        return on_all

    def whole(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function that runs with whole batches and may change variables.

        Within the strategy each of several devices would change them by its own share, and one device's are read back.
        """

        def on_one(*parts: Any) -> Any:
            return self.strategy.run(function, args=parts)

        return function if self.number > 1 else on_one

    def overflow_together(self, gradients: list[Any]) -> list[Any]:
        """NaN on every device where one device's gradients of float16 overflow; to be called within `summed`.

        Keras skips a step of float16 that overflows, but looks at the first device's gradients alone.
        """
        if not self._overflows:
            return gradients
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        context = tf.distribute.get_replica_context()
        overflows = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(finite, 0.0, 1.0))
        return [tf.where(overflows > 0, tf.constant(np.nan, part.dtype), part) for part in gradients]

    def clip_together(self, gradients: list[Any], most: Any) -> list[Any]:
        """Shorten the gradients so that their sum over all devices is at most ``most`` long; within `summed`.

        Keras clips each device's own share, so that two devices would train otherwise than one.
        """
        whole = gradients
        if self.number > 1:
            context = tf.distribute.get_replica_context()
            whole = [context.all_reduce(tf.distribute.ReduceOp.SUM, part) for part in gradients]
        length = tf.linalg.global_norm(whole)
        factor = most / tf.maximum(length, most)
        return [part * factor for part in gradients]


def make_strategy(devices: tuple[str, ...] = (), batch: int = 0) -> tf.distribute.Strategy:
    """How one fit is spread: over nothing (default), one named device, or several with equal shares of every batch.

    Args:
        devices: TensorFlow's names, for instance ``("GPU:0", "GPU:1")``.
        batch: rows of a step over all devices.

    Raises:
        ConfigError: the batch cannot be shared equally.
        PlatformError: a device does not exist.
    """
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
