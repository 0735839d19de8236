"""Tags of tokens: O, or the place in an entity and its type, such as B-PER; or plain ones.

| scheme | places                                   | source               |
|--------|------------------------------------------|----------------------|
| BIO    | Begin, Inside                            | arXiv cmp-lg/9505040 |
| BIOES  | Begin, Inside, End, Single               | W09-1119             |
| plain  | none: each token has a tag, such as NOUN |                      |

In BIO the first token of an entity may also be I-, where no entity of its type comes before it.
"""

from typing import Iterable, List, NamedTuple, Sequence

OUTSIDE = "O"
BIO, BIOES, PLAIN = "BIO", "BIOES", "plain"

_PLACES = {BIO: "BI", BIOES: "BIES"}


class Entity(NamedTuple):
    """The tokens from `first` to `last` of a sentence, counted from 0, are an entity."""

    type: str
    first: int
    last: int


def scheme_of(tags: Iterable[str]) -> str:
    """Returns the scheme of the tags of a training file: plain if none has a place."""
    places = {tag[0] for tag in tags if _has_place(tag)}
    if not places:
        return PLAIN
    return BIOES if places & {"E", "S"} else BIO


def is_tag(tag: str, scheme: str) -> bool:
    """Returns whether a tag is one of a scheme."""
    if scheme == PLAIN:
        return bool(tag)
    return tag == OUTSIDE or (_has_place(tag) and tag[0] in _PLACES[scheme])


def all_tags(found: Iterable[str], scheme: str) -> List[str]:
    """Returns the tags that a model should know, in order: every place of each type found."""
    if scheme == PLAIN:
        return sorted(set(found))
    types = sorted({type_of(tag) for tag in found} - {OUTSIDE})
    return [OUTSIDE, *(f"{place}-{name}" for name in types for place in _PLACES[scheme])]


def type_of(tag: str) -> str:
    """Returns PER of B-PER; a tag without a place is its own type."""
    return tag[2:] if _has_place(tag) else tag


def entities(tags: Sequence[str]) -> List[Entity]:
    """Returns the entities of a sentence, by the rules of conlleval (CoNLL-2000)."""
    from seqeval.metrics.sequence_labeling import get_entities

    return [Entity(*found) for found in get_entities(list(tags))]


def _has_place(tag: str) -> bool:
    return len(tag) > 2 and tag[0] in "BIES" and tag[1] == "-"
