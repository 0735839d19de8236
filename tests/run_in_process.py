"""Runs command lines of a runner one after another in one process, as if each had its own.

Starting TensorFlow takes seconds, so tests of many short commands share a process:
`python run_in_process.py run_multigpus_squad <commands.json`, where the file holds
{name: list of arguments}. Prints {name: {"status": exit status, "stdout": text, "stderr": text}} as
JSON.
"""

import contextlib
import importlib
import io
import json
import logging
import sys
import traceback

from albert.cli import quiet

if __name__ == "__main__":
    quiet.ready_tensorflow()

from absl import flags

from albert.cli import runner
from albert.engine import devices


def run(module, arguments):
    """Returns the exit status and what is printed; the status is None after an exception."""
    for name in flags.FLAGS:
        flags.FLAGS[name].unparse()
    flags.FLAGS.unparse_flags()
    logging.getLogger("albert").handlers.clear()
    sys.argv = [module.__file__, *arguments]
    status = None
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        try:
            runner.run(module.main, module.__doc__)
        except SystemExit as stop:
            status = stop.code or 0
        except Exception:
            traceback.print_exc()
    return {"status": status, "stdout": stdout.getvalue(), "stderr": stderr.getvalue()}


if __name__ == "__main__":
    devices.prepare(2)
    name, *_ = sys.argv[1:] or ["run_multigpus_classifier"]
    module = importlib.import_module(f"albert.{name}")
    module.define_flags()
    commands = json.load(sys.stdin)
    print(json.dumps({name: run(module, arguments) for name, arguments in commands.items()}))
