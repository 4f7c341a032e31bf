"""One worker per GPU: which devices, what each sees, what happens when one dies."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from workers import gpu

# Stands for a worker: notes its device and name, beats, and ends when told to by its device's file.
WORKER = """
import os, signal, sys, time
from pathlib import Path
device, beat = os.environ["CUDA_VISIBLE_DEVICES"], Path(os.environ["MSM_HEARTBEAT"])
with (Path.cwd() / device).open("a") as seen:
    print(sys.argv[-1], os.getpid(), file=seen)
while not (Path.cwd() / f"{device}.die").exists():
    beat.touch()
    time.sleep(0.05)
(Path.cwd() / f"{device}.die").unlink()
sys.exit(1)
"""


def eventually(true: Callable[[], bool]) -> None:
    limit = time.monotonic() + 30
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,2"}, ["0", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8a1f, GPU-77b0"}, ["GPU-8a1f", "GPU-77b0"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
    ],
)
def test_what_the_environment_names_is_used(environ: dict[str, str], expected: list[str]) -> None:
    assert gpu.devices(environ) == expected


def test_without_a_name_in_the_environment_every_device_of_the_machine_is_used() -> None:
    import torch

    assert gpu.devices({}) == [str(number) for number in range(torch.cuda.device_count())]


def test_each_worker_sees_its_own_device_and_one_that_dies_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSM_HEARTBEAT", str(tmp_path / "beat"))
    stop = threading.Event()
    runner = threading.Thread(target=gpu.run, args=(["0", "GPU-7"], [sys.executable, "-c", WORKER], stop))
    runner.start()

    def starts(device: str) -> list[list[str]]:
        path = tmp_path / device
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    try:
        eventually((tmp_path / "beat").exists)
        assert [name for name, _ in starts("0")] == ["gpu0"]
        assert [name for name, _ in starts("GPU-7")] == ["gpu1"]
        (tmp_path / "0.die").touch()
        eventually(lambda: len(starts("0")) == 2)
        assert len(starts("GPU-7")) == 1
    finally:
        stop.set()
        runner.join(30)
    for device in ("0", "GPU-7"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(starts(device)[-1][1]), 0)
