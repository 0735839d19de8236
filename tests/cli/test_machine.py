"""Tests of albert.cli.machine: versions, packages, TensorFlow and the driver of this machine."""

import os
import sys

import pytest
from sample_machine import VOLTA, facts, old_facts

from albert.cli import machine


def test_facts_hold_the_version_of_every_required_package(monkeypatch):
    import numpy

    monkeypatch.setattr(machine, "run", lambda *_, **__: machine.Answer("", "", None))
    facts = machine.gather_facts()
    assert facts.versions["numpy"] == numpy.__version__
    assert set(facts.versions) == {*facts.required, *machine.TENSORFLOWS}
    assert (
        {"numpy", "protobuf", "sentencepiece"}
        < set(facts.packages)
        == set(facts.required) - {*machine.TENSORFLOWS}
    )


def test_the_reason_of_a_failed_import_is_its_last_line():
    assert machine.import_error("json") is None
    assert "No module named 'no_such_module'" in machine.import_error("no_such_module")


@pytest.mark.parametrize(
    "code, error",
    [
        ("import os; os.kill(os.getpid(), 11)", "ended by SIGSEGV"),
        ("raise TypeError('no descriptors\\n\\nMore: https://...')", "TypeError: no descriptors"),
        ("raise SystemExit(3)", "exit status 3"),
        ("print('No devices were found'); raise SystemExit(6)", "No devices were found"),
    ],
)
def test_the_reason_why_a_command_failed_is_returned(code, error):
    assert machine.run([sys.executable, "-c", code]).error == error


def test_a_command_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(machine, "_TIMEOUT", 0.5)
    answer = machine.run([sys.executable, "-c", "import time; time.sleep(60)"])
    assert answer.error == "no answer in 0.5 seconds"


def test_what_tensorflow_reported_before_it_crashed_is_kept(monkeypatch):
    stdout = 'chatter\n{"version": "1.15.5", "cuda": "10", "cudnn": "7"}\n'
    stderr = "W dso_loader.cc:55] Could not load dynamic library 'libcudnn.so.7'; dlerror: ...\n"
    answer = machine.Answer(stdout, stderr, "ended by SIGABRT")
    monkeypatch.setattr(machine, "run", lambda *_, **__: answer)
    expected = ("1.15.5", "10", "7", None, ("libcudnn.so.7",), "ended by SIGABRT")
    assert machine.ask_tensorflow() == expected


@pytest.mark.parametrize(
    "version, features, precisions",
    [
        ("2.15.1", {"avx512f", "avx512_bf16"}, ["fp32", "bf16"]),
        ("2.15.1", {"amx_bf16"}, ["fp32", "bf16"]),
        ("2.15.1", {"avx512f", "amx_tile"}, ["fp32"]),
        ("2.15.1", set(), ["fp32"]),
        ("1.15.5", {"avx512_bf16", "amx_bf16"}, ["fp32"]),
    ],
)
def test_a_cpu_is_fast_in_bf16_if_it_has_instructions_for_it(version, features, precisions):
    given = facts(tensorflow=machine.TensorFlow(version), cpu_features=frozenset(features))
    assert machine.fast_precisions(given) == precisions


@pytest.mark.parametrize(
    "capability, old, new",
    [
        (None, ["fp32"], ["fp32"]),
        ("6.1", ["fp32"], ["fp32"]),
        ("7.0", ["fp32", "fp16"], ["fp32", "fp16"]),
        ("7.5", ["fp32", "fp16"], ["fp32", "fp16"]),
        ("8.0", ["fp32", "fp16"], ["fp32", "bf16", "fp16"]),
        ("12.0", ["fp32", "fp16"], ["fp32", "bf16", "fp16"]),
    ],
)
def test_a_gpu_is_fast_in_what_its_tensor_cores_compute(capability, old, new):
    gpu = {**VOLTA, "compute_capability": capability}
    assert machine.fast_precisions(old_facts(), gpu) == old
    assert machine.fast_precisions(facts(), gpu) == new


def test_the_features_of_the_cpu_are_read_where_linux_lists_them(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nflags\t\t: fpu avx512_bf16\nbugs\t\t: x\n\nflags\t\t: fpu\n")
    assert machine.read_cpu_features(str(path)) == {"fpu", "avx512_bf16"}
    path.write_text("Features\t: asimd\n")
    assert machine.read_cpu_features(str(path)) == set()
    assert machine.read_cpu_features(str(tmp_path / "missing")) == set()


def put_nvidia_smi(folder, monkeypatch, script):
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_the_driver_names_its_gpus(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, "echo Tesla V100; echo Tesla T4")
    assert machine.ask_driver() == (["Tesla V100", "Tesla T4"], None)


def test_a_driver_that_fails_names_none(tmp_path, monkeypatch):
    put_nvidia_smi(tmp_path, monkeypatch, "echo Failed to initialize NVML; exit 18")
    assert machine.ask_driver() == ([], "Failed to initialize NVML")


def test_a_machine_without_a_driver_has_no_gpus_and_no_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.ask_driver() == ([], None)
