"""Tests of albert.serve.server in this process, with a stand-in for the model."""

import asyncio
import contextlib
import json
import threading
from types import SimpleNamespace

import pytest
import served
from served import TYPE

from albert.common.errors import UsageError
from albert.serve import server as server_lib
from albert.serve.batching import BatchLimits
from albert.serve.body import Limits

LIMITS = Limits(max_body_bytes=2000, max_inputs=3, max_text_length=100)
BATCHES = BatchLimits(max_waiting=4, max_batch_size=4, max_batch_length=1000)
SETTINGS = server_lib.Settings(LIMITS, BATCHES, timeout=60)
HEAD_AND_HALF_A_BODY = (
    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 9\r\n\r\n"a'
)


class Model:
    """Returns texts. It computes nothing while `gate` is not set, and fails at the text "bug"."""

    task = SimpleNamespace(name="echo", input_columns={"text": 1})

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.is_computing = threading.Event()
        self.computed = []

    def examples_of(self, inputs):
        for number, each in enumerate(inputs):
            if isinstance(each, dict):
                raise UsageError(f"input {number}: no objects here.")
        return inputs

    def predict_examples(self, texts):
        self.is_computing.set()
        assert self.gate.wait(60)
        if "bug" in texts:
            raise ZeroDivisionError("bug in the model")
        self.computed += texts
        return [{"text": text} for text in texts]


def run(steps, settings=SETTINGS):
    """Runs `await steps(served)`; returns what it returns."""
    return served.run(Model(), steps, settings)


async def post_and_compute(server, value):
    """Returns a request whose input the model computes, until its gate is set."""
    server.model.gate.clear()
    posted = asyncio.ensure_future(server.post(value))
    while not server.model.is_computing.is_set():
        await asyncio.sleep(0.005)
    return posted


# Answers


def test_one_input_has_an_object_and_a_list_a_list_in_its_order():
    async def steps(server):
        return [(await server.post(value))[2] for value in ("a", ["b", "a"], ["c"])]

    assert run(steps) == [{"text": "a"}, [{"text": "b"}, {"text": "a"}], [{"text": "c"}]]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "The body is not JSON: Expecting value"),
        (b"{", 400, "The body is not JSON: Expecting property name"),
        (b'"\xff"', 400, "The body is not UTF-8: byte 1 is wrong."),
        (b"[" * 1900, 400, "The body is nested too deeply."),
        (b'[{"a": ' * 150 + b"1" + b"}]" * 150, 400, "The body is nested too deeply."),
        (b'["a", NaN]', 400, "The body is not JSON: NaN is not a finite number; an object, a"),
        (b"1e999", 400, "The body is not JSON: 1e999 is not a finite number"),
        (b"9" * 1900, 400, "The body is not JSON: 999999999999999999... has more than 18 digits"),
        (b"[]", 400, "The list is empty: at least one input is needed."),
        (b"null", 400, "input 0 must be an object or a string, not null."),
        (b"true", 400, "input 0 must be an object or a string, not true or false."),
        (b'["a", ["b", "c"]]', 400, "input 1 must be an object or a string, not a list."),
        (b'["a", {"b": 1}]', 400, "input 1: no objects here."),
        (b'["a", "b", "c", "d"]', 413, "4 inputs are too many: at most 3."),
        (b'"%s"' % (b"x" * 101), 413, "input 0 has a text of 101 characters: at most 100 are all"),
        (b'[{"t": ["%s", "x"]}]' % (b"x" * 100), 413, "input 0 has a text of 101 characters"),
        (b'"%s"' % (b"x" * 2000), 413, "The body is too large: at most 2000 bytes are allowed."),
    ],
)
def test_a_body_that_cannot_be_predicted_is_refused_in_one_sentence(body, status, message):
    found, headers, answer = run(lambda server: server.post(body))
    assert found == status and headers["Content-Type"].startswith("application/json")
    assert list(answer) == ["error"] and answer["error"].startswith(message)


def test_a_large_body_of_unknown_length_is_refused():
    async def pieces():
        for _ in range(30):
            yield b"x" * 100

    async def steps(server):
        async with server.session.post(
            server.url + "predict", data=pieces(), headers=TYPE
        ) as response:
            return response.status, await response.json()

    status, answer = run(steps)
    assert (status, answer["error"][:22]) == (413, "The body is too large:")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Type": "text/plain"}, "The Content-Type must be application/json, not text/pl"),
        ({**TYPE, "Content-Encoding": "gzip"}, "The body must not be compressed, but it is gzip."),
    ],
)
def test_what_a_page_of_another_site_may_send_and_compressed_bodies_are_refused(headers, message):
    status, _, answer = run(lambda server: server.post(b'"a"', headers))
    assert status == 415 and answer["error"].startswith(message)


@pytest.mark.parametrize("expect", [b"100-continue", b"99-\xff", b"something"])
@pytest.mark.parametrize("path", [b"predict", b"none"])
def test_no_expectation_makes_the_server_fail(caplog, expect, path):
    async def steps(server):
        reader, writer = await asyncio.open_connection(*server.address)
        head = HEAD_AND_HALF_A_BODY.replace(b"predict", path).replace(b"9\r\n", b"3\r\n")
        writer.write(head.replace(b"Host", b"Connection: close\r\nExpect: " + expect + b"\r\nHost"))
        writer.write(b'"')
        answer = await reader.read()
        writer.close()
        return answer

    first, *_, last = run(steps).split(b"\r\n\r\n")
    assert (b" 100 Continue" in first) == (expect == b"100-continue")
    assert list(json.loads(last.decode())) == (["text"] if path == b"predict" else ["error"])
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("content_type", [b"application/\xc4\xca\xc4json", b"\xff;\xc3\xa9"])
def test_no_content_type_makes_the_server_fail(caplog, content_type):
    async def steps(server):
        reader, writer = await asyncio.open_connection(*server.address)
        head = HEAD_AND_HALF_A_BODY.replace(b"application/json", content_type)
        writer.write(head.replace(b"Host", b"Connection: close\r\nHost") + b'bcdefg"')
        answer = await reader.read()
        writer.close()
        return answer

    assert b" 415 " in run(steps).split(b"\r\n")[0]
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("content_type", ["Application/JSON", "application/json ; charset=utf-8"])
def test_the_type_may_have_capitals_and_parameters(content_type):
    status, _, _ = run(lambda server: server.post(b'"a"', {"Content-Type": content_type}))
    assert status == 200


def test_other_paths_and_methods_are_explained():
    async def steps(server):
        async with server.session.get(server.url + "predict") as response:
            answer = await response.json()
            first = response.status, response.headers["Allow"], answer["error"]
        return first, await server.post("a", path="nix")

    first, (status, _, answer) = run(steps)
    assert first == (405, "POST", "/predict takes POST, not GET.")
    assert status == 404
    assert answer["error"] == "There is no /nix; there are /, /predict, /healthz, /metrics."


def test_headers_protect_the_page_and_every_answer():
    async def steps(server):
        async with server.session.get(server.url) as response:
            page = response.headers, await response.text()
        return page, (await server.post("a"))[1]

    (page, text), answer = run(steps)
    assert page["Content-Type"] == "text/html; charset=utf-8" and "<h1>echo</h1>" in text
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert "unsafe" not in page["Content-Security-Policy"]
    assert answer["Content-Security-Policy"] == "default-src 'none'"
    for headers in (page, answer):
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


def test_a_bug_is_logged_and_the_server_goes_on(caplog):
    async def steps(server):
        return [await server.post(text) for text in ("bug", "a")]

    with caplog.at_level("INFO", logger="albert"):
        (status, _, failed), (_, _, answer) = run(steps)
    assert (status, failed) == (500, {"error": "The server failed; its log says why."})
    assert answer == {"text": "a"}
    assert "ZeroDivisionError: bug in the model" in caplog.text


def test_what_is_not_http_is_refused_without_a_line_in_the_log(caplog):
    async def steps(server):
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"\x16\x03\x01 no HTTP\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    with caplog.at_level("INFO"):
        assert b" 400 " in run(steps).splitlines()[0]
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_a_client_that_cuts_its_body_off_leaves_no_line_in_the_log(caplog):
    async def steps(server):
        _, writer = await asyncio.open_connection(*server.address)
        writer.write(HEAD_AND_HALF_A_BODY)
        await asyncio.sleep(0.05)
        writer.close()
        name = 'albert_requests_total{path="/predict",status="499"}'
        while not (await server.metrics()).get(name):
            await asyncio.sleep(0.005)

    with caplog.at_level("INFO"):
        run(steps)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


# The queue


def test_a_full_queue_refuses_with_the_time_to_wait():
    async def steps(server):
        first = await post_and_compute(server, "a")
        others = [asyncio.ensure_future(server.post(["b", "c"])) for _ in range(2)]
        await server.until_waiting(4)
        status, headers, answer = await server.post("d")
        server.model.gate.set()
        await asyncio.gather(first, *others)
        return status, headers["Retry-After"], answer["error"]

    status, seconds, message = run(steps)
    assert (status, int(seconds) >= 1) == (503, True)
    assert message == "4 inputs wait already, of at most 4: try again later."


def test_a_client_that_is_gone_makes_room_and_is_not_computed():
    async def steps(server):
        first = await post_and_compute(server, "a")
        gone = asyncio.ensure_future(server.post(["gone"] * 3))
        await server.until_waiting(3)
        gone.cancel()
        await asyncio.sleep(0.05)
        last = asyncio.ensure_future(server.post(["b", "c"]))
        await server.until_waiting(2)
        server.model.gate.set()
        await asyncio.gather(first, last)
        return server.model.computed, await server.metrics()

    computed, metrics = run(steps)
    assert computed == ["a", "b", "c"]
    assert metrics['albert_requests_total{path="/predict",status="499"}'] == 1


def test_an_answer_that_takes_too_long_and_a_body_that_does_not_come_are_told():
    async def steps(server):
        server.model.gate.clear()
        late = await server.post("a")
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(HEAD_AND_HALF_A_BODY)
        answer = await reader.readuntil(b"}")
        writer.close()
        return late, answer

    (status, _, late), answer = run(steps, SETTINGS._replace(timeout=0.2))
    assert (status, late) == (504, {"error": "There was no answer within 0.2 s."})
    assert b" 408 " in answer.splitlines()[0] and b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b'{"error": "The body did not come within 0.2 s."}')


def test_metrics_count_requests_batches_and_inputs():
    async def steps(server):
        await server.post(["a", "b"])
        await server.post("c")
        await server.post([])
        await server.post("a", path="no/such/path")
        async with server.session.get(server.url + "healthz") as response:
            assert response.status == 200
        return await server.metrics()

    found = run(steps)
    for name, value in {
        'albert_requests_total{path="/predict",status="200"}': 2,
        'albert_requests_total{path="/predict",status="400"}': 1,
        'albert_requests_total{path="other",status="404"}': 1,
        "albert_request_seconds_count": 2,
        "albert_batch_inputs_count": 2,
        "albert_batch_inputs_sum": 3,
        "albert_predicted_inputs_total": 3,
        "albert_waiting_inputs": 0,
    }.items():
        assert found[name] == value, name


# The end


def test_what_was_accepted_is_answered_and_what_comes_later_on_open_connections_is_refused():
    async def steps(server):
        accepted = await post_and_compute(server, "a")
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in await reader.readuntil(b"ok\n")
        stopped = asyncio.ensure_future(server.stopped())
        await asyncio.sleep(0.05)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        refused = await reader.read()  # to the end of the connection
        writer.close()
        with pytest.raises(OSError):
            await asyncio.open_connection(*server.address)
        server.model.gate.set()
        return (await accepted)[::2], refused, await stopped

    accepted, refused, num_unanswered = run(steps)
    assert accepted == (200, {"text": "a"})
    assert b" 503 " in refused.splitlines()[0]
    assert b"\r\nConnection: close\r\n" in refused and b"\r\nRetry-After: 1\r\n" in refused
    assert num_unanswered == 0


def test_what_cannot_be_answered_in_time_is_counted():
    async def steps(server):
        server.model.gate.clear()
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(HEAD_AND_HALF_A_BODY)
        await asyncio.sleep(0.1)
        stopped = asyncio.ensure_future(server.stopped())
        await asyncio.sleep(0.5)
        writer.write(b'bcdefg"')  # in time, but its answer may take as long again
        num_unanswered = await stopped
        writer.close()
        return num_unanswered

    assert run(steps, SETTINGS._replace(timeout=1)) == 1


# The address


def test_an_address_that_cannot_be_used_is_one_line():
    with contextlib.closing(server_lib.bind("127.0.0.1", 0)) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=f"^host=127.0.0.1 port={port} cannot be used: Addr"):
            server_lib.bind("127.0.0.1", port)
    with pytest.raises(UsageError, match="^host=no.such.host.invalid port=0 cannot be used: "):
        server_lib.bind("no.such.host.invalid", 0)


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.2", True), ("0.0.0.0", False)])
def test_addresses_that_other_machines_reach_are_told_apart(host, expected):
    with contextlib.closing(server_lib.bind(host, 0)) as listener:
        assert server_lib.is_loopback(listener) is expected
        assert server_lib.url_of(listener) == f"http://{host}:{listener.getsockname()[1]}/"
