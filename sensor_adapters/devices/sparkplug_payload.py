"""The payload of Sparkplug B: protobuf, from the field numbers of the specification.

The schema is made here, of the fields that we read; protobuf leaves the others alone. Texts are
declared as bytes, so that what is no UTF-8 is ours to judge. Needs the extra ``sparkplug``.
Source: Eclipse Sparkplug 3.0.0, chapter 6.4, "Sparkplug B Payloads".
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sensor_adapters.json_fields import utc_us
from sensor_adapters.payloads import brief
from sensor_adapters.samples import DecodeError

SIGNED_BITS = {1: 8, 2: 16, 3: 32, 4: 64}
"""Int8 to Int64 by datatype; they travel as two's complement in unsigned fields."""
UNSIGNED = (5, 6, 7, 8)
FLOAT, DOUBLE, BOOLEAN, STRING, TEXT = 9, 10, 11, 12, 14
MOST_METRICS = 10_000
_PAYLOAD = (("timestamp", 1, "UINT64"), ("metrics", 2, "MESSAGE"), ("seq", 3, "UINT64"))
_METRIC = (
    ("name", 1, "BYTES"), ("alias", 2, "UINT64"), ("timestamp", 3, "UINT64"),
    ("datatype", 4, "UINT32"), ("is_historical", 5, "BOOL"), ("is_null", 7, "BOOL"),
)  # fmt: skip
_VALUE = (
    ("int_value", 10, "UINT32"), ("long_value", 11, "UINT64"), ("float_value", 12, "FLOAT"),
    ("double_value", 13, "DOUBLE"), ("boolean_value", 14, "BOOL"), ("string_value", 15, "BYTES"),
)  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One metric of a payload."""

    name: str | None
    """None where only the alias is given, as in DATA."""
    alias: int | None
    datatype: int | None
    """In births; DATA may leave it out."""
    raw: bool | int | float | bytes | None
    """As it travelled; None: null, or of a kind that we do not read."""
    is_historical: bool
    at_us: int | None

    def value(self, datatype: int | None) -> bool | float | str | None:
        """Return the value as what its datatype says, where the metric itself says none."""
        kind, raw = self.datatype or datatype, self.raw
        if isinstance(raw, bytes):
            return raw.decode(errors="replace")
        if isinstance(raw, int) and not isinstance(raw, bool):
            if kind == BOOLEAN:
                return raw != 0
            if kind in SIGNED_BITS:
                bits = SIGNED_BITS[kind]
                low = raw % (1 << bits)
                return low - (1 << bits) if low >> (bits - 1) else low
        return raw


class NotInstalled(ValueError):
    """The library that reads protobuf is not there."""


def metrics(where: str, body: bytes) -> list[Metric]:
    """Return the metrics of a payload.

    Raises:
        DecodeError: it is no such payload.
        NotInstalled: the extra is missing.
    """
    schema, unreadable = _schema()
    try:
        payload = schema.FromString(body)
    except (unreadable, ValueError, RecursionError) as error:
        raise DecodeError(
            f"{where}: found {len(body)} bytes ({error}), expected a Sparkplug B payload"
        ) from error
    if len(payload.metrics) > MOST_METRICS:
        found = len(payload.metrics)
        raise DecodeError(f"{where}: found {found} metrics, expected {MOST_METRICS} at most")
    sent_us = utc_us(payload.timestamp, 1000) if payload.HasField("timestamp") else None
    return [_metric(where, one, sent_us) for one in payload.metrics]


def _metric(where: str, one: Any, sent_us: int | None) -> Metric:
    chosen = one.WhichOneof("value")
    raw = getattr(one, chosen) if chosen and not one.is_null else None
    own_us = utc_us(one.timestamp, 1000) if one.HasField("timestamp") else None
    try:
        name = one.name.decode() if one.HasField("name") else None
    except UnicodeDecodeError as error:
        found = brief(one.name.decode(errors="replace"))
        raise DecodeError(f"{where}: found the name {found}, expected UTF-8") from error
    return Metric(
        name or None,
        one.alias if one.HasField("alias") else None,
        one.datatype or None,
        raw,
        one.is_historical,
        own_us or sent_us,
    )


@cache
def _schema() -> tuple[Any, type[Exception]]:
    """Return the class of a payload, and what it raises.

    Raises:
        NotInstalled: the extra is missing.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory
    except ImportError as error:
        raise NotInstalled(
            "protobuf is not installed, expected `pip install solosense[sparkplug]`"
        ) from error
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="solosense/sparkplug_b.proto", package="solosense", syntax="proto2"
    )
    for title, fields in (("Payload", _PAYLOAD), ("Metric", (*_METRIC, *_VALUE))):
        made = file.message_type.add(name=title)
        for name, place, kind in fields:
            field = made.field.add(
                name=name, number=place, type=kinds.Type.Value(f"TYPE_{kind}"),
                label=kinds.LABEL_REPEATED if kind == "MESSAGE" else kinds.LABEL_OPTIONAL,
            )  # fmt: skip
            if kind == "MESSAGE":
                field.type_name = ".solosense.Metric"
            if (name, place, kind) in _VALUE:
                field.oneof_index = 0
    file.message_type[1].oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    schema = message_factory.GetMessageClass(pool.FindMessageTypeByName("solosense.Payload"))
    return schema, message.DecodeError
