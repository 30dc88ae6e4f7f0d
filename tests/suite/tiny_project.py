"""A project of two small notebooks, to test the runner without the real ones."""

from __future__ import annotations

from pathlib import Path

import nbformat

TABLE = """
schema = 1
[notebooks.11_first]
title = "First"
after = []
accelerator = "none"
[notebooks.12_second]
title = "Second"
after = ["11_first"]
accelerator = "none"
[notebooks.13_last]
title = "Last"
after = ["12_second"]
accelerator = "none"
reads = ["test"]
publishes = ["submission.csv"]
[suites.tiny]
about = "two cells"
[[suites.tiny.stages]]
notebook = "12_second"
[[suites.tiny.stages]]
notebook = "11_first"
parameters = { value = 3 }
[suites.whole]
about = "three cells, the last of which reads data"
[[suites.whole.stages]]
notebook = "11_first"
[[suites.whole.stages]]
notebook = "12_second"
[[suites.whole.stages]]
notebook = "13_last"
"""

FIRST = """
from pathlib import Path
from hbaclib.artefacts import write_manifest, write_text
folder = Path(out) / "11_first"
write_text(folder / "value.txt", str(value))
with open(Path(out) / "log.txt", "a") as log:
    log.write("first ")
write_manifest(folder, "11_first", inputs={}, parameters={"value": value}, outputs=["value.txt"]).digest
"""

SECOND = """
from pathlib import Path
from hbaclib.artefacts import read_manifest, write_manifest, write_text
from hbaclib.errors import DataError
folder = Path(out) / stage
value = int((Path(out) / "11_first" / "value.txt").read_text())
if value < 0:
    raise DataError(f"value.txt: found {value}, expected 0 or more")
write_text(folder / "square.txt", str(value * value))
with open(Path(out) / "log.txt", "a") as log:
    log.write("second ")
inputs = {"first": read_manifest(Path(out) / "11_first").digest}
write_manifest(folder, stage, inputs=inputs, parameters={}, outputs=["square.txt"]).digest
"""

LAST = """
from pathlib import Path
from hbaclib.artefacts import read_manifest, write_manifest, write_text
from hbaclib.platform import find_data
folder, source = Path(out) / stage, find_data(data, out)
rows = (source / "test.csv").read_text().split()
size = sum(path.read_bytes().count(b"x") for path in source.glob("test_eegs/*"))
write_text(folder / "submission.csv", " ".join([*rows, str(size), ""]))
write_text(Path(out) / "submission.csv", (folder / "submission.csv").read_text())
with open(Path(out) / "log.txt", "a") as log:
    log.write("last ")
inputs = {"second": read_manifest(Path(out) / "12_second").digest}
write_manifest(folder, stage, inputs=inputs, parameters={}, outputs=["submission.csv"]).digest
"""


def write_notebook(path: Path, parameters: str, body: str) -> None:
    """Write a notebook with a parameters cell and one other."""
    cells = [nbformat.v4.new_code_cell(parameters, id="parameters"), nbformat.v4.new_code_cell(body, id="body")]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def make_project(root: Path) -> Path:
    """Write the project's table and notebooks."""
    (root / "kaggle").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "kaggle" / "suite.toml").write_text(TABLE)
    write_notebook(root / "notebooks" / "11_first.ipynb", 'out = ""\nvalue = 1', FIRST)
    write_notebook(root / "notebooks" / "12_second.ipynb", 'out = ""\nstage = ""', SECOND)
    write_notebook(root / "notebooks" / "13_last.ipynb", 'out = ""\nstage = ""\ndata = ""', LAST)
    return root
