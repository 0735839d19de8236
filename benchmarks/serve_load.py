"""Sends many requests to python -m albert.serve, good and bad ones, and checks every answer.

    python benchmarks/serve_load.py --model_dir=albert_output/SST-2 --num_requests=10000
    python benchmarks/serve_load.py --model_dir=albert_output/SST-2 --compare --rounds=5

starts the server itself, for a model that reads single texts. A share of the requests is malformed,
too large or cut off. Answers to the others are compared with those of albert.predict, in which
rounding may differ: it depends on the batch. Prints requests per second, the times of the good ones
and the counts of statuses.

--compare measures, in rounds that take turns: the server as it is, the server with
--max_batch_size=1, and albert.predict with one text at a time in a loop.
"""

import argparse
import asyncio
import collections
import contextlib
import json
import math
import random
import statistics
import subprocess
import sys
import time

import aiohttp

TYPE = {"Content-Type": "application/json"}
WORDS = "a film that is both dull and long but also kind of sweet red green blue old new".split()
BAD = {
    "malformed": (b'{"text": "a', 400),
    "not UTF-8": (b'"\xff"', 400),
    "no column": (b'{"txt": "a"}', 400),
    "wrong type": (b"[1]", 400),
    "NaN": (b"[NaN]", 400),
    "nested": (b"[" * 100000, 400),
    "long text": (b'"%s"' % (b"a" * 20000), 413),
    "large": (b'"%s"' % (b"a" * (1 << 21)), 413),
    "cut off": (None, None),
}


def texts_of(num_texts, seed):
    """Returns texts of 1 to 20 words."""
    numbers = random.Random(seed)
    return [" ".join(numbers.choices(WORDS, k=numbers.randint(1, 20))) for _ in range(num_texts)]


@contextlib.contextmanager
def server(options, *more):
    """Yields the address of a server, which must end with status 0."""
    command = [sys.executable, "-W", "ignore", "-m", "albert.serve", "--port=0", *more]
    command += [f"--model_dir={options.model_dir}", f"--device_type={options.device_type}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, universal_newlines=True)
    try:
        line = process.stdout.readline()
        if not line:
            sys.exit("serve_load: the server did not start.")
        yield line.split()[-1]
    finally:
        process.terminate()
        status = process.wait()
    assert status == 0, f"the server ended with status {status}"


class Load:
    """What a server has answered.

    Attributes:
        statuses: how many requests had which status.
        seconds: of each good request.
        wrong: answers that should have been others.
    """

    def __init__(self, url):
        self.url = url
        self.statuses = collections.Counter()
        self.seconds = []
        self.wrong = []

    async def send(self, jobs, num_connections):
        """Sends all jobs, each (text, expected answer) or the name of a bad request."""
        waiting = collections.deque(jobs)
        async with aiohttp.ClientSession() as session:
            await asyncio.gather(*[self._connect(session, waiting) for _ in range(num_connections)])

    async def _connect(self, session, waiting):
        while waiting:
            job = waiting.popleft()
            if job == "cut off":
                await self._cut_off()
            elif isinstance(job, str):
                body, expected = BAD[job]
                status, answer = await self._post(session, body)
                if status != expected or list(answer) != ["error"]:
                    self.wrong.append((job, status, answer))
            else:
                text, expected = job
                start = time.perf_counter()
                status, answer = await self._post(session, json.dumps(text).encode())
                self.seconds.append(time.perf_counter() - start)
                if status != 200 or not is_close(answer, expected):
                    self.wrong.append((text, status, answer))

    async def _post(self, session, body):
        async with session.post(self.url + "predict", data=body, headers=TYPE) as response:
            self.statuses[response.status] += 1
            return response.status, json.loads(await response.text())

    async def _cut_off(self):
        host, port = self.url[len("http://") : -1].split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
        writer.write(b'Content-Length: 100\r\n\r\n"a')
        await writer.drain()
        writer.close()
        self.statuses["cut off"] += 1


def is_close(found, expected):
    """Returns whether two answers agree but for rounding."""
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(
            is_close(found[key], expected[key]) for key in expected
        )
    if isinstance(expected, float):
        return math.isclose(found, expected, abs_tol=1e-5)
    return found == expected


def per_second(url, jobs, num_connections):
    """Returns the Load of jobs, and how many were done per second."""
    load = Load(url)
    start = time.perf_counter()
    asyncio.run(load.send(jobs, num_connections))
    return load, len(jobs) / (time.perf_counter() - start)


def check(options, model):
    """Sends good and bad requests in random order; returns whether every answer was right."""
    numbers = random.Random(options.seed)
    num_bad = round(options.num_requests * options.share_of_bad)
    texts = texts_of(options.num_requests - num_bad, options.seed)
    jobs = list(zip(texts, model.predict(texts)))
    jobs += [numbers.choice(list(BAD)) for _ in range(num_bad)]
    numbers.shuffle(jobs)
    with server(options) as url:
        load, speed = per_second(url, jobs, options.connections)
    p50, p99 = (sorted(load.seconds)[int(len(load.seconds) * share)] for share in (0.5, 0.99))
    print(f"{speed:.0f} requests/s; good ones: p50 {1e3 * p50:.1f} ms, p99 {1e3 * p99:.1f} ms")
    print(
        "statuses:", ", ".join(f"{name}: {n}" for name, n in sorted(load.statuses.items(), key=str))
    )
    print(f"wrong answers: {len(load.wrong)}", *load.wrong[:3], sep="\n")
    return not load.wrong


def compare(options, model):
    """Prints texts per second of the three ways, and their ratios within a round."""
    texts = texts_of(options.num_requests, options.seed)
    jobs = list(zip(texts, model.predict(texts)))
    model.predict(texts[:1])
    rounds = []
    with server(options) as batched, server(options, "--max_batch_size=1") as single:
        for _ in range(options.rounds + 1):  # the first warms up
            speeds = []
            for url in (batched, single):
                load, speed = per_second(url, jobs, options.connections)
                assert not load.wrong, load.wrong[:3]
                speeds.append(speed)
            start = time.perf_counter()
            for text in texts:
                model.predict([text])
            rounds.append([*speeds, len(texts) / (time.perf_counter() - start)])
    for name, index in (("served", 0), ("--max_batch_size=1", 1), ("albert.predict", 2)):
        speeds = [each[index] for each in rounds[1:]]
        ratios = [each[0] / each[index] for each in rounds[1:]]
        least, most, median = min(ratios), max(ratios), statistics.median(ratios)
        speed = f"{name}: {statistics.median(speeds):.1f} texts/s"
        print(f"{speed}; served is {median:.2f} times as fast ({least:.2f} to {most:.2f})")
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_dir", required=True, help="output_dir of a training")
    parser.add_argument("--device_type", default="auto")
    parser.add_argument("--num_requests", type=int, default=10000)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--share_of_bad", type=float, default=0.5, help="0 with --compare")
    parser.add_argument("--compare", action="store_true", help="measure instead of checking")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from albert import predict

    model = predict.load(options.model_dir, options.device_type)
    sys.exit(not (compare if options.compare else check)(options, model))


if __name__ == "__main__":
    main()
