"""The parts of the benchmarks. Each function yields lists of report.Result, one list per case."""

import collections
import itertools

from benchmarks import data
from benchmarks.report import results_of
from benchmarks.settings import flops_of_prediction, flops_per_token, model_of
from benchmarks.workers import Crew

OURS, PEER = "ours", "Hugging Face"
_MODULES = {OURS: "ours", PEER: "peer"}
_TITLES = {"cola": "CoLA", "sst-2": "SST-2", "squad": "SQuAD"}
_LIMITS = {"TensorFlow": "ours", "PyTorch": "peer"}
_MAX_STARTS = 3  # of each program, which take long
_NUM_PREDICTED = 128
# Growth depends little on the number of layers, and few layers make a graph sooner.
_GROWTH_LAYERS = 3
_LENGTHS = (64, 128, 256, 512)
_PRETRAINING_LENGTH = 512
_MASKED_SHARE = 0.15  # of the tokens


class Bench:
    """What all parts share.

    Args:
        settings: of settings.parse, with `pythons`, `work_dir` and `vocab_size`.
        on_skip: called with a line about each thing that cannot be measured.

    Attributes:
        machine: {what: value} that the workers report: versions and GPUs.
        others: the share of the processor that other programs took, during each reply so far.
    """

    def __init__(self, settings, on_skip):
        self.settings = settings
        self.machine = {}
        self.others = []
        self._on_skip = on_skip
        self._pools = {}

    def crew(self):
        """Returns a Crew without workers."""
        return Crew(self.settings, self._on_skip, self.others)

    def pool(self, name, split="train", size=None):
        """Returns what data.write_pool does; the file is written at the first call."""
        key = name, split
        if key not in self._pools:
            self._pools[key] = data.write_pool(name, split, self.settings, size)
        return self._pools[key]

    def spec(self, mode, model, precision="fp32", **values):
        """Returns the spec of a worker."""
        return {
            "mode": mode,
            "model": model,
            "precision": precision,
            "device_type": self.settings.device_type,
            "work_dir": self.settings.work_dir,
            **values,
        }

    def model(self, size, **changes):
        """Returns the model's configuration."""
        return model_of(size, self.settings.vocab_size, **changes)

    def training_spec(self, name, model, precision, batch_size):
        """Returns the spec of a worker that trains on a task."""
        return self.spec(
            "train",
            model,
            precision,
            pool=self.pool(name)[0],
            batch_size=batch_size,
            squad_file=self.settings.squad_file if name == "squad" else None,
        )

    def cases(self, names):
        """Yields (task, size, precision, batch size), all combinations of the settings."""
        settings = self.settings
        for size, precision, batch_size, name in itertools.product(
            settings.sizes, settings.precisions, settings.batch_sizes, names
        ):
            # SQuAD's sequences are some ten times as long as those of the others.
            yield name, size, precision, max(1, batch_size // (4 if name == "squad" else 1))

    def first_glue_task(self):
        """Returns the first task that is not SQuAD, in a list; an empty one without it."""
        return [name for name in self.settings.tasks if name != "squad"][:1]

    def add_limits(self, crew, precision):
        """Adds the workers that measure the machine; returns their names."""
        num_numbers = 1 << (16 if self.settings.tiny else 26)
        spec = self.spec("limits", {}, precision, num_numbers=num_numbers)
        added = []
        for name, module in _LIMITS.items():
            reply = crew.add(name, module, spec)
            if reply:
                self.machine.update(reply["machine"])
                added.append(name)
        return added


def limits(bench):
    """The machine: product of matrices and memory, by both libraries."""
    for precision in bench.settings.precisions:
        with bench.crew() as crew:
            rounds = _in_turn(bench, crew, bench.add_limits(crew, precision))
        for key, unit, case in (
            ("flops", "GFLOP/s", f"matrix product, {precision}"),
            ("bandwidth", "GB/s", "memory, a += b"),
        ):
            values = {
                name: [reply[key] / 1e9 for reply in replies] for name, replies in rounds.items()
            }
            yield results_of("limits", case, unit, values)


def training(bench):
    """Training steps, in real tokens per second."""
    for name, size, precision, batch_size in bench.cases(bench.settings.tasks):
        spec = bench.training_spec(name, bench.model(size), precision, batch_size)
        with bench.crew() as crew:
            _add_trainers(bench, crew, spec, with_padded=name == "cola")
            flops = flops_per_token(spec["model"])
            speeds, shares = _training_speeds(bench, crew, spec, flops)
        yield results_of("training", _title(name, size, precision, batch_size), *speeds, shares)


def _title(name, size, precision, batch_size):
    return f"{_TITLES[name]}, {size}, {precision}, batch {batch_size}"


def _add_trainers(bench, crew, spec, with_padded):
    warm_up = {"steps": 2}
    crew.add(OURS, "ours", spec, **warm_up)
    crew.add(PEER, "peer", spec, **warm_up)
    if bench.settings.compile:
        crew.add(f"{PEER}, compiled", "peer", dict(spec, compile=True), **warm_up)
    if with_padded:
        padded = dict(spec, settings={"packed_tokens": False})
        crew.add(f"{OURS}, padding computed", "ours", padded, **warm_up)


def _training_speeds(bench, crew, spec, flops):
    """Returns ((unit, {name: values}), {name: shares of the peak}) of all trainers in a crew.

    Args:
        flops: operations for a real token.
    """
    names = list(crew)
    steps = _steps_in(crew, names[0], bench.settings.seconds) if names else 1
    peaks = bench.add_limits(crew, spec["precision"])
    requests = {name: {"steps": steps} for name in names}
    rounds = _in_turn(bench, crew, [*names, *peaks], requests)
    speeds = {name: _tokens_per_second(rounds[name]) for name in names}
    measured = [[reply["flops"] for reply in rounds[name]] for name in peaks]
    peak = [max(values) for values in zip(*measured)]
    shares = {
        name: [speed * flops / most for speed, most in zip(values, peak)]
        for name, values in speeds.items()
    }
    return ("real tokens/s", speeds), shares


def pretraining(bench):
    """Pre-training steps on SQuAD's paragraphs, in real tokens per second."""
    settings = bench.settings
    if "squad" not in settings.tasks:
        return
    length = 16 if settings.tiny else _PRETRAINING_LENGTH
    sequences = data.write_sequences(settings, length)
    for _, size, precision, batch_size in bench.cases(["squad"]):
        model = bench.model(size, max_position_embeddings=512)
        spec = bench.spec(
            "train",
            model,
            precision,
            batch_size=batch_size,
            **sequences,
            vocab_file=settings.vocab_file,
            spm_model_file=settings.spm_model_file,
        )
        flops = flops_per_token(model) + _MASKED_SHARE * flops_of_prediction(model)
        padded = {"settings": {"packed_tokens": False}}
        with bench.crew() as crew:
            for name, module, changes in (
                (OURS, "ours", {}),
                (PEER, "peer", {}),
                (f"{OURS}, padding computed", "ours", padded),
                (f"{OURS}, all logits and padding", "ours", dict(padded, all_logits=True)),
            ):
                crew.add(name, module, dict(spec, **changes), steps=2)
            speeds, shares = _training_speeds(bench, crew, spec, flops)
        case = f"{length} tokens, {size}, {precision}, batch {batch_size}"
        yield results_of("pretraining", case, *speeds, shares)


def prediction(bench):
    """Prediction of SST-2's dev set, in examples per second."""
    for name, size, precision, batch_size in bench.cases(
        [name for name in bench.settings.tasks if name == "sst-2"]
    ):
        pool, num_examples, _ = bench.pool(name, "dev", _NUM_PREDICTED)
        spec = bench.spec("predict", bench.model(size), precision, pool=pool, batch_size=batch_size)
        with bench.crew() as crew:
            _add_both(crew, spec)
            rounds = _in_turn(bench, crew, list(crew))
        speeds = _per_second(rounds, num_examples)
        case = _title(name, size, precision, batch_size)
        yield results_of("prediction", case, "examples/s", speeds)


def conversion(bench):
    """From texts to features, in texts per second."""
    for name in bench.settings.tasks:
        texts = data.write_texts(name, bench.settings)
        with bench.crew() as crew:
            _add_both(crew, _conversion_spec(bench, name, texts))
            rounds = _in_turn(bench, crew, list(crew))
        unit = "questions/s" if name == "squad" else "sentences/s"
        case = f"{_TITLES[name]}, {texts['num_texts']} {unit[:-2]}"
        yield results_of("conversion", case, unit, _per_second(rounds, texts["num_texts"]))


def _conversion_spec(bench, name, texts):
    settings = bench.settings
    return bench.spec(
        "convert",
        bench.model(settings.sizes[0]),
        task=name,
        vocab_file=settings.vocab_file,
        spm_model_file=settings.spm_model_file,
        **texts,
    )


def start(bench):
    """From the start of a process to its first step; token ids are there."""
    for name, size, precision, batch_size in bench.cases(bench.first_glue_task()):
        spec = bench.training_spec(name, bench.model(size), precision, batch_size)
        seconds = collections.defaultdict(list)
        for _ in range(min(_MAX_STARTS, bench.settings.rounds)):
            for who, module in _MODULES.items():
                with bench.crew() as crew:
                    reply = crew.add(who, module, spec, steps=1)
                if reply:
                    seconds[who].append(reply["seconds_since_start"])
        yield results_of("start", _title(name, size, precision, batch_size), "s", seconds)


def memory(bench):
    """By how much the peak of a training process exceeds its size before the first step."""
    for name, size, precision, batch_size in bench.cases(bench.first_glue_task()):
        spec = bench.training_spec(name, bench.model(size), precision, 4 * batch_size)
        case = _title(name, size, precision, 4 * batch_size)
        yield results_of("memory", case, "MB", _peaks(bench, spec))
        length = 16 if bench.settings.tiny else 128
        pool, _, _ = data.write_full_pool(length, 4 * batch_size, bench.settings)
        spec = dict(spec, pool=pool, batch_size=batch_size)
        case = f"{batch_size} sequences of {length} tokens, {size}, {precision}"
        yield results_of("memory", case, "MB", _peaks(bench, spec))


def _peaks(bench, spec):
    """Returns {name: [MB]} of trainers that run one after another."""
    peaks = {}
    recomputed = dict(spec, settings={"recompute_activations": True})
    for who, module, its_spec in (
        (OURS, "ours", spec),
        (PEER, "peer", spec),
        (f"{OURS}, activations recomputed", "ours", recomputed),
    ):
        with bench.crew() as crew:
            reply = crew.add(who, module, its_spec, steps=3)
        if reply:
            peaks[who] = [reply["memory"] / 1e6]
    return peaks


def growth(bench):
    """How speed changes with the length, the batch, the replicas and the amount of data."""
    is_tiny = bench.settings.tiny
    size = bench.settings.sizes[0]
    layers = min(_GROWTH_LAYERS, model_of(size, 1)["num_hidden_layers"])
    model = bench.model(size, num_hidden_layers=layers)
    yield from _growth_with_length(bench, model, *((64, (8, 16)) if is_tiny else (1024, _LENGTHS)))
    for name in bench.first_glue_task():
        spec = bench.training_spec(name, model, "fp32", 16)
        batches = {f"batch {size}": {"batch_size": size} for size in (4, 16, 64)}
        yield from _compare_trainers(bench, "batch", spec, batches, (OURS, PEER))
        counts = [count for count in (1, 2, 4, 8) if count <= max(2, bench.machine["GPUs"])]
        replicas = {
            f"{count} x batch {16 // count}": {"replicas": count, "batch_size": 16 // count}
            for count in counts
        }
        yield from _compare_trainers(bench, "replicas", spec, replicas, (OURS,))
        yield from _growth_with_data(bench, name, (8, 16) if is_tiny else (5000, 10000, 20000))


def _growth_with_length(bench, model, tokens_per_step, lengths):
    """Yields speeds at several lengths, with as many tokens in a step and without padding."""
    spec = bench.spec("train", model)
    variants = {}
    for length in lengths:
        batch_size = tokens_per_step // length
        pool, _, _ = data.write_full_pool(length, 4 * batch_size, bench.settings)
        variants[f"{batch_size} x {length} tokens"] = {"pool": pool, "batch_size": batch_size}
    yield from _compare_trainers(bench, "length", spec, variants, (OURS, PEER))


def _compare_trainers(bench, what, spec, variants, programs):
    """Yields, for each program, the speeds of all variants, which take turns."""
    with bench.crew() as crew:
        names = {}
        for who, (variant, changes) in itertools.product(programs, variants.items()):
            name = f"{who}, {variant}"
            if crew.add(name, _MODULES[who], dict(spec, **changes), steps=2):
                names[name] = who, variant
        seconds = bench.settings.seconds / 4  # for there are many variants
        requests = {name: {"steps": _steps_in(crew, name, seconds)} for name in names}
        rounds = _in_turn(bench, crew, list(names), requests)
    for who in programs:
        speeds = {
            variant: _tokens_per_second(rounds[name])
            for name, (its_who, variant) in names.items()
            if its_who == who
        }
        yield results_of("growth", f"{who}, with {what}", "real tokens/s", speeds)


def _growth_with_data(bench, name, sizes):
    """Yields speed and memory of our conversion of several amounts of data."""
    with bench.crew() as crew:
        counts = {}
        for size in sizes:
            texts = data.write_texts(name, bench.settings, size)
            who = f"{texts['num_texts']} sentences"
            counts[who] = texts["num_texts"]
            crew.add(who, "ours", _conversion_spec(bench, name, texts))
        rounds = _in_turn(bench, crew, list(crew))
    speeds = {who: _per_second({who: rounds[who]}, counts[who])[who] for who in counts}
    peaks = {who: [reply["memory"] / 1e6 for reply in rounds[who]] for who in counts}
    yield results_of("growth", f"{OURS}, conversion with data", "sentences/s", speeds)
    yield results_of("growth", f"{OURS}, memory of a conversion with data", "MB", peaks)


def _add_both(crew, spec):
    for who, module in _MODULES.items():
        crew.add(who, module, spec)


def _steps_in(crew, trainer, seconds):
    """Returns how many steps a trainer does in about so many seconds."""
    return max(1, round(2 * seconds / crew.ask(trainer, steps=2)["seconds"]))


def _in_turn(bench, crew, names, requests=None):
    """Returns {name: replies}. Each round asks every worker once, one after another.

    Args:
        requests: {name: request}; an empty one for those without.
    """
    replies = collections.defaultdict(list)
    for _ in range(bench.settings.rounds):
        for name in names:
            replies[name].append(crew.ask(name, **(requests or {}).get(name, {})))
    return replies


def _tokens_per_second(replies):
    return [reply["tokens"] / reply["seconds"] for reply in replies]


def _per_second(rounds, number):
    return {
        name: [number / reply["seconds"] for reply in replies] for name, replies in rounds.items()
    }
