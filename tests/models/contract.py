"""What every network of the registry promises, checked on one that was just built."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np

from hbaclib.models.registry import batch_norm_layers

SAMPLES = 5
TOLERANCE = 1e-6
"""Of the logits in single precision."""
HALF_TOLERANCE = 0.05
"""In half precision, as a share of what samples differ by: its steps of 1e-3 add up to 0.03 in the deepest networks."""
VISIBLE = 0.03
"""A difference between samples beside which 1e-6 is nothing."""


def check_contract(model, shapes, precision="float32") -> None:
    """Shapes and dtypes, rows that sum to 1, batch-invariance, and the round trips through memory and a weight file.

    Args:
        model: fresh from `build_model`.
        shapes: shape of a sample of each of its inputs.
        precision: the policy that it was built under.
    """
    found = [given.shape[1:] for given in model.inputs]
    assert found == [tuple(shape) for shape in shapes]
    assert model.output_shape == (None, 6) and not model.compiled and model.output.dtype == "float32"
    inputs = distinct_samples(model, shapes)
    images = inputs if len(shapes) > 1 else inputs[0]
    logits = logits_of(model)
    together = logits(images)
    spread = float(together.std(axis=0).max())
    assert spread > VISIBLE / 10, "the network must tell the samples apart"
    cut = [[part[i : i + 1] for part in inputs] for i in range(SAMPLES)]
    alone = np.concatenate([logits(one if len(shapes) > 1 else one[0]) for one in cut])
    # Logits of a fresh network can be far from 1 in size; a float32 holds seven digits of them. In networks of hundreds
    # of layers they are sums of far larger terms: there the batches may differ as little beside what samples differ by.
    size = max(1.0, float(np.abs(together).max()), spread / VISIBLE)
    tolerance = TOLERANCE * size if precision == "float32" else HALF_TOLERANCE * spread
    assert spread >= 10 * tolerance, "the samples must differ far more than the tolerance"
    np.testing.assert_allclose(together, alone, rtol=0, atol=tolerance)
    shares = model(images).numpy()
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-6)
    again = type(model).from_config(model.get_config())
    again.set_weights(model.get_weights())
    assert again.name == model.name
    np.testing.assert_array_equal(again(images).numpy(), shares)
    again.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.weights.h5"
        model.save_weights(path)
        again.load_weights(path)
    np.testing.assert_array_equal(again(images).numpy(), shares)


def distinct_samples(model, shapes) -> list[np.ndarray]:
    """Samples that a fresh network tells apart, once its batch-norm statistics are set to such samples."""
    rng = np.random.default_rng(0)
    inputs = []
    for shape in shapes:
        part = rng.standard_normal((SAMPLES, *shape)).astype(np.float32)
        inputs.append(part * np.linspace(0.2, 3, SAMPLES, dtype=np.float32).reshape(-1, *[1] * len(shape)))
    momenta = [layer.momentum for layer in batch_norm_layers(model)]
    for layer in batch_norm_layers(model):
        layer.momentum = 0.5
    for _ in range(4):
        model(inputs if len(shapes) > 1 else inputs[0], training=True)
    for layer, momentum in zip(batch_norm_layers(model), momenta, strict=True):
        layer.momentum = momentum
    return inputs


def logits_of(model):
    """The network without its softmax, as a function from inputs to a NumPy array."""
    head = model.get_layer("head")
    kernel, bias = head.get_weights()
    features = keras.Model(model.inputs if len(model.inputs) > 1 else model.input, head.input)
    return lambda images: features(images).numpy().astype(np.float32) @ kernel + bias
