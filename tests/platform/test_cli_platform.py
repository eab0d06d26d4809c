"""`bridge-node platform` as an operator uses it: as commands, on a database of its own."""

import base64
import json
import os
import re
import stat
import subprocess
import time
import tomllib
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bridge_node.configuration import ConfigurationError, load_settings
from bridge_node.configuration.outline import settings as every_setting
from bridge_node.configuration.problems import dotted
from bridge_node.platform.program import PLATFORM, as_toml
from bridge_node.platform.settings import PlatformSettings
from tests.node import COMMAND, ROOT
from tests.servers import free_ports, process

EXAMPLE = ROOT / "config/platform.toml"
MANUAL = (ROOT / "docs/platform.md").read_text()
SECRETS = {"CLOUD_SECRET": "cloud-secret-of-test", "ARCHIVE_SECRET": "archive-secret-of-test"}


@dataclass
class Operator:
    """Runs commands of one platform."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        state = {"BRIDGE_NODE_PLATFORM__STATE_DIRECTORY": str(self.directory / "state")}
        return {"PATH": os.defpath, "PYTHONPATH": str(ROOT), **state, **SECRETS, **self.variables}

    def run(self, *arguments: object, code: int = 0) -> str:
        """What the command prints: on standard error when it fails."""
        command = [*COMMAND, "platform", *map(str, arguments)]
        if "--help" not in arguments:
            command += ["--config", "/dev/null"]
        done = subprocess.run(
            command, cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr if code else done.stdout

    def apply(self, text: str, *options: str, code: int = 0) -> str:
        file = self.directory / "apply.toml"
        file.write_text(text)
        return self.run("apply", file, *options, code=code)

    def database(self) -> bytes:
        return b"".join(file.read_bytes() for file in (self.directory / "state").glob("platform.sqlite*"))


def of_the_manual() -> str:
    """The file that the manual shows."""
    (text,) = re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL)
    return str(text)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


@pytest.fixture
def bootstrapped(operator: Operator) -> Operator:
    operator.run("bootstrap")
    return operator


def test_bootstrap_makes_what_is_missing_and_keeps_what_is_there(operator: Operator) -> None:
    first = json.loads(operator.run("bootstrap", "--json"))
    assert first["new"] == ["organisation", "workspace", "administrator"]
    key = Path(first["master_key_file"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    made = key.read_bytes()
    again = json.loads(operator.run("bootstrap", "--json"))
    assert again == {**first, "new": [], "master_key_file": None}
    assert key.read_bytes() == made
    assert "there already" in operator.run("bootstrap")


def test_bootstrap_adds_another_workspace_and_refuses_somebody_of_another_organisation(bootstrapped: Operator) -> None:
    assert json.loads(bootstrapped.run("bootstrap", "--workspace", "Two", "--json"))["new"] == ["workspace"]
    refusal = bootstrapped.run("bootstrap", "--organisation", "Other", code=4)
    assert refusal == "bridge-node: admin@localhost belongs to another organisation\n"
    other = json.loads(bootstrapped.run("bootstrap", "--organisation", "Other", "--email", "o@example.com", "--json"))
    assert other["new"] == ["organisation", "workspace", "administrator"]


def test_the_file_of_the_manual_is_applied_and_a_second_time_changes_nothing(bootstrapped: Operator) -> None:
    text = of_the_manual()
    dry = bootstrapped.apply(text, "--dry-run")
    assert "create  repository    photos" in dry
    assert "8 changes would be made." in dry
    assert "New access keys" not in dry
    done = json.loads(bootstrapped.apply(text, "--json"))
    assert [key["name"] for key in done["keys"]] == ["uploader", "website"]
    assert bootstrapped.apply(text) == "Nothing to change.\n"
    stored = bootstrapped.database()
    for secret in (*SECRETS.values(), *(key["secret"] for key in done["keys"])):
        assert secret.encode() not in stored


def test_new_keys_are_shown_once_in_a_table(bootstrapped: Operator) -> None:
    text = '[repositories.r]\nkeys = { ci = { access = "WRITE" } }'
    assert re.search(r"^r +ci +WRITE +[A-Z0-9]{20} +[A-Za-z0-9]{40}$", bootstrapped.apply(text), re.MULTILINE)
    assert "New access keys" not in bootstrapped.apply(text)


def test_what_is_not_in_the_file_is_listed_and_pruned_when_asked(bootstrapped: Operator) -> None:
    bootstrapped.apply("[repositories.r]\n")
    listed = bootstrapped.apply("")
    assert "leave   repository  r     not in the file; --prune deletes it" in listed
    assert "Nothing to change." in listed
    assert "1 change would be made." in bootstrapped.apply("", "--dry-run", "--prune")
    assert "1 change made." in bootstrapped.apply("", "--prune")
    assert bootstrapped.apply("", "--prune") == "Nothing to change.\n"


def test_every_problem_of_a_file_is_named_with_code_2(bootstrapped: Operator) -> None:
    said = bootstrapped.apply('[buckets.b]\nbukket = "x"\n[repositories.r]\nmode = "BOTH"\n', code=2)
    assert "buckets.b.bukket: unknown key; did you mean bucket?" in said
    assert "buckets.b.bucket: is missing" in said
    assert 'repositories.r.mode: must be "NORMAL" or "MIRROR"' in said


def test_a_file_that_does_not_fit_is_refused_with_code_4(bootstrapped: Operator) -> None:
    said = bootstrapped.apply('workspace = "Elsewhere"\n', code=4)
    assert said.endswith('apply.toml: there is no workspace "Elsewhere"; nothing was changed\n')


def test_commands_say_in_one_line_what_is_missing(operator: Operator) -> None:
    assert "`bridge-node platform bootstrap` makes a key" in operator.run("token", code=2)
    operator.run("bootstrap")
    assert operator.run("token", "nobody@example.com", code=1) == "bridge-node: there is no user nobody@example.com\n"
    operator.variables["BRIDGE_NODE_PLATFORM__OWN_TOKENS"] = "false"
    assert "nobody could log in" in operator.run("token", code=2)


def test_an_older_or_missing_schema_is_named_with_the_command_that_mends_it(bootstrapped: Operator) -> None:
    bootstrapped.variables["BRIDGE_NODE_PLATFORM__DATABASE"] = f"sqlite:///{bootstrapped.directory}/empty.sqlite"
    for command in ("token", "serve"):
        assert "`bridge-node platform migrate` brings it up to date" in bootstrapped.run(command, code=1)
    assert bootstrapped.run("migrate") == "The schema is up to date.\n"
    assert bootstrapped.run("migrate") == "The schema is up to date.\n"


def test_a_database_that_does_not_answer_is_code_3_and_its_password_stays_secret(bootstrapped: Operator) -> None:
    (port,) = free_ports(1)
    url = f"postgresql://somebody:pass-of-test@127.0.0.1:{port}/nowhere"
    bootstrapped.variables["BRIDGE_NODE_PLATFORM__DATABASE"] = url
    said = bootstrapped.run("migrate", code=3)
    assert said.startswith("bridge-node: the database cannot be reached: ")
    assert "pass-of-test" not in said


def test_another_master_key_is_noticed(bootstrapped: Operator) -> None:
    (bootstrapped.directory / "state/master.key").unlink()
    assert "is this the master key that it was stored under?" in bootstrapped.run("bootstrap", code=1)


def test_a_new_master_key_takes_over_and_the_old_one_can_be_forgotten(bootstrapped: Operator) -> None:
    bootstrapped.apply(of_the_manual())
    old = (bootstrapped.directory / "state/master.key").read_text().strip()
    new = base64.b64encode(b"n" * 32).decode()
    bootstrapped.variables["BRIDGE_NODE_PLATFORM__MASTER_KEY"] = new
    bootstrapped.variables["BRIDGE_NODE_PLATFORM__PREVIOUS_MASTER_KEYS"] = json.dumps([old])
    assert "secrets still need a previous master key" in bootstrapped.run("rotate-key", "--check", code=1)
    told = bootstrapped.run("rotate-key")
    assert re.search(r"(\d+) of \1 secrets wrapped anew", told)
    assert "previous_master_keys can be emptied" in told
    del bootstrapped.variables["BRIDGE_NODE_PLATFORM__PREVIOUS_MASTER_KEYS"]
    assert "wrapped anew" not in bootstrapped.run("rotate-key")
    assert "Nothing to change" in bootstrapped.apply(of_the_manual())  # which opens and compares every secret


@pytest.mark.parametrize(
    "command", ["serve", "bootstrap", "token", "migrate", "apply", "backup", "restore", "reference"]
)
def test_every_command_explains_itself(operator: Operator, command: str) -> None:
    assert "Usage: bridge-node platform" in operator.run(command, "--help")


def test_a_platform_that_is_served_takes_tokens_and_hears_of_what_is_applied(
    bootstrapped: Operator, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    bootstrapped.variables["BRIDGE_NODE_PLATFORM__PORT"] = str(port)
    log = tmp_path / "platform.log"
    command = [*COMMAND, "platform", "serve", "--config", "/dev/null"]
    with process(command, log, env=bootstrapped.environment, grace=15):
        wait_for(f"http://127.0.0.1:{port}/health", log)
        bootstrapped.apply('[repositories.r]\nkeys = { ci = { access = "READ" } }')
        org = json.loads(bootstrapped.run("bootstrap", "--json"))["org_id"]
        listed = _get(f"http://127.0.0.1:{port}/organization/{org}/nodes", bootstrapped.run("token").strip())
        assert listed["success"] is True
    assert "cloud-secret" not in log.read_text()


def wait_for(url: str, log: Path) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=5)
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail(log.read_text())


def _get(url: str, token: str) -> dict[str, Any]:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        body: dict[str, Any] = json.load(answer)
        return body


def test_a_backup_is_made_and_restored_without_the_master_key(bootstrapped: Operator) -> None:
    bootstrapped.apply('[repositories.r]\nkeys = { ci = { access = "READ" } }')
    (bootstrapped.directory / "state/master.key").rename(bootstrapped.directory / "kept")
    file = bootstrapped.directory / "platform.backup"
    assert re.match(r".*platform\.backup: \d+ rows of \d+ tables, schema \d+\n", bootstrapped.run("backup", file))
    assert "exists; --force replaces it" in bootstrapped.run("backup", file, code=4)
    bootstrapped.run("backup", file, "--force")
    assert "is not empty" in bootstrapped.run("restore", file, code=4)
    bootstrapped.variables["BRIDGE_NODE_PLATFORM__STATE_DIRECTORY"] = str(bootstrapped.directory / "new")
    assert "tables, as they were at 2" in bootstrapped.run("restore", file)
    (bootstrapped.directory / "kept").rename(bootstrapped.directory / "new/master.key")
    assert bootstrapped.apply('[repositories.r]\nkeys = { ci = { access = "READ" } }') == "Nothing to change.\n"
    file.write_bytes(file.read_bytes()[:-10])
    assert bootstrapped.run("restore", file, "--replace", code=1).endswith("is cut off; nothing was changed\n")


# settings


def test_the_example_is_what_the_command_prints_and_changes_nothing(operator: Operator) -> None:
    assert EXAMPLE.read_text() == as_toml()
    assert load_settings(PLATFORM, EXAMPLE, {}) == PlatformSettings()


def test_the_example_names_every_setting() -> None:
    example: Any = tomllib.loads(re.sub(r"^#(?=[\[a-z])", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    for setting in every_setting(PLATFORM.root):
        value = example
        for step in setting.path:
            value = value[step]
        assert re.fullmatch(r".+\.", setting.field.description or ""), dotted(setting.path)


def test_variables_have_a_prefix_of_their_own(tmp_path: Path) -> None:
    settings = load_settings(
        PLATFORM,
        Path("/dev/null"),
        {"BRIDGE_NODE_PLATFORM__LIMITS__CONNECTIONS": "7", "BRIDGE_NODE__PLATFORM__URL": "https://a-nodes.example.com"},
    )
    assert settings.limits.connections == 7


WRONG = {
    "BRIDGE_NODE_PLATFORM__PROT": ("1", "did you mean BRIDGE_NODE_PLATFORM__PORT?"),
    "BRIDGE_NODE_PLATFORM__DATABASE": ("mysql://u:p-of-test@h/d", "must be postgresql://user:password@host/name"),
    "BRIDGE_NODE_PLATFORM__EXTERNAL_URLS": ('["platform.example.com"]', "must be https://host[:port]"),
    "BRIDGE_NODE_PLATFORM__NETWORK_KEY": ("no key", "not a readable"),
    "BRIDGE_NODE_PLATFORM__ISSUERS": (
        '[{"issuer": "i", "audience": "a", "algorithm": "HS256", "key": "p-of-test"}]',
        "is not usable for HS256",
    ),
}


@pytest.mark.parametrize("variable", WRONG)
def test_settings_that_contradict_themselves_are_named_without_their_secrets(variable: str) -> None:
    value, complaint = WRONG[variable]
    with pytest.raises(ConfigurationError) as refusal:
        load_settings(PLATFORM, Path("/dev/null"), {variable: value})
    assert complaint in str(refusal.value)
    assert "p-of-test" not in str(refusal.value)


def test_the_contracts_own_variable_limits_organisation_keys_and_gives_way_to_ours() -> None:
    def limit(**environment: str) -> int:
        return load_settings(PLATFORM, Path("/dev/null"), environment).limits.organisation_keys

    assert (limit(), limit(ORGKEYS_MAX="7")) == (5, 7)
    assert limit(ORGKEYS_MAX="7", BRIDGE_NODE_PLATFORM__LIMITS__ORGANISATION_KEYS="3") == 3
    with pytest.raises(ConfigurationError, match="ORGKEYS_MAX"):
        limit(ORGKEYS_MAX="13")
