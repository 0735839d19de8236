"""Readers of what a running server receives, HTTP included; see fuzz_readers.py."""

import contextlib
import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import fuzz_feed

from albert.common.errors import UsageError

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
SECONDS = 5.0  # in which a connection must end
_HEADERS = b"Host: localhost\r\nContent-Type: application/json\r\n"
_CLOSE = b"Connection: close\r\n\r\n"
_POST = b"POST /predict HTTP/1.1\r\n" + _HEADERS
_GET = b"GET %s HTTP/1.1\r\n" + _HEADERS
_CHUNKS = b'4\r\n["a"\r\n1\r\n]\r\n0\r\n\r\n'
_REQUESTS = {
    "body": _POST + b"Content-Length: 11\r\n" + _CLOSE + b'"a red one"',
    "chunks": _POST + b"Transfer-Encoding: chunked\r\n" + _CLOSE + _CHUNKS,
    "expect": _POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n" + _CLOSE + b'["a"]',
    "several": (_POST + b'Content-Length: 3\r\n\r\n"a"') * 2 + _GET % b"/healthz" + _CLOSE,
    "page": _GET % b"/" + b"Upgrade: websocket\r\n" + _CLOSE,
}


@contextlib.contextmanager
def serving(model_dir, folder):
    """Yields {name: Reader} of requests to a server of a model, which it starts and ends.

    Args:
        folder: for the log of the server.
    """
    log = folder / "server.log"
    command = [sys.executable, "-W", "ignore", "-m", "albert.serve", "--port=0", "--timeout=0.5"]
    with log.open("wb") as writer:
        process = subprocess.Popen(
            [*command, f"--model_dir={model_dir}", "--device_type=cpu", "--max_body_bytes=5000"],
            env=dict(os.environ, PYTHONPATH=str(REPOSITORY)),
            stdout=subprocess.PIPE,
            stderr=writer,
        )
    try:
        port = int(re.findall(rb":(\d+)/", process.stdout.readline())[0])
        read = _reader_of(port, process, log)
        yield {f"HTTP {name}": fuzz_feed.of_content(_REQUESTS[name], read) for name in _REQUESTS}
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _reader_of(port, process, log):
    def read(content):
        num_logged = log.stat().st_size
        answers = _exchange(port, content)
        health = _exchange(port, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert health.endswith(b"ok\n") and process.poll() is None, health
        logged = log.read_bytes()[num_logged:].decode()
        assert "Traceback" not in logged, logged
        statuses = [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answers)]
        assert all(status < 500 for status in statuses), answers
        for text in re.findall(rb"application/json.*?\r\n\r\n(.*)$", answers, re.DOTALL):
            json.JSONDecoder().raw_decode(text.decode())
        if not statuses or statuses[-1] >= 400:
            raise UsageError(f"{statuses}")

    return read


def _exchange(port, content):
    """Sends bytes to the server; returns all that comes back until it closes the connection.

    A request that is cut short has its time out; then the connection is closed from this side.
    """
    parts = []
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(content)
            connection.settimeout(0.7)
            with contextlib.suppress(socket.timeout):
                _receive(connection, parts)
                return b"".join(parts)
            connection.settimeout(SECONDS)
            connection.shutdown(socket.SHUT_WR)
            _receive(connection, parts)
    return b"".join(parts)


def _receive(connection, parts):
    """Adds what comes until the connection is closed to a list."""
    while not parts or parts[-1]:
        parts.append(connection.recv(1 << 16))
