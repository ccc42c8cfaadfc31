"""dlt gets the same answers about types, but computes each once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest
from dlt.common.configuration.specs import base_configuration
from dlt.common.configuration.specs.base_configuration import BaseConfiguration
from dlt.common.exceptions import DictValidationException
from dlt.common.schema.typing import TTableSchema
from dlt.common.validation import validate_dict

from dlt_dbtcloud import DBTCloudConfiguration
from tests.support.hints import remembered


def test_each_field_of_a_configuration_is_as_secret_as_it_was() -> None:
    is_secret: Any = base_configuration.is_secret_hint
    specs: list[type[BaseConfiguration]] = BaseConfiguration.__subclasses__()
    for spec in specs:
        for hint in spec.get_resolvable_fields().values():
            assert is_secret(hint) is is_secret.__wrapped__(hint)
    assert is_secret(DBTCloudConfiguration.get_resolvable_fields()["api_token"])


def test_a_result_is_computed_once_and_a_type_without_a_hash_is_allowed() -> None:
    computed: list[Any] = []

    def name(hint: Any) -> str:
        computed.append(hint)
        return repr(hint)

    name_of: Callable[..., str] = remembered(name)
    assert name_of(int) == name_of(int) == "<class 'int'>"
    unhashable: Any = Annotated[str, []]
    assert name_of(unhashable) == repr(unhashable)
    assert computed == [int, unhashable]


def test_dlt_still_checks_tables() -> None:
    for _ in range(2):
        validate_dict(TTableSchema, {"name": "orders", "write_disposition": "merge"}, ".")
        with pytest.raises(DictValidationException, match="unexpected"):
            validate_dict(TTableSchema, {"name": "orders", "other": 7}, ".")
