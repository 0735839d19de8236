"""What a user sees of a run: on a terminal of 80 columns, and with --verbosity."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest
import runs
import tiny

pytestmark = pytest.mark.slow

WORDS = ("good", "great", "bad", "dull", "film", "story", "was", "very", "a", "the")
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)
STEPS = 40


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Returns a folder with a task, a vocabulary and a tiny model's configuration."""
    folder = tmp_path_factory.mktemp("terminal")
    data = folder / "data" / "SST-2"
    data.mkdir(parents=True)
    rows = "".join(f"a {word} film\t{int(word in WORDS[:2])}\n" for word in WORDS[:4] * 10)
    for split in ("train", "dev"):
        (data / f"{split}.tsv").write_text("sentence\tlabel\n" + rows, encoding="utf-8")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    config = tiny.config(vocab_size=len(VOCABULARY))
    (folder / "albert_config.json").write_text(config.to_json_string(), encoding="utf-8")
    return folder


def arguments(root, *switches, **changes):
    values = {
        "data_dir": root / "data",
        "task_name": "sst-2",
        "albert_config_file": root / "albert_config.json",
        "vocab_file": root / "vocab.txt",
        "output_dir": "output",
        "max_seq_length": 16,
        "train_batch_size": 4,
        "train_step": STEPS,
        "save_checkpoints_steps": STEPS // 2,
        "device_type": "cpu",
    }
    return runs.arguments(dict(values, **changes), *switches)


def environment():
    kept = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return dict(kept, PYTHONPATH=str(runs.REPOSITORY))


def command(line):
    return [sys.executable, "-m", "albert.run_multigpus_classifier", *line]


def on_a_terminal(line, folder, rows=24, columns=80):
    """Returns the exit status of a runner, and everything that a terminal of that size shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    kept = {name: value for name, value in environment().items() if name != "COLUMNS"}
    process = subprocess.Popen(
        command(line), cwd=str(folder), stdin=slave, stdout=slave, stderr=slave, env=kept
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # how Linux says that the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(master)
    return process.wait(timeout=60), shown.decode()


@pytest.fixture(scope="module")
def terminal(root):
    """Returns the texts that a run showed, each at the beginning of a line of the terminal."""
    status, shown = on_a_terminal(arguments(root, "do_train", "do_eval"), root)
    assert status == 0, shown
    return [text.rstrip() for text in re.split(r"[\r\n]+", shown)]


def test_no_line_is_wider_than_the_terminal(terminal):
    assert max(map(len, terminal)) <= 80


def test_bar_shows_step_loss_learning_rate_speeds_and_time_left(terminal):
    bars = [text for text in terminal if re.match(rf"\d+/{STEPS} ", text)]
    assert re.match(
        rf"{STEPS}/{STEPS} #+ loss \d\.\d{{4}} lr \d\.\de-\d\d [\d.]+k? examples/s "
        r"[\d.]+k? tokens/s \d\d:\d\d left$",
        bars[-1].replace("█", "#"),
    )


def test_log_lines_are_complete_above_the_bar(terminal):
    for step in (STEPS // 2, STEPS):
        (line,) = [text for text in terminal if f"Evaluating step {step}." in text]
        assert re.match(r"\d\d:\d\d:\d\d Evaluating step \d+\.$", line)


def test_long_lines_are_wrapped_with_an_indent(terminal):
    (first,) = [n for n, text in enumerate(terminal) if "No initial checkpoint" in text]
    assert terminal[first].endswith("which is far")
    assert terminal[first + 1] == " " * 9 + "worse than fine-tuning a pre-trained model."


def test_terminal_of_unknown_size_shows_unwrapped_lines_and_no_bar(root):
    status, shown = on_a_terminal(
        arguments(root, "do_train", output_dir="unsized", train_step=2), root, rows=0, columns=0
    )
    assert status == 0, shown
    (line,) = [text for text in shown.splitlines() if "No initial checkpoint" in text]
    assert line.endswith("which is far worse than fine-tuning a pre-trained model.")
    assert "2/2" not in shown


def test_verbosity_hides_all_but_warnings_or_shows_tensorflows_messages_too(root):
    shown = {}
    for verbosity in ("-1", "1"):
        finished = subprocess.run(
            command(
                arguments(
                    root, "do_train", verbosity=verbosity, output_dir=root / verbosity, train_step=2
                )
            ),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr
        assert finished.stdout == ""
        shown[verbosity] = finished.stderr
    (warning,) = shown["-1"].splitlines()
    assert "No initial checkpoint" in warning
    assert "Training on /cpu:0" in shown["1"]
    assert "tensorflow/" in shown["1"] or "tensorflow:" in shown["1"]
    assert shown["1"].count("Saving checkpoints for 2 into") == 1
    assert "matplotlib" not in shown["1"]


INTERRUPTED = """
import os, signal, time
from albert.cli import quiet
quiet.quiet_start()
from albert.cli import runner, shared_flags

def main():
    quiet.has_started()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)

shared_flags.define()
runner.run(main, "Waits.")
"""


def test_ctrl_c_outside_training_says_how_to_go_on():
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 130
    (line,) = finished.stderr.splitlines()
    assert line.endswith(" Interrupted. The same command resumes from the last checkpoint.")
