"""The measurements, each run in a child process by `hbaclib.selftest.child`: from plain options to plain values.

They train by the library's own calls (`run_fit`, `train`), so that what is measured is what a notebook does.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hbaclib.errors import TrainingError
from hbaclib.platform import peak_megabytes
from hbaclib.selftest.inputs import SyntheticInputs, requests, step_times
from hbaclib.training.recipe import Recipe, load_recipe

Options = Mapping[str, Any]
_PLAIN: dict[str, Any] = {
    "weights": "", "sampling": "any", "seeds": [0], "folds": 2, "ema": 0.0, "batch_norm_batches": 0, "tta": [],
    "pseudo_weight": 0.0, "model_options": {},
}  # fmt: skip
"""What a shipped recipe is stripped of: everything that lies beside its training steps."""
_POLL, _PATIENCE = 0.02, 600.0
_RECURRENT = ("CudnnRNN", "CudnnRNNV2", "CudnnRNNV3")
_NORM = "FusedBatchNormV3"


def recipe_of(options: Options) -> Recipe:
    """A shipped recipe cut down to so many steps.

    Args:
        options: ``recipe`` (its name), ``backbone``, ``epochs``, ``steps``; ``xla``, ``precision`` and further keys in
            ``changes`` overrule the recipe's.
    """
    stage = {"epochs": options["epochs"], "steps": options["steps"], "rates": [1e-3]}
    changes = {**_PLAIN, "backbone": options["backbone"], "stages": [stage], **options.get("changes", {})}
    recipe = load_recipe(options["recipe"])
    if options["backbone"] == recipe.backbone:  # its own options are that network's
        changes.setdefault("model_options", {})
        changes["model_options"] = changes["model_options"] or dict(recipe.model_options)
    recipe = recipe.override(changes, "self-test")
    return recipe.override({"xla": options["xla"]}, "self-test") if "xla" in options else recipe


class _Remarks(logging.Handler):
    """Keeps what the library warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@contextlib.contextmanager
def _remarks() -> Any:
    handler, logger = _Remarks(), logging.getLogger("hbaclib")
    logger.addHandler(handler)
    try:
        yield handler.said
    finally:
        logger.removeHandler(handler)


def speed(options: Options, folder: Path) -> dict[str, Any]:
    """Train for some steps and time them.

    Args:
        options: of `recipe_of`; ``samples`` is the number of synthetic ones.
        folder: an empty one for files.

    Returns:
        ``batch``, ``precision``, ``images_per_second``, ``seconds_a_step``, ``seconds_to_first_step``,
        ``peak_megabytes``, ``notes``.
    """
    from hbaclib.training.devices import current_precision
    from hbaclib.training.fit import Fit, run_fit

    recipe, log = recipe_of({**options, "epochs": 1}), folder / "requests.txt"
    steps = options["steps"]
    inputs = SyntheticInputs(options["samples"], log, enough=steps)
    with _remarks() as said:
        try:
            run_fit(Fit(recipe, 0, 0, folder, inputs.digest), inputs, progress=False)  # type: ignore[arg-type]
        except Exception:
            # What follows the last step is not measured; within TensorFlow the sign for it is another error.
            if inputs.granted < steps:
                raise
    seconds, first = step_times(requests(log)[:steps])
    return {
        "batch": recipe.batch,
        "precision": current_precision(),
        "images_per_second": recipe.batch / seconds,
        "seconds_a_step": seconds,
        "seconds_to_first_step": first,
        "peak_megabytes": _peak(),
        "notes": "; ".join(dict.fromkeys(said)),
    }


def _peak() -> float | None:
    """Greatest memory so far, MiB: of the GPU where there is one, else resident."""
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        return float(tf.config.experimental.get_memory_info("GPU:0")["peak"]) / 2**20
    peak = peak_megabytes()
    return None if np.isnan(peak) else peak


def devices(options: Options, folder: Path) -> dict[str, Any]:
    """What TensorFlow sees: ``gpus`` (name and compute capability of each), ``cuda``, ``cudnn``, ``precision``."""
    import tensorflow as tf

    from hbaclib.training.devices import choose_precision

    found = []
    for gpu in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(gpu)
        capability = ".".join(map(str, details.get("compute_capability", ())))
        found.append(f"{details.get('device_name', gpu.name)}, compute capability {capability or 'unknown'}")
    build = tf.sysconfig.get_build_info()
    return {
        "gpus": found,
        "cuda": str(build.get("cuda_version", "none")),
        "cudnn": str(build.get("cudnn_version", "none")),
        "precision": choose_precision("auto", on_gpu=bool(found)),
    }


def kernels(options: Options, folder: Path) -> dict[str, Any]:
    """Which fused kernels the graphs of two networks take, run once forward and back.

    Args:
        options: ``norms`` and ``recurrent``, each as for `recipe_of`.
        folder: not used.

    Returns:
        ``fused_norms``, ``norm_layers``, ``fused_recurrent``.
    """
    import tensorflow as tf

    from hbaclib.models.calling import as_input
    from hbaclib.models.registry import batch_norm_layers
    from hbaclib.training.devices import configure

    found = {}
    for part in ("norms", "recurrent"):
        recipe = recipe_of({**options[part], "epochs": 1, "steps": 1})
        configure(recipe)
        model = recipe.build_network()

        def step(x: Any, model: Any = model) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(model(as_input([x]), training=True))
            return loss, tape.gradient(loss, model.trainable_variables)

        x = tf.zeros((2, *model.inputs[0].shape[1:]))
        graph = tf.function(step).get_concrete_function(x)
        loss, _ = graph(x)
        if not np.isfinite(loss.numpy()):
            raise TrainingError(f"{recipe.backbone}: its output for zeros is not finite")
        definition = graph.graph.as_graph_def()
        nodes = [*definition.node, *(node for each in definition.library.function for node in each.node_def)]
        found[part] = [node.op for node in nodes], len(batch_norm_layers(model))
    return {
        "fused_norms": found["norms"][0].count(_NORM),
        "norm_layers": found["norms"][1],
        "fused_recurrent": sum(found["recurrent"][0].count(name) for name in _RECURRENT),
    }


def two_processes(options: Options, folder: Path) -> dict[str, Any]:
    """Train two folds at once by the library's own way: a process for each GPU, or two on a CPU.

    Args:
        options: of `recipe_of`, and ``samples``.
        folder: an empty one.

    Returns:
        ``images_per_second`` (one a process, while both train), ``devices`` (of the fits), ``processes``.
    """
    import joblib

    from hbaclib.training.cross_validate import train

    recipe, log = recipe_of({**options, "epochs": 1}), folder / "requests.txt"
    inputs = SyntheticInputs(options["samples"], log)
    with joblib.parallel_config(n_jobs=2):
        train(recipe, inputs, folder / "fits", progress=False)  # type: ignore[arg-type]
    steps, asked = options["steps"], defaultdict(list)
    for request in requests(log):
        asked[request.process].append(request)
    training = {process: each[:steps] for process, each in asked.items() if len(each) >= steps}
    facts = [json.loads(path.read_text())["facts"] for path in sorted((folder / "fits").glob("fold-*.fit.json"))]
    return {
        "images_per_second": [recipe.batch / step_times(each)[0] for each in training.values()],
        "devices": [str(fact.get("device", "")) for fact in facts],
        "processes": len(training),
    }


def fit(options: Options, folder: Path) -> dict[str, Any]:
    """Train a fit to its end, or on to it.

    Args:
        options: of `recipe_of`, and ``samples``.
        folder: for its files; what an earlier process left there is gone on with.

    Returns:
        ``digest`` (of all weights), ``losses`` (mean of every epoch), ``precision``.
    """
    from hbaclib.artefacts import digest_file
    from hbaclib.training.devices import current_precision
    from hbaclib.training.fit import Fit, run_fit
    from hbaclib.training.history import read_history

    recipe, inputs = recipe_of(options), SyntheticInputs(options["samples"])
    one = Fit(recipe, 0, 0, folder, inputs.digest)
    run_fit(one, inputs, progress=False)  # type: ignore[arg-type]
    return {
        "digest": digest_file(one.path("weights.h5")),
        "losses": [float(loss) for loss in read_history(one.path("history.csv"))["loss"]],
        "precision": current_precision(),
    }


def fits(options: Options, folder: Path) -> dict[str, Any]:
    """Train some fits one after the other: to start a process takes longer than their steps.

    Args:
        options: ``networks``: each as for `fit`.
        folder: an empty one.

    Returns:
        ``digests``: one a network.
    """
    digests = []
    for number, network in enumerate(options["networks"]):
        own = folder / f"fit-{number}"
        own.mkdir()
        digests.append(fit(network, own)["digest"])
    return {"digests": digests}


def equal(options: Options, folder: Path) -> dict[str, Any]:
    """Train some networks twice, each time in another process.

    Args:
        options: ``networks``: each as for `fit`.
        folder: an empty one.

    Returns:
        ``networks`` and ``equal``: whether the weights are the same bytes.
    """
    networks = [network["backbone"] for network in options["networks"]]
    one, other = (_in_process("fits", options, folder / run)["digests"] for run in "ab")
    return {"networks": networks, "equal": [a == b for a, b in zip(one, other, strict=True)]}


def precision(options: Options, folder: Path) -> dict[str, Any]:
    """Train the same fit in float32 and in mixed float16.

    Args:
        options: as for `fit`.
        folder: an empty one.

    Returns:
        ``float32`` and ``mixed_float16``: mean losses of stretches of ``steps`` steps.
    """
    found = {}
    for name in ("float32", "mixed_float16"):
        (folder / name).mkdir()
        changes = {**options.get("changes", {}), "precision": name}
        found[name] = fit({**options, "changes": changes}, folder / name)["losses"]
    return found


def resume(options: Options, folder: Path) -> dict[str, Any]:
    """Kill a fit behind its first epoch, let another process end it, and compare with one that was not killed.

    Args:
        options: as for `fit`.
        folder: an empty one.

    Returns:
        ``epochs_before`` (that the killed one had finished), ``equal``.

    Raises:
        TrainingError: the fit had ended before it could be killed.
    """
    whole = _in_process("fit", options, folder / "whole")["digest"]
    begun = folder / "killed"
    begun.mkdir()
    process = _start("fit", options, begun)
    deadline = time.monotonic() + _PATIENCE
    while not any(begun.glob("*.checkpoint.npz")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise TrainingError(f"the fit that was to be killed: {_last_words(begun)}")
        time.sleep(_POLL)
    process.kill()
    process.wait()
    if (begun / "result.json").exists():
        raise TrainingError("the fit had ended before it could be killed")
    with open(next(begun.glob("*.history.csv")), encoding="utf-8") as file:
        epochs = len(file.readlines()) - 1
    return {"epochs_before": epochs, "equal": _in_process("fit", options, begun)["digest"] == whole}


def _start(measure: str, options: Options, folder: Path) -> subprocess.Popen[bytes]:
    """Start a measurement in a process of its own, which writes ``result.json`` into the folder."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "hbaclib.selftest.child", measure, json.dumps(options), str(folder)]
    with open(folder / "messages.txt", "ab") as messages:
        return subprocess.Popen(command, stdout=messages, stderr=messages, stdin=subprocess.DEVNULL, env=os.environ)


def _in_process(measure: str, options: Options, folder: Path) -> dict[str, Any]:
    process = _start(measure, options, folder)
    if process.wait():
        raise TrainingError(f"{folder.name}: {_last_words(folder)}")
    found: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return found


def _last_words(folder: Path) -> str:
    lines = (folder / "messages.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "ended without a word"


MEASURES: dict[str, Callable[[Options, Path], dict[str, Any]]] = {
    function.__name__: function
    for function in (speed, devices, kernels, two_processes, fit, fits, equal, precision, resume)
}
"""Name -> measurement."""
