"""What a payload must become in the landing: the exactness rules, written down a second time.

It shares no code with the engine: Python's own json, decimal and base64 read the broker's bytes. `Misfit` means that
the record must be quarantined, `Ambiguous` that the rules leave it to the engine.
"""

import base64
import json
import re
import struct
from decimal import Decimal, localcontext
from fractions import Fraction
from json.decoder import scanstring

import pyarrow as pa


class Misfit(Exception):
    """The payload does not fit the schema."""


class Ambiguous(Exception):
    """The rules do not say whether the payload fits."""


class Number(str):
    """A number literal as it stands in the payload."""


class Object(list):
    """An object's members as (name, value) pairs: order and repeats kept."""


def _no_constant(name):
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=Object, parse_int=Number, parse_float=Number, parse_constant=_no_constant, strict=True
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SPACE = re.compile(r"[ \t\n\r]*")
_MISSING = object()


# --- the schema ----------------------------------------------------------------------------------------------------


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
            members = _document(text)
            values = [_MISSING] * len(self.fields)
            extra = self._walk(members, self.tree, values)
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

    def _walk(self, members, node, values):
        """Fills `values` from one object; returns what the schema does not name, as (name, text or list) pairs."""
        seen, extra = set(), []
        for name, value, text in members:
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
                inner = self._walk(_members(text, 0)[0], target, values)
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
        for name, value, member in _document(text):
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


# --- JSON, with the text of every member ---------------------------------------------------------------------------


def _document(text):
    start = _SPACE.match(text, 0).end()
    if text[start : start + 1] != "{":
        json.loads(text)  # says what is wrong where it is not JSON at all
        raise Misfit("not one JSON object")
    members, end = _members(text, start)
    if _SPACE.match(text, end).end() != len(text):
        raise ValueError("text behind the object")
    return members


def _members(text, at):
    """The members of the object that begins at `at` as (name, value, text of the value), and where it ends."""
    at = _SPACE.match(text, at + 1).end()
    members = []
    if text[at : at + 1] == "}":
        return members, at + 1
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
        members.append((name, value, text[at:end]))
        at = _SPACE.match(text, end).end()
        if text[at : at + 1] == "}":
            return members, at + 1
        if text[at : at + 1] != ",":
            raise ValueError(f"no comma at {at}")
        at = _SPACE.match(text, at + 1).end()


# --- types ---------------------------------------------------------------------------------------------------------


class Kind:
    """A type: its Arrow type, and how a JSON value becomes one of its values."""

    def __init__(self, arrow, take):
        self.arrow = arrow
        self.take = take


def parse_type(text):
    """The type that a schema's text names."""
    kind, rest = _parse_type(text.strip())
    if rest.strip():
        raise ValueError(f"type {text!r}: {rest!r} is left over")
    return kind


def _parse_type(text):
    name = re.match(r"\s*([a-z0-9]+)\s*", text)
    word, rest = name.group(1), text[name.end() :]
    if word in _SIMPLE:
        return _SIMPLE[word], rest
    if word in ("decimal", "timestamp"):
        arguments, rest = rest[1:].split(")", 1)
        return _ARGUED[word](*(argument.strip() for argument in arguments.split(","))), rest
    if word == "list":
        item, rest = _parse_type(rest[1:])
        return _list(item), rest.lstrip()[1:]
    if word == "map":
        key, rest = _parse_type(rest[1:])
        if key.arrow != pa.string():
            raise ValueError("a map's keys are utf8")
        value, rest = _parse_type(rest.lstrip()[1:])
        return _map(value), rest.lstrip()[1:]
    if word == "struct":
        members, rest = [], rest
        while True:
            rest = rest.lstrip()[1:].lstrip()  # the bracket or the comma
            if rest.startswith('"'):
                name, end = scanstring(rest, 1, True)
            else:
                match = re.match(r"[^\s:]+", rest)
                name, end = match.group(0), match.end()
            kind, rest = _parse_type(rest[end:].lstrip()[1:])
            members.append((name, kind))
            if rest.lstrip().startswith(">"):
                return _struct(members), rest.lstrip()[1:]
    raise ValueError(f"type {text!r} is not known to the oracle")


def _bool(value, text, walk):
    if value is not True and value is not False:
        raise Misfit("not a bool")
    return value


def _integer(bits, signed):
    least, most = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    def take(value, text, walk):
        if not isinstance(value, Number) or not re.fullmatch(r"-?[0-9]+", value):
            raise Misfit("not an integer literal")
        number = int(value)
        if not least <= number <= most:
            raise Misfit("out of range")
        return number

    return take


def _float64(value, text, walk):
    if not isinstance(value, Number):
        raise Misfit("not a number")
    number = float(value)
    if number in (float("inf"), float("-inf")):
        raise Misfit("beyond the largest float64")
    return number


def _float32(value, text, walk):
    number = _float64(value, text, walk)
    if number == 0:
        # The literal's sign is kept, and what is too small for a float64 is too small for a float32.
        return number
    sign = -1 if number < 0 else 1
    try:
        guess = struct.unpack("<I", struct.pack("<f", abs(number)))[0]
    except OverflowError:
        # A double at the very edge may still round down to the largest float32 when taken exactly.
        guess = 0x7F7FFFFF
    digits = Decimal(value)
    if abs(digits.adjusted()) > 400:
        return struct.unpack("<f", struct.pack("<I", guess))[0] * sign
    exact = abs(Fraction(digits))
    nearest = []
    for bits in (max(guess - 1, 0), guess, guess + 1):
        candidate = struct.unpack("<f", struct.pack("<I", bits))[0]
        # What lies half-way to the next power of two rounds to infinity.
        known = Fraction(2) ** 128 if candidate == float("inf") else Fraction(candidate)
        nearest.append((abs(known - exact), bits & 1, candidate))
    result = min(nearest, key=lambda one: one[:2])[2]
    if result == float("inf"):
        raise Misfit("beyond the largest float32")
    return result * sign


def _decimal(precision, scale):
    precision, scale = int(precision), int(scale)

    def take(value, text, walk):
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise Misfit("neither a number nor a string of one")
        with localcontext() as context:
            context.prec, context.Emax, context.Emin = 2000, 10**18 - 1, -(10**18) + 1
            number = Decimal(value)
            if number == 0:
                return Decimal(0).scaleb(-scale)
            if not -1000 < number.adjusted() < 1000 or len(value) > 1500:
                raise Misfit("far out of range")
            scaled = number.scaleb(scale)
            if scaled != scaled.to_integral_value():
                raise Misfit("too many fraction digits")
            if abs(scaled) >= Decimal(10) ** precision:
                raise Misfit("too many digits")
            return Decimal(int(scaled)).scaleb(-scale)

    return Kind(pa.decimal128(precision, scale), take)


def _utf8(value, text, walk):
    if not isinstance(value, str) or isinstance(value, Number):
        raise Misfit("not a string")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Misfit("half of a surrogate pair") from None
    return value


def _binary(value, text, walk):
    encoded = _utf8(value, text, walk)
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError:
        raise Misfit("not base64") from None
    if base64.b64encode(decoded).decode() != encoded:
        raise Misfit("not canonical base64")
    return decoded


def _json(value, text, walk):
    return text


def _days(text):
    match = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", text)
    if not match:
        raise Misfit("not a date")
    year, month, day = map(int, match.groups())
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    lengths = [31, 29 if leap else 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    if not 1 <= month <= 12 or not 1 <= day <= lengths[month - 1]:
        raise Misfit("a date that does not exist")
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400  # whole years since 0001-01-01
    return days + sum(lengths[: month - 1]) + day - 1 - 719_162


def _date(value, text, walk):
    return _days(_utf8(value, text, walk))


_TIME = re.compile(
    r"(.{10})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?([Zz]|[-+][0-9]{2}:[0-9]{2})?", re.DOTALL
)


def _timestamp(unit, zone=None):
    steps = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[unit]
    integer = _integer(64, True)

    def take(value, text, walk):
        if isinstance(value, Number):
            number = integer(value, text, walk)
            if abs(number) // steps > 8_200_000_000_000:  # some 260,000 years: where calendars end
                raise Ambiguous("an epoch at the end of time")
            return number
        match = _TIME.fullmatch(_utf8(value, text, walk))
        if not match:
            raise Misfit("not RFC 3339")
        date, hour, minute, second, fraction, offset = match.groups()
        days, hour, minute, second = _days(date), int(hour), int(minute), int(second)
        if hour > 23 or minute > 59 or second > 59:
            raise Misfit("a time of day that does not exist")
        if offset is None and zone is not None:
            raise Misfit("no zone")
        east = 0
        if offset not in (None, "Z", "z"):
            hours, minutes = int(offset[1:3]), int(offset[4:6])
            if hours > 23 or minutes > 59:
                raise Misfit("a zone that does not exist")
            east = (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)
        parts = Fraction(int(fraction or 0), 10 ** len(fraction or "")) * steps
        if parts.denominator != 1:
            raise Misfit("finer than the unit")
        moment = (days * 86_400 + hour * 3600 + minute * 60 + second - east) * steps + int(parts)
        if not -(1 << 63) <= moment < 1 << 63:
            raise Misfit("out of the unit's range")
        return moment

    return Kind(pa.timestamp(unit, "UTC" if zone else None), take)


def _list(item):
    def take(value, text, walk):
        if not isinstance(value, list) or isinstance(value, Object):
            raise Misfit("not an array")
        return [None if one is None else item.take(one, text_of(one), walk) for one in value]

    def text_of(one):
        if item.take is _json:
            raise Ambiguous("the oracle keeps no text of an array's items")
        return None

    return Kind(pa.list_(item.arrow), take)


def _map(values):
    def take(value, text, walk):
        if not isinstance(value, Object):
            raise Misfit("not an object")
        names = [_utf8(name, None, walk) for name, _ in value]
        if len(set(names)) != len(names):
            raise Misfit("a name appears twice")
        if values.take is _json:
            raise Ambiguous("the oracle keeps no text of a map's values")
        return [(name, None if one is None else values.take(one, None, walk)) for name, one in value]

    return Kind(pa.map_(pa.string(), values.arrow), take)


def _struct(members):
    kinds = dict(members)

    def take(value, text, walk):
        if not isinstance(value, Object):
            raise Misfit("not an object")
        result = dict.fromkeys(kinds)
        seen = set()
        for name, one in value:
            if name not in kinds:
                if walk.unknown_fields == "quarantine":
                    raise Misfit(f"{name} is not named by the schema")
                walk.has_unknown = True
                continue
            if name in seen:
                raise Misfit(f"{name} appears twice")
            seen.add(name)
            if kinds[name].take is _json:
                raise Ambiguous("the oracle keeps no text of a struct's members")
            result[name] = None if one is None else kinds[name].take(one, None, walk)
        return result

    return Kind(pa.struct([(name, kind.arrow) for name, kind in members]), take)


_ARGUED = {"decimal": _decimal, "timestamp": _timestamp}
_SIMPLE = {
    "bool": Kind(pa.bool_(), _bool),
    "float32": Kind(pa.float32(), _float32),
    "float64": Kind(pa.float64(), _float64),
    "utf8": Kind(pa.string(), _utf8),
    "binary": Kind(pa.binary(), _binary),
    "date": Kind(pa.date32(), _date),
    "json": Kind(pa.string(), _json),
}
for _bits in (8, 16, 32, 64):
    _SIMPLE[f"int{_bits}"] = Kind(getattr(pa, f"int{_bits}")(), _integer(_bits, True))
    _SIMPLE[f"uint{_bits}"] = Kind(getattr(pa, f"uint{_bits}")(), _integer(_bits, False))


# --- comparing -----------------------------------------------------------------------------------------------------


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
