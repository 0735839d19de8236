"""Takes the place of sbatch and scontrol in tests: `install` puts them into a folder.

This sbatch runs each script at once, an array one task after the other, and takes `afterok` of
single tasks into account. It appends its arguments to sbatch.jsonl in that folder, and
"<id>_<task> <exit status>" to ends.txt, where a script without array has no task.
"""

import sys

_SBATCH = """\
#!{python}
import json, os, pathlib, subprocess, sys
home = pathlib.Path({folder!r})
options, script = sys.argv[1:-1], sys.argv[-1]
calls, ends = home / "sbatch.jsonl", home / "ends.txt"
with calls.open("a") as writer:
    writer.write(json.dumps(sys.argv[1:]) + "\\n")
number = str(100 + len(calls.read_text().splitlines()))
values = dict(option[2:].split("=", 1) for option in options if "=" in option)
kind, *needed = values.get("dependency", "none").split(":")
lines = ends.read_text().splitlines() if ends.exists() else []
if kind == "afterok" and not all(name + " 0" in lines for name in needed):
    tasks = []
else:
    tasks = values.get("array", "").split(",")
for task in tasks:
    full = number + "_" + task if task else number
    log = values["output"].replace("%A", number).replace("%a", task)
    with open(log, "ab") as output:
        status = subprocess.call(
            ["bash", script],
            env=dict(os.environ, SLURM_JOB_ID=full, SLURM_ARRAY_TASK_ID=task),
            stdout=output,
            stderr=output,
            cwd="/",
        )
    with ends.open("a") as writer:
        writer.write(full + " " + str(status) + "\\n")
print(number + ";cluster")
"""
_SCONTROL = """\
#!/bin/sh
echo "$@" >> {folder}/scontrol.txt
"""


def install(folder):
    """Makes the programs in a folder, which the caller puts into PATH."""
    for name, text in (("sbatch", _SBATCH), ("scontrol", _SCONTROL)):
        path = folder / name
        path.write_text(text.format(python=sys.executable, folder=str(folder)), encoding="utf-8")
        path.chmod(0o755)
