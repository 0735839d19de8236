"""Tests of albert.engine.devices; no GPU is needed: real ones are hidden, or replaced by fakes."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow.compat.v1 as tf
import tiny

from albert.common.errors import UsageError
from albert.engine import devices


@pytest.fixture
def num_gpus(monkeypatch):
    """Returns a function that makes TensorFlow report that many GPUs."""

    def report(count):
        found = [f"gpu{index}" for index in range(count)]
        monkeypatch.setattr(
            tf.config.experimental, "list_physical_devices", lambda kind: found * (kind == "GPU")
        )

    return report


@pytest.mark.parametrize("device_type", ["gpu", "auto"])
def test_asking_for_more_gpus_than_exist_is_a_usage_error_that_names_the_flag(
    num_gpus, device_type
):
    num_gpus(2)
    with pytest.raises(UsageError) as caught:
        devices.choose(device_type, 3)
    message = str(caught.value)
    assert "num_devices=3" in message and "2 GPU(s)" in message
    assert "\n" not in message


def test_asking_for_gpus_without_any_is_a_usage_error(num_gpus):
    num_gpus(0)
    with pytest.raises(UsageError, match="num_devices=1.*0 GPU"):
        devices.choose("gpu", 1)


def test_auto_chooses_gpus_if_there_are_any(num_gpus):
    num_gpus(4)
    assert devices.choose("auto", 2) == ("/gpu:0", "/gpu:1")


@pytest.fixture
def num_cores(monkeypatch):
    """Returns a function that gives the machine that many cores."""
    return lambda count: monkeypatch.setattr(devices.parallel, "num_cores", lambda: count)


@pytest.mark.parametrize("count, warnings", [(1, 0), (4, 0), (5, 1)])
def test_more_cpu_replicas_than_cores_are_warned_of_in_one_line(num_cores, caplog, count, warnings):
    num_cores(4)
    devices.choose("cpu", count)
    messages = [record.getMessage() for record in caplog.records]
    expected = "5 replicas share 4 CPU core(s), which is slower than as many replicas as cores."
    assert messages == [expected] * warnings


def test_auto_falls_back_to_the_cpu_and_says_so(num_gpus, num_cores, caplog):
    num_gpus(0)
    num_cores(2)
    with caplog.at_level("INFO"):
        assert devices.choose("auto", 2) == ("/cpu:0", "/cpu:1")
    (record,) = caplog.records
    assert "no GPU" in record.getMessage()


def test_the_cpu_can_be_chosen_although_there_are_gpus(num_gpus):
    num_gpus(4)
    assert devices.choose("cpu", 3) == ("/cpu:0", "/cpu:1", "/cpu:2")


@pytest.mark.parametrize("names", [("/cpu:0",), ("/cpu:0", "/cpu:1")])
def test_nccl_on_the_cpu_is_a_usage_error(names):
    with pytest.raises(UsageError, match="all_reduce=nccl"):
        devices.make_strategy(names, "nccl")


@pytest.mark.parametrize("all_reduce", ["auto", "hierarchical_copy"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_strategy_has_one_replica_per_device(all_reduce, count):
    strategy = devices.make_strategy(devices.choose("cpu", count), all_reduce)
    assert strategy.num_replicas_in_sync == count


def test_sessions_on_cpus_have_one_logical_cpu_per_device():
    with tf.Graph().as_default():
        with tf.Session(config=devices.session_config(("/cpu:0", "/cpu:1"))) as session:
            names = [device.name for device in session.list_devices()]
    assert {name[-5:] for name in names if ":CPU:" in name} >= {"CPU:0", "CPU:1"}


def test_gpu_memory_grows_as_needed():
    assert devices.session_config(("/gpu:0",)).gpu_options.allow_growth


def test_gpus_are_described_from_what_tensorflow_reports(monkeypatch):
    volta = "device: 0, name: Tesla V100, pci bus id: 0000:00:1e.0, compute capability: 7.0"
    found = [
        SimpleNamespace(name=f"/device:{kind}:0", device_type=kind, memory_limit=8, **more)
        for kind, more in (
            ("CPU", {"physical_device_desc": ""}),
            ("XLA_GPU", {"physical_device_desc": "device: XLA_GPU device"}),
            ("GPU", {"physical_device_desc": volta}),
            ("GPU", {"physical_device_desc": ""}),
        )
    ]
    monkeypatch.setattr(devices.device_lib, "list_local_devices", lambda config: found)
    assert devices.describe_gpus() == [
        {"name": "Tesla V100", "memory": 8, "compute_capability": "7.0"},
        {"name": "/device:GPU:0", "memory": 8, "compute_capability": None},
    ]


def test_a_gpu_takes_more_tokens_at_a_time_than_a_cpu():
    assert devices.tokens_to_predict("/cpu:1") == 1024
    assert devices.tokens_to_predict("/gpu:0") > 4 * 1024


HALF_PRECISION = "bf16" if devices.IS_TF2 else "fp16"


@pytest.mark.parametrize(
    "state, advice",
    [
        (
            {"batch_size": 32},
            "32 example(s) at a time: try train_batch_size=16 with gradient_accumulation_steps=2 "
            "(the same updates), or recompute_activations, or precision="
            f"{HALF_PRECISION}, or a smaller max_seq_length.",
        ),
        (
            {"batch_size": 9, "num_accumulated": 2, "precision": "bf16"},
            "9 example(s) at a time: try train_batch_size=3 with gradient_accumulation_steps=6 "
            "(the same updates), or recompute_activations, or a smaller max_seq_length.",
        ),
        (
            {"batch_size": 1, "recomputes": True},
            f"1 example(s) at a time: try precision={HALF_PRECISION}, or a smaller max_seq_length.",
        ),
        (
            {"batch_size": 1, "recomputes": True, "precision": "fp16"},
            "1 example(s) at a time: try a smaller max_seq_length.",
        ),
    ],
)
def test_a_lack_of_memory_in_training_names_what_is_not_in_use_yet(state, advice):
    expected = f"The device has not enough memory to train on {advice}"
    assert str(devices.no_memory_to_train(**state)) == expected


@pytest.mark.parametrize(
    "names, advice",
    [
        (["/gpu:0", "/gpu:1"], "device_type=cpu, or a smaller model (albert_config_file)."),
        (["/cpu:0"], "a smaller model (albert_config_file)."),
        (["/cpu:0", "/cpu:1"], "num_devices=1, or a smaller model (albert_config_file)."),
    ],
)
def test_a_lack_of_memory_for_the_weights_names_what_is_not_in_use_yet(names, advice):
    message = str(devices.no_memory_for_weights(names))
    assert message.startswith("The device has not enough memory for the weights of the model: ")
    assert message.endswith(f", or try {advice}")


def test_tensorflow_was_built_with_the_cuda_of_its_runtime():
    assert devices.built_with() in (("10", "7"), ("12.2", "8"))


@pytest.mark.skipif(devices.IS_TF2, reason="TensorFlow 2 can")
def test_gpus_of_tensorflow_1_are_not_deterministic():
    devices.make_deterministic(("/cpu:0",))
    with pytest.raises(UsageError, match="^deterministic=True needs TensorFlow 2.15 on GPUs"):
        devices.make_deterministic(("/gpu:0",))


@pytest.mark.slow
@pytest.mark.skipif(not devices.IS_TF2, reason="TensorFlow 1 cannot")
def test_training_and_evaluation_have_no_operation_that_determinism_refuses(tmp_path):
    code = (
        "import sys, tempfile\n"
        "import workers\n"
        "from albert.engine import devices, training\n"
        "devices.prepare(2)\n"
        "devices.make_deterministic(('/gpu:0',))\n"
        "config = workers.config(sys.argv[1], num_devices=2, train_steps=2)\n"
        "training.Engine(workers.Task(), config).train(evaluate=True)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, timeout=200)
    assert (tmp_path / "eval_results.json").exists()


@pytest.mark.skipif(not devices.IS_TF2, reason="TensorFlow 1 makes CPU devices at any time")
def test_preparing_too_late_is_a_usage_error():
    code = (
        "from albert.common import errors\n"
        "from albert.engine import devices\n"
        "import tensorflow.compat.v1 as tf\n"
        "devices.prepare(1)\n"
        "tf.Session().close()\n"
        "tf.config.list_logical_devices()\n"
        "try:\n"
        "    devices.prepare(3)\n"
        "except errors.UsageError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert "with 1 CPU device(s), not 3" in done.stdout.decode()


@pytest.mark.parametrize(
    "is_tf2, device, precision, width, xla, expected",
    [
        (True, "/cpu:0", "bf16", 3072, "auto", True),
        (True, "/cpu:0", "bf16", 3072, "off", False),
        (True, "/cpu:0", "bf16", 64, "auto", False),
        (True, "/cpu:0", "bf16", 64, "on", True),
        (True, "/cpu:0", "fp32", 3072, "auto", False),
        (True, "/gpu:0", "bf16", 3072, "auto", False),
        (True, "/gpu:0", "fp32", 3072, "on", True),
        (False, "/cpu:0", "bf16", 3072, "auto", False),
        (False, "/cpu:0", "fp32", 3072, "off", False),
    ],
)
def test_xla_is_used_where_it_is_known_to_be_faster(
    monkeypatch, is_tf2, device, precision, width, xla, expected
):
    monkeypatch.setattr(devices, "IS_TF2", is_tf2)
    monkeypatch.setattr(devices, "_compile_once", lambda device: None)
    config = tiny.config(intermediate_size=width)
    assert devices.uses_xla((device,), precision, config, xla) == expected


def test_xla_needs_tensorflow_2(monkeypatch):
    monkeypatch.setattr(devices, "IS_TF2", False)
    with pytest.raises(UsageError, match="xla=on needs TensorFlow 2.15, and this is .*: use auto"):
        devices.uses_xla(("/cpu:0",), "fp32", tiny.config(), "on")


@pytest.mark.skipif(not devices.IS_TF2, reason="needs TensorFlow 2.15")
def test_compiling_prints_nothing():
    program = (
        "from albert.cli import quiet; quiet.ready_tensorflow(); quiet.show_log(0);"
        "import tensorflow.compat.v1 as tf; quiet.show_log(0);"
        "from albert.engine import devices; devices.prepare(); import tiny;"
        "assert devices.uses_xla(('/cpu:0',), 'bf16', tiny.config(), 'on');"
        "value = tf.function(tf.sin, jit_compile=True)(tf.random.uniform([]));"
        "print(tf.Session().run(value) > 0)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
