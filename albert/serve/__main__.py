r"""Serves a model that a run has trained, over HTTP.

    python -m albert.serve --model_dir=albert_output/SST-2
    curl -H "Content-Type: application/json" -d '"a warm and funny film"' localhost:8501/predict

answers with what albert.predict returns of the same input, and shows a page to try it in a browser.
Inputs of many requests are computed together. There is neither authentication nor TLS.
"""

from albert.cli import quiet

if __name__ == "__main__":
    quiet.quiet_start()

import asyncio
import contextlib
import logging
import math
import os
from typing import Any

from albert import predict
from albert.cli import program, shared_flags, trained_model
from albert.common.errors import UsageError

_PROG = "serve"
_CHARACTERS_PER_TOKEN = 4  # of English; a batch need not be exact

# Flags that must be 1 or more.
_COUNTS = (
    "num_gpu_cores",
    "max_batch_size",
    "max_waiting",
    "max_body_bytes",
    "max_inputs",
    "max_text_length",
)

_log = logging.getLogger("albert.serve")


def _check(arguments: Any) -> None:
    for name in _COUNTS:
        if getattr(arguments, name) < 1:
            raise UsageError(f"--{name}={getattr(arguments, name)} must be 1 or more.")
    if not 0 <= arguments.port <= 65535:
        raise UsageError(f"--port={arguments.port} must be from 0 to 65535.")
    if not (arguments.timeout > 0 and math.isfinite(arguments.timeout)):
        raise UsageError(f"--timeout={arguments.timeout:g} must be a number above 0.")
    if arguments.max_inputs > arguments.max_waiting:
        raise UsageError(
            f"--max_inputs={arguments.max_inputs} must be at most "
            f"--max_waiting={arguments.max_waiting}, or such a request could never wait."
        )
    trained_model.check(arguments.model_dir)


def _settings(arguments: Any, num_tokens: int) -> Any:
    from albert.serve import server

    num_characters = num_tokens * arguments.num_gpu_cores * _CHARACTERS_PER_TOKEN
    return server.Settings(
        server.Limits(arguments.max_body_bytes, arguments.max_inputs, arguments.max_text_length),
        server.BatchLimits(arguments.max_waiting, arguments.max_batch_size, num_characters),
        arguments.timeout,
    )


async def _run(model: Any, listener: Any, arguments: Any) -> int:
    from albert.serve import server

    def announce() -> None:
        name = f"{arguments.model_dir} ({model.task.name})"
        print(f"Serving {name} at {server.url_of(listener)}", flush=True)

    stopping = asyncio.Event()
    server.stop_on_signals(stopping)
    settings = _settings(arguments, model.num_tokens)
    return await server.serve(model, listener, settings, stopping, announce)


def _serve(arguments: Any) -> None:
    from albert.serve import server

    _check(arguments)
    with contextlib.closing(server.bind(arguments.host, arguments.port)) as listener:
        if not server.is_loopback(listener):
            _log.warning(
                "--host=%s lets other machines in: there is neither authentication nor TLS.",
                arguments.host,
            )
        model = predict.load(
            arguments.model_dir,
            arguments.device_type,
            arguments.num_gpu_cores,
            arguments.precision,
        )
        # The first prediction is slow, and a model that cannot predict must not seem to serve.
        columns = model.task.input_columns.items()
        model.predict([{name: "a" if number == 1 else ["a"] * number for name, number in columns}])
        quiet.has_started()
        num_unanswered = asyncio.run(_run(model, listener, arguments))
    if num_unanswered:
        _log.warning("Stopped; not answered within %g s: %d.", arguments.timeout, num_unanswered)
        os._exit(1)  # not sys.exit, which would wait for the batch that is being computed
    _log.info("Stopped; every request was answered.")


def _parser() -> program.Parser:
    from albert.engine.config import DEVICE_TYPES, PRECISIONS

    parser = program.Parser(prog=_PROG, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model_dir", required=True, help="output_dir of a training")
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=8501, help="0: any free one (default: %(default)s)"
    )
    parser.add_argument("--device_type", default="auto", choices=DEVICE_TYPES)
    parser.add_argument("--num_gpu_cores", type=int, default=1, help="devices (default: 1)")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument(
        "--max_batch_size",
        type=int,
        default=128,
        help="inputs computed together (default: %(default)s)",
    )
    parser.add_argument(
        "--max_waiting", type=int, default=1024, help="inputs that may wait (default: %(default)s)"
    )
    parser.add_argument(
        "--max_body_bytes",
        type=int,
        default=1 << 20,
        help="bytes of a request (default: %(default)s)",
    )
    parser.add_argument(
        "--max_inputs", type=int, default=256, help="inputs of a request (default: %(default)s)"
    )
    parser.add_argument(
        "--max_text_length",
        type=int,
        default=10000,
        help="characters of a text (default: %(default)s)",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        help="seconds for a body to come, and again for its answer (default: %(default)g)",
    )
    return parser


def main() -> None:
    """Runs the command line."""
    arguments = _parser().parse_args()
    quiet.show_log(0)
    program.run(_PROG, lambda: _serve(arguments), flag_of=shared_flags.flag_of)


if __name__ == "__main__":
    main()
