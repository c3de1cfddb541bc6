"""Errors of backups, named by what the operator must do.

BackupFault
├── BackupDamaged    take another snapshot, or another copy of this one: the message names the file
├── BackupUnusable   the folder holds no such snapshot, or somebody works on it
└── RestoreRefused   change what the message says, or use --force where it says so
"""

from streams.errors import EmbedSearchError


class BackupFault(EmbedSearchError):
    """A backup cannot be made or used."""


class BackupDamaged(BackupFault):
    """A file of a backup is not what was written."""


class BackupUnusable(BackupFault):
    """There is no such backup, or it cannot be worked on now."""


class RestoreRefused(BackupFault):
    """The target is not one that this snapshot may be put into."""
