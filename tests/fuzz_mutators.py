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
_CELLS = ["", " ", "=1+1", '"', '""', "[CLS]", "<pad>", "\u2581", "\u202e", "é" * 300, "1e999"]
_INTEGERS = [0, 1, 127, 255, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1]


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
    """Changes one value or key of a JSON file, or of one line of JSON Lines, wherever it is."""
    lines = content.splitlines(True) or [content]
    line = rng.randrange(len(lines))
    for before, part, after in (
        (b"", content, b""),
        (b"".join(lines[:line]), lines[line], b"".join(lines[line + 1 :])),
    ):
        try:
            root = {"root": json.loads(part)}
        except (ValueError, RecursionError):
            continue
        try:
            _change_value(root, rng)
            changed = json.dumps(root.get("root")).encode()
        except RecursionError:  # nested too deeply to be written
            break
        return before + changed + (b"\n" if after else b"") + after
    return insert(content, rng)


def _change_value(root, rng):
    places = [(root, "root")]
    for holder, key in places:  # grows while it is read
        value = holder[key]
        if isinstance(value, (dict, list)):
            places += [
                (value, k) for k in (value if isinstance(value, dict) else range(len(value)))
            ]
    holder, key = rng.choice(places)
    kind = rng.choice(["replace", "replace", "delete", "rename", "nest", "text", "exchange"])
    if kind == "replace":
        holder[key] = rng.choice(_VALUES)
    elif kind == "text":
        holder[key] = json.dumps(holder[key])
    elif kind == "exchange":
        other, other_key = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[other_key]))  # a copy, or it could hold itself
    elif kind == "nest":
        for _ in range(rng.choice([1, 99, 150, 400])):
            holder[key] = rng.choice([{"a": holder[key]}, [holder[key]]])
    else:
        value = holder.pop(key)
        if kind == "rename" and isinstance(holder, dict):
            holder[rng.choice(_KEYS)] = value


def repeat_key(content, rng):
    """Gives a JSON object a key that it may have already."""
    keys = re.findall(rb'"\w+" ?:', content)
    starts = [match.end() for match in re.finditer(rb"{", content)]
    if not keys or not starts:
        return insert(content, rng)
    place, value = rng.choice(starts), json.dumps(rng.choice(_VALUES)).encode()
    return content[:place] + rng.choice(keys) + value + b"," + content[place:]


def change_header(content, rng):
    """Changes the JSON that begins a file of safetensors, whose length stands before it."""
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length]
    if not header.startswith(b"{"):
        return change_integer(content, rng)
    header = rng.choice([change_json, change_json, repeat_key, change_number])(header, rng)
    return len(header).to_bytes(8, "little") + header + content[8 + length :]


def change_integer(content, rng):
    """Overwrites bytes with an integer such as a length could be, often at one of the ends."""
    size = rng.choice([1, 2, 4, 8])
    number = rng.choice(_INTEGERS) & (256**size - 1)
    last = max(len(content) - size, 0)
    place = rng.choice([0, rng.randrange(min(last, 64) + 1), rng.randrange(last + 1), last])
    place = rng.choice([place, last - min(last, place)])
    order = rng.choice(["little", "big"])
    return content[:place] + number.to_bytes(size, order) + content[place + size :]


def change_cell(content, rng):
    """Changes, moves or removes one cell of a line."""
    lines = content.splitlines(True)
    number = rng.randrange(len(lines))
    separators = [each for each in (b"\t", b",", b" ", b";") if each in lines[number]]
    separator = rng.choice(separators or [b","])
    cells = lines[number].split(separator)
    first, second = rng.randrange(len(cells)), rng.randrange(len(cells))
    kind = rng.choice(["set", "set", "swap", "copy", "drop"])
    if kind == "set":
        cells[first] = rng.choice(_CELLS).encode()
    elif kind == "swap":
        cells[first], cells[second] = cells[second], cells[first]
    elif kind == "copy":
        cells.insert(second, cells[first])
    else:
        del cells[first]
    lines[number] = separator.join(cells)
    return b"".join(lines)


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
MUTATORS += [change_encoding, change_line_ends, change_json, nest, replace_all, repeat_key]
MUTATORS += [change_header, change_integer, change_cell]
_RARE = [move_away]  # there are only two of these
_OF_JSON = [change_json, change_json, repeat_key]


def mutated(content, rng):
    """Returns a damaged content, or MISSING or FOLDER."""
    if rng.random() < 0.01:
        return rng.choice(_RARE)(content, rng)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        is_json = content[:1] in (b"{", b"[") and rng.random() < 0.5
        content = (
            rng.choice(_OF_JSON if is_json else MUTATORS)(content, rng) if content else content
        )
    return content


def _slice(content, rng):
    start = rng.randrange(len(content))
    return start, min(len(content), start + rng.choice([1, 4, 100, len(content)]))
