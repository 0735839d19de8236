"""Workers: processes that measure on request, of which one at a time computes."""

import json
import os
import pathlib
import subprocess
import threading
import time

_MAX_SECONDS = 1200  # that a worker may take to answer

ROOT = pathlib.Path(__file__).resolve().parents[1]


class Skipped(Exception):
    """A worker cannot do what is asked, on this machine or with these versions."""


class WorkerError(Exception):
    """A worker has failed; its log says why."""


class Worker:
    """A process that runs a module of benchmarks.

    Args:
        python: its interpreter.
        module: `ours` or `peer`.
        spec: what it prepares for, a dict for JSON.
        log: path of the file that receives its stderr.

    Attributes:
        started: time.perf_counter() when it was started.
    """

    def __init__(self, python, module, spec, log):
        self._log = log
        self.started = time.perf_counter()
        with open(log, "w", encoding="utf-8") as stderr:
            self._process = subprocess.Popen(
                [python, "-m", f"benchmarks.{module}", json.dumps(spec)],
                cwd=str(ROOT),
                env=dict(os.environ, PYTHONWARNINGS="ignore"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def ask(self, **request):
        """Sends a request and returns the reply, both dicts.

        The reply has as `others` the share of the processor that all other processes, and other
        virtual machines, took meanwhile.

        Raises:
            Skipped: the worker cannot do this.
            WorkerError: it has failed, or did not answer in time.
        """
        limit = threading.Timer(_MAX_SECONDS, self._process.kill)
        limit.start()
        asked, others = time.perf_counter(), self._seconds_of_others()
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            limit.cancel()
        if not line:
            raise WorkerError(f"A worker gave no answer; its log ends with\n{self._end_of_log()}")
        reply = json.loads(line)
        if "skipped" in reply:
            raise Skipped(reply["skipped"])
        available = (time.perf_counter() - asked) * len(os.sched_getaffinity(0))
        taken = self._seconds_of_others() - others
        return dict(reply, others=min(1.0, max(0.0, taken / available)))

    def _seconds_of_others(self):
        """Returns the processor time that all processes but this one have taken so far."""
        with open("/proc/stat") as lines:
            user, nice, system, _, _, irq, softirq, steal = map(int, lines.readline().split()[1:9])
        with open(f"/proc/{self._process.pid}/stat") as line:
            ours = line.read().rpartition(")")[2].split()[11:15]  # with children that have ended
        ticks = user + nice + system + irq + softirq + steal - sum(map(int, ours))
        return ticks / os.sysconf("SC_CLK_TCK")

    def close(self):
        """Ends the process."""
        self._process.kill()
        self._process.communicate()

    def _end_of_log(self):
        with open(self._log, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-15:])


class Crew:
    """The workers of one case, by name; leaving the block ends them.

    Args:
        settings: the Settings of the run.
        on_skip: called with a line about each worker that cannot take part.
        others: list that receives the `others` of each reply.
    """

    def __init__(self, settings, on_skip, others):
        self._settings = settings
        self._on_skip = on_skip
        self._others = others
        self._workers = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for worker in self._workers.values():
            worker.close()

    def __iter__(self):
        return iter(self._workers)

    def ask(self, name, **request):
        """Returns a worker's reply to a request."""
        reply = self._workers[name].ask(**request)
        self._others.append(reply["others"])
        return reply

    def add(self, name, module, spec, **first_request):
        """Starts a worker, unless it cannot take part; returns the reply to its first request.

        Args:
            name: what the table calls it.
        """
        python = self._settings.pythons.get(module)
        if python is None:  # --no_peer
            return None
        log = os.path.join(self._settings.work_dir, f"{name}.log".replace(" ", "_"))
        worker = Worker(python, module, spec, log)
        try:
            reply = worker.ask(**first_request)
        except Skipped as skipped:
            worker.close()
            self._on_skip(f"{spec['mode']}, {spec['precision']}, {name}: {skipped}")
            return None
        except BaseException:
            worker.close()
            raise
        self._workers[name] = worker
        self._others.append(reply["others"])
        return dict(reply, seconds_since_start=time.perf_counter() - worker.started)
