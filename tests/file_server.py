"""A file server for tests that can fail in the ways real ones do."""

import contextlib
import http.server
import re
import threading
import time


class FileServer:
    """Serves `files`, {name: bytes}, and records every request.

    Attributes:
        url: of the server, without a slash at the end.
        faults: {name: [fault, ...]}, one for each of the next requests; later ones succeed. A fault
            is one of
            - an HTTP status,
            - ("cut", bytes to send before the connection breaks),
            - ("late", seconds to wait before the answer),
            - ("short", bytes after which the answer ends, in good order),
            - ("elsewhere", first byte of a range other than the requested one).
        knows_ranges: whether a Range header is answered with that range.
        requests: [(name, Range or None), ...].
    """

    def __init__(self, files):
        self.files = files
        self.faults = {}
        self.knows_ranges = True
        self.requests = []
        self.url = None

    def version(self, name):
        """Returns the header that identifies the current version of a file, and its value."""
        return "ETag", f'"{hash(self.files[name])}"'


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        served = self.server.served
        name = self.path.rsplit("/", 1)[-1]
        served.requests.append((name, self.headers.get("Range")))
        faults = served.faults.get(name)
        fault = faults.pop(0) if faults else None
        if isinstance(fault, int):
            self.send_error(fault)
        elif name not in served.files:
            self.send_error(404)
        else:
            kind, value = fault or (None, None)
            if kind == "late":
                time.sleep(value)
            body, first = served.files[name], self._first_byte(served, name)
            first = value if kind == "elsewhere" else first
            self.send_response(200 if first is None else 206)
            self.send_header(*served.version(name))
            if first is not None:
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                body = body[first:]
            self.send_header("Content-Length", str(len(body)))
            if kind == "short":
                self.send_header("Transfer-Encoding", "chunked")
                body = b"%x\r\n%s\r\n0\r\n\r\n" % (value, body[:value])
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may have given up
                self.wfile.write(body[:value] if kind == "cut" else body)

    def _first_byte(self, served, name):
        """Returns the first byte of the range to send, None for the whole file."""
        asked = re.match(r"bytes=(\d+)-$", self.headers.get("Range", ""))
        if (
            asked
            and served.knows_ranges
            and self.headers.get("If-Range") == served.version(name)[1]
        ):
            return int(asked.group(1))
        return None

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(files):
    """Yields a FileServer of {name: bytes} on this machine."""
    served = FileServer(files)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.served = served
    served.url = f"http://127.0.0.1:{server.server_port}/mirror"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
