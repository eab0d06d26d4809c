"""`check` without --connect, `config`, `key`, `version`, help: what an operator types before a node runs."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner, Result

from bridge_node.cli.main import app
from tests.node import COMMAND, ROOT

SECRET = "correct-horse-battery-staple"
VALID = f"""
[local_roots]
disk = "data"
[backends.disk]
kind = "local"
root = "disk"
[repositories.media]
buckets = [{{ backend = "disk", bucket = "photos" }}]
keys = [{{ access_key = "AKIDCLIENT", secret_key = "{SECRET}" }}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "data" / "photos").mkdir(parents=True)
    return written(tmp_path / "node.toml", VALID)


def written(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def bridge_node(*arguments: object, **environment: str) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), env=environment)


# check


def test_a_valid_configuration_is_summed_up(config: Path) -> None:
    result = bridge_node("check", "--config", config)
    assert result.exit_code == 0
    assert result.stdout == "The configuration is valid: 1 listener, 1 backend, 1 repository, 1 bucket, 1 key.\n"


def test_all_problems_are_printed_and_the_exit_code_is_2(config: Path) -> None:
    config.write_text(VALID.replace("kind", "knid").replace("AKID", "A/"))
    result = bridge_node("check", "--config", config, BRIDGE_NODE__LOG__LEVEL="loud")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        f"{config}: backends.disk.kind: is missing",
        f"{config}: backends.disk.knid: unknown key; did you mean kind?",
        f"{config}: repositories.media.keys[0].access_key: must not contain spaces, '/', ',' or '='",
        'BRIDGE_NODE__LOG__LEVEL: log.level: must be "debug", "info", "warning" or "error", not "loud"',
        "bridge-node: 4 problems in the configuration",
    ]


def test_problems_can_be_had_as_json(config: Path) -> None:
    config.write_text("[log]\nlevel = 1")
    result = bridge_node("check", "--config", config, "--json")
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["origin"], problem["key"]) == (str(config), "log.level")


def test_what_was_probably_not_meant_is_noted(config: Path) -> None:
    config.write_text(VALID.replace("keys", "#keys") + "\n[backends.old]\nkind='s3'\naccess_key='A'\nsecret_key='B'\n")
    result = bridge_node("check", "--config", config)
    assert result.exit_code == 0
    assert "Note: backends.old: no repository uses it" in result.stdout
    assert "Note: repositories.media.keys: there are none: nobody can use this repository" in result.stdout


def test_certificates_are_listed_with_the_days_that_they_last(config: Path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    certificate.cert_chain_pems[0].write_to_path(config.parent / "cert.pem")
    written(config.parent / "key.pem", certificate.private_key_pem.bytes().decode())
    listener = '[[gateway.listeners]]\ntls = [{ certificate = "cert.pem", private_key = "key.pem" }]\n'
    config.write_text(listener + VALID)
    assert re.search(r"cert\.pem +in \d+ days", bridge_node("check", "--config", config).stdout)


def test_checking_makes_no_state(config: Path) -> None:
    config.write_text('state_directory = "state"\n' + VALID)
    assert bridge_node("check", "--config", config, "--connect").exit_code == 0
    assert {path.name for path in config.parent.rglob("*")} == {"node.toml", "data", "photos"}


# config


def test_values_are_shown_with_where_they_come_from(config: Path) -> None:
    lines = bridge_node("config", "show", "--config", config, BRIDGE_NODE__LOG__LEVEL="error").stdout.splitlines()
    assert re.split(r" +# ", lines[1]) == ['log.level = "error"', "BRIDGE_NODE__LOG__LEVEL"]
    assert re.split(r" +# ", lines[2]) == ['backends.disk.kind = "local"', str(config)]
    assert not any(line.endswith("# default") for line in lines)


def test_effective_values_name_the_defaults_too(config: Path) -> None:
    values = json.loads(bridge_node("config", "show", "--effective", "--json", "--config", config).stdout)
    assert {"key": "gateway.listeners[0].port", "value": "9000", "origin": "default"} in values
    assert {"key": "repositories.media.token_key", "value": "none", "origin": "default"} in values


def test_secrets_are_shown_as_asterisks_or_as_their_reference(config: Path) -> None:
    referred = '{ access_key = "B", secret_key = { env = "A_SECRET" } }'
    config.write_text(VALID.replace("keys = [", f"keys = [{referred}, "))
    result = bridge_node("config", "show", "--effective", "--config", config, A_SECRET="from-the-environment")
    assert 'repositories.media.keys[0].secret_key = { env = "A_SECRET" }' in result.stdout
    assert 'repositories.media.keys[1].secret_key = "**********"' in result.stdout
    assert SECRET not in result.output
    assert "from-the-environment" not in result.output


def test_the_reference_is_a_configuration_that_loads(tmp_path: Path) -> None:
    reference = written(tmp_path / "node.toml", bridge_node("config", "reference").stdout)
    assert bridge_node("check", "--config", reference).exit_code == 0
    assert bridge_node("config", "reference", "--format", "markdown").stdout.startswith("## At the top of the file")


# key


def test_a_generated_key_has_the_form_that_clients_expect() -> None:
    key = json.loads(bridge_node("key", "generate", "--json").stdout)
    assert re.fullmatch(r"[A-Z0-9]{20}", key["access_key"])
    assert re.fullmatch(r"[A-Za-z0-9]{40}", key["secret_key"])


def test_no_key_is_generated_twice() -> None:
    assert bridge_node("key", "generate").stdout != bridge_node("key", "generate").stdout


@pytest.mark.parametrize("repository", ["media", "my.media"])
def test_a_generated_key_can_be_pasted_into_a_configuration(config: Path, repository: str) -> None:
    snippet = bridge_node("key", "generate", "--toml", "--repository", repository, "--access", "WRITE").stdout
    (key,) = tomllib.loads(snippet)["repositories"][repository]["keys"]
    assert key["access"] == "WRITE"
    config.write_text(snippet)
    assert bridge_node("check", "--config", config).exit_code == 0


# the command itself


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_the_version_is_printed(arguments: list[str]) -> None:
    assert re.match(r"bridge-node \S+ \(Python 3\.\d+", bridge_node(*arguments).stdout)


COMMANDS = [
    "demo",
    "run",
    "check",
    "config show",
    "config reference",
    "key generate",
    "status",
    "healthcheck",
    "version",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    result = bridge_node(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"bridge-node {command}" in result.stdout


def test_completion_is_offered_for_shells() -> None:
    environment = {"_BRIDGE_NODE_COMPLETE": "complete_bash", "COMP_WORDS": "bridge-node he", "COMP_CWORD": "1"}
    assert "healthcheck" in process(env=environment).stdout
    assert "complete_bash" in process("--show-completion", "bash").stdout


def process(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **(env or {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["check", "--config", "/nowhere.toml"], 2, "/nowhere.toml: cannot be read: No such file or directory"),
        (["run", "--config", "/nowhere.toml"], 2, "/nowhere.toml: cannot be read: No such file or directory"),
        (["check", "--confg", "x"], 2, "No such option"),
        (["healthcheck", "--port", "1"], 3, "bridge-node: no node answers at 127.0.0.1:1"),
        (["status", "--port", "1"], 3, "bridge-node: no node answers at 127.0.0.1:1"),
    ],
)
def test_what_goes_wrong_is_an_exit_code_and_no_traceback(arguments: list[str], code: int, complaint: str) -> None:
    result = process(*arguments)
    assert result.returncode == code
    assert complaint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_health_check_imports_nothing_heavy() -> None:
    """It runs every few seconds in every container."""
    heavy = "['aiohttp', 'pydantic', 'rich', 'structlog', 'uvloop', 'cryptography']"
    script = f"import sys, bridge_node.cli.main; print([name for name in {heavy} if name in sys.modules])"
    command = [COMMAND[0], "-c", script]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout.strip() == "[]"
