"""Reads the sample log of a run (core/record/sample_log.hpp describes the file) with the standard library alone."""

from __future__ import annotations

import array
import json
import struct
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

MAGIC, VERSION, BYTE_ORDER = b"MFLD-LOG", 1, 0x01020304
LAYOUT, SAMPLES, ENDS = 1, 2, 3


@dataclass
class Log:
    layout: dict
    values: dict = field(default_factory=dict)  # (variable, sample, member) -> tuple of values
    ends: dict = field(default_factory=dict)  # member -> (status, step, reason)

    def of(self, variable: str) -> dict:
        return {(sample, member): row for (name, sample, member), row in self.values.items() if name == variable}


def read(path: Path) -> Log:
    """Raises ValueError when the file is no whole log: a run that ended well leaves one."""
    data = Path(path).read_bytes()
    if len(data) < 16 or data[:8] != MAGIC:
        raise ValueError(f"{path}: is no sample log")
    version, order = struct.unpack_from("=II", data, 8)
    if (version, order) != (VERSION, BYTE_ORDER):
        raise ValueError(f"{path}: is a log of version {version} or of another byte order; this reads version {VERSION}")
    log, at = None, 16
    while at < len(data):
        if len(data) - at < 16:
            raise ValueError(f"{path}: ends within a block's head")
        length, kind, checksum = struct.unpack_from("=QII", data, at)
        payload = data[at + 16 : at + 16 + length]
        if len(payload) < length or zlib.crc32(payload, zlib.crc32(data[at : at + 12])) != checksum:
            raise ValueError(f"{path}: the block at byte {at} is damaged")
        if log is None:
            if kind != LAYOUT:
                raise ValueError(f"{path}: does not begin with a layout")
            log = Log(json.loads(payload))
        elif kind == SAMPLES:
            _take_samples(log, payload)
        elif kind == ENDS:
            log.ends.update({member: (status, step, reason) for member, status, step, reason in json.loads(payload)})
        at += 16 + length
    if log is None:
        raise ValueError(f"{path}: has no layout")
    return log


def _take_samples(log: Log, payload: bytes) -> None:
    variable, rank, consecutive, sample, count = struct.unpack_from("=iHHqq", payload)
    extents = struct.unpack_from(f"={rank}q", payload, 24)
    at = 24 + 8 * rank
    if consecutive:
        (first,) = struct.unpack_from("=q", payload, at)
        members = range(first, first + count)
        at += 8
    else:
        members = struct.unpack_from(f"={count}q", payload, at)
        at += 8 * count
    width = 1
    for extent in extents:
        width *= extent
    numbers = array.array("d")
    numbers.frombytes(payload[at:])
    assert numbers.itemsize == 8 and sys.byteorder == "little" and len(numbers) == width * count
    name = log.layout["variables"][variable]["name"]
    for index, member in enumerate(members):
        log.values[name, sample, member] = tuple(numbers[index * width : (index + 1) * width])
