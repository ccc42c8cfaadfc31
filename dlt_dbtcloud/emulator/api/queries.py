"""How a list is asked for: filters, order, pages and related objects, without any I/O.

Unknown parameters and ill-typed values answer 400, arrays are one JSON string, as with the service.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar

from werkzeug.datastructures import MultiDict

from dlt_dbtcloud.emulator.errors import bad_request


@dataclass(frozen=True)
class Listing:
    """What a list can be filtered and ordered by."""

    filters: frozenset[str]
    order: frozenset[str]
    state: str = "active"


PROJECTS = Listing(
    frozenset({"pk", "pk__in", "pk__gt", "name__icontains"}),
    frozenset({"id", "name", "created_at", "updated_at"}),
)
ENVIRONMENTS = Listing(
    frozenset(
        {
            "pk",
            "project_id",
            "project_id__in",
            "dbt_version",
            "dbt_version__in",
            "name",
            "name__icontains",
            "type",
            "deployment_type",
            "deployment_type__in",
            "credentials_id",
        }
    ),
    frozenset({"id", "name", "created_at", "updated_at"}),
)
JOBS = Listing(
    frozenset(
        {
            "pk",
            "project_id",
            "project_id__in",
            "environment_id",
            "dbt_version__in",
            "name__icontains",
            "is_system",
            "is_fusion_ready",
            "triggers_schedule",
        }
    ),
    frozenset({"id", "name", "project_id", "environment_id", "created_at", "updated_at"}),
)
RUNS = Listing(
    frozenset(
        {
            "pk",
            "pk__in",
            "id__gt",
            "job_definition_id",
            "project_id",
            "project_id__in",
            "environment_id",
            "status",
            "status__in",
            "dbt_version",
            "dbt_version__in",
            "deferring_run_id",
            "has_docs_generated",
            "has_sources_generated",
            "created_at__range",
            "finished_at__range",
        }
    ),
    frozenset({"id", "created_at", "finished_at"}),
    state="all",
)
ACCOUNTS = Listing(frozenset({"pk"}), frozenset({"id"}))


T = TypeVar("T")
Row = Mapping[str, Any]
Query = MultiDict[str, str]

MAX_LIMIT = 100
STATES = {"1": 1, "active": 1, "2": 2, "deleted": 2, "all": None}
BOOLEANS = {"true": True, "false": False}
DATES = frozenset({"created_at", "updated_at", "finished_at"})
STRINGS = frozenset({"name", "dbt_version", "deployment_type", "type"})
FLAGS = frozenset(
    {
        "has_docs_generated",
        "has_sources_generated",
        "is_fusion_ready",
        "is_system",
        "triggers_schedule",
    }
)
# account_id is in the path, and clients repeat it
COMMON = frozenset({"account_id", "include_related", "limit", "offset", "order_by", "state"})


@dataclass(frozen=True)
class Selection:
    """A list request that has been understood."""

    filters: Mapping[str, Any]
    limit: int
    offset: int
    order_by: str
    state: str
    include: frozenset[str]

    def echo(self) -> dict[str, Any]:
        """Give the filters back as the service does: parsed."""
        state = STATES[self.state]
        echoed = {key: _plain(value) for key, value in self.filters.items()}
        return {"state": state or "all", "limit": self.limit, "offset": self.offset, **echoed}


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of what was selected, and how many there are in all."""

    items: list[T]
    total_count: int


def parse(query: Query, listing: Listing) -> Selection:
    """Understand the query of a list request.

    Raises:
        ApiError: 400, for an unknown parameter, a repeated one or a value of the wrong type.
    """
    unknown = sorted(set(query) - listing.filters - COMMON)
    if unknown:
        names = ", ".join(f"'{name}'" for name in unknown)
        was = "was" if len(unknown) == 1 else "were"
        raise bad_request(f"Additional properties are not allowed ({names} {was} unexpected)")
    single = {key: _single(query, key) for key in query if key != "include_related"}
    return Selection(
        filters={key: _filter(key, single[key]) for key in single if key in listing.filters},
        limit=_bounded("limit", single.get("limit", str(MAX_LIMIT)), 1, MAX_LIMIT),
        offset=_bounded("offset", single.get("offset", "0"), 0, None),
        order_by=_one_of("order_by", single.get("order_by") or "id", listing.order, "-"),
        state=_one_of("state", single.get("state", listing.state), STATES),
        include=included(query),
    )


def included(query: Query) -> frozenset[str]:
    """Read `include_related` in every form that clients send, holes and repetitions included."""
    text = ",".join(query.getlist("include_related"))
    return frozenset(re.findall(r"\w+", text))


def apply(selection: Selection, rows: Iterable[tuple[Row, T]]) -> Page[T]:
    """Filter, order and cut the rows; each comes with the object that it describes."""
    tests = [_test(key, value) for key, value in selection.filters.items()]
    state = STATES[selection.state]
    if state is not None:
        tests.append(lambda row: row.get("state", state) == state)
    found = [(row, item) for row, item in rows if all(test(row) for test in tests)]
    field = selection.order_by.lstrip("-")
    # ids rise, so they decide between equals; what has no value comes last, as in the database
    found.sort(
        key=lambda pair: (_rank(pair[0][field]), pair[0]["id"]),
        reverse=selection.order_by.startswith("-"),
    )
    page = found[selection.offset : selection.offset + selection.limit]
    return Page([item for _, item in page], len(found))


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is None, 0 if value is None else value)


def _test(key: str, value: Any) -> Callable[[Row], bool]:
    field, operator = _field(key)
    if operator == "in":
        return lambda row: row.get(field) in value
    if operator == "gt":
        return lambda row: bool(row[field] > value)
    if operator == "range":
        return lambda row: row[field] is not None and value[0] <= row[field] <= value[1]
    if operator == "icontains":
        return lambda row: value.lower() in str(row[field]).lower()
    return lambda row: bool(row.get(field) == value)


def _field(key: str) -> tuple[str, str]:
    field, _, operator = key.partition("__")
    return ("id" if field == "pk" else field), operator


def _filter(key: str, text: str) -> Any:
    field, operator = _field(key)
    if operator not in ("in", "range"):
        return _scalar(key, field, text)
    values = _array(key, text)
    if operator == "range" and len(values) != 2:
        raise bad_request({key: f"{values!r} needs two items"})
    return [_item(key, field, value, text) for value in values]


def _item(key: str, field: str, value: Any, text: str) -> Any:
    if field in DATES or field in STRINGS:
        if isinstance(value, str):
            return _date(key, value) if field in DATES else value
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    raise bad_request({key: f"'{text}' is not valid under any of the given schemas"})


def _array(key: str, text: str) -> Sequence[Any]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, list):
        raise bad_request({key: f"'{text}' is not valid under any of the given schemas"})
    return values


def _scalar(key: str, field: str, text: str) -> Any:
    if field in STRINGS:
        return text
    if field in FLAGS:
        if text.lower() not in BOOLEANS:
            raise bad_request({key: f"'{text}' is not of type 'boolean'"})
        return BOOLEANS[text.lower()]
    return _integer(key, text)


def _integer(key: str, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,19}", text):
        raise bad_request({key: f"'{text}' is not of type 'integer'"})
    return int(text)


def _date(key: str, text: str) -> datetime:
    iso = re.sub(r"[zZ]$", "+00:00", text.strip())
    # Python 3.10 reads fractions of three or six digits only
    iso = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), iso)
    try:
        date = datetime.fromisoformat(iso)
    except ValueError as error:
        raise bad_request({key: f"'{text}' is not a 'date-time'"}) from error
    return date if date.tzinfo else date.replace(tzinfo=timezone.utc)


def _bounded(key: str, text: str, least: int, most: int | None) -> int:
    value = _integer(key, text)
    if value < least:
        raise bad_request({key: f"{value} is less than the minimum of {least}"})
    if most is not None and value > most:
        raise bad_request({key: f"{value} is greater than the maximum of {most}"})
    return value


def _one_of(key: str, text: str, allowed: Iterable[str], prefix: str = "") -> str:
    names = sorted(allowed)
    if text.removeprefix(prefix) not in names:
        raise bad_request({key: f"'{text}' is not one of {names}"})
    return text


def _single(query: Query, key: str) -> str:
    values = query.getlist(key)
    if len(values) > 1:
        raise bad_request({key: f"{values!r} is not valid under any of the given schemas"})
    return values[0]


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
