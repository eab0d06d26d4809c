"""Everything that a platform's database holds, in one file, and back: from SQLite or PostgreSQL to either of them.

The file is one consistent moment of the database, taken while platforms serve. Secrets are in it as they are stored:
sealed. It needs the master key beside it to be of use, and making or restoring it needs none.
"""

from bridge_node.platform.backup.archive import BadBackup, Summary
from bridge_node.platform.backup.restoring import NotEmpty, restore
from bridge_node.platform.backup.taking import backup

__all__ = ["BadBackup", "NotEmpty", "Summary", "backup", "restore"]
