"""Reports what a run would find on this machine, what does not fit, and what to do about it.

    python -m albert.doctor

The exit status is 0 if everything fits and 1 if something does not.
"""

import argparse
import sys
import textwrap
from typing import Any, Dict, Optional

from albert.cli.complaints import GIB, find_complaints
from albert.cli.machine import Facts, fast_precisions, gather_facts

_WIDTH = 79


def report(facts: Facts) -> str:
    """Returns the Facts of a machine and the complaints about it as lines for a terminal."""
    lines = ["Versions", _row("Python", facts.python)]
    lines += [_row("TensorFlow", _tensorflow_line(facts))]
    lines += [_row(name, facts.versions[name] or "not installed") for name in facts.packages]
    lines += ["", "Devices", _row("CPU", f"{facts.num_cpus} core(s), {_fast_in(facts)}")]
    gpus = facts.tensorflow.gpus
    if gpus is None:
        lines.append(_row("GPU", "unknown, since TensorFlow does not start"))
    elif not gpus:
        lines.append(_row("GPU", "none that TensorFlow can use"))
    for index, gpu in enumerate(gpus or []):
        lines.append(_row(f"GPU {index}", _gpu_line(facts, gpu)))
    found = find_complaints(facts)
    lines += ["", "What does not fit" if found else "Everything fits."]
    for complaint in found:
        lines += ["", _wrapped(complaint.what, hanging=0)]
        lines += [_wrapped(f"-> {complaint.remedy}", hanging=3)]
    return "\n".join(lines)


def _row(name: str, value: str) -> str:
    return _wrapped(f"{name:<14} {value}", hanging=15)


def _wrapped(text: str, hanging: int) -> str:
    """Returns indented lines; from the second one on, `hanging` more spaces stand in front."""
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="  ",
        subsequent_indent="  " + " " * hanging,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _tensorflow_line(facts: Facts) -> str:
    if not facts.tensorflow_version:
        return "not installed"
    if not facts.tensorflow.version:
        return f"{facts.tensorflow_version}, which does not start"
    if not facts.tensorflow.cuda:
        return f"{facts.tensorflow_version}, built without CUDA"
    return (
        f"{facts.tensorflow_version}, built with CUDA {facts.tensorflow.cuda} and "
        f"cuDNN {facts.tensorflow.cudnn}"
    )


def _gpu_line(facts: Facts, gpu: Dict[str, Any]) -> str:
    line = f"{gpu['name']}, {gpu['memory'] / GIB:.1f} GiB free"
    if not gpu["compute_capability"]:
        return line
    return f"{line}, compute capability {gpu['compute_capability']}, {_fast_in(facts, gpu)}"


def _fast_in(facts: Facts, gpu: Optional[Dict[str, Any]] = None) -> str:
    """Returns the values of --precision for the CPU, or for a GPU: "fast in fp32, bf16"."""
    precisions = fast_precisions(facts, gpu)
    if gpu and "bf16" in precisions:  # TensorFlow then multiplies float32 matrices in TF32
        precisions[0] = "fp32 (as TF32)"
    return f"fast in {', '.join(precisions)}"


def main() -> None:
    argparse.ArgumentParser(
        prog="doctor.py", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    facts = gather_facts()
    print(report(facts))
    sys.exit(1 if find_complaints(facts) else 0)


if __name__ == "__main__":
    main()
