"""Settings of dlt, which tests share until one changes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.configuration.providers import EnvironProvider
from dlt.common.configuration.specs.config_providers_context import ConfigProvidersContainer
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext

__all__ = ["EmptySettings", "read_settings"]


class EmptySettings:
    """The run context of a folder without settings.

    It takes longer to make than most tests. It refers to folders relative to the working directory
    and to variables of the environment, so it is that of every test that begins without settings.
    """

    def __init__(self) -> None:
        self._made: list[Any] = []

    def restore(self) -> None:
        """Make the context again if a test has replaced or changed more than its providers."""
        container = Container()
        if self._made and PluggableRunContext in container:
            _, _, providers, _ = self._made
            container[PluggableRunContext].providers = providers
        if PluggableRunContext not in container or not self._is_unchanged():
            if PluggableRunContext in container:
                del container[PluggableRunContext]
            self._made = self._parts()

    def _is_unchanged(self) -> bool:
        parts = self._parts()
        is_same = len(parts) == len(self._made) and all(map(_is, parts, self._made))
        return is_same and all(
            isinstance(provider, EnvironProvider) or provider.is_empty
            for provider in Container()[PluggableRunContext].providers.providers
        )

    def _parts(self) -> list[Any]:
        """Return the parts of the context that are replaced when settings are read."""
        made = Container()[PluggableRunContext]
        return [made, made.context, made.providers, made.context.runtime_config]


def read_settings(folder: Path) -> None:
    """Make dlt read the files in `.dlt/` of a folder without a new run context."""
    context = Container()[PluggableRunContext]
    initial = type(context.context)(str(folder)).initial_providers()
    context.providers = ConfigProvidersContainer(initial)
    context.providers.add_extras()


def _is(one: object, other: object) -> bool:
    return one is other
