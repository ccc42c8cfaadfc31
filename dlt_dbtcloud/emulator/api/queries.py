"""Filters, order, pages and related objects of list requests, without any I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Generic, TypeVar

from werkzeug.datastructures import MultiDict

from dlt_dbtcloud.emulator.api.schemas import (
    BOOLEAN,
    INTEGER,
    NON_NEGATIVE,
    OBJECT,
    POSITIVE,
    STRING,
    Schema,
    is_valid,
    validate,
)
from dlt_dbtcloud.emulator.errors import bad_request

T = TypeVar("T")
Row = Mapping[str, Any]
Query = MultiDict[str, str]

STATES = {"1": 1, "active": 1, "2": 2, "deleted": 2, "all": None}
STATE_NAMES = {1: "active", 2: "deleted", None: "all"}
# the service lowers a greater limit to this one
MAX_LIMIT = 100
BOOLEANS = {"true": True, "false": False}

# an array is sent as one JSON string
INTEGER_ARRAY: Schema = {"anyOf": [{"type": "array", "items": INTEGER}]}
STRING_ARRAY: Schema = {"anyOf": [{"type": "array", "items": STRING}]}
DATE_RANGE: Schema = {**STRING_ARRAY, "minItems": 2, "maxItems": 2}

COMMON: Mapping[str, Schema] = {
    # clients repeat the account of the path
    "account_id": {},
    "limit": POSITIVE,
    "offset": NON_NEGATIVE,
}


@dataclass(frozen=True)
class Listing:
    """The filters, the fields to order by and the default state of a list."""

    filters: Mapping[str, Schema]
    order: tuple[str, ...]
    state: str = "active"


ACCOUNTS = Listing({"pk": INTEGER}, ("id",))
PROJECTS = Listing(
    {"pk": INTEGER, "pk__in": INTEGER_ARRAY, "pk__gt": INTEGER, "name__icontains": STRING},
    ("created_at", "id", "name", "updated_at"),
)
ENVIRONMENTS = Listing(
    {
        "pk": INTEGER,
        "project_id": INTEGER,
        "project_id__in": INTEGER_ARRAY,
        "dbt_version": STRING,
        "dbt_version__in": STRING_ARRAY,
        "name": STRING,
        "name__icontains": STRING,
        "type": STRING,
        "deployment_type": STRING,
        "deployment_type__in": STRING_ARRAY,
        "credentials_id": INTEGER,
    },
    ("created_at", "id", "name", "updated_at"),
)
JOBS = Listing(
    {
        "pk": INTEGER,
        "project_id": INTEGER,
        "project_id__in": INTEGER_ARRAY,
        "environment_id": INTEGER,
        "dbt_version__in": STRING_ARRAY,
        "name__icontains": STRING,
        "is_system": BOOLEAN,
        "is_fusion_ready": BOOLEAN,
        "triggers_schedule": BOOLEAN,
    },
    ("created_at", "environment_id", "id", "name", "project_id", "updated_at"),
)
USERS = Listing({}, ("id",))
CONNECTIONS = Listing(
    {
        "adapter_version": STRING,
        "name__icontains": STRING,
        "private_endpoint_id": STRING,
        "has_analytics_credentials": BOOLEAN,
        "has_catalog_ingestion_enabled": BOOLEAN,
        "has_cost_insights_enabled": BOOLEAN,
        "has_cost_management_enabled": BOOLEAN,
        "has_platform_metadata_credentials": BOOLEAN,
        "requires_platform_metadata_credentials": BOOLEAN,
    },
    ("id",),
)
REPOSITORIES = Listing(
    {
        "pk": INTEGER,
        "project_id": INTEGER,
        "project_id__in": INTEGER_ARRAY,
        "remote_url": STRING,
    },
    ("id",),
)
GROUPS = Listing(
    {"pk": INTEGER, "pk__in": INTEGER_ARRAY, "name": STRING, "name__icontains": STRING},
    ("id", "name"),
)
AUDIT_LOGS = Listing({"logged_at_start": STRING, "logged_at_end": STRING}, ("id",))
RUNS = Listing(
    {
        "pk": INTEGER,
        "pk__in": INTEGER_ARRAY,
        "id__gt": INTEGER,
        "job_definition_id": INTEGER,
        "project_id": INTEGER,
        "project_id__in": INTEGER_ARRAY,
        "environment_id": INTEGER,
        "status": INTEGER,
        "status__in": INTEGER_ARRAY,
        "dbt_version": STRING,
        "dbt_version__in": STRING_ARRAY,
        "deferring_run_id": INTEGER,
        "has_docs_generated": BOOLEAN,
        "has_sources_generated": BOOLEAN,
        "created_at__range": DATE_RANGE,
        "finished_at__range": DATE_RANGE,
    },
    ("created_at", "finished_at", "id"),
    state="all",
)


@dataclass(frozen=True)
class Selection:
    """The parsed query of a list request."""

    filters: Mapping[str, Any]
    limit: int
    offset: int
    order_by: str
    state: str
    include: frozenset[str]

    def echo(self) -> dict[str, Any]:
        """Return the parsed filters as the service repeats them in its response."""
        state = STATE_NAMES[STATES[self.state]]
        filters = {name: _as_json(value) for name, value in self.filters.items()}
        return {"state": state, "limit": self.limit, "offset": self.offset, **filters}


@dataclass(frozen=True)
class Page(Generic[T]):
    """A page of the selected objects, and the count of all selected objects."""

    items: list[T]
    total_count: int


def parse(query: Query, listing: Listing) -> Selection:
    """Parse the query of a list request.

    Raises:
        ApiError: 400, for an unknown or repeated parameter or a value of the wrong type.
    """
    schemas = {
        **listing.filters,
        **COMMON,
        "order_by": {"enum": [*listing.order]},
        "state": {"enum": sorted(STATES)},
    }
    for name in schemas:
        if len(texts := query.getlist(name)) > 1:
            raise bad_request({name: f"{texts!r} is not valid under any of the given schemas"})
    values = {
        name: _parse_value(text, schemas.get(name, STRING))
        for name, text in query.items()
        if name != "include_related"
    }
    order_by = values.get("order_by") or "id"
    column = order_by.removeprefix("-")
    values["order_by"] = column if column in listing.order else order_by
    validate(values, {**OBJECT, "properties": schemas, "additionalProperties": False})
    return Selection(
        filters={
            name: _range(name, value) if name.endswith("__range") else value
            for name, value in values.items()
            if name in listing.filters
        },
        limit=min(values.get("limit", MAX_LIMIT), MAX_LIMIT),
        offset=values.get("offset", 0),
        order_by=order_by,
        state=values.get("state", listing.state),
        include=included(query),
    )


def included(query: Query) -> frozenset[str]:
    """Return the names in `include_related`, in all forms that clients send."""
    return frozenset(re.findall(r"\w+", ",".join(query.getlist("include_related"))))


def select(selection: Selection, rows: Iterable[tuple[Row, T]]) -> Page[T]:
    """Filter, order and page objects.

    Args:
        selection: The parsed query.
        rows: The fields to filter and order by, each with the object that they describe.

    Returns:
        The objects of the page.
    """
    tests = [_test(name, value) for name, value in selection.filters.items()]
    state = STATES[selection.state]
    if state is not None:
        tests.append(lambda row: row.get("state", state) == state)
    found = [(row, item) for row, item in rows if all(test(row) for test in tests)]
    column = selection.order_by.removeprefix("-")
    # nulls come last, as in the database, and ids decide between equals
    found.sort(
        key=lambda pair: (_rank(pair[0][column]), pair[0]["id"]),
        reverse=selection.order_by.startswith("-"),
    )
    page = found[selection.offset : selection.offset + selection.limit]
    return Page([item for _, item in page], len(found))


def _parse_value(text: str, schema: Schema) -> Any:
    """Convert a parameter to the type in its schema, if it fits."""
    if schema.get("type") == "integer" and re.fullmatch(r"-?[0-9]{1,19}", text):
        return int(text)
    if schema.get("type") == "boolean":
        return BOOLEANS.get(text.lower(), text)
    if "anyOf" in schema:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return value if is_valid(value, {"anyOf": schema["anyOf"]}) else text
    return text


def _rank(value: Any) -> tuple[bool, Any]:
    return (value is None, 0 if value is None else value)


def _test(name: str, value: Any) -> Callable[[Row], bool]:
    field, _, operator = name.partition("__")
    if field == "pk":
        field = "id"
    if operator == "in":
        return lambda row: row.get(field) in value
    if operator == "gt":
        return lambda row: bool(row[field] > value)
    if operator == "range":
        return lambda row: row[field] is not None and value[0] <= row[field] <= value[1]
    if operator == "icontains":
        return lambda row: value.lower() in str(row[field]).lower()
    return lambda row: bool(row.get(field) == value)


def _range(name: str, texts: list[str]) -> list[datetime]:
    start, end = texts
    if name == "finished_at__range" and _date(name, start)[1]:
        # the service ignores the time of a start with an offset
        start = start.strip()[: len("YYYY-MM-DD")]
    return [_date(name, text)[0] for text in (start, end)]


def _date(name: str, text: str) -> tuple[datetime, bool]:
    """Parse a date, and return whether it has an offset."""
    iso = re.sub(r"[zZ]$", "+00:00", text.strip())
    # Python 3.10 reads fractions of three or six digits only
    iso = re.sub(r"\.(\d{1,6})\d*", lambda match: "." + match[1].ljust(6, "0"), iso)
    try:
        date = datetime.fromisoformat(iso)
    except ValueError as error:
        raise bad_request({name: f"{text!r} is not a 'date-time'"}) from error
    return (date, True) if date.tzinfo else (date.replace(tzinfo=timezone.utc), False)


def _as_json(value: Any) -> Any:
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
