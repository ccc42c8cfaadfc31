"""The data that the script of a page draws: its nodes, executions and lineage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlt_dbtcloud.report.page import outcome_of
from dlt_dbtcloud.report.rendering.content import NAME_LENGTH, WORST_FIRST, Content
from dlt_dbtcloud.report.rendering.lineage import lineage_views
from dlt_dbtcloud.report.rendering.timeline import timeline

__all__ = ["Drawing"]


# characters of code, and of the description of a column
_CODE, _COMMENT = 6_000, 300
_MAX_COLUMNS = 300
_Json = Any


@dataclass(frozen=True)
class _Kind:
    """The texts that the details of a node have: their characters, and whether there is code."""

    message: int
    description: int
    has_code: bool


_FULL, _SHORT, _BARE = _Kind(4_000, 2_000, True), _Kind(400, 200, False), _Kind(0, 0, False)


class Drawing:
    """Makes the data of the scripts of a page.

    Args:
        content: The nodes of the page.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._page = content.page
        self._texts = content.texts
        self._graph = content.graph
        self._details: dict[tuple[str, _Kind], tuple[list[_Json], int]] = {}

    def data(self) -> dict[str, _Json]:
        """Return what is drawn at once: lists whose items refer to each other by position."""
        page = self._page
        lanes = timeline(page.executions)
        path = set(self._content.critical_path)
        statuses = _Table()
        threads = [self._texts.line(name, 60) for name in lanes.threads]
        executions = []
        for i, each in enumerate(page.executions):
            lane = lanes.lanes[i]
            began = 0.0 if each.started_at is None else each.started_at - lanes.start
            executions.append(
                [
                    self._content.number[each.unique_id],
                    each.step,
                    statuses.index(self._texts.line(each.status, 40), outcome_of(each.status)),
                    round(began, 3),
                    round(each.seconds, 3),
                    -1 if lane is None else lane,
                    int(i in path),
                ]
            )
        types, folders = _Table(), _Table()
        nodes = [self._node(key, types, folders, statuses) for key in self._content.ids]
        return {
            "nodes": nodes,
            "types": types.rows,
            "folders": folders.rows,
            "statuses": statuses.rows,
            "executions": executions,
            "threads": threads,
            "span": round(max(0.0, lanes.end - lanes.start), 3),
            "bands": self._bands(lanes.start),
            **lineage_views(self._content),
            "refresh": page.refresh,
            "absent": self._content.absent,
        }

    def details(self, budget: int) -> list[_Json]:
        """Return the details of each node; what exceeds the budget is left out.

        Args:
            budget: Characters of all details.
        """
        order = sorted(
            self._content.ids,
            key=lambda key: (
                WORST_FIRST.index(self._content.outcome(key)),
                self._graph.is_test(key),
            ),
        )
        kept = {key: self._detail(key, _BARE) for key in order}
        budget -= sum(size for _, size in kept.values())
        for kind in (_SHORT, _FULL):
            for key in order:
                if budget <= 0:
                    # the texts of all others do not have to be prepared
                    break
                _, before = kept[key]
                kept[key] = self._detail(key, kind)
                budget -= kept[key][1] - before
        found: list[_Json] = [None] * len(order)
        for key, (detail, _) in kept.items():
            found[self._content.number[key]] = detail
        return found

    def _node(self, key: str, types: _Table, folders: _Table, statuses: _Table) -> list[_Json]:
        node, execution = self._graph.nodes[key], self._content.execution(key)
        line = self._texts.line
        status = -1
        if execution is not None:
            status = statuses.index(line(execution.status, 40), outcome_of(execution.status))
        elif key in self._content.freshness:
            fresh = self._content.freshness[key].status
            status = statuses.index(line(fresh, 40), outcome_of(fresh))
        worst = self._content.worst_test(key)
        return [
            line(node.name, NAME_LENGTH) or line(key, NAME_LENGTH),
            types.index(line(node.resource_type, 40)),
            folders.index(line(node.folder, 100), line(node.package, 60)),
            status,
            self._content.last.get(key, -1),
            worst if worst in ("bad", "warn") else None,
            [self._content.number[parent] for parent in self._graph.parents[key]],
        ]

    def _detail(self, key: str, kind: _Kind) -> tuple[list[_Json], int]:
        """Return the details of a node, and about their characters; each is made once."""
        found = self._details.get((key, kind))
        if found is None:
            detail = self._made_detail(key, kind)
            found = self._details[key, kind] = detail, _size(detail)
        return found

    def _made_detail(self, key: str, kind: _Kind) -> list[_Json]:
        content, node = self._content, self._graph.nodes[key]
        execution, past = content.execution(key), self._page.past.get(key)
        line, block = self._texts.line, self._texts.block
        columns = node.columns[:_MAX_COLUMNS] if kind.has_code else ()
        has_texts = kind is not _BARE
        return [
            line(key, 300),
            block(self._message(key), kind.message) if has_texts else "",
            block(node.description, kind.description) if has_texts else "",
            line(node.relation, 300) if has_texts else "",
            line(node.materialized, 40),
            line(node.path, 300) if has_texts else "",
            [
                [line(each.name, 100), line(each.type, 60), line(each.description, _COMMENT)]
                for each in columns
            ],
            block(node.code, _CODE) if kind.has_code else "",
            [line(each, 100) for each in node.owners[:10]] if has_texts else [],
            [line(each, 60) for each in node.tags[:20]] if has_texts else [],
            execution.failures if execution else None,
            execution.rows if execution else None,
            [round(past.seconds, 3), past.runs] if past else None,
            content.freshness_text(key),
            int(bool(node.code or node.columns or not has_texts) and kind is not _FULL),
        ]

    def _message(self, key: str) -> str | None:
        execution, fresh = self._content.execution(key), self._content.freshness.get(key)
        return self._content.message(execution) if execution else fresh.error if fresh else None

    def _bands(self, start: float) -> list[_Json]:
        """Return the steps that executed nodes: their index, name, begin and end."""
        used = {each.step for each in self._page.executions}
        return [
            [
                step.index,
                self._texts.line(step.command or step.name, 120),
                round(step.started_at - start, 3),
                round((step.finished_at or self._page.made_at) - start, 3),
            ]
            for step in self._page.steps
            if step.index in used and step.started_at is not None
        ]


class _Table:
    """Rows that are referred to by their positions."""

    def __init__(self) -> None:
        self._positions: dict[tuple[str, ...], int] = {}

    @property
    def rows(self) -> list[list[str]]:
        return [[*row] for row in self._positions]

    def index(self, *row: str) -> int:
        return self._positions.setdefault(row, len(self._positions))


def _size(value: _Json) -> int:
    """Return about the characters of a JSON value."""
    if isinstance(value, str):
        return len(value) + 3
    return sum(map(_size, value)) + 2 if isinstance(value, list) else 4
