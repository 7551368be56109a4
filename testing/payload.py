"""JSON by Python's own scanner, with what it would hide: the text of every number and member, order and repeats."""

import json
import re
from json.decoder import scanstring


class Number(str):
    """A number literal as it stands in the payload."""


class Object(list):
    """An object's members as (name, value) pairs: order and repeats kept."""


def document(text):
    """The members of a payload that is one JSON object, or None where it is other JSON; ValueError where it is none."""
    start = _SPACE.match(text, 0).end()
    if text[start : start + 1] != "{":
        _DECODER.decode(text)
        return None
    found, end = members(text, start)
    if _SPACE.match(text, end).end() != len(text):
        raise ValueError("text behind the object")
    return found


def members(text, at=0):
    """The members of the object that begins at `at` as (name, value, text of the value), and where it ends."""
    at = _SPACE.match(text, at + 1).end()
    found = []
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise ValueError(f"no name at {at}")
        name, at = scanstring(text, at + 1, True)
        at = _SPACE.match(text, at).end()
        if text[at : at + 1] != ":":
            raise ValueError(f"no colon at {at}")
        at = _SPACE.match(text, at + 1).end()
        try:
            value, end = _DECODER.scan_once(text, at)
        except StopIteration:
            raise ValueError(f"no value at {at}") from None
        found.append((name, value, text[at:end]))
        at = _SPACE.match(text, end).end()
        if text[at : at + 1] == "}":
            return found, at + 1
        if text[at : at + 1] != ",":
            raise ValueError(f"no comma at {at}")
        at = _SPACE.match(text, at + 1).end()


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_no_constant, strict=True
)
