"""All actions there are, by name."""

from __future__ import annotations

from collections.abc import Mapping

from actions.action import Action
from actions.postgresql.analyze import Analyze
from actions.postgresql.autovacuum_settings import AutovacuumSettings
from actions.postgresql.cancel_query import CancelQuery
from actions.postgresql.checkpoint import Checkpoint
from actions.postgresql.drop_inactive_slot import DropInactiveSlot
from actions.postgresql.drop_invalid_index import DropInvalidIndex
from actions.postgresql.freeze import Freeze
from actions.postgresql.reindex_concurrently import ReindexConcurrently
from actions.postgresql.reload import Reload
from actions.postgresql.repack import Repack
from actions.postgresql.set_parameter import SetParameter
from actions.postgresql.terminate_session import TerminateSession
from actions.postgresql.vacuum import Vacuum


def actions() -> Mapping[str, Action]:
    """Return every action, in the order in which they are listed."""
    every: tuple[Action, ...] = (
        Vacuum(),
        Analyze(),
        Freeze(),
        Checkpoint(),
        Reload(),
        AutovacuumSettings(),
        SetParameter(),
        CancelQuery(),
        TerminateSession(),
        ReindexConcurrently(),
        Repack(),
        DropInvalidIndex(),
        DropInactiveSlot(),
    )
    return {action.info.name: action for action in every}
