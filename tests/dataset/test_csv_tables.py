"""The strict reader of CSV files: the same cells by both ways through it, and what is no such table is named."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbaclib.dataset.csv_tables import csv_columns, read_text_csv, read_typed_csv
from hbaclib.errors import DataFileError

COLUMNS = ("a", "b", "c")


def read(folder: Path, content: str | bytes) -> list[list[str]]:
    path = folder / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return [list(row.values()) for row in read_text_csv(path, COLUMNS).cells.to_pylist()]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_every_ending_of_lines_and_quotes_give_the_same_cells(
    tmp_path: Path, ending: str, quoted: bool, last: bool
) -> None:
    first = '"1"' if quoted else "1"
    content = ending.join(["a,b,c", f"{first},x y,", "", " 007 ,NaN,3.0"]) + (ending if last else "")
    assert read(tmp_path, content) == [["1", "x y", ""], ["007", "NaN", "3.0"]]


CELL = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(CELL, min_size=3, max_size=3).filter(any), min_size=1, max_size=5))
def test_what_the_csv_module_writes_is_read_back(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([COLUMNS, *rows])
    assert read(tmp_path_factory.mktemp("csv"), text.getvalue()) == [list(row) for row in rows]


def test_a_line_feed_in_quotes_is_no_new_row(tmp_path: Path) -> None:
    assert read(tmp_path, 'a,b,c\n1,"x\ny",3\n4,5,6\n') == [["1", "x\ny", "3"], ["4", "5", "6"]]
    with pytest.raises(DataFileError, match="row 2: 2 fields, expected 3"):
        read(tmp_path, 'a,b,c\n1,"x\ny",3\n4,5\n')


def test_rows_of_another_length_are_all_counted_and_some_named(tmp_path: Path) -> None:
    content = "a,b,c\n" + "1,2,3\n1,2,3,4\n" * 12
    with pytest.raises(DataFileError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert "row 2: 4 fields, expected 3\n  row 4: 4 fields" in message
    assert "and 4 more such rows of 24" in message
    assert "row 1:" not in message


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",c,b,a\n0,3,2,1\n")
    found = read_text_csv(path, COLUMNS)
    assert found.cells.to_pylist() == [{"a": "1", "b": "2", "c": "3"}]
    assert found.note is not None and "Unnamed: 0" in found.note
    assert csv_columns(path) == ["Unnamed: 0", "c", "b", "a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b"a,b,c\n\n", "a header and no rows"),
        (b"a;b;c\n1;2;3\n", "separated by ';', expected ','"),
        (b"a\tb\tc\n1\t2\t3\n", "separated by tabs"),
        (b"a|b|c\n1|2|3\n", r"separated by '\|'"),
        (b'"a";"b";"c"\n"1";"2";"3"\n', "separated by ';'"),
        (b"a,b,c\n1,2,\xff\n", r"byte 0xff in row 1 is not UTF-8"),
        ("a,b,c\n1,2,3\n".encode("utf-16-le"), "text in UTF-16 without a mark in the header"),
        ("a,b,c\n1,2,3\n".encode("utf-16"), "text in UTF-16"),
        (b"a,b,c\n1,2,3\n\0\n", "a NUL byte in row 2"),
        (b"PK\x03\x04...", "a ZIP archive or an Excel workbook"),
        (b"  <HTML><body>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "a pointer of Git LFS"),
        (b'a,b,c\n1,"2,3\n', "row 1: a quotation mark that is never closed"),
        (b'a,b,c\n1,2,3\n1,"2"x,3\n', "row 2: ',' expected after"),
        (b"a,b,b,c\n1,2,3,4\n", "column b occurs more than once"),
    ],
)
def test_what_is_no_such_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataFileError, match=message):
        read(tmp_path, content)


def test_places_that_hold_no_file(tmp_path: Path) -> None:
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    for path, message in {
        tmp_path: "a folder",
        tmp_path / "none.csv": "no such file; expected the columns a, b, c",
        tmp_path / "loop.csv": "cannot be read",
        "a\0b.csv": "cannot be read",
    }.items():
        with pytest.raises(DataFileError, match=message):
            read_text_csv(path, COLUMNS)


def test_a_row_longer_than_a_block(tmp_path: Path) -> None:
    long = "x" * 5_000_000
    assert read(tmp_path, f"a,b,c\n1,{long},3\n4,5,6\n") == [["1", long, "3"], ["4", "5", "6"]]


def test_tables_of_ours_keep_the_types_that_pandas_finds(tmp_path: Path) -> None:
    table = pd.DataFrame({"name": ["a", "b, c"], "kl": [0.1, None], "n": [1, 2]})
    table.to_csv(tmp_path / "t.csv", index=False)
    pd.testing.assert_frame_equal(read_typed_csv(tmp_path / "t.csv", ["kl"]), table)
    with pytest.raises(DataFileError, match="column loss missing"):
        read_typed_csv(tmp_path / "t.csv", ["loss"])
