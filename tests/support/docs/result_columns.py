"""The columns of the result tables as Markdown, for `docs/results.md`.

python -m tests.support.docs.result_columns
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dlt_dbtcloud import DBTCloudConfiguration, dbt_cloud_results
from dlt_dbtcloud.source.schema import DLT_COLUMNS

PAGE = Path(__file__).parents[3] / "docs" / "results.md"
_GENERATED = re.compile(r"(<!-- begin: .* -->\n).*(<!-- end -->)", re.DOTALL)


def generated(page: str) -> str:
    """Return a page with the tables between its marks generated anew."""
    tables = "\n".join(_lines())
    return _GENERATED.sub(lambda marks: f"{marks[1]}\n{tables}\n{marks[2]}", page)


def _lines() -> Iterator[str]:
    unused = DBTCloudConfiguration(api_token="unused", account_id="1", job_id="1")
    source = dbt_cloud_results(credentials=unused)
    for name, resource in source.resources.items():
        yield from (f"### {name}", "")
        yield from ("| column | type | nullable | key | meaning |", "|---|---|---|---|---|")
        columns = resource.compute_table_schema()["columns"]
        yield from (_row(column) for name, column in columns.items() if name not in DLT_COLUMNS)
        yield ""


def _row(column: Any) -> str:
    is_nullable, is_key = column["nullable"], column.get("primary_key")
    marks = " | ".join("yes" if mark else "" for mark in (is_nullable, is_key))
    row = f"| `{column['name']}` | {column['data_type']} | {marks} | {column['description']} |"
    return row.replace("  ", " ")


if __name__ == "__main__":
    PAGE.write_text(generated(PAGE.read_text()))
