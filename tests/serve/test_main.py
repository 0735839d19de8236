"""Tests of the command python -m albert.serve: answers of every task, mistakes, and its end."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
import runs
import sample_models
import served

from albert import predict

COMMAND = [sys.executable, "-W", "ignore", "-m", "albert.serve"]
ENVIRONMENT = dict(os.environ, PYTHONPATH=str(runs.REPOSITORY))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Returns {name: output_dir} of a model of every task."""
    return sample_models.trained(tmp_path_factory)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder with the files of a run, but without a checkpoint."""
    found = tmp_path_factory.mktemp("run")
    for name in ("run.json", "albert_config.json", "vocab.txt"):
        (found / name).touch()
    return found


# Every task


@pytest.mark.slow
@pytest.mark.parametrize("name", sample_models.NAMES)
def test_answers_are_those_of_predict(models, name):
    model = predict.load(str(models[name]), device_type="cpu")
    given = sample_models.INPUTS[name]
    # Batches of the same size: rounding depends on it.
    expected = json.loads(json.dumps([model.predict([given])[0], model.predict([given] * 3)]))

    async def steps(server):
        async with server.session.get(server.url) as response:
            page = await response.text()
        return [(await server.post(value))[2] for value in (given, [given] * 3)], page

    found, page = served.run(model, steps)
    assert found == expected
    columns = given if isinstance(given, dict) else ["text"]
    assert sorted(set(re.findall(r' name="(\w+)"', page)) - {"viewport", "color-scheme"}) == sorted(
        columns
    )


def random_value(generator, depth=0):
    kind = generator.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [random_value(generator, depth + 1) for _ in range(generator.randrange(5))]
    if kind == 7:
        names = "text premise hypothesis context question article options tokens tags a".split()
        chosen = generator.sample(names, generator.randrange(6))
        return {name: random_value(generator, depth + 1) for name in chosen}
    letters = 'ab \t\n"[]{},\\\0\ud800\udfff\u200b\u2028é中\U0001f600'
    text = "".join(generator.choice(letters) for _ in range(generator.randrange(30)))
    return generator.choice((text, text, text, None, True, -1, 10**17, 1.5e300))


@pytest.mark.slow
@pytest.mark.parametrize("name", sample_models.NAMES)
def test_no_body_makes_the_server_fail(models, name):
    generator = random.Random(name)
    good = json.dumps([sample_models.INPUTS[name]]).encode()
    bodies = [good, *(json.dumps(random_value(generator)).encode() for _ in range(150))]
    for _ in range(150):
        body = bytearray(generator.choice(bodies))
        for _ in range(generator.randrange(1, 4)):
            place = generator.randrange(len(body) + 1)
            body[place : place + generator.randrange(3)] = bytes([generator.randrange(256)])
        bodies.append(bytes(body))
    for keys in sample_models.INPUTS[name], {"text": 1, "tokens": 1}:  # odd values of known columns
        for _ in range(60 if isinstance(keys, dict) else 0):
            given = {key: random_value(generator, 1) for key in keys}
            bodies.append(json.dumps(given).encode())
    deep = json.dumps("[" * 5000).encode()
    bodies += [b'{"article": "a", "question": "b", "options": %s, "tokens": %s}' % (deep, deep)]
    model = predict.load(str(models[name]), device_type="cpu")

    async def steps(server):
        found = []
        for body in bodies:
            status, _, answer = await server.post(body)
            found.append((status, body, answer))
        return found

    found = served.run(model, steps)
    assert [each for each in found if each[0] not in (200, 400, 413)] == []
    assert {status for status, _, _ in found} >= {200, 400}


# The command


def start(model_dir, *arguments):
    """Starts the command, which must become ready; returns the process and its address."""
    process = subprocess.Popen(
        [*COMMAND, f"--model_dir={model_dir}", "--device_type=cpu", "--port=0", *arguments],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    line = process.stdout.readline()
    found = re.fullmatch(rf"Serving {re.escape(str(model_dir))} \((.*)\) at (http://.*/)\n", line)
    assert found, line + process.stderr.read()
    return process, found.group(2)


def ask(url, value):
    request = urllib.request.Request(url + "predict", json.dumps(value).encode(), served.TYPE)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read().decode())


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_status_0_and_one_line(models, number):
    process, url = start(models["single"])
    assert set(ask(url, "a red one")["probabilities"]) == {"cold", "warm"}
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "")
    (line,) = stderr.splitlines()
    assert line.endswith(" Stopped; every request was answered.")


@pytest.mark.slow
def test_a_second_signal_ends_the_server_at_once(models):
    process, url = start(models["single"])
    host, port = url[len("http://") : -1].split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        client.sendall(b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert b" 100 " in client.recv(100)  # so the request is accepted, and its body awaited
        process.send_signal(signal.SIGTERM)
        while True:  # until it has stopped to listen
            try:
                socket.create_connection((host, int(port))).close()
            except OSError:
                break
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert stderr.splitlines()[-1].endswith("second signal before everything was answered.")


@pytest.mark.slow
def test_a_server_for_other_machines_warns_that_it_is_open(models):
    process, _ = start(models["single"], "--host=0.0.0.0")
    process.terminate()
    _, stderr = process.communicate(timeout=60)
    assert "--host=0.0.0.0 lets other machines in: there is neither authentication" in stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port=65536"], "--port=65536 must be from 0 to 65535."),
        (["--port=x"], "argument --port: invalid int value: 'x'"),
        (["--max_batch_size=0"], "--max_batch_size=0 must be 1 or more."),
        (["--num_gpu_cores=0"], "--num_gpu_cores=0 must be 1 or more."),
        (["--timeout=nan"], "--timeout=nan must be a number above 0."),
        (
            ["--max_waiting=2", "--max_inputs=3"],
            "--max_inputs=3 must be at most --max_waiting=2, or such a request could never wait.",
        ),
        (["--host=no.such.host.invalid"], "--host=no.such.host.invalid --port=8501 cannot be used"),
        (["--model_dir=nowhere"], "--model_dir=nowhere holds no run.json: it must be a run's"),
    ],
)
def test_a_mistake_ends_in_one_line_before_the_model_is_loaded(folder, arguments, message):
    done = subprocess.run(
        [*COMMAND, f"--model_dir={folder}", *arguments],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"serve: {message}") and done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(folder):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        done = subprocess.run(
            [*COMMAND, f"--model_dir={folder}", f"--port={port}"],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
    expected = f"serve: --host=127.0.0.1 --port={port} cannot be used: Address already in use.\n"
    assert (done.returncode, done.stderr) == (1, expected)


def test_an_installation_has_the_page(tmp_path):
    subprocess.run(
        [sys.executable, "-W", "ignore", "setup.py", "-q", "build_py", f"--build-lib={tmp_path}"],
        cwd=str(runs.REPOSITORY),
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "albert" / "serve" / "page.html").is_file()
