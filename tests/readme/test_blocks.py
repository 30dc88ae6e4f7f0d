"""Every block of the READMEs is executed somewhere, but for one."""

from __future__ import annotations

import re
import shutil

from hbaclib.suite.table import SuiteTable
from tests.readme.blocks import FILES, LANGUAGES, ROOT, SHOWN, read_blocks
from tests.readme.install import pip_blocks

EVERY = [block for file in FILES for block in read_blocks(file)]


def test_one_block_alone_is_skipped():
    (skipped,) = [block for block in EVERY if block.kind == "skipped"]
    assert skipped.code.partition("#")[0].strip() == "make test"


def test_every_language_is_known():
    assert {block.language for block in EVERY} <= {*LANGUAGES, *SHOWN}
    assert sum(block.kind == "run" for block in EVERY) >= 10


def test_blocks_within_lists_are_found():
    # As many as lines that open or close a fence, at whatever indentation.
    for file in FILES:
        fences = re.findall(r"^ *```", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(read_blocks(file))
        lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
        for block in read_blocks(file):
            assert lines[block.line - 1].strip() == block.code.splitlines()[0].strip()


def test_blocks_that_install_are_a_part_of_continuous_integration():
    installing = [block for block in EVERY if block.kind == "install"]
    assert all(len(block.code.strip().splitlines()) == 1 for block in installing), "mixed with what is run elsewhere"
    others = [block.code.partition("#")[0].strip() for block in installing if block not in pip_blocks()]
    assert others == ["make demo"] and pip_blocks()
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for words in ("python -m tests.readme.install", "make demo"):
        assert words in script, f".ci/run does not call `{words}`"


def test_the_table_of_the_instructions_is_one(tmp_path):
    (block,) = [block for block in EVERY if block.language == "toml"]
    root = tmp_path / "project"
    shutil.copytree(ROOT / "kaggle", root / "kaggle")
    (root / "notebooks").symlink_to(ROOT / "notebooks")
    table = root / "kaggle" / "suite.toml"
    whole = table.read_text(encoding="utf-8")
    # In place of the stage of this name: from its head to the next one's.
    parts = re.split(r"(?=^\[\[suites\.)", whole, flags=re.MULTILINE)
    place = [k for k, part in enumerate(parts) if part.startswith("[[suites.full") and 'name = "05_kerascv"' in part]
    assert len(place) == 1
    parts[place[0]] = block.code + "\n"
    table.write_text("".join(parts), encoding="utf-8")
    stage = next(stage for stage in SuiteTable(root).suite("full").stages if stage.name == "05_kerascv")
    assert len(stage.models) == 2 and stage.parameters["weights"] == "imagenet"


def test_the_files_of_the_instructions_are_those_that_training_looks_for():
    from efficientnet.weights import IMAGENET_WEIGHTS_PATH, NS_WEIGHTS_PATH

    from hbaclib.models.efficientnet import PUBLISHED

    text = (ROOT / "kaggle" / "README.md").read_text(encoding="utf-8")
    for model in ("efficientnet-b0", "efficientnet-b4"):
        assert PUBLISHED["noisy-student"].format(model=model) in text
    assert PUBLISHED["imagenet"].format(model="efficientnet-b0") in text
    for address in (NS_WEIGHTS_PATH, IMAGENET_WEIGHTS_PATH):
        assert address.replace("/download/", "/tag/").rstrip("/") in text
