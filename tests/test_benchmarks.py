"""Tests of the benchmarks: what they do with measured figures, and a run of their script.

No test looks at a wall-clock figure: workers that answer with made-up ones stand in for real ones.
"""

import ast
import collections
import json
import random
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import runs
import tiny

from benchmarks import batches, channel, data, parts, report, run, settings, workers

WORDS = "a film that is both dull and long but also kind of sweet".split()


@pytest.fixture(scope="module")
def glue_dir(tmp_path_factory):
    """Returns a folder with a vocabulary, and SST-2 sentences of 1 to 12 words."""
    folder = tmp_path_factory.mktemp("glue data")
    numbers = random.Random(1)
    (folder / "SST-2").mkdir()
    for split, size in (("train", 120), ("dev", 70)):
        texts = [" ".join(numbers.sample(WORDS, 1 + row % 12)) for row in range(size)]
        rows = ["sentence\tlabel", *(f"{text} \t{row % 2}" for row, text in enumerate(texts))]
        (folder / "SST-2" / f"{split}.tsv").write_text("\n".join(rows) + "\n")
    tiny.train_sentencepiece(
        [" ".join(WORDS)] * 20,
        model_prefix=str(folder / "spm"),
        control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    )
    return folder


@pytest.fixture
def options(glue_dir, tmp_path):
    """Returns the Settings of a tiny run on SST-2, as benchmarks.run completes them."""
    parsed = settings.parse([*flags(glue_dir), "--tiny", "--rounds=2", "--batch_sizes", "2"])
    parsed.work_dir = str(tmp_path)
    parsed.pythons = {"ours": sys.executable, "peer": sys.executable}
    parsed.vocab_size = 30
    return parsed


def flags(folder):
    """Returns the options that name the data in a folder."""
    vocabulary = [f"--vocab_file={folder}/spm.vocab", f"--spm_model_file={folder}/spm.model"]
    return [f"--data_dir={folder}", *vocabulary, "--tasks", "sst-2"]


class FakeWorker:
    """Answers at once. A step has 10 tokens and takes as many seconds as `step_seconds` says."""

    step_seconds = {"ours": 1.0, "peer": 2.0}
    asked = []  # (module, request), in order
    skipping = ()

    def __init__(self, python, module, spec, log):
        self._module, self._spec, self._num_asked = module, spec, 0
        self.started = 0.0

    def ask(self, **request):
        self.asked.append((self._module, request))
        if self._module in self.skipping:
            raise workers.Skipped("not here")
        self._num_asked += 1
        seconds = self.step_seconds[self._module] * request.get("steps", 1)
        if self._spec.get("settings"):
            seconds *= 4
        return {
            "seconds": seconds,
            "tokens": 10 * request.get("steps", 1),
            "memory": 5e6 / seconds,
            "flops": 1e9 * seconds,
            "bandwidth": 1e9,
            "machine": {"GPUs": 0},
            "others": 0.25,
        }

    def close(self):
        pass


@pytest.fixture
def fake_workers(monkeypatch):
    """Replaces workers by a new class of FakeWorker, and returns it."""
    fake = type("Fake", (FakeWorker,), {"asked": []})
    monkeypatch.setattr(workers, "Worker", fake)
    return fake


def measured(part, options, on_skip=print):
    """Returns the Results of a part, {(case, who): Result}."""
    bench = parts.Bench(options, on_skip)
    bench.machine["GPUs"] = 0
    results = [result for case in getattr(parts, part)(bench) for result in case]
    return {(result.case, result.who): result for result in results}


# Results


def test_a_ratio_compares_two_programs_in_the_same_round():
    first, second = report.results_of("p", "c", "u", {"a": [10.0, 20.0, 1.0], "b": [5.0, 40.0, 1]})
    assert first.ratios is None
    assert second.ratios == [0.5, 2.0, 1.0]


def test_nothing_is_compared_with_zero():
    _, second = report.results_of("p", "c", "u", {"a": [0.0, 1.0], "b": [1.0, 1.0]})
    assert second.ratios is None


def test_the_table_has_medians_and_spreads():
    results = report.results_of(
        "p", "case", "u/s", {"a": [1.0, 3.0, 2.0], "b": [3.0, 3.0, 3.0]}, {"a": [0.5, 0.25, 0.75]}
    )
    rows = [re.split(r" *\| *", line)[1:-1] for line in report.table(results).splitlines()]
    assert rows[2] == ["case", "a", "2", "u/s", "", "50% (25% to 75%)"]
    assert rows[3] == ["", "b", "3", "u/s", "1.50 (1.00 to 3.00)", ""]


def test_a_single_value_has_no_spread():
    assert (report.spread([0.714], ".2f"), report.spread(None, ".2f")) == ("0.71", "")


def test_operations_of_a_token_are_those_of_the_dense_layers():
    # 12 layers; 4 matrices of 768 x 768 and 2 of 768 x 3072; 2 operations; forward, backward twice.
    assert settings.flops_per_token(settings.model_of("base", 30000)) == 509607936


# Parts


def test_programs_take_turns(options, fake_workers):
    measured("training", options)
    steps = [module for module, request in fake_workers.asked if request]
    # Both warm up and ours tells how long a step takes; then each does its steps in each round.
    assert steps == ["ours", "peer", "ours", "ours", "peer", "ours", "peer"]


def test_training_is_compared_in_real_tokens(options, fake_workers):
    results = measured("training", options)
    ours = results["SST-2, tiny, fp32, batch 2", "ours"]
    peer = results["SST-2, tiny, fp32, batch 2", "Hugging Face"]
    assert ours.rounds == [10.0, 10.0]
    assert (peer.rounds, peer.ratios) == ([5.0, 5.0], [0.5, 0.5])
    # 2 layers x 6 x (4 x 32 x 32 + 2 x 32 x 64) operations a token; the faster product does 2e9.
    assert ours.share_of_peak == pytest.approx([10 * 98304 / 2e9] * 2)


def test_a_round_lasts_about_as_long_as_asked_for(options, fake_workers):
    options.seconds = 7.0
    measured("training", options)
    assert fake_workers.asked[-1] == ("peer", {})
    assert ("peer", {"steps": 7}) in fake_workers.asked


def test_squad_trains_on_a_quarter_of_the_batch(options):
    bench = parts.Bench(options, print)
    options.batch_sizes = [16]
    cases = list(bench.cases(["cola", "squad"]))
    assert [(name, batch_size) for name, _, _, batch_size in cases] == [("cola", 16), ("squad", 4)]


# Pre-training is on SQuAD alone.
@pytest.mark.parametrize("part", sorted({*settings.PARTS} - {"pretraining"}))
def test_without_the_peer_all_parts_measure_ours(part, options, fake_workers):
    del options.pythons["peer"]
    results = measured(part, options)
    assert results
    assert all("Hugging Face" not in case + who for case, who in results)
    assert {module for module, _ in fake_workers.asked} == {"ours"}


def test_prediction_counts_the_examples(options, fake_workers):
    results = measured("prediction", options)
    assert results["SST-2, tiny, fp32, batch 2", "ours"].rounds == [8.0, 8.0]  # the tiny pool


def test_conversion_counts_the_texts(options, fake_workers):
    results = measured("conversion", options)
    assert results["SST-2, 8 sentences", "Hugging Face"].rounds == [4.0, 4.0]


def test_memory_is_that_of_one_process_of_each_kind(options, fake_workers):
    results = measured("memory", options)
    case = "SST-2, tiny, fp32, batch 8"
    assert results[case, "ours"].rounds == pytest.approx([5 / 3])
    assert results[case, "Hugging Face"].ratios == pytest.approx([0.5])


def test_growth_compares_with_the_smallest(options, fake_workers):
    results = measured("growth", options)
    cases = collections.Counter(case for case, _ in results)
    assert cases["ours, with length"] == cases["Hugging Face, with length"] == 2
    assert (cases["ours, with batch"], cases["ours, with replicas"]) == (3, 2)
    assert results["ours, conversion with data", "16 sentences"].ratios == [2.0, 2.0]


def test_a_worker_that_cannot_take_part_is_reported_and_left_out(options, fake_workers):
    fake_workers.skipping = ("peer",)
    lines = []
    results = measured("prediction", options, lines.append)
    assert lines == ["predict, fp32, Hugging Face: not here"]
    assert [who for _, who in results] == ["ours"]


def test_the_log_of_a_failed_worker_is_shown(tmp_path):
    worker = workers.Worker(sys.executable, "no_such_module", {}, str(tmp_path / "log"))
    with pytest.raises(workers.WorkerError, match="No module named"):
        worker.ask(steps=1)
    worker.close()


def test_what_other_programs_take_of_the_processor_is_shown(options, fake_workers, capsys):
    run.run_part("prediction", parts.Bench(options, print), [])
    assert "other programs took 25% (25% to 25%) of the processor" in capsys.readouterr().out


# Data


def test_a_pool_has_the_ids_of_our_tokenizer(options):
    path, num_examples, num_tokens = data.write_pool("sst-2", "dev", options)
    rows = channel.read_pool(path)
    tokenizer = data.tokenizer_of(options)
    assert num_examples == len(rows) == 8
    assert num_tokens == sum(len(row["input_ids"]) for row in rows)
    first_text = (
        open(f"{options.data_dir}/SST-2/dev.tsv", encoding="utf-8").readlines()[1].split("\t")[0]
    )
    ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(first_text))
    assert rows[0]["input_ids"] == [2, *ids, 3]


def test_made_up_sequences_are_full_and_have_no_special_tokens(options):
    path, num_examples, num_tokens = data.write_full_pool(9, 4, options)
    rows = channel.read_pool(path)
    assert (num_examples, num_tokens) == (4, 36)
    assert all(len(row["input_ids"]) == len(row["segment_ids"]) == 9 for row in rows)
    assert min(min(row["input_ids"]) for row in rows) > 4


def test_squad_texts_are_whole_articles(tmp_path):
    question = {"question": "q"}
    articles = [{"paragraphs": [{"qas": [question] * 3, "context": "c"}]}] * 4
    source = tmp_path / "train.json"
    source.write_text(json.dumps({"data": articles}))
    options = SimpleNamespace(squad_file=str(source), work_dir=str(tmp_path), texts_size=4)
    texts = data.write_texts("squad", options)
    assert texts["num_texts"] == 6
    with open(texts["squad_file"], encoding="utf-8") as file:
        assert json.load(file)["data"] == articles[:2]


def test_batches_of_the_peer_hold_sequences_of_about_one_length():
    pool = [{"input_ids": [0] * length} for length in range(1, 81)]
    found = [
        [len(row["input_ids"]) for row in batch]
        for _, batch in zip(range(20), batches.grouped_batches(pool, 4, seed=1))
    ]
    assert sorted(length for batch in found for length in batch) == list(range(1, 81))
    assert all(max(batch) - min(batch) == 3 for batch in found)
    # Any few in a row stand for all: their means lie near that of the pool, 40.5.
    for start in range(15):
        assert 25 < sum(map(sum, found[start : start + 5])) / 20 < 56


@pytest.mark.parametrize("number", [0, 1, 2, 6, 50])
def test_wide_steps_reach_every_number_once(number):
    assert sorted(batches.in_wide_steps(number)) == list(range(number))


# Programs


def test_the_peer_needs_nothing_of_ours():
    allowed = {"benchmarks", "sentencepiece", "torch", "transformers"}
    for name in ("peer", "channel", "batches"):
        source = (runs.REPOSITORY / "benchmarks" / f"{name}.py").read_text(encoding="utf-8")
        found = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module)
        ours = {module for module in found if module.startswith("benchmarks.")}
        assert ours <= {"benchmarks.channel", "benchmarks.batches"}
        not_ours = {module.split(".")[0] for module in found} - allowed
        assert not_ours <= {"contextlib", "json", "math", "os", "random", "sys", "time"}


def test_the_peak_of_memory_counts_what_was_freed():
    memory = channel.ResidentMemory()
    block = bytearray(b"x") * (64 << 20)
    del block
    assert 60 << 20 < memory.peak_growth() < 200 << 20


def test_a_missing_file_is_named(glue_dir, capsys):
    with pytest.raises(SystemExit):
        settings.parse([*flags(glue_dir), "--squad_file=nowhere.json", "--tasks", "squad"])
    assert "--squad_file: there is no" in capsys.readouterr().err


@pytest.mark.slow
def test_the_script_prints_tables_and_writes_json(glue_dir, tmp_path):
    """Runs our workers as they are; figures are not looked at."""
    script = ["bash", str(runs.REPOSITORY / "scripts" / "run_benchmarks.sh")]
    chosen = ["training", "prediction", "conversion", "--no_peer", "--tiny", "--rounds=2"]
    done = subprocess.run(
        [*script, *chosen, *flags(glue_dir.name), "--output=found.json"],
        cwd=str(glue_dir.parent),  # so that paths are relative to another folder than the project's
        env=runs.environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads((glue_dir.parent / "found.json").read_text(encoding="utf-8"))
    rows = [
        (result["part"], result["case"], result["who"], len(result["rounds"]))
        for result in found["results"]
        if result["part"] != "limits"
    ]
    assert rows == [
        ("training", "SST-2, tiny, fp32, batch 16", "ours", 2),
        ("prediction", "SST-2, tiny, fp32, batch 16", "ours", 2),
        ("conversion", "SST-2, 64 sentences", "ours", 2),
    ]
    assert all(value > 0 for result in found["results"] for value in result["rounds"])
    assert found["settings"]["rounds"] == 2
    assert found["machine"]["TensorFlow"]
    headings = re.findall(r"^## (\w+)", done.stdout, re.MULTILINE)
    assert headings == ["limits", "training", "prediction", "conversion"]


@pytest.mark.slow
def test_pretraining_is_compared_with_padding_and_with_all_logits(options, tmp_path):
    context = "A film. " + " ".join(WORDS) + ". It is long. And sweet."
    article = {"paragraphs": [{"context": context, "qas": []}] * 20}
    (tmp_path / "squad.json").write_text(json.dumps({"data": [article]}))
    options.tasks, options.squad_file = ["squad"], str(tmp_path / "squad.json")
    options.batch_sizes, options.rounds = [8], 1
    del options.pythons["peer"]
    options.vocab_size = data.tokenizer_of(options).vocab_size
    results = measured("pretraining", options)
    assert [who for _, who in results] == [  # without the peer
        "ours",
        "ours, padding computed",
        "ours, all logits and padding",
    ]
    assert all(value > 0 for result in results.values() for value in result.rounds)
