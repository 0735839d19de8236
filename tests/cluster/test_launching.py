"""Tests of scripts/launch_local_cluster.sh: a runner as every worker of a cluster, by TF_CONFIG."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import runs
import sample_glue

SCRIPT = str(runs.REPOSITORY / "scripts" / "launch_local_cluster.sh")


def launch(*command, **settings):
    return subprocess.Popen(
        ["bash", SCRIPT, *command],
        env=dict(os.environ, PYTHONPATH=str(runs.REPOSITORY), **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process, timeout=60):
    stdout, stderr = process.communicate(timeout=timeout)
    return process.returncode, stdout, stderr


def python(code):
    return sys.executable, "-c", "import json, os, sys, time\n" + code


@pytest.mark.slow
def test_a_runner_trains_evaluates_and_predicts_once(tmp_path):
    sample_glue.write_glue(tmp_path)
    output = tmp_path / "output"
    flags = {
        "task_name": "RTE",
        "data_dir": tmp_path,
        "output_dir": output,
        "albert_config_file": tmp_path / "albert_config.json",
        "vocab_file": tmp_path / "vocab.txt",
        "max_seq_length": 16,
        "train_batch_size": 2,
        "train_step": 4,
        "strategy_type": "multi_worker",
        "num_gpu_cores": 2,
        "device_type": "cpu",
    }
    switches = ("do_train", "do_eval", "do_predict")
    command = (sys.executable, "-m", "albert.run_multigpus_classifier")
    status, _, stderr = outcome(launch(*command, *runs.arguments(flags, *switches)), 240)
    assert status == 0, stderr
    assert "of each of 2 workers in fp32: 12 examples, batch 2 on each of 4 replica(s), 8" in stderr
    marked = [line for line in stderr.splitlines() if line.startswith("[worker 1] ")]
    assert marked and "The rest is the chief's." in marked[-1], stderr
    assert stderr.count("Step 4: ") == 1
    assert json.loads((output / "eval_results.json").read_text())["best"]["step"] == 4
    assert (output / "submit_results.tsv").exists()


def test_every_worker_has_its_place_and_its_gpus():
    code = "print(os.environ['TF_CONFIG'], os.environ['CUDA_VISIBLE_DEVICES'], flush=True)"
    settings = {
        "NUM_WORKERS": "3",
        "GPUS_PER_WORKER": "2",
        "CUDA_VISIBLE_DEVICES": "7,MIG-a,5,4,3,2",
    }
    status, stdout, stderr = outcome(launch(*python(code), **settings))
    assert status == 0
    lines = sorted([f"[worker 0] {stdout.strip()}", *stderr.splitlines()])
    found = [line.split(" ", 2)[2].rsplit(" ", 1) for line in lines]
    configs = [json.loads(config) for config, _ in found]
    assert [gpus for _, gpus in found] == ["7,MIG-a", "5,4", "3,2"]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": rank} for rank in range(3)
    ]
    ports = [int(host.split(":")[1]) for host in configs[0]["cluster"]["worker"]]
    assert ports == list(range(ports[0], ports[0] + 3))
    assert configs[1]["cluster"] == configs[2]["cluster"] == configs[0]["cluster"]


def test_the_first_status_that_is_not_0_is_that_of_the_script():
    code = "sys.exit(json.loads(os.environ['TF_CONFIG'])['task']['index'] * 5)"
    assert outcome(launch(*python(code), NUM_WORKERS="3"))[0] == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_go_to_all_workers(number):
    code = (
        "import signal\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)"
    )
    process = launch(*python(code))
    assert process.stdout.readline() == "ready\n"
    assert process.stderr.readline() == "[worker 1] ready\n"
    started = time.monotonic()
    process.send_signal(number)
    assert outcome(process)[0] == 7
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "arguments, settings, message",
    [
        ((), {}, "give the command that every worker runs"),
        (("--num_gpu_cores=2",), {}, "give the command that every worker runs"),
        (("true",), {"NUM_WORKERS": "0"}, "NUM_WORKERS=0 must be from 1 to 99"),
        (("true",), {"GPUS_PER_WORKER": "x"}, "GPUS_PER_WORKER=x is not a number"),
    ],
)
def test_a_mistake_is_one_line(arguments, settings, message):
    status, _, stderr = outcome(launch(*arguments, **settings))
    assert status == 1 and message in stderr and stderr.count("\n") == 1
