"""``hbac predict`` on tiny trained networks: its table is what `hbaclib.predict` says of windows cut by hand."""

from __future__ import annotations

import io
import shutil
import sys

import numpy as np
import pandas as pd
import pytest

from hbaclib import kaggle_spectrogram, predict, read_eeg, read_spectrogram
from hbaclib.cli import predict as cli_predict
from hbaclib.conventions import EEG_COLUMNS, SUBMISSION_COLUMNS, VOTE_COLUMNS
from hbaclib.models import registry
from tests.cli.predicting import call, shares, table
from tests.dataset.tiny import random_eeg, random_spectrogram, write_eeg, write_spectrogram, write_tiny

COLUMNS = ["file", "start_second", *VOTE_COLUMNS, "reason"]


@pytest.fixture(scope="module")
def trained(tiny_run):
    return {"both": tiny_run / "both", "eeg": tiny_run / "eeg", "ensemble": tiny_run / "07_ensemble"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five recordings of 50 s in a folder, one of 700 s beside it."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in "abcde":
        write_eeg(root / "eegs" / f"{name}.parquet", random_eeg(rng))
        write_spectrogram(root / "spectrograms" / f"{name}.parquet", random_spectrogram(rng))
    write_eeg(root / "long.parquet", random_eeg(rng, 140_000))
    write_spectrogram(root / "long-spectrogram.parquet", random_spectrogram(rng, 500))
    return root


def ten_minutes(eeg: np.ndarray) -> np.ndarray:
    """The spectrogram around 50 s of EEG, as far as they reach."""
    rows = np.full((300, 400), np.nan, np.float32)
    rows[138:162] = kaggle_spectrogram(eeg, first_centre=2.0)
    return rows


def read_all(data, names="abcde"):
    eegs = np.stack([read_eeg(data / "eegs" / f"{name}.parquet") for name in names])
    return eegs, np.stack([read_spectrogram(data / "spectrograms" / f"{name}.parquet") for name in names])


@pytest.mark.parametrize("kind", ["both", "eeg", "ensemble"])
def test_a_folder_of_recordings_with_spectrogram_files(trained, data, tmp_path, kind):
    out = tmp_path / "new" / "shares.csv"
    answer = call(trained[kind], data / "eegs", "--spectrogram", data / "spectrograms", "--out", out)
    assert answer.exit_code == 0 and answer.stdout == ""
    found = pd.read_csv(out)
    assert list(found.columns) == COLUMNS
    assert found["file"].tolist() == [str(data / "eegs" / f"{name}.parquet") for name in "abcde"]
    assert (found["start_second"] == 0).all() and list(out.parent.iterdir()) == [out]
    expected = predict(trained[kind], *read_all(data))
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(shares(found), expected, atol=1e-7)


def test_rows_do_not_depend_on_each_other_nor_on_chunks(trained, data, monkeypatch):
    given = trained["ensemble"], data / "eegs", "--spectrogram", data / "spectrograms"
    whole = table(*given)
    monkeypatch.setattr(cli_predict, "_CHUNK", 2)
    pd.testing.assert_frame_equal(table(*given), whole, check_exact=True)
    one = data / "eegs" / "c.parquet"
    alone = table(trained["ensemble"], one, "--spectrogram", data / "spectrograms" / "c.parquet")
    pd.testing.assert_frame_equal(alone, whole.iloc[[2]].reset_index(drop=True), check_exact=True)


def test_the_networks_are_loaded_once_and_recordings_read_once(trained, data, monkeypatch):
    from hbaclib.prediction import windows
    from hbaclib.prediction.predictor import Predictor

    loaded, read = [], []
    load, open_recording = Predictor.load, windows.open_recording
    monkeypatch.setattr(Predictor, "load", lambda folder: loaded.append(folder.name) or load(folder))
    monkeypatch.setattr(
        windows,
        "open_recording",
        lambda path, *given, **options: read.append(path.stem) or open_recording(path, *given, **options),
    )
    monkeypatch.setattr(cli_predict, "_CHUNK", 2)
    table(trained["ensemble"], data / "eegs", "--spectrogram", data / "spectrograms")
    assert sorted(loaded) == ["both", "eeg"] and read == list("abcde")


def test_spectrograms_of_short_recordings_are_computed_as_for_training(trained, data):
    answer = call(trained["both"], data / "eegs" / "a.parquet", data / "eegs" / "b.parquet")
    assert answer.exit_code == 0 and "computed from the EEG" in answer.stderr
    eegs, _ = read_all(data, "ab")
    expected = predict(trained["both"], eegs, np.stack([ten_minutes(eeg) for eeg in eegs]))
    np.testing.assert_allclose(shares(pd.read_csv(io.StringIO(answer.stdout))), expected, atol=1e-7)


@pytest.mark.parametrize(("window", "second"), [("centre", 325.0), ("325", 325.0), ("330.5", 330.5), ("302", 302.0)])
def test_spectrogram_of_a_long_recording_is_centred_on_the_window(trained, data, window, second):
    found = table(trained["both"], data / "long.parquet", "--window", window, "--spectrogram", "from_eeg")
    assert found["start_second"].tolist() == [second]
    eeg = read_eeg(data / "long.parquet")
    # Row 0 of the ten minutes is centred 274 s before the window begins.
    power = kaggle_spectrogram(eeg, first_centre=second - 274)[:300]
    start = round(200 * second)
    expected = predict(trained["both"], eeg[None, start : start + 10_000], power[None])
    np.testing.assert_allclose(shares(found), expected, atol=1e-6)


def test_sliding_windows_in_a_spectrogram_file(trained, data):
    given = trained["both"], data / "long.parquet", "--window", "sliding", "--step", 50
    given = *given, "--spectrogram", data / "long-spectrogram.parquet"
    begins = table(*given, "--eeg-begins", 276)
    assert begins["start_second"].tolist() == list(range(0, 651, 50))
    eeg, rows = read_eeg(data / "long.parquet"), read_spectrogram(data / "long-spectrogram.parquet")
    padded = np.concatenate([rows, np.full((200, 400), np.nan, np.float32)])
    # Half a row (1 s) off the grid goes to the next row.
    firsts = [round(second / 2) + 1 for second in range(0, 651, 50)]
    windows = np.stack([eeg[10_000 * k : 10_000 * (k + 1)] for k in range(14)])
    expected = predict(trained["both"], windows, np.stack([padded[first : first + 300] for first in firsts]))
    np.testing.assert_allclose(shares(begins), expected, atol=1e-7)
    # Without a word both have one centre: 1,000 s of spectrogram, 700 s of EEG.
    pd.testing.assert_frame_equal(table(*given), table(*given, "--eeg-begins", 150), check_exact=True)
    answer = call(*given, "--eeg-begins", 2000)
    assert answer.exit_code == 1 and "EEG beginning at second 2000; expected the ten minutes" in answer.stderr


def test_networks_of_the_eeg_alone_read_no_spectrogram(trained, data):
    found = table(trained["ensemble"], data / "eegs", "--spectrogram", "none")
    np.testing.assert_allclose(shares(found), predict(trained["eeg"], read_all(data)[0]), atol=1e-6)
    assert call(trained["eeg"], data / "eegs").stderr == ""


def test_rows_of_test_csv(trained, tmp_path):
    write_tiny(tmp_path, n_test=3)
    (tmp_path / "train.csv").unlink()
    found = table(trained["both"], tmp_path)
    assert tuple(found.columns) == (*SUBMISSION_COLUMNS, "reason") and found["eeg_id"].tolist() == [80, 81, 82]
    eegs = np.stack([read_eeg(tmp_path / "test_eegs" / f"{name}.parquet") for name in (80, 81, 82)])
    files = [read_spectrogram(tmp_path / "test_spectrograms" / f"{name}.parquet") for name in (90, 91, 92)]
    np.testing.assert_allclose(shares(found), predict(trained["both"], eegs, np.stack(files)), atol=1e-7)
    computed = predict(trained["both"], eegs, np.stack([ten_minutes(eeg) for eeg in eegs]))
    again = table(trained["both"], tmp_path, "--spectrogram", "from_eeg")
    np.testing.assert_allclose(shares(again), computed, atol=1e-7)
    assert np.abs(shares(again) - shares(found)).max() > 1e-3
    answer = call(trained["both"], tmp_path, "--window", "sliding")
    assert answer.exit_code == 2 and "test.csv names windows" in answer.stderr


def test_faulty_files_are_named_and_the_others_predicted(trained, data, tmp_path):
    rng = np.random.default_rng(1)
    write_eeg(tmp_path / "eegs" / "short.parquet", random_eeg(rng, 9_000))
    (tmp_path / "eegs" / "torn.parquet").write_bytes(b"PAR1 torn")
    write_eeg(tmp_path / "eegs" / "whole.parquet", random_eeg(rng)[:, ::-1], EEG_COLUMNS[::-1])
    out = tmp_path / "shares.csv"
    answer = call(trained["eeg"], tmp_path / "eegs", data / "eegs" / "a.parquet", "--out", out)
    assert answer.exit_code == 1 and "Traceback" not in answer.output
    assert "short.parquet: 9000 samples; expected at least 10000" in answer.stderr
    assert "torn.parquet: not a whole Parquet file" in answer.stderr
    assert "whole.parquet: columns in another order" in answer.stderr
    assert "2 of 4 recordings could not be predicted" in answer.stderr
    found = pd.read_csv(out)
    assert found["file"].map(lambda name: name.rsplit("/", 1)[-1]).tolist() == ["whole.parquet", "a.parquet"]
    np.testing.assert_allclose(shares(found)[1:], predict(trained["eeg"], read_all(data, "a")[0]), atol=1e-7)


def test_a_mistake_is_one_line_and_leaves_no_file(trained, data, tmp_path):
    eeg, out = data / "eegs" / "a.parquet", tmp_path / "out" / "shares.csv"
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    (tmp_path / "other.csv").write_text("no manifest\n")
    cases = [
        (
            (tmp_path / "none", eeg),
            "none: no such folder; expected manifest.json (of a trained network) or ensemble.json",
        ),
        ((tmp_path, eeg), "no finished stage; expected manifest.json"),
        ((trained["eeg"], data / "x.parquet"), "x.parquet: no such file or folder; expected EEG files"),
        ((trained["eeg"], tmp_path / "empty"), "empty: found nothing; expected *.parquet"),
        ((trained["eeg"], tmp_path / "torn.parquet"), "torn.parquet: not a whole Parquet file"),
        ((trained["eeg"], eeg, "--window", "0.5"), "a.parquet: 10000 samples; expected at least 10100"),
        (
            (trained["both"], eeg, "--spectrogram", "none"),
            "see Kaggle spectrograms; expected networks of the EEG alone",
        ),
        ((trained["both"], eeg, "--spectrogram", data / "nowhere"), "nowhere: no such file or folder"),
        ((trained["both"], eeg, "--spectrogram", eeg), "column time, LL_0.59"),
        ((trained["both"], data / "eegs", "--spectrogram", eeg), "one spectrogram for 5 EEG files"),
    ]
    for words, message in cases:
        answer = call(*words, "--out", out)
        assert answer.exit_code == 1, words
        lines = [line for line in answer.stderr.splitlines() if "computed from the EEG" not in line]
        assert len(lines) == 1 and lines[0].startswith("hbac: ") and message in lines[0], answer.stderr
        assert not out.parent.exists() or not list(out.parent.iterdir())


def test_nothing_predicted_is_no_table(trained, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.parquet").write_bytes(b"PAR1 torn")
    answer = call(trained["eeg"], tmp_path, "--out", tmp_path / "shares.csv")
    assert answer.exit_code == 1 and "none of 2 recordings could be predicted" in answer.stderr
    assert not list(tmp_path.glob("*.csv"))


def test_torn_weights(trained, data, tmp_path):
    copy = tmp_path / "eeg"
    shutil.copytree(trained["eeg"], copy)
    (copy / "fold-1.weights.h5").write_bytes(b"torn")
    answer = call(copy, data / "eegs" / "a.parquet")
    assert answer.exit_code == 1 and "weights cannot be loaded" in answer.stderr and answer.stdout == ""


@pytest.fixture
def unregistered(monkeypatch):
    """The library as a new process has it, without the network that the trained folders hold."""
    monkeypatch.setattr(registry, "_FAMILIES", {k: v for k, v in registry._FAMILIES.items() if k != "tiny"})
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_network_of_ones_own_is_served_once_its_module_is_imported(
    trained, data, tmp_path, monkeypatch, unregistered
):
    eeg, kept = data / "eegs" / "a.parquet", list(sys.path)
    (tmp_path / "layers_of_mine.py").write_text("from tests.training.tiny import tiny_features\n")
    register = "register_model('tiny', tiny_features, layouts=('stem', 'tiled'))\n"
    header = "from hbaclib import register_model\nfrom layers_of_mine import tiny_features\n"
    (tmp_path / "networks_of_mine.py").write_text(header + register)
    (tmp_path / "others_of_mine.py").write_text("")
    answer = call(trained["eeg"], eeg)
    assert answer.exit_code == 1 and len(answer.stderr.splitlines()) == 1
    assert "eeg: model 'tiny' is unknown; " in answer.stderr and "--module FILE.py" in answer.stderr
    answer = call(trained["ensemble"], eeg, "--module", tmp_path / "others_of_mine.py")
    assert answer.exit_code == 1 and "model 'tiny' is unknown" in answer.stderr
    given = "--module", tmp_path / "others_of_mine.py", "--module", tmp_path / "networks_of_mine.py"
    by_path = table(trained["eeg"], eeg, *given)
    np.testing.assert_allclose(shares(by_path), predict(trained["eeg"], read_all(data, "a")[0]), atol=1e-7)
    # By its name, from the working folder.
    registry._FAMILIES.pop("tiny")
    monkeypatch.setattr(sys, "path", kept)
    monkeypatch.chdir(tmp_path)
    pd.testing.assert_frame_equal(table(trained["eeg"], eeg, "--module", "networks_of_mine"), by_path, check_exact=True)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.py", None, "none.py: no such file, expected a Python file"),
        ("notes.txt", "", "notes.txt: no such file, expected a Python file"),
        ("no_such_module_of_mine", None, "cannot be imported (ModuleNotFoundError: No module named"),
        ("half.py", "def f(:", "half.py: cannot be imported (SyntaxError: "),
        ("lacks.py", "import no_such_module_of_mine", "lacks.py: cannot be imported (ModuleNotFoundError: "),
        ("ends.py", "raise SystemExit(3)", "ends.py: cannot be imported (SystemExit: 3)"),
        (
            "takes.py",
            "from hbaclib import register_model\nregister_model('wavenet', print)",
            "model 'wavenet' belongs to the library; choose another name",
        ),
    ],
)
def test_a_module_that_cannot_be_imported_is_one_line(trained, data, tmp_path, unregistered, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    given = tmp_path / name if "." in name else name
    answer = call(trained["eeg"], data / "eegs" / "a.parquet", "--module", given, "--out", tmp_path / "shares.csv")
    assert answer.exit_code == 1 and len(answer.stderr.splitlines()) == 1, answer.stderr
    assert answer.stderr.startswith("hbac: --module ") and message in answer.stderr
    assert not (tmp_path / "shares.csv").exists()


@pytest.mark.parametrize(
    "words",
    [["--window", "middle"], ["--window", "nan"], ["--window", "-3"], ["--step", "5"], ["--eeg-begins", "5"]],
)
def test_wrong_usage(data, words):
    answer = call("anything", data / "eegs", *words)
    assert answer.exit_code == 2 and "Usage:" in answer.stderr


def test_interrupted(trained, data, tmp_path, monkeypatch):
    from hbaclib.prediction.predictor import Predictor

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Predictor, "load", stop)
    answer = call(trained["eeg"], data / "eegs", "--out", tmp_path / "shares.csv")
    assert answer.exit_code == 130 and "shares.csv was not written" in answer.stderr
    assert not list(tmp_path.iterdir())
