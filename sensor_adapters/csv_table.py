"""Published tables: comma-separated, a header line, numbers that must be numbers.

Columns are asked for by name, so that extra ones and another order do no harm. The quick road
is numpy's C reader; only where it stumbles is the file read again cell by cell, to say where.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sensor_adapters.recording import RecordingError

Doubles = npt.NDArray[np.float64]

LARGEST = 1e30
"""Beyond what any sensor says; keeps every reading within float32."""


@dataclass(frozen=True)
class Row:
    """One line of a table, its cells by column name."""

    path: Path
    line: int
    cells: dict[str, str]

    def number(self, column: str) -> float:
        """Return a cell as a finite number.

        Raises:
            RecordingError: it is empty, not a number, or not finite.
        """
        return _number(self.path, self.line, column, self.cells[column], blank=None)


def read_text(path: Path) -> str:
    """Return the file's text, without a byte order mark.

    Raises:
        RecordingError: the file is missing, unreadable, empty or not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}, expected a readable file") from error
    except UnicodeDecodeError as error:
        raise RecordingError(f"{path}: byte {error.start} is not UTF-8, expected text") from error
    if not text.strip():
        raise RecordingError(f"{path}: is empty, expected at least a header line")
    return text


def read_numbers(
    path: Path, columns: Sequence[str], filled: int | None = None, text: str | None = None
) -> Doubles:
    """Return (N, len(columns)) of one file, in the file's units; an empty cell is NaN.

    Args:
        path: the file, named in errors.
        columns: the header's names, in the order wanted.
        filled: how many of the first columns must have a number in every row, such as times;
            all of them where absent.
        text: the file's content where it was read before.

    Raises:
        RecordingError: the file is empty, a column is missing, a cell is not a finite number.
    """
    text = read_text(path) if text is None else text
    filled = len(columns) if filled is None else filled
    wanted = _positions(path, text, columns)
    header_end = text.find("\n") + 1
    if header_end == 0 or not text[header_end:].strip():
        return np.empty((0, len(columns)))
    try:
        table = np.loadtxt(
            io.StringIO(text[header_end:]),
            delimiter=",",
            usecols=wanted,
            ndmin=2,
            comments=None,
            quotechar='"',
        )
    except ValueError:
        return _cell_by_cell(path, text, columns, filled)
    if np.isnan(table[:, :filled]).any() or (np.abs(table) > LARGEST).any():
        return _cell_by_cell(path, text, columns, filled)
    return table


def read_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield a small file's lines with the cells of ``columns``; blank lines are passed over.

    Raises:
        RecordingError: the file is empty, a column is missing, a line is too short.
    """
    return _rows(path, read_text(path), columns)


def _rows(path: Path, text: str, columns: Sequence[str]) -> Iterator[Row]:
    wanted = _positions(path, text, columns)
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader)
    for cells in reader:
        if not cells:
            continue
        if len(cells) <= max(wanted):
            raise RecordingError(
                f"{path}: line {reader.line_num} has {len(cells)} cells, expected {len(header)}"
            )
        named = dict(zip(columns, (cells[i].strip() for i in wanted), strict=True))
        yield Row(path, reader.line_num, named)


def header_of(path: Path, text: str) -> list[str]:
    """Return the names in the first line.

    Raises:
        RecordingError: the first line is blank.
    """
    header = next(csv.reader(io.StringIO(text, newline="")), [])
    if not header:
        raise RecordingError(f"{path}: the first line is blank, expected column names")
    return [name.strip() for name in header]


def _positions(path: Path, text: str, columns: Sequence[str]) -> list[int]:
    header = header_of(path, text)
    missing = [name for name in columns if name not in header]
    if missing:
        raise RecordingError(
            f"{path}: has columns {', '.join(header)}, expected also {', '.join(missing)}"
        )
    return [header.index(name) for name in columns]


def _cell_by_cell(path: Path, text: str, columns: Sequence[str], filled: int) -> Doubles:
    """Return what ``read_numbers`` returns, slowly, and name the first cell that is wrong."""
    blanks = [None if i < filled else np.nan for i in range(len(columns))]
    table = [
        [
            _number(path, row.line, name, row.cells[name], blank)
            for name, blank in zip(columns, blanks, strict=True)
        ]
        for row in _rows(path, text, columns)
    ]
    return np.array(table, np.float64).reshape(-1, len(columns))


def _number(path: Path, line: int, column: str, cell: str, blank: float | None) -> float:
    if cell.lower() in ("", "nan") and blank is not None:
        return blank
    try:
        value = float(cell)
    except ValueError:
        value = np.nan
    if not abs(value) <= LARGEST:
        raise RecordingError(
            f"{path}: line {line}, column {column}: found {cell!r}, expected a finite number"
        )
    return value
