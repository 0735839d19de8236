"""Ways in which a file can be damaged: each a function of (content, random.Random) -> content.

Bytes are mutated whatever they mean; MISSING and FOLDER stand for what may be in a file's place.
"""

import json
import lzma
import re

MISSING, FOLDER = object(), object()
_FRAGMENTS = ["\t", "\n", "\r", "\r\n", "\0", '"', "\\", "\\ud800", "\\u0000", "é", "中", "\u2028"]
_FRAGMENTS += ["\ufeff", "\x1b[31m", "../", "%s", "{", "]", "NaN", "--", "=", ",", "<unk>", "[SEP]"]
_NUMBERS = ["-1", "0", "0.5", "1e999", "NaN", "-Infinity", "true", "null", '"0.1"', "2147483648"]
_NUMBERS += ["8589934592", "9" * 400, "[]", "{}", "1e-400", "-0", "٣"]
_VALUES = [None, True, False, -1, 0, 0.5, 2**33, 10**400, float("nan"), float("inf"), "", "0.1"]
_VALUES += ["\ud800", "a\tb\nc", [], {}, [[]], {"a": 1}, [None]]
_KEYS = ["__class__", "to_dict", "", "\ud800", "settings", "data", "step"]


def flip_bits(content, rng):
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(content, rng):
    start, end = _slice(content, rng)
    return content[:start] + bytes([rng.choice([0, 255, 127, 32])]) * (end - start) + content[end:]


def cut(content, rng):
    return content[: rng.randrange(len(content))]


def cut_out(content, rng):
    start, end = _slice(content, rng)
    return content[:start] + content[end:]


def insert(content, rng):
    place = rng.randrange(len(content) + 1)
    noise = bytes(rng.randrange(256) for _ in range(rng.choice([1, 2, 20])))
    fragment = rng.choice([noise, rng.choice(_FRAGMENTS).encode(), "é".encode("latin-1")])
    return content[:place] + fragment * rng.choice([1, 1, 3]) + content[place:]


def duplicate(content, rng):
    start, end = _slice(content, rng)
    return content[:end] + content[start:end] * rng.choice([1, 1, 30]) + content[end:]


def change_lines(content, rng):
    lines = content.splitlines(True)
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.choice(["swap", "copy", "drop", "drop the first"])
    if kind == "swap":
        lines[first], lines[second] = lines[second], lines[first]
    elif kind == "copy":
        lines.insert(second, lines[first])
    else:
        del lines[first if kind == "drop" else 0]
    return b"".join(lines)


def change_number(content, rng):
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not numbers:
        return insert(content, rng)
    start, end = rng.choice(numbers).span()
    return content[:start] + rng.choice(_NUMBERS).encode() + content[end:]


def change_encoding(content, rng):
    text = content.decode("utf-8", "replace")
    name = rng.choice(["utf-16", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "gb18030", "lzma"])
    return lzma.compress(content) if name == "lzma" else text.encode(name, "replace")


def change_line_ends(content, rng):
    old = rng.choice([b"\n", b"\t", b" "])
    return content.replace(old, rng.choice([b"\r", b"\r\n", b"\n\n", b" ", b"\t\t", b""]))


def change_json(content, rng):
    """Changes one value or key of a JSON file, wherever it is."""
    try:
        root = {"root": json.loads(content)}
    except (ValueError, RecursionError):
        return insert(content, rng)
    places = [(root, "root")]
    for holder, key in places:  # grows while it is read
        value = holder[key]
        if isinstance(value, (dict, list)):
            places += [
                (value, k) for k in (value if isinstance(value, dict) else range(len(value)))
            ]
    holder, key = rng.choice(places)
    kind = rng.choice(["replace", "replace", "delete", "rename", "nest", "text"])
    if kind == "replace":
        holder[key] = rng.choice(_VALUES)
    elif kind == "text":
        holder[key] = json.dumps(holder[key])
    elif kind == "nest":
        for _ in range(rng.choice([1, 99, 150])):
            holder[key] = rng.choice([{"a": holder[key]}, [holder[key]]])
    else:
        value = holder.pop(key)
        if kind == "rename" and isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = value
    return json.dumps(root.get("root")).encode()


def nest(content, rng):
    place = rng.choice([0, rng.randrange(len(content) + 1)])
    return (
        content[:place] + rng.choice([b"[", b'{"a":']) * rng.choice([50, 20000]) + content[place:]
    )


def replace_all(content, rng):
    return rng.choice([b"", b"\n", b"\0" * len(content), b"\xff\xfe", b"{}", b"[]", b"<html>\n"])


def move_away(content, rng):
    return rng.choice([MISSING, FOLDER])


MUTATORS = [flip_bits, set_bytes, cut, cut_out, insert, duplicate, change_lines, change_number]
MUTATORS += [change_encoding, change_line_ends, change_json, nest, replace_all]
_RARE = [move_away]  # there are only two of these


def mutated(content, rng):
    """Returns a damaged content, or MISSING or FOLDER."""
    if rng.random() < 0.01:
        return rng.choice(_RARE)(content, rng)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        content = rng.choice(MUTATORS)(content, rng) if content else content
    return content


def _slice(content, rng):
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice([1, 4, 100, len(content)]))
