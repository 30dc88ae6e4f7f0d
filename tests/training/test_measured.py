import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from hbaclib.training.measured import StepTimes, begin_memory, hardware, peak_memory


def times_of(seconds, tracing=0.0, batch=32):
    times = StepTimes(batch)
    times.tracing += tracing
    for value in seconds:
        times.step(value)
    return times.facts()


def test_the_first_steps_trace_and_the_others_are_usual():
    facts = times_of([40.0, 5.0, 0.5, 0.25, 9.0, 0.25, 0.125])
    assert facts == {"trace_seconds": 44.5, "step_seconds": 0.25, "images_per_second": 128.0}
    assert times_of([40.0, 5.0, 0.25], tracing=3.0)["trace_seconds"] == 47.5
    assert times_of([0.1, 0.1, 0.25])["trace_seconds"] == 0.0
    assert times_of([1.0, 1.0, 0.0])["images_per_second"] is None


@pytest.mark.parametrize("seconds", [[], [3.0], [3.0, 1.0]])
def test_no_usual_step_tells_nothing(seconds):
    assert set(times_of(seconds, tracing=1.0).values()) == {None}


def test_memory_and_device_of_a_cpu(monkeypatch):
    begin_memory(())
    assert hardware(()) == "CPU" and hardware(("CPU:0",)) == "CPU"
    assert peak_memory(()) > 100
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory(()) is None


@pytest.mark.parametrize(
    ("devices", "names", "peak", "counted"),
    [
        ((), "Tesla T4", 3, ["GPU:0"]),
        (("GPU:1",), "GPU", 5, ["GPU:1"]),
        (("GPU:0", "GPU:1"), "Tesla T4, GPU", 5, ["GPU:0", "GPU:1"]),
        (("/device:GPU:1",), "GPU", 5, ["GPU:1"]),
    ],
)
def test_memory_and_device_of_gpus(devices, names, peak, counted, monkeypatch):
    reset = []
    fake = SimpleNamespace(
        list_physical_devices=lambda kind: ["first", "second"],
        list_logical_devices=lambda kind: ["first", "second"],
        experimental=SimpleNamespace(
            reset_memory_stats=reset.append,
            get_memory_info=lambda name: {"peak": {"GPU:0": 3, "GPU:1": 5}[name] * 2**20, "current": 1},
            get_device_details=lambda device: {"device_name": "Tesla T4"} if device == "first" else {},
        ),
    )
    with monkeypatch.context() as patch:
        patch.setattr(tf, "config", fake)
        begin_memory(devices)
        assert (hardware(devices), peak_memory(devices), reset) == (names, peak, counted)
        assert hardware(("CPU:0",)) == "CPU"


def test_an_allocator_that_keeps_no_account_costs_no_fit(monkeypatch):
    def untold(name):
        raise ValueError("Allocator stats not available")

    experimental = SimpleNamespace(reset_memory_stats=untold, get_memory_info=untold)
    fake = SimpleNamespace(list_logical_devices=lambda kind: ["first"], experimental=experimental)
    with monkeypatch.context() as patch:
        patch.setattr(tf, "config", fake)
        begin_memory(())
        assert peak_memory(()) is None
