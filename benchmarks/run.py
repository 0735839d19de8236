"""Measures our speed beside Hugging Face transformers and the machine; see benchmarks/README.md.

scripts/run_benchmarks.sh makes the environments and runs this.
"""

import os
import platform
import signal
import sys
import tempfile
import time

from albert.cli.quiet import ready_tensorflow
from albert.common.errors import UsageError
from benchmarks import data, parts, report, settings
from benchmarks.workers import WorkerError


def main():
    ready_tensorflow()  # which reading the data imports
    options = settings.parse(sys.argv[1:])
    results, skipped, failures = [], [], []

    def skip(line):
        skipped.append(line)
        print(f"Skipped: {line}.", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="benchmarks-") as work_dir:
        options.work_dir = work_dir
        options.pythons = {"ours": sys.executable}
        if options.peer and options.peer_python:
            options.pythons["peer"] = options.peer_python
        options.vocab_size = data.tokenizer_of(options).vocab_size
        machine = describe_machine()
        bench = parts.Bench(options, skip)
        for part in ("limits", *options.parts):
            try:
                run_part(part, bench, results)
            except WorkerError as error:  # the other parts' figures are worth having
                failures.append(part)
                print(f"{part}: {error}", file=sys.stderr)
        machine.update(bench.machine)
    print("\n" + "\n".join(f"{key}: {value}" for key, value in machine.items()))
    for line in skipped:
        print(f"skipped: {line}")
    report.write_json(options.output, machine, shown(options), results, skipped)
    print(f"Wrote {options.output}.")
    if failures:
        sys.exit(f"Failed: {', '.join(failures)}.")


def run_part(part, bench, results):
    """Runs a part, prints its table, and adds its results to those of the others."""
    started, first = time.monotonic(), len(results)
    bench.others.clear()
    print(f"\n## {part}\n", flush=True)
    for case in getattr(parts, part)(bench):
        results += case
    seconds = time.monotonic() - started
    busy = report.spread(bench.others, ".0%")
    print(f"{report.table(results[first:])}\n")
    print(f"{seconds:.0f} s; other programs took {busy} of the processor", flush=True)


def shown(options):
    """Returns the settings that are worth recording, without paths."""
    names = "parts tasks sizes precisions batch_sizes rounds seconds device_type peer compile tiny"
    return {name: getattr(options, name) for name in names.split()}


def describe_machine():
    """Returns {what: value} of the processor and its load; workers report versions and GPUs."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load before": round(os.getloadavg()[0], 2),
    }


def _processor():
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that workers and files go, too
    try:
        main()
    except UsageError as error:
        sys.exit(f"run_benchmarks.sh: {error}")
    except KeyboardInterrupt:
        sys.exit("run_benchmarks.sh: interrupted.")
