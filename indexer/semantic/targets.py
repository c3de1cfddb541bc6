"""What is read of a generation in one statement, which also says whether it is still the one to read.

A statement sees one snapshot, as a transaction does, and costs one round trip where that costs four. But it must name
the tables, and they depend on which generation is live: so it names those of the one that was live last, and brings
along the row of the one that is live in its own snapshot. Only when those differ is the answer of no use.
"""

from typing import Any, Final

import msgspec

from indexer.errors import GenerationUnusable
from indexer.generation import is_generation_name
from indexer.semantic.nearest import is_small, nearest_sql
from indexer.semantic.schema import SCHEMA, generation_of, watermark_of
from streams.watermark import Watermark

_ROW: Final = "g.name, g.settings, g.model_path"
_SIZE: Final = f"pg_relation_size(to_regclass(format('%I.%I', '{SCHEMA}', g.name || '_passages'))) AS size"
_LOOK: Final = f"SELECT {_ROW}, g.live, {_SIZE} FROM {SCHEMA}.generations g WHERE "  # noqa: S608 - constants

_positions = msgspec.json.Decoder(list[dict[str, Any]])


class Target:
    """A generation that was found in a role, with the statements that read it for as long as it has that role.

    Args:
        row: of the table of generations, and the size of its passages.
        role: the condition that found it.

    Attributes:
        generation: the generation.
        is_small: whether all its passages are compared; as it was seen last.
        was_read: whether its tables were there.
        fetch: the statement that brings stored documents; takes their ids.
        positions: the statement that brings the watermark.
        all_passages: the statement that brings the nearest documents of a small one; takes vector, depth and limit.
        index: the same, of one that is not small.

    Raises:
        GenerationUnusable: what stands there is none of ours.
    """

    def __init__(self, row: Any, role: str) -> None:  # noqa: ANN401 - asyncpg ships no types
        self.generation = generation_of(row)
        self.is_small = is_small(row["size"] or 0)
        self.was_read = False
        self._row = _identity(row)
        stored = f"ARRAY(SELECT stored FROM {self.generation.documents} WHERE id = ANY($1))"  # noqa: S608 - a validated name
        positions = f"(SELECT json_agg(w ORDER BY w.partition) FROM {self.generation.watermarks} w) AS positions"  # noqa: S608 - see above
        self.fetch = _within(role, f"{stored} AS stored")
        self.positions = _within(role, positions)
        self.all_passages = self._nearest(role, positions, small=True)
        self.index = self._nearest(role, positions, small=False)

    def has_role(self, row: Any) -> bool:  # noqa: ANN401 - see above
        """Whether it still had its role in the snapshot that a row of a statement comes from."""
        return _identity(row) == self._row

    def _nearest(self, role: str, positions: str, *, small: bool) -> str:
        size = f"pg_relation_size('{self.generation.passages}'::regclass) AS size"
        found = f"LATERAL ({nearest_sql(self.generation, small=small)}) AS found"
        return f"{_within(role, f'{size}, {positions}, found.*')} CROSS JOIN {found}"


class Targets(msgspec.Struct, frozen=True):
    """What was found when the generations were looked at last.

    Attributes:
        live: the one that is read.
        former: the row of the one that was live before it, while it is kept.
    """

    live: Target
    former: Any = None

    def former_target(self) -> Target | None:
        """The one that was live before.

        Raises:
            GenerationUnusable: what stands there is none of ours.
        """
        return None if self.former is None else Target(self.former, "g.previous")


async def look_up(connection: Any, name: str | None) -> Targets | None:  # noqa: ANN401 - see above
    """Look at the generations.

    Args:
        connection: to the database.
        name: of the one to read; None for the live one.

    Returns:
        None if none is live.

    Raises:
        GenerationUnusable: what stands there is none of ours, or there is none of that name.
        asyncpg.PostgresError: the database refused; without any generation, there may be no table.
    """
    if name is not None:
        role = f"g.name = '{name}'"
        row = await connection.fetchrow(_LOOK + role) if is_generation_name(name) else None
        if row is None:
            raise GenerationUnusable(f"index semantic has no generation {name!r}")
        return Targets(Target(row, role))
    rows = {row["live"]: row for row in await connection.fetch(f"{_LOOK} g.live OR g.previous")}
    return Targets(Target(rows[True], "g.live"), rows.get(False)) if True in rows else None


def positions_of(row: Any) -> Watermark:  # noqa: ANN401 - see above
    """The watermark in a row of a statement that brings the positions."""
    return watermark_of(_positions.decode(row["positions"] or "[]"))


def _within(role: str, columns: str) -> str:
    return f"SELECT {_ROW}, {columns} FROM (SELECT) AS one LEFT JOIN {SCHEMA}.generations g ON {role}"  # noqa: S608 - validated names


def _identity(row: Any) -> tuple[str, str, str]:  # noqa: ANN401 - see above
    return row["name"], row["settings"], row["model_path"]
