"""What a request to predict may hold: JSON, within limits."""

from typing import Any, List, Mapping, NamedTuple, Optional, Tuple

from albert.common import json_files

_NAMES = {bool: "true or false", int: "a number", float: "a number", list: "a list"}


class Limits(NamedTuple):
    """Bounds of a request; each field is named as its flag.

    Attributes:
        max_text_length: characters of a text, or of the texts of a list together.
    """

    max_body_bytes: int
    max_inputs: int
    max_text_length: int


class Refused(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        message: one sentence: what was received, what is allowed.
        headers: of the answer.
    """

    def __init__(
        self, status: int, message: str, headers: Optional[Mapping[str, str]] = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def inputs_in(body: bytes, limits: Limits) -> Tuple[List[Any], bool]:
    """Returns the inputs in a body, each a text or {column: value}, and whether it is a list.

    Raises:
        Refused: it is malformed (400) or too large (413).
    """
    value = _parsed(body)
    is_list = isinstance(value, list)
    inputs = value if is_list else [value]
    if not inputs:
        raise Refused(400, "The list is empty: at least one input is needed.")
    if len(inputs) > limits.max_inputs:
        raise Refused(413, f"{len(inputs)} inputs are too many: at most {limits.max_inputs}.")
    for number, each in enumerate(inputs):
        if not isinstance(each, (str, dict)):
            found = "null" if each is None else _NAMES[type(each)]
            raise Refused(400, f"input {number} must be an object or a string, not {found}.")
        length = max(_lengths(each), default=0)
        if length > limits.max_text_length:
            raise Refused(
                413,
                f"input {number} has a text of {length} characters: "
                f"at most {limits.max_text_length} are allowed.",
            )
    return inputs, is_list


def length_of(value: Any) -> int:
    """Returns how many characters the texts of an input have."""
    return sum(_lengths(value))


def _parsed(body: bytes) -> Any:
    try:
        return json_files.parse_json(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(400, f"The body is not UTF-8: byte {error.start} is wrong.") from error
    except RecursionError as error:
        raise Refused(400, "The body is nested too deeply.") from error
    except ValueError as error:
        raise Refused(
            400, f"The body is not JSON: {error}; an object, a string or a list of them is needed."
        ) from error


def _lengths(value: Any) -> List[int]:
    """Returns the length of each text of an input; the texts of a list count together."""
    cells = value.values() if isinstance(value, dict) else [value]
    texts = (cell if isinstance(cell, list) else [cell] for cell in cells)
    return [sum(len(text) for text in of_cell if isinstance(text, str)) for of_cell in texts]
