"""Small GLUE data sets, and how to run tasks on them."""

import json
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d", "e")
LABELS = {"qqp": "01", "mrpc": "01", "wnli": "01"}
ENTAILMENT = ("entailment", "not_entailment")
NLI = ("contradiction", "entailment", "neutral")

# Folder, header and row of train and dev files; all columns are those of the benchmark.
LAYOUTS = {
    "mrpc": ("MRPC", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String", "{label}\t7\t8\t{a}\t{b}"),
    "qqp": (
        "QQP",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate",
        "133\t21\t22\t{a}\t{b}\t{label}",
    ),
    "qnli": ("QNLI", "index\tquestion\tsentence\tlabel", "0\t{a}\t{b}\t{label}"),
    "rte": ("RTE", "index\tsentence1\tsentence2\tlabel", "0\t{a}\t{b}\t{label}"),
    "wnli": ("WNLI", "index\tsentence1\tsentence2\tlabel", "0\t{a}\t{b}\t{label}"),
}
TEST_LAYOUTS = {
    "mrpc": ("index\t#1 ID\t#2 ID\t#1 String\t#2 String", "{index}\t7\t8\t{a}\t{b}"),
    "qqp": ("id\tquestion1\tquestion2", "{index}\t{a}\t{b}"),
    "qnli": ("index\tquestion\tsentence", "{index}\t{a}\t{b}"),
    "rte": ("index\tsentence1\tsentence2", "{index}\t{a}\t{b}"),
    "wnli": ("index\tsentence1\tsentence2", "{index}\t{a}\t{b}"),
}
MNLI_HEADER = (
    "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
    "sentence1_parse\tsentence2_parse\tsentence1\tsentence2"
)
MNLI_ROW = "{index}\t1\t1n\tfiction\tp\tp\tp\tp\t{a}\t{b}"


def labels_of(name):
    return {"qnli": ENTAILMENT, "rte": ENTAILMENT, "mnli": NLI}.get(name, ("0", "1"))


def write(path, header, row, count, labels=("",), bom=False, last_newline=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [header] if header else []
    for index in range(count):
        words = "abcde"[index % 5], "edcba"[index % 3]
        label = labels[index % len(labels)]
        lines.append(row.format(index=index, a=words[0] + " a", b=words[1], label=label))
    text = "\n".join(lines) + ("\n" if last_newline else "")
    path.write_text(("\ufeff" if bom else "") + text, encoding="utf-8")


def write_glue(root):
    """Writes small files with the columns of the benchmark, a vocabulary and a configuration."""
    for name, (folder, header, row) in LAYOUTS.items():
        is_mrpc = name == "mrpc"
        write(root / folder / "train.tsv", header, row, 12, labels_of(name), bom=is_mrpc)
        write(root / folder / "dev.tsv", header, row, 7, labels_of(name), last_newline=False)
        test_header, test_row = TEST_LAYOUTS[name]
        write(root / folder / "test.tsv", test_header, test_row, 5)
    mnli = root / "MNLI"
    write(mnli / "train.tsv", MNLI_HEADER + "\tl1\tgold_label", MNLI_ROW + "\tx\t{label}", 12, NLI)
    # Dev files have the labels of four more annotators; the gold label is the last column in both.
    for count, split in ((7, "dev_matched"), (8, "dev_mismatched")):
        header = MNLI_HEADER + "\tl1\tl2\tl3\tl4\tl5\tgold_label"
        write(mnli / f"{split}.tsv", header, MNLI_ROW + "\tx" * 5 + "\t{label}", count, NLI)
    for count, split in ((5, "test_matched"), (6, "test_mismatched")):
        write(mnli / f"{split}.tsv", MNLI_HEADER, MNLI_ROW, count)
    write(
        root / "diagnostic" / "diagnostic.tsv",
        "index\tsentence1\tsentence2",
        "{index}\t{a}\t{b}",
        4,
    )
    (root / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    config = {
        "vocab_size": len(VOCABULARY),
        "embedding_size": 8,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 32,
    }
    (root / "albert_config.json").write_text(json.dumps(config), encoding="utf-8")


def flags_of(root, task_name, output_dir, **more):
    values = {
        "task_name": task_name,
        "data_dir": root,
        "output_dir": output_dir,
        "vocab_file": root / "vocab.txt",
        "albert_config_file": root / "albert_config.json",
        "max_seq_length": 32,
        "train_step": 2,
        "train_batch_size": 4,
        "device_type": "cpu",
    }
    values.update(more)
    return [f"--{name}={value}" for name, value in values.items()]


def run_python(*arguments, stdin=""):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=str(REPOSITORY / "tests"),
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "HOME": "/"},
        capture_output=True,
        text=True,
        input=stdin,
        timeout=600,
    )
