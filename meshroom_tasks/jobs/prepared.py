"""Statements that are put together once, for those that all who submit wait for.

SQLAlchemy compiles a statement once, too, but for each execution it works out anew what is to be bound how, which takes
several times as long as SQLite takes for the row; and SQLite has one writer at a time. See benchmarks.submissions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

_Bind = Callable[[Any], Any]


@dataclass(frozen=True)
class _Form:
    """A statement in the words of one database. `binds`: each parameter, in their order, and what turns its value into
    the driver's, if anything. `defaults`: what is bound where nothing is said.
    """

    text: str
    positional: bool
    binds: tuple[tuple[str, _Bind | None], ...]
    defaults: Mapping[str, Callable[[], Any]]

    def bound(self, values: Mapping[str, Any]) -> Any:
        found = {name: values[name] if name in values else self.defaults[name]() for name, _ in self.binds}
        if self.positional:
            return tuple(bind(found[name]) if bind else found[name] for name, bind in self.binds)
        return {name: bind(found[name]) if bind else found[name] for name, bind in self.binds}


class Prepared:
    """`statement`, with values for `columns` (of an INSERT) or for its bound parameters.

    Rows that it returns hold what the driver gives: numbers and text as they are, times and JSON as they are stored.
    """

    def __init__(self, statement: sa.Insert | sa.Select[Any], *columns: str) -> None:
        self._statement = statement
        self._columns = columns
        self._forms: dict[str, _Form] = {}

    def execute(self, connection: sa.Connection, values: Mapping[str, Any]) -> sa.CursorResult[Any]:
        """`values`: by column or parameter; columns that have a default may be left out. Raises KeyError."""
        form = self._forms.get(connection.dialect.name) or self._form(connection.dialect)
        return connection.exec_driver_sql(form.text, form.bound(values))

    def _form(self, dialect: Dialect) -> _Form:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._columns or None)
        names = compiled.positiontup if compiled.positiontup is not None else tuple(compiled.binds)
        form = self._forms[dialect.name] = _Form(
            text=compiled.string,
            positional=compiled.positiontup is not None,
            binds=tuple((name, _bind(compiled.binds[name].type, dialect)) for name in names),
            defaults={column.key: _default(column) for column in compiled.insert_prefetch},
        )
        return form


def _bind(kind: sa.types.TypeEngine[Any], dialect: Dialect) -> _Bind | None:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _default(column: sa.Column[Any]) -> Callable[[], Any]:
    default: Any = column.default
    return (lambda: default.arg(None)) if default.is_callable else (lambda: default.arg)
