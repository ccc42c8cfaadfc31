"""Every table has keys and every column a type and a description."""

from __future__ import annotations

import pytest
from dlt.common.data_types.typing import DATA_TYPES

from dlt_dbtcloud.loads import RESULT_TABLES
from dlt_dbtcloud.source.schema import KEYS, TABLES


def test_loads_recognise_the_tables_of_results() -> None:
    assert TABLES.keys() == KEYS.keys() == RESULT_TABLES


@pytest.mark.parametrize("table", TABLES)
def test_keys_are_required_columns(table: str) -> None:
    assert KEYS[table]
    assert not [name for name in KEYS[table] if TABLES[table][name]["nullable"]]


@pytest.mark.parametrize("table", TABLES)
def test_columns_have_a_type_and_a_description(table: str) -> None:
    for name, column in TABLES[table].items():
        assert column["name"] == name
        assert column["data_type"] in DATA_TYPES
        assert column["description"]
