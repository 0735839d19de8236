"""The HTTP server: its paths, its errors, and how it stops."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import time
from typing import Any, Callable, Dict, NamedTuple

from aiohttp import web
from aiohttp.http import HttpProcessingError

from albert.common import json_files
from albert.common.errors import UsageError
from albert.serve import body as body_lib
from albert.serve import page as page_lib
from albert.serve.batching import Batcher, BatchLimits, Example, GivenUp, QueueFull
from albert.serve.body import Limits, Refused
from albert.serve.metrics import CONTENT_TYPE, Metrics

_READ = ("GET", "HEAD")
# {path: the methods that it takes}
_PATHS = {"/": _READ, "/predict": ("POST",), "/healthz": _READ, "/metrics": _READ}
_JSON = "application/json"
_CLIENT_GONE = 499  # as nginx logs it; nobody receives it
_SECONDS_TO_FLUSH = 5.0  # for the last answers to leave

_log = logging.getLogger(__name__)


class Settings(NamedTuple):
    """How requests are served.

    Attributes:
        timeout: seconds in which a body must come, and again in which it must be answered.
    """

    limits: Limits
    batches: BatchLimits
    timeout: float


class Server:
    """The handlers of all paths, and the state that they share; made in a running event loop.

    Args:
        model: an albert.predict.Model.
        stopping: once it is set, every new request is refused.
    """

    def __init__(self, model: Any, settings: Settings, stopping: asyncio.Event) -> None:
        self._model = model
        self._settings = settings
        self._stopping = stopping
        self._metrics = Metrics()
        self.batcher = Batcher(
            model.predict_examples, settings.batches, self._metrics.observe_batch
        )
        self._metrics.waiting.set_function(lambda: self.batcher.num_waiting)
        self._page = page_lib.render(model.task)
        self._num_active = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def make_app(self) -> web.Application:
        """Returns the application of aiohttp."""
        app = web.Application(
            middlewares=[self._answer], client_max_size=self._settings.limits.max_body_bytes
        )
        # One route for all, since only a route can say how `Expect` is met.
        app.router.add_route("*", "/{path:.*}", self._route, expect_handler=_meet_expectation)
        return app

    async def drain(self) -> int:
        """Waits until what was accepted is answered, or the timeout; returns how much is not."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), self._settings.timeout)
        return self._num_active

    @web.middleware
    async def _answer(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Turns whatever a handler raises into an answer, and counts it."""
        self._num_active += 1
        self._is_idle.clear()
        start = time.monotonic()
        try:
            response = await self._response_of(request, handler)
        finally:
            self._num_active -= 1
            if not self._num_active:
                self._is_idle.set()
        if self._stopping.is_set() or "Connection" in response.headers:
            response.force_close()
        response.headers.setdefault("Content-Security-Policy", "default-src 'none'")
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Server"] = "albert"
        path = request.path if request.path in _PATHS else "other"
        self._metrics.requests.labels(path, response.status).inc()
        if path == "/predict" and response.status == 200:
            self._metrics.seconds.observe(time.monotonic() - start)
        return response

    async def _response_of(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            if self._stopping.is_set():
                raise self._busy("The server is stopping: try again at its successor.")
            return await handler(request)
        except Refused as refused:
            return _json({"error": refused.message}, status=refused.status, headers=refused.headers)
        except UsageError as error:  # of an input
            return _json({"error": error.text(str)}, status=400)
        except web.HTTPException as error:
            allowed = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
            message = _explanation(request, error, self._settings.limits)
            return _json({"error": message}, status=error.status, headers=allowed)
        except GivenUp:
            return web.Response(status=_CLIENT_GONE)
        except Exception:  # a bug must neither end the server nor be lost
            _log.exception("%s %s failed.", request.method, request.path)
            return _json({"error": "The server failed; its log says why."}, status=500)

    async def _route(self, request: web.Request) -> web.Response:
        if request.path not in _PATHS:
            raise web.HTTPNotFound()
        if request.method not in _PATHS[request.path]:
            raise web.HTTPMethodNotAllowed(request.method, _PATHS[request.path])
        handlers = {
            "/": self._show_page,
            "/predict": self._predict,
            "/healthz": self._tell_health,
            "/metrics": self._tell_metrics,
        }
        return await handlers[request.path](request)

    async def _predict(self, request: web.Request) -> web.Response:
        inputs, is_list = body_lib.inputs_in(await self._body_of(request), self._settings.limits)
        examples = [
            Example(value, body_lib.length_of(each))
            for value, each in zip(self._model.examples_of(inputs), inputs)
        ]
        timeout = self._settings.timeout
        try:
            # aiohttp lets a handler go on when its client has gone.
            results = await self.batcher.predict(
                examples, lambda: request.transport is None, timeout
            )
        except QueueFull:
            raise self._busy(
                f"{self.batcher.num_waiting} inputs wait already, of at most "
                f"{self._settings.batches.max_waiting}: try again later."
            ) from None
        except asyncio.TimeoutError:
            raise Refused(504, f"There was no answer within {timeout:g} s.") from None
        return _json(results if is_list else results[0])

    async def _body_of(self, request: web.Request) -> bytes:
        # A page of another site can make a browser post a form or plain text, but not this type.
        found = request.headers.get("Content-Type", "none")
        # Not aiohttp's content_type, which on Python 3.7 fails on some bytes that are not UTF-8.
        if found.partition(";")[0].strip().lower() != _JSON:
            raise Refused(415, f"The Content-Type must be application/json, not {found:.100}.")
        encoding = request.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise Refused(415, f"The body must not be compressed, but it is {encoding:.100}.")
        if (request.content_length or 0) > self._settings.limits.max_body_bytes:
            raise web.HTTPRequestEntityTooLarge(
                self._settings.limits.max_body_bytes, request.content_length or 0
            )
        timeout = self._settings.timeout
        try:
            if request.content.is_eof():  # the body is there, as small ones are
                return await request.read()
            return await asyncio.wait_for(request.read(), timeout)
        except asyncio.TimeoutError:
            message = f"The body did not come within {timeout:g} s."
            raise Refused(408, message, {"Connection": "close"}) from None
        except (web.RequestPayloadError, HttpProcessingError):
            message = "The body is not what its headers announce."
            raise Refused(400, message, {"Connection": "close"}) from None
        except OSError:  # the connection is lost
            raise GivenUp from None

    def _busy(self, message: str) -> Refused:
        return Refused(503, message, {"Retry-After": str(self.batcher.seconds_to_wait)})

    async def _show_page(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": self._page.policy, "Referrer-Policy": "no-referrer"}
        return web.Response(
            body=self._page.body, content_type="text/html", charset="utf-8", headers=headers
        )

    async def _tell_health(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _tell_metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


async def _meet_expectation(request: web.Request) -> None:
    """Asks for the body of a request that waits for it; ignores what else it expects.

    aiohttp's own handler fails at an expectation that is not UTF-8.
    """
    if request.headers["Expect"].lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer has been sent


def _json(value: Any, **more: Any) -> web.Response:
    body = (json_files.as_json(value) + "\n").encode()
    return web.Response(body=body, content_type=_JSON, **more)


def _explanation(request: web.Request, error: web.HTTPException, limits: Limits) -> str:
    """Returns what to say about an error of aiohttp."""
    if isinstance(error, web.HTTPNotFound):
        return f"There is no {request.path:.100}; there are {', '.join(_PATHS)}."
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return f"{request.path} takes {allowed}, not {request.method:.20}."
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return f"The body is too large: at most {limits.max_body_bytes} bytes are allowed."
    return f"{error.reason}."


def bind(host: str, port: int) -> socket.socket:
    """Returns a socket bound to an address, that does not listen yet.

    Raises:
        UsageError: the address is in use, not allowed or not of this machine.
    """
    try:
        (family, kind, protocol, _, address), *_ = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host, port, error):
    reason = getattr(error, "strerror", None) or "it is no name of a machine"
    return UsageError(f"<host> <port> cannot be used: {reason}.", host=host, port=port)


def url_of(listener: socket.socket) -> str:
    """Returns the address that a socket is bound to, as URL."""
    host, port, *_ = listener.getsockname()
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def is_loopback(listener: socket.socket) -> bool:
    """Returns whether only this machine can reach a socket."""
    return ipaddress.ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Lets the first SIGINT or SIGTERM set an event, and the second one end the process at once.

    A signal that is ignored, as SIGINT under nohup, stays ignored.
    """

    def stop(number: int) -> None:
        if stopping.is_set():
            _log.warning("Ended by a second signal before everything was answered.")
            os._exit(128 + number)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            asyncio.get_event_loop().add_signal_handler(number, stop, number)


async def serve(
    model: Any,
    listener: socket.socket,
    settings: Settings,
    stopping: asyncio.Event,
    when_ready: Callable[[], None],
) -> int:
    """Serves a model until `stopping` is set; returns how many requests were left unanswered.

    It then accepts no connection any more, answers what it has accepted, and refuses new requests
    on open connections.

    Raises:
        UsageError: the socket cannot listen.
    """
    server = Server(model, settings, stopping)
    # Compressed bodies are refused, so that a small one cannot become a large one.
    options: Dict[str, Any] = {"auto_decompress": False, "access_log": None}
    runner = web.AppRunner(server.make_app(), logger=_protocol_log(), **options)
    await runner.setup()
    assert runner.server is not None
    predicting = asyncio.ensure_future(server.batcher.run())
    waiting = asyncio.ensure_future(stopping.wait())
    try:
        connections = await _listen(listener, runner.server)
        when_ready()
        await asyncio.wait([predicting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if predicting.done():
            predicting.result()  # raises: a bug, without which it never ends
        # Not a site of aiohttp: whether stopping one ends its connections depends on the version.
        connections.close()
        num_unanswered = await server.drain()
        for connection in runner.server.connections:
            connection.close()  # at once if it is idle, for which `shutdown` would wait
        await runner.server.shutdown(_SECONDS_TO_FLUSH if not num_unanswered else 0.0)
        return num_unanswered
    finally:
        for task in (predicting, waiting):
            task.cancel()
        await runner.cleanup()


async def _listen(listener: socket.socket, protocol_factory: Any) -> Any:
    try:
        loop = asyncio.get_event_loop()
        return await loop.create_server(protocol_factory, sock=listener, backlog=1024)
    except OSError as error:
        host, port, *_ = listener.getsockname()
        raise _cannot_listen(host, port, error) from error


def _protocol_log() -> logging.Logger:
    """Returns the log of aiohttp's protocol, without what clients send that is not HTTP."""
    log = logging.getLogger(f"{__name__}.protocol")
    if not log.filters:
        log.addFilter(_is_bug)
    return log


def _is_bug(record: logging.LogRecord) -> bool:
    error = record.exc_info and record.exc_info[1]
    return not isinstance(error, HttpProcessingError)
