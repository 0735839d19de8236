"""The peer's worker: Hugging Face transformers on PyTorch, `python -m benchmarks.peer SPEC`.

It answers the requests that benchmarks.ours answers, in the way that is fastest there: batches of
examples of about the same length, fused attention and optimizer, autocast.
"""

import contextlib
import json
import os
import sys
import time

os.environ["HF_HUB_OFFLINE"] = "1"

import sentencepiece  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

from benchmarks.batches import grouped_batches, length_of  # noqa: E402
from benchmarks.channel import Channel, ResidentMemory, fastest, read_pool  # noqa: E402

_LABELS = {
    "next_sentence_labels": "sentence_order_label",
    "label_ids": "labels",
    "start_positions": "start_positions",
    "end_positions": "end_positions",
}
_ROWS = {"cpu": 2048, "cuda": 65536}  # as in benchmarks.ours
_INNER, _COLUMNS = 768, 3072
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def device_of(spec):
    """Returns the name of the device to use."""
    has_gpu = torch.cuda.is_available() and spec["device_type"] != "cpu"
    return "cuda" if has_gpu else "cpu"


def tensors_of(rows, device, with_labels=True):
    """Returns a batch padded to its longest example, as the model's arguments."""
    longest = max(map(length_of, rows))

    def padded(name, padding=0):
        return [row[name] + [padding] * (longest - len(row[name])) for row in rows]

    batch = {
        "input_ids": padded("input_ids"),
        "token_type_ids": padded("segment_ids"),
        "attention_mask": [[1] * length_of(row) + [0] * (longest - length_of(row)) for row in rows],
    }
    if "masked_lm_labels" in rows[0]:
        labels = padded("masked_lm_labels", -1)
        batch["labels"] = [[label if label >= 0 else -100 for label in row] for row in labels]
    if with_labels:
        batch.update(
            (name, [row[key] for row in rows]) for key, name in _LABELS.items() if key in rows[0]
        )
    return {name: torch.tensor(values).to(device) for name, values in batch.items()}


def model_of(spec, device):
    """Returns a model with random weights, as transformers makes it, perhaps compiled."""
    torch.manual_seed(1)
    config = transformers.AlbertConfig(
        **spec["model"],
        hidden_act="gelu_new",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        classifier_dropout_prob=0.0,
        attn_implementation="sdpa",
    )
    kind = "QuestionAnswering" if spec.get("squad_file") else "SequenceClassification"
    if "sequences" in spec:
        kind = "PreTraining"
    model = getattr(transformers, f"AlbertFor{kind}")(config).to(device)
    return torch.compile(model, dynamic=True) if spec.get("compile") else model


def autocast_of(spec, device):
    """Returns the context in which the model computes in the spec's precision."""
    if spec["precision"] == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device, dtype=_DTYPES[spec["precision"]])


def train(spec, channel):
    """Trains on a pool: {"steps": n} -> {"seconds", "tokens", "memory"}."""
    device = device_of(spec)
    if spec["precision"] == "fp16" and device == "cpu":
        channel.skip("PyTorch does not train in fp16 on a CPU")
    model = model_of(spec, device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01, fused=True)
    scaler = torch.amp.GradScaler(device, enabled=spec["precision"] == "fp16")
    batches = grouped_batches(read_pool(spec["pool"]), spec["batch_size"], seed=1)
    memory = ResidentMemory()
    while True:
        request = channel.next_request()
        tokens = 0
        started = time.perf_counter()
        for _ in range(request["steps"]):
            rows = next(batches)
            tokens += sum(map(length_of, rows))
            with autocast_of(spec, device):
                loss = model(**tensors_of(rows, device)).loss
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
        loss.item()  # waits for a GPU
        seconds = time.perf_counter() - started
        on_gpu = device == "cuda"
        peak = torch.cuda.max_memory_allocated() if on_gpu else memory.peak_growth()
        channel.reply(seconds=seconds, tokens=tokens, memory=peak)


def predict(spec, channel):
    """Predicts the classes of a whole pool, sorted by length: {} -> {"seconds"}."""
    device = device_of(spec)
    model = model_of(spec, device).eval()
    while True:
        channel.next_request()
        started = time.perf_counter()
        rows = sorted(enumerate(read_pool(spec["pool"])), key=lambda pair: -length_of(pair[1]))
        answers = [None] * len(rows)
        for start in range(0, len(rows), spec["batch_size"]):
            numbers, batch = zip(*rows[start : start + spec["batch_size"]])
            with torch.inference_mode(), autocast_of(spec, device):
                logits = model(**tensors_of(batch, device, with_labels=False)).logits
            for number, row in zip(numbers, logits.float().softmax(-1).tolist()):
                answers[number] = row
        channel.reply(seconds=time.perf_counter() - started)


def convert(spec, channel):
    """Turns texts into token ids in memory: {} -> {"seconds", "memory"}."""
    tokenizer = tokenizer_of(spec["spm_model_file"])
    while True:
        channel.next_request()
        memory = ResidentMemory()
        started = time.perf_counter()
        if spec["squad_file"]:
            questions, contexts = zip(*_questions_in(spec["squad_file"]))
            encoded = tokenizer(
                list(questions),
                list(contexts),
                truncation="only_second",
                max_length=384,
                stride=128,
                return_overflowing_tokens=True,
                return_offsets_mapping=True,
            )
        else:
            encoded = tokenizer(_sentences_in(spec), truncation=True, max_length=128)
        seconds = time.perf_counter() - started
        assert len(encoded["input_ids"]) >= spec["num_texts"]
        channel.reply(seconds=seconds, memory=memory.peak_growth())


def tokenizer_of(spm_model_file):
    """Returns transformers' tokenizer with the vocabulary of a SentencePiece model."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=spm_model_file)
    numbers = range(pieces.get_piece_size())
    vocabulary = [(pieces.id_to_piece(number), pieces.get_score(number)) for number in numbers]
    return transformers.AlbertTokenizer(vocab=vocabulary)


def _questions_in(path):
    with open(path, encoding="utf-8") as file:
        articles = json.load(file)["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield question["question"], paragraph["context"]


def _sentences_in(spec):
    folder, column, has_header = {"cola": ("CoLA", 3, 0), "sst-2": ("SST-2", 0, 1)}[spec["task"]]
    with open(os.path.join(spec["data_dir"], folder, "train.tsv"), encoding="utf-8") as lines:
        return [line.rstrip("\n").split("\t")[column] for line in list(lines)[has_header:]]


def limits(spec, channel):
    """Measures the machine: {} -> {"flops", "bandwidth"}, per second."""
    device, dtype = device_of(spec), _DTYPES[spec["precision"]]
    rows = _ROWS[device]
    left = torch.ones(rows, _INNER, dtype=dtype, device=device)
    right = torch.ones(_INNER, _COLUMNS, dtype=dtype, device=device)
    numbers, added = torch.ones(2, spec["num_numbers"], device=device)
    machine = {"PyTorch": torch.__version__, "transformers": transformers.__version__}
    if device == "cuda":
        machine["GPU"] = torch.cuda.get_device_name()
    while True:
        channel.next_request()
        seconds = _fastest(lambda: left @ right, device)
        added_in = _fastest(lambda: numbers.add_(added), device)
        channel.reply(
            flops=2 * rows * _INNER * _COLUMNS / seconds,
            bandwidth=3 * 4 * spec["num_numbers"] / added_in,
            machine=machine,
        )


def _fastest(function, device):
    def finished():
        function()
        if device == "cuda":
            torch.cuda.synchronize()

    return fastest(finished)


MODES = {"train": train, "predict": predict, "convert": convert, "limits": limits}


def main():
    spec = json.loads(sys.argv[1])
    channel = Channel()
    MODES[spec["mode"]](spec, channel)


if __name__ == "__main__":
    main()
