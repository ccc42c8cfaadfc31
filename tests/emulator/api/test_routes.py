"""The map of URLs can be built by several threads at once."""

from __future__ import annotations

from dlt_dbtcloud.emulator.api.routes import url_map


def test_the_url_map_can_be_built_twice() -> None:
    url_map.cache_clear()
    first = url_map()
    url_map.cache_clear()
    assert repr(url_map()) == repr(first)
