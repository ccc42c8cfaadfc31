"""A request that has been routed, and how a handler takes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Response

from dlt_dbtcloud.emulator.models import JSON
from dlt_dbtcloud.emulator.queries import Query


@dataclass(frozen=True)
class Call:
    """The path's parts, the query and the body of a request."""

    path: Mapping[str, Any]
    query: Query
    body: JSON

    @property
    def account_id(self) -> int:
        """The account in the path."""
        return int(self.path["account_id"])

    @property
    def id(self) -> int:
        """The id in the path."""
        return int(self.path["id"])


Handler = Callable[[Call], Response]
