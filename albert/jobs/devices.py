"""Shares the devices of a machine out among runs. TensorFlow, which would take a GPU, stays out."""

import re
import shutil
import subprocess
from typing import List, Mapping, NamedTuple, Optional, Sequence

from albert.common.errors import UsageError
from albert.jobs.job import last_value

CPU = "the CPU"  # Slot.where, of runs that share it

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_TIMEOUT = 60  # seconds; drivers that are not kept loaded take some
_CPU_DEVICES = 2  # a CPU counts as any number of devices; NUM_GPUS of the scripts is 2, too


class Slot(NamedTuple):
    """The devices of one run at a time.

    Attributes:
        where: they in words, such as "GPU 2" or CPU; "" for what the run chooses by itself.
        arguments: for the run.
        environment: {variable: value} for the run.
    """

    where: str = ""
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = {}


def slots_for(
    per_run: Optional[int], arguments: Sequence[str], environment: Mapping[str, str]
) -> List[Slot]:
    """Returns a Slot for each run that can go on at a time.

    Args:
        per_run: devices of a run; None for one run at a time, on what it chooses by itself.
        arguments: those of every run. --num_gpu_cores says how many devices to share out, without
            it all GPUs are; --device_type says which.
        environment: of this process. The GPUs that its CUDA_VISIBLE_DEVICES lists are shared out;
            they may be of any form, since they are only split.

    Raises:
        UsageError: there are too few devices, or the runs would go over several machines.
    """
    if per_run is None:
        return [Slot()]
    check_one_machine(arguments)
    asked_for, device_type = _devices_in(arguments), last_value(arguments, "device_type")
    gpus = [] if device_type == "cpu" else visible_gpus(environment)
    if device_type == "gpu" and not gpus:
        raise UsageError("--device_type=gpu, but there is no GPU; --device_type=cpu needs none.")
    default = len(gpus) or max(_CPU_DEVICES, per_run)
    num_devices = default if asked_for is None else asked_for
    if gpus and num_devices > len(gpus):
        raise UsageError(f"--num_gpu_cores={num_devices}, but {len(gpus)} GPU(s) are visible.")
    if per_run > num_devices:
        raise UsageError(f"--gpus_per_run={per_run} is more than the {num_devices} device(s).")
    share = [f"--num_gpu_cores={per_run}"]
    starts = range(0, num_devices - per_run + 1, per_run)
    if not gpus:
        return [Slot(CPU, [*share, "--device_type=cpu"]) for _ in starts]
    parts = [",".join(gpus[start : start + per_run]) for start in starts]
    return [Slot(f"GPU {part}", share, {_VISIBLE: part}) for part in parts]


def check_one_machine(arguments: Sequence[str]) -> None:
    """Raises UsageError if every run would go over several machines."""
    strategy = last_value(arguments, "strategy_type")
    if strategy == "multi_worker":
        raise UsageError(
            f"--strategy_type={strategy} excludes --gpus_per_run and --slurm: a run of those "
            "stays on one machine."
        )


def visible_gpus(environment: Mapping[str, str]) -> List[str]:
    """Returns the GPUs that programs may use, each as CUDA_VISIBLE_DEVICES names it."""
    listed = environment.get(_VISIBLE)
    if listed is None:
        return installed_gpus()
    names = [name.strip() for name in listed.split(",")]
    end = next((i for i, name in enumerate(names) if name in ("", "-1")), len(names))
    return names[:end]  # CUDA, too, ends at the first that there is not


def installed_gpus() -> List[str]:
    """Returns the UUIDs of the machine's GPUs, or of their MIG devices where they have some."""
    if not shutil.which("nvidia-smi"):
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_TIMEOUT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError("nvidia-smi -L does not answer: set CUDA_VISIBLE_DEVICES.") from error
    text = done.stdout.decode(errors="replace")
    found = re.findall(r"(?m)^\s*(GPU|MIG) .*\(UUID: ([\w/-]+)\)", text)
    gpus: List[str] = []
    for kind, uuid in found:
        if kind == "MIG" and gpus and gpus[-1].startswith("GPU-"):
            gpus.pop()  # it is split up, and cannot be used as a whole
        gpus.append(uuid)
    return gpus


def count_for_slurm(per_run: Optional[int], arguments: Sequence[str]) -> int:
    """Returns the number of devices that a job of Slurm must ask for.

    Raises:
        UsageError: --num_gpu_cores is not a number.
    """
    return per_run or _devices_in(arguments) or 1


def _devices_in(arguments: Sequence[str]) -> Optional[int]:
    """Returns the number that --num_gpu_cores gives; None if it is not given."""
    text = last_value(arguments, "num_gpu_cores")
    if text is not None and not re.fullmatch("[0-9]{1,6}", text):
        raise UsageError(f"--num_gpu_cores={text} is not a number of devices.")
    return None if text is None else int(text)
