"""The first steps of a platform, taken by several processes at the same moment."""

import asyncio
import json
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from bridge_node.platform.database import Database
from bridge_node.platform.models import organisations, platform_keys, users, workspaces
from tests.node import COMMAND, ROOT


async def _bootstrapped(config: Path) -> Any:
    command = [*COMMAND, "platform", "bootstrap", "--json", "--config", str(config)]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    said, _ = await child.communicate()
    assert child.returncode == 0
    return json.loads(said)


async def test_who_bootstraps_at_the_same_time_finds_what_the_first_one_made(database_url: str, tmp_path: Path) -> None:
    config = tmp_path / "platform.toml"
    config.write_text(f'state_directory = "{tmp_path}"\ndatabase = "{database_url}"\n')
    config.chmod(0o600)
    made = await asyncio.gather(*(_bootstrapped(config) for _ in range(3)))
    assert len({(one["org_id"], one["workspace_id"], one["user_id"]) for one in made}) == 1
    assert sorted(len(one["new"]) for one in made) == [0, 0, 3]
    assert sum(one["master_key_file"] is not None for one in made) == 1
    database = await asyncio.to_thread(Database.open, database_url)
    async with database.reading() as connection:
        for table in (platform_keys, organisations, workspaces, users):
            assert (await connection.execute(select(func.count()).select_from(table))).scalar_one() == 1
    await database.close()
