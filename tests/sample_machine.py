"""Machines for the tests of the doctor: the facts of two on which everything fits."""

import pathlib

from albert.cli import machine, requirements

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
LINES = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
VOLTA = {"name": "Tesla V100", "memory": 15 << 30, "compute_capability": "7.0"}
HOPPER = {"name": "NVIDIA H200", "memory": 130 << 30, "compute_capability": "9.0"}
OLD = {"numpy": "1.18.5", "protobuf": "3.20.3", "tensorflow": None, "tensorflow-gpu": "1.15.5"}
OLD.update(aiohttp="3.8.6", safetensors="0.4.5")
NEW = {"numpy": "1.26.4", "protobuf": "4.25.9", "tensorflow": "2.15.1", "tensorflow-gpu": None}


def facts(**changes):
    """Returns the Facts of a machine with TensorFlow 2.15 and two GPUs on which everything fits."""
    required = requirements.for_python(changes.get("python", "3.11.7"), LINES)
    others = {**dict.fromkeys(required, "0.9"), "sentencepiece": "0.2.0", "seqeval": "1.2.2"}
    fitting = machine.Facts(
        python="3.11.7",
        required=required,
        versions={**others, **NEW},
        import_errors={},
        tensorflow=machine.TensorFlow("2.15.1", "12.2", "8", [HOPPER, HOPPER]),
        driver_gpus=["NVIDIA H200", "NVIDIA H200"],
        driver_error=None,
        visible_devices=None,
        folder="/work",
        free_bytes=100 << 30,
        num_cpus=8,
        cpu_features=frozenset({"avx2", "avx512_bf16"}),
    )
    return fitting._replace(**changes)


def old_facts(**changes):
    """Returns the Facts of a machine with TensorFlow 1.15 and a V100 on which everything fits."""
    fitting = facts(
        python="3.7.16",
        versions={**facts(python="3.7.16").versions, **OLD},
        tensorflow=machine.TensorFlow("1.15.5", "10", "7", [VOLTA]),
        driver_gpus=["Tesla V100"],
    )
    return fitting._replace(**changes)


def with_versions(given, **changes):
    """Returns the Facts with other versions; `tensorflow_gpu` stands for tensorflow-gpu."""
    changed = {name.replace("_", "-"): version for name, version in changes.items()}
    return given._replace(versions={**given.versions, **changed})
