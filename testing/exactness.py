"""What a payload must become in the landing: the exactness rules, written down a second time.

It shares no code with the engine: Python's own json, decimal and base64 read the broker's bytes.
"""

import struct

import pyarrow as pa

from kinds import Ambiguous, Misfit, parse_type
from payload import Object, document, members


class Schema:
    """A landing schema from its JSON form, with what happens to fields that it does not name."""

    def __init__(self, fields, unknown_fields="ignore"):
        self.fields = [(field["name"], parse_type(field["type"]), field.get("required", False)) for field in fields]
        self.unknown_fields = unknown_fields
        # The declared paths as a tree: a leaf is a column's index, an inner node is a dict.
        self.tree = {}
        for index, field in enumerate(fields):
            names = _split_path(field["path"]) if "path" in field else [field["name"]]
            node = self.tree
            for name in names[:-1]:
                node = node.setdefault(name, {})
            node[names[-1]] = index

    def columns(self):
        """Each payload column's name and Arrow type."""
        return [(name, kind.arrow) for name, kind, _ in self.fields]

    def expected(self, payload):
        """The payload columns of one record, and its extra members where they are kept; or it raises."""
        try:
            text = payload.decode("utf-8")
            values = [_MISSING] * len(self.fields)
            extra = self._walk(_object(text), self.tree, values)
        except RecursionError:
            raise Ambiguous("nested very deeply") from None
        except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are such
            raise Misfit(f"not JSON: {error}") from None
        for index, (name, _, required) in enumerate(self.fields):
            if values[index] is _MISSING:
                values[index] = None
            if required and values[index] is None:
                raise Misfit(f"{name} is required")
        return values, extra

    def _walk(self, found, node, values):
        """Fills `values` from one object; returns what the schema does not name, as (name, text or list) pairs."""
        seen, extra = set(), []
        for name, value, text in found:
            target = node.get(name)
            if target is not None:
                if name in seen:
                    raise Misfit(f"{name} appears twice")
                seen.add(name)
            if isinstance(target, int):
                kind = self.fields[target][1]
                walk = Walk(self.unknown_fields)
                values[target] = None if value is None else kind.take(value, text, walk)
                if walk.has_unknown:
                    extra.append((name, text))
            elif isinstance(target, dict):
                if value is None:
                    continue
                if not isinstance(value, Object):
                    raise Misfit(f"{name} is not an object")
                inner = self._walk(members(text)[0], target, values)
                if inner:
                    extra.append((name, inner))
            elif self.unknown_fields == "quarantine":
                raise Misfit(f"{name} is not named by the schema")
            else:
                extra.append((name, text))
        return extra

    def extra_of(self, text, node=None):
        """A landed `_rdp_extra` in the form of `expected`'s second result."""
        node = self.tree if node is None else node
        if text is None:
            return []
        result = []
        for name, value, member in _object(text):
            inner = node.get(name)
            if isinstance(inner, dict) and isinstance(value, Object):
                result.append((name, self.extra_of(member, inner)))
            else:
                result.append((name, member))
        return result


class Walk:
    """What is noticed while a value is taken."""

    def __init__(self, unknown_fields):
        self.unknown_fields = unknown_fields
        self.has_unknown = False


def _split_path(path):
    names, name, escaped = [], "", False
    for letter in path:
        if escaped:
            name, escaped = name + letter, False
        elif letter == "\\":
            escaped = True
        elif letter == ".":
            names.append(name)
            name = ""
        else:
            name += letter
    return names + [name]


def _object(text):
    found = document(text)
    if found is None:
        raise Misfit("not one JSON object")
    return found


_MISSING = object()


def plain_type(kind):
    """The same type with moments and days as integers, so that Python can show all of them."""
    if pa.types.is_timestamp(kind):
        return pa.int64()
    if pa.types.is_date32(kind):
        return pa.int32()
    if pa.types.is_list(kind):
        return pa.list_(plain_type(kind.value_type))
    if pa.types.is_map(kind):
        return pa.map_(kind.key_type, plain_type(kind.item_type))
    if pa.types.is_struct(kind):
        return pa.struct([(member.name, plain_type(member.type)) for member in kind])
    return kind


def same_type(one, other):
    """Whether two Arrow types are the same to a reader: what a list calls its items does not count."""
    if pa.types.is_list(one) and pa.types.is_list(other):
        return same_type(one.value_type, other.value_type)
    if pa.types.is_map(one) and pa.types.is_map(other):
        return same_type(one.key_type, other.key_type) and same_type(one.item_type, other.item_type)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        return [member.name for member in one] == [member.name for member in other] and all(
            same_type(mine.type, theirs.type) for mine, theirs in zip(one, other)
        )
    return one == other


def same(one, other):
    """Whether two values are the same to the bit: 1, 1.0 and true differ, and so do 0.0 and -0.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return one == other
