"""Tests of albert.jobs.devices: how devices are shared out among runs."""

import pytest

from albert.common.errors import UsageError
from albert.jobs import devices

LISTED = """\
GPU 0: NVIDIA A100 (UUID: GPU-aa-1)
GPU 1: NVIDIA A100 (UUID: GPU-bb-2)
  MIG 3g.20gb     Device  0: (UUID: MIG-cc-3)
  MIG 3g.20gb     Device  1: (UUID: MIG-GPU-bb-2/1/0)
GPU 2: Tesla V100-SXM2-16GB (UUID: GPU-dd-4)
"""


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Returns a function that puts a program of that output and exit status in place of it."""

    def install(output, status=0):
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}END\nexit {status}\n", encoding="utf-8")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return install


def shares(per_run, *arguments, **environment):
    """Returns (CUDA_VISIBLE_DEVICES, arguments) of each slot."""
    slots = devices.slots_for(per_run, arguments, environment)
    return [
        (slot.environment.get("CUDA_VISIBLE_DEVICES"), " ".join(slot.arguments)) for slot in slots
    ]


def test_without_a_number_per_run_there_is_one_slot_that_changes_nothing():
    assert shares(None, "--num_gpu_cores=8", "--strategy_type=multi_worker") == [(None, "")]


@pytest.mark.parametrize(
    "visible, per_run, parts",
    [
        ("0,1,2,3", 1, ["0", "1", "2", "3"]),
        ("3,1", 1, ["3", "1"]),
        ("0,1,2,3,4", 2, ["0,1", "2,3"]),  # one is left over
        ("GPU-a, MIG-b/1/0", 2, ["GPU-a,MIG-b/1/0"]),
        ("0,1,-1,2", 1, ["0", "1"]),
    ],
)
def test_the_gpus_that_the_user_shows_are_split_up(visible, per_run, parts):
    expected = [(part, f"--num_gpu_cores={per_run}") for part in parts]
    assert shares(per_run, CUDA_VISIBLE_DEVICES=visible) == expected


def test_no_more_gpus_are_shared_out_than_asked_for():
    flags = ("--num_gpu_cores=8", "--num_gpu_cores", "2")
    found = shares(1, *flags, CUDA_VISIBLE_DEVICES="4,5,6")
    assert [part for part, _ in found] == ["4", "5"]


def test_gpus_are_those_of_the_driver_where_the_user_shows_none(nvidia_smi):
    nvidia_smi(LISTED)
    expected = ["GPU-aa-1", "MIG-cc-3", "MIG-GPU-bb-2/1/0", "GPU-dd-4"]
    assert [part for part, _ in shares(1)] == expected
    assert [part for part, _ in shares(1, CUDA_VISIBLE_DEVICES="7")] == ["7"]


@pytest.mark.parametrize("visible", ["", "-1"])
def test_where_gpus_are_hidden_the_cpu_is_shared_and_told_to_the_runs(nvidia_smi, visible):
    nvidia_smi(LISTED)
    expected = [(None, "--num_gpu_cores=2 --device_type=cpu")] * 2
    assert shares(2, "--num_gpu_cores=4", CUDA_VISIBLE_DEVICES=visible) == expected


def test_a_cpu_counts_as_two_devices_unless_more_are_asked_for(nvidia_smi):
    nvidia_smi("NVIDIA-SMI has failed because there is no driver.\n", status=9)
    assert [len(shares(per_run)) for per_run in (1, 2, 3)] == [2, 1, 1]
    assert len(shares(1, "--num_gpu_cores=5")) == 5
    assert len(shares(1, "--device_type=cpu", CUDA_VISIBLE_DEVICES="0,1,2")) == 2


@pytest.mark.parametrize(
    "per_run, arguments, number",
    [(2, ["--num_gpu_cores=8"], 2), (None, ["--num_gpu_cores=8"], 8), (None, ["--seed=3"], 1)],
)
def test_job_of_slurm_asks_for_the_devices_of_a_run(per_run, arguments, number):
    assert devices.count_for_slurm(per_run, arguments) == number


def test_job_of_slurm_needs_a_number_of_devices():
    with pytest.raises(UsageError, match="^--num_gpu_cores=all is not a number of devices.$"):
        devices.count_for_slurm(None, ["--num_gpu_cores=all"])


@pytest.mark.parametrize(
    "per_run, arguments, environment, message",
    [
        (
            3,
            [],
            {"CUDA_VISIBLE_DEVICES": "0,1"},
            r"--gpus_per_run=3 is more than the 2 device\(s\)",
        ),
        (3, ["--num_gpu_cores=2", "--device_type=cpu"], {}, "--gpus_per_run=3 is more than the 2"),
        (
            1,
            ["--num_gpu_cores=3"],
            {"CUDA_VISIBLE_DEVICES": "0"},
            r"=3, but 1 GPU\(s\) are visible",
        ),
        (1, ["--num_gpu_cores=x"], {}, "--num_gpu_cores=x is not a number of devices."),
        (1, ["--num_gpu_cores=0"], {}, "--gpus_per_run=1 is more than the 0 device"),
        (1, ["--device_type=gpu"], {"CUDA_VISIBLE_DEVICES": ""}, "=gpu, but there is no GPU"),
        (
            1,
            ["--strategy_type=multi_worker"],
            {},
            "^--strategy_type=multi_worker excludes --gpus_p",
        ),
    ],
)
def test_impossible_request_is_refused(per_run, arguments, environment, message):
    environment.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(UsageError, match=message):
        devices.slots_for(per_run, arguments, environment)
