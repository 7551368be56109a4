"""The types of a landing schema: what each takes from JSON, and what it looks like in Arrow.

`Misfit` means that the record must be quarantined, `Ambiguous` that the rules leave it to the engine.
"""

import base64
import re
import struct
from decimal import Decimal, localcontext
from fractions import Fraction
from json.decoder import scanstring

import pyarrow as pa

from payload import NUMBER, Number, Object


class Misfit(Exception):
    """The payload does not fit the schema."""


class Ambiguous(Exception):
    """The rules do not say whether the payload fits."""


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
        if not isinstance(value, str) or not NUMBER.fullmatch(value):
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

    def take_stored(value, text, walk):
        # Seconds land as milliseconds: Parquet has no timestamp of seconds.
        return take(value, text, walk) * (1_000 if unit == "s" else 1)

    return Kind(pa.timestamp("ms" if unit == "s" else unit, "UTC" if zone else None), take_stored)


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
