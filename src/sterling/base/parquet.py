"""Parquet files looked at before Polars reads them: what they claim has to hold, or they are refused.

A damaged or forged header makes Polars ask for memory that no computer has, and that ends the process. So the
footer and the header of every page are read here, as the format says (Thrift's compact protocol), and held
against the bytes that are there. What is in the pages is left to Polars.
"""

from __future__ import annotations

from typing import Any

_MAGIC = b"PAR1"
_VIEW = 16  # bytes that a value takes once it is read, at most: text is kept once, and pointed to
_DEEPEST = 16  # structures within structures
_LONGEST = 10  # bytes of an integer
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3  # types of pages
_COUNTED = {_DATA: 5, _DICTIONARY: 7, _DATA_2: 8}  # the field of a page's header that counts its values


def weigh(data: Any) -> int:
    """Return the bytes that a Parquet file (bytes or mmap) takes in memory, from above; ValueError if it
    lies.
    """
    try:
        return _weigh(data)
    except (IndexError, KeyError, TypeError, AttributeError) as problem:
        raise ValueError("its description is incomplete") from problem


def _weigh(data: Any) -> int:
    length = int.from_bytes(data[-8:-4], "little")
    end = len(data) - 8 - length
    if len(data) < 12 or data[:4] != _MAGIC or data[-4:] != _MAGIC or end < 4:
        raise ValueError("it does not end as such a file does")
    footer, _ = _structure(data, end, len(data) - 8)
    found = 0
    for group in footer[4]:
        if group[3] < 0:
            raise ValueError("it claims an impossible number of rows")
        for column in group[1]:
            found += _column(data, column[3], end)
    return found


def _column(data: Any, about: dict[int, Any], end: int) -> int:
    """Return what the pages of a column take, once they fit what is said about them."""
    first = min(about[9], about.get(11, about[9]))
    stop, room, values, told = first + about[7], about[6], 0, 0
    if not 4 <= first <= stop <= end:
        raise ValueError("a column lies outside of it")
    place = first
    while place < stop:
        header, begin = _structure(data, place, stop)
        place, size = begin + header[3], header[2]
        room -= size
        if not begin <= place <= stop or size < 0 or room < 0:
            raise ValueError("a page is larger than its column")
        if header[1] in _COUNTED:
            count = header[_COUNTED[header[1]]][1]
            if not 0 <= count <= about[5] or (header[1] == _DICTIONARY and count > size):
                raise ValueError("a page claims an impossible number of values")
            values += count
            told += count if header[1] != _DICTIONARY else 0
            if header[1] == _DATA_2 and not 0 <= header[8][5] + header[8][6] <= header[3]:
                raise ValueError("the levels of a page are larger than it")
    if told != about[5]:
        raise ValueError("its pages hold another number of values than it says")
    return about[6] + _VIEW * values


def _structure(data: Any, place: int, end: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """Return the fields of a structure by their numbers, and where it ends."""
    if depth > _DEEPEST:
        raise ValueError("its description is too deep")
    fields, number = {}, 0
    while True:
        _within(place, end)
        head, place = data[place], place + 1
        if head == 0:
            return fields, place
        if head >> 4:
            number += head >> 4
        else:
            number, place = _signed(data, place, end)
        fields[number], place = _value(data, place, end, head & 15, depth)


def _value(data: Any, place: int, end: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, place
    if kind == 3:
        return data[place], place + 1
    if kind in (4, 5, 6):
        return _signed(data, place, end)
    if kind == 7:
        return None, place + 8
    if kind == 8:
        length, place = _varint(data, place, end)
        _within(place + length, end + 1)
        return None, place + length
    if kind in (9, 10):
        head, place = data[place], place + 1
        count = head >> 4
        if count == 15:
            count, place = _varint(data, place, end)
        _within(place + count, end + 1)  # no entry is shorter than a byte
        entries = []
        for _ in range(count):
            step = 1 if head & 15 in (1, 2) else 0
            entry, place = _value(data, place + step, end, head & 15, depth + 1)
            entries.append(entry)
        return entries, place
    if kind == 12:
        return _structure(data, place, end, depth + 1)
    raise ValueError("its description holds what no such file has")


def _varint(data: Any, place: int, end: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 7 * _LONGEST, 7):
        _within(place, end)
        byte, place = data[place], place + 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, place
    raise ValueError("a number in its description has no end")


def _signed(data: Any, place: int, end: int) -> tuple[int, int]:
    number, place = _varint(data, place, end)
    return (number >> 1) ^ -(number & 1), place


def _within(place: int, end: int) -> None:
    if place >= end:
        raise ValueError("its description is cut off")
