"""Private interfaces of other packages: each does what it is leaned on for, and none is used outside of compat.

A test that fails here names the private name that a new version has changed, and what of the library that breaks.
"""

from __future__ import annotations

import ast
import os
import random
import signal
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from hbaclib.compat import joblib as compat_joblib
from hbaclib.compat import kaggle as compat_kaggle
from hbaclib.compat import keras as compat_keras
from hbaclib.compat import keras_graph
from hbaclib.compat import optuna as compat_optuna
from hbaclib.errors import PlatformError
from tests.rooms import PACKAGE, ROOT, modules

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
PUBLIC = {"_asdict", "_fields", "_replace"}
"""Names with an underscore that Python documents (of named tuples)."""
PRIVATE_MODULES = {"src", "python", "externals"}
"""Parts of module names that keras, tensorflow and joblib keep for themselves."""


@contextmanager
def leaning_on(package: str, name: str, breaks: str) -> Iterator[None]:
    """Say, whatever fails within, which name of which version is to blame and what it was for."""
    try:
        yield
    except (Exception, pytest.fail.Exception) as error:
        version = metadata.version(package)
        pytest.fail(f"{package} {version}: {name} is not what it was ({error!r}); {breaks}; mend it in hbaclib/compat")


def test_layers_are_seeded_from_the_generator_that_is_named() -> None:
    import keras

    def kernel() -> np.ndarray:
        with compat_keras.layer_seeds_from(random.Random(7)):
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])
        return model.get_weights()[0]

    name = "keras.src.random.seed_generator.python_random"
    with leaning_on("keras", name, "the initial weights of a fit depend on what was drawn before it"):
        random.seed(1)
        first = kernel()
        assert random.random() == random.Random(1).random()  # the global generator is not drawn from
        random.seed(2)
        np.testing.assert_array_equal(kernel(), first)


def test_keras_reads_its_settings_where_they_are_looked_for(tmp_path: Path) -> None:
    code = (
        "from hbaclib.compat.keras_settings import settings_file\npath = str(settings_file())\n"
        "from keras.src.backend import config\nprint(path == config._config_path)"
    )
    with leaning_on("keras", "keras.src.backend.config._config_path", "keras.json of another place is not refused"):
        for variables in ({"KERAS_HOME": str(tmp_path)}, {"HOME": str(tmp_path)}):
            environment = {**{k: v for k, v in os.environ.items() if k != "KERAS_HOME"}, **variables}
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
            assert done.stdout == "True\n", done.stderr


def test_flat_layers_are_those_of_nested_models_too() -> None:
    import keras

    given = keras.Input((8, 3))
    inner = keras.Sequential([keras.Input((8, 3)), keras.layers.BatchNormalization(name="norm")], name="inner")
    around = keras.layers.Bidirectional(keras.layers.GRU(2, name="gru"), name="around")
    model = keras.Model(given, around(inner(given)))
    breaks = "batch norms and dropouts of nested models are neither trained, adapted nor seeded as the recipe says"
    with leaning_on("keras", "Layer._flatten_layers", breaks):
        names = [layer.name for layer in compat_keras.flat_layers(model)]
        assert {"inner", "norm", "around", "forward_gru", "backward_gru"} <= set(names)
        assert names == [layer.name for layer in compat_keras.flat_layers(model)] and model.name not in names


def test_the_calls_of_a_graph_stand_in_the_order_of_the_data() -> None:
    import keras

    shared = keras.layers.Dense(3, name="shared")
    given = keras.Input((3,), name="given")
    model = keras.Model(given, keras.layers.Add(name="sum")([shared(given), shared(shared(given))]))
    chain = keras.Sequential([keras.Input((3,), name="first"), shared])
    keras.Model(given, shared(given))  # calls of the layer in another model are not the model's
    breaks = "the pictures of networks (plot_network) show no layers or cannot be made"
    with leaning_on("keras", "Function._nodes_by_depth or Sequential._functional", breaks):
        calls = keras_graph.calls_of(model)
        assert [call.operation.name for call in calls] in (
            ["given", "shared", "shared", "shared", "sum"],
            ["given", "shared", "shared", "sum"],
        )
        assert [call.is_input for call in calls][:2] == [True, False]
        made = {id(tensor) for call in calls for tensor in call.output_tensors}
        assert {id(tensor) for call in calls for tensor in call.input_tensors} <= made
        assert [call.operation.name for call in keras_graph.calls_of(chain)] == ["first", "shared"]
        assert keras_graph.is_graph(model) and keras_graph.is_graph(chain) and not keras_graph.is_graph(shared)


def test_a_trial_that_was_left_is_opened_again() -> None:
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study()
    left = study.ask()
    value = left.suggest_float("x", 0, 1)
    study.ask()
    with leaning_on("optuna", "FrozenTrial._trial_id", "a search that was stopped cannot resume its open trial"):
        frozen = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))[0]
        trial = compat_optuna.reopened(study, frozen)
        assert trial.number == left.number and trial.suggest_float("x", 0, 1) == value
        study.tell(trial, 1.0)
        assert study.best_params == {"x": value}


@pytest.fixture
def kaggle_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.ModuleType:
    pytest.importorskip("slugify")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", "0123456789")
    return pytest.importorskip("kaggle.api.kaggle_api_extended")


def test_an_upload_that_fails_is_an_error(
    kaggle_api: types.ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "table.csv").write_text("a\n1\n")
    breaks = "a file whose upload fails is missing in Kaggle's data set, without a word"
    with leaning_on("kaggle", "KaggleApi._upload_file", breaks):
        client = compat_kaggle.strict_client(kaggle_api)
        monkeypatch.setattr(client, "_upload_blob", lambda *arguments: None)
        with pytest.raises(PlatformError, match=r"upload of table\.csv failed; the same command tries again"):
            client.upload_files(types.SimpleNamespace(files=[]), None, str(tmp_path / "set"), None, None, quiet=True)
    with leaning_on("kaggle", "KaggleApi.MAX_UPLOAD_RESUME_ATTEMPTS", "an upload that fails is tried on for hours"):
        assert kaggle_api.KaggleApi.MAX_UPLOAD_RESUME_ATTEMPTS > client.MAX_UPLOAD_RESUME_ATTEMPTS == 3


def test_the_wait_that_a_server_asks_for_is_read(kaggle_api: types.ModuleType) -> None:
    breaks = "a server that refuses for too many requests is not given the time that it asks for"
    with leaning_on("kaggle", "KaggleApi._get_retry_after_delay", breaks):
        asked = [
            compat_kaggle.seconds_to_wait(kaggle_api, types.SimpleNamespace(headers=headers))
            for headers in ({"Retry-After": "17"}, {"Retry-After": "Wed, 26 Mar 2025 00:00:00 GMT"}, {})
        ]
        assert asked == [17.0, 0.0, None]


def test_requests_are_bounded_within_the_block_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = pytest.importorskip("requests")
    seen = []

    def send(self: object, request: object, stream: bool = False, timeout: object = None, **named: object) -> None:
        seen.append(timeout)
        raise requests.ConnectionError("nothing is sent by this test")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", send)
    breaks = "a request to Kaggle that nobody answers waits for ever"
    with leaning_on("requests", "requests.adapters.HTTPAdapter.send", breaks):
        with compat_kaggle.bounded_requests(requests, 5.0):
            for timeout in (None, 2.0):
                with pytest.raises(requests.ConnectionError):
                    requests.get("http://127.0.0.1:9/", timeout=timeout)
        with pytest.raises(requests.ConnectionError):
            requests.get("http://127.0.0.1:9/")
        assert seen == [5.0, 2.0, None] and requests.adapters.HTTPAdapter.send is send


def test_the_active_backend_tells_its_name_and_processes() -> None:
    import joblib

    breaks = "fits are not spread over a Dask cluster, and blocks take no account of joblib.parallel_config"
    with leaning_on("joblib", "joblib.parallel.get_active_backend", breaks):
        assert compat_joblib.active_backend()[0] == "LokyBackend"
        with joblib.parallel_config("threading", n_jobs=3):
            assert compat_joblib.active_backend() == ("ThreadingBackend", 3)


def test_the_active_cluster_is_an_executor(monkeypatch: pytest.MonkeyPatch) -> None:
    import joblib

    distributed = pytest.importorskip("distributed")
    breaks = "fits are not spread over a Dask cluster"
    with (
        leaning_on("joblib", "the client of joblib.parallel.get_active_backend", breaks),
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        executor = compat_joblib.cluster_executor()
        # The same call twice is two jobs.
        first, second = (executor.submit(time.time) for _ in range(2))
        assert first.result(60) != second.result(60)
        executor.shutdown(wait=False)


def _own_number(_: int) -> int:
    import os

    return os.getpid()


def test_idle_workers_are_ended() -> None:
    import joblib
    import psutil

    breaks = "processes of an earlier run keep their GPU, and the next one waits for it"
    with leaning_on("joblib", "joblib.externals.loky.get_reusable_executor", breaks):
        workers = set(joblib.Parallel(n_jobs=2)(joblib.delayed(_own_number)(number) for number in range(4)))
        compat_joblib.end_idle_workers()
        assert not any(psutil.pid_exists(worker) for worker in workers)


def test_a_worker_process_keeps_its_place_and_can_be_killed(tmp_path: Path) -> None:
    from concurrent.futures.process import BrokenProcessPool

    import psutil

    breaks = "fits on GPUs cannot be trained in processes of their own"
    with leaning_on("joblib", "joblib.externals.loky.ProcessPoolExecutor", breaks):
        factor = 3
        worker, other = compat_joblib.worker_process(), compat_joblib.worker_process()
        # Functions of no module travel, and one process does all.
        first, second = (worker.submit(lambda: (os.getpid(), 2 * factor)).result(60) for _ in range(2))
        assert first == second and first[1] == 6 and first[0] != os.getpid()
        waits = worker.submit(time.sleep, 600)
        os.kill(first[0], signal.SIGKILL)
        with pytest.raises(BrokenProcessPool, match=r"SIGKILL\(-9\)"):
            waits.result(60)
        with pytest.raises(BrokenProcessPool):
            worker.submit(os.getpid)
        process = other.submit(os.getpid).result(60)
        begun = tmp_path / "begun"
        other.submit(lambda: (begun.touch(), time.sleep(600)))
        while not begun.exists():
            time.sleep(0.05)
        for each in (worker, other):
            each.shutdown(wait=True, kill_workers=True)
        assert not psutil.pid_exists(process)


def test_a_module_that_is_in_no_path_reaches_the_workers() -> None:
    import joblib

    module = types.ModuleType("module_of_no_file")
    exec("def double(number):\n    return 2 * number", module.__dict__)
    breaks = "networks of --module FILE.py cannot be trained in worker processes"
    with leaning_on("joblib", "register_pickle_by_value of its cloudpickle", breaks), pytest.MonkeyPatch.context() as m:
        m.setitem(sys.modules, module.__name__, module)
        compat_joblib.pickle_by_value(module)
        try:
            assert joblib.Parallel(n_jobs=2)(joblib.delayed(module.double)(number) for number in (1, 2)) == [2, 4]
        finally:
            compat_joblib.end_idle_workers()


def own_private_names() -> set[str]:
    """All names with an underscore that the library gives to things of its own."""
    found = set()
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
                found.add(node.id if isinstance(node, ast.Name) else node.attr)
    return {name for name in found if is_private(name)}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def foreign_private_names(source: str, own: set[str]) -> list[str]:
    """The private names of other packages that a source takes: attributes, imports, and texts for ``getattr``."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            found += [node.attr] * is_private(node.attr)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
            texts = [each.value for each in node.args[1:2] if isinstance(each, ast.Constant)]
            found += [text for text in texts if is_private(text)]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names]
            names = [f"{node.module}.{name}" for name in names] if isinstance(node, ast.ImportFrom) else names
            parts = [(name, set(name.split("."))) for name in names if not name.startswith(("hbaclib.", "__future__."))]
            found += [name for name, of in parts if of & PRIVATE_MODULES or any(map(is_private, of))]
    return [name for name in found if name not in own | PUBLIC]


@pytest.mark.parametrize(
    "source",
    [
        "model._flatten_layers()",
        "getattr(model, '_functional', None)",
        "from keras.src.random import seed_generator",
        "def f():\n    import tensorflow.python.framework",
        "from joblib.externals.loky import get_reusable_executor",
        "from sklearn import _loss",
        "self._upload_blob()",
    ],
)
def test_a_private_name_of_another_package_is_seen(source: str) -> None:
    assert foreign_private_names(source, own_private_names())


def test_no_private_name_of_another_package_is_used_outside_compat() -> None:
    paths = [path for name, path in modules().items() if not name.startswith("hbaclib.compat")] + NOTEBOOKS
    own = own_private_names()
    used = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in paths
        for name in foreign_private_names(path.read_text(encoding="utf-8"), own)
    }
    assert used == set(), "put it behind a function of hbaclib/compat, with a test here"


def test_compat_imports_no_other_package_before_it_is_asked() -> None:
    for path in sorted((PACKAGE / "compat").glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= {"hbaclib", *sys.stdlib_module_names}, path.name
