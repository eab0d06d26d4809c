"""`bridge-node ctl` as an administrator and a script use it, against a platform that is served on loopback."""

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bridge_node.cli.main import app
from tests.node import COMMAND
from tests.platform.test_cli_platform import Operator, wait_for
from tests.servers import free_ports, process

SECRET = "backend-secret-of-test"
CLOSED = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Served:
    url: str
    token: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One platform for all tests of this file: each uses names of its own, or a workspace."""
    directory = tmp_path_factory.mktemp("platform")
    (port,) = free_ports(1)
    settings = {
        "PORT": str(port),
        "LOCAL_ROOTS": '["disk"]',
        "ALLOW_PRIVATE_ENDPOINTS": "true",
        "CHECK_CREDENTIALS": "false",
    }
    operator = Operator(directory, {f"BRIDGE_NODE_PLATFORM__{name}": value for name, value in settings.items()})
    operator.run("bootstrap")
    log = directory / "platform.log"
    command = [*COMMAND, "platform", "serve", "--config", "/dev/null"]
    with process(command, log, env=operator.environment, grace=15):
        wait_for(f"http://127.0.0.1:{port}/health", log)
        yield Served(f"http://127.0.0.1:{port}", operator.run("token").strip())


@dataclass
class Administrator:
    """Runs commands, in this process."""

    directory: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def profiles(self) -> Path:
        return self.directory / "config/ctl.json"

    def run(self, *arguments: object, code: int = 0, typed: str | None = None, told: str = "") -> str:
        """What it prints: on standard error when it fails, and then on standard output only what `told` finds."""
        kept = {name: None for name in os.environ if name.startswith("BRIDGE_NODE_")}
        variables = {**kept, "BRIDGE_NODE_CTL_PROFILES": str(self.profiles), **self.variables}
        done = CliRunner().invoke(app, ["ctl", *map(str, arguments)], input=typed, env=variables)
        assert done.exit_code == code, (done.stdout, done.stderr, done.exception)
        if code:
            assert bool(done.stdout) is bool(told)
            assert re.search(told, done.stdout)
        return done.stderr if code else done.stdout

    def told(self, *arguments: object, typed: str | None = None) -> Any:
        """The one JSON document that a script gets."""
        return json.loads(self.run(*arguments, "--json", typed=typed))

    def file(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.write_text(content)
        return path


@pytest.fixture
def nobody(tmp_path: Path) -> Administrator:
    return Administrator(tmp_path)


@pytest.fixture
def admin(nobody: Administrator, served: Served) -> Administrator:
    """Logged in by variables, as a script is."""
    nobody.variables = {"BRIDGE_NODE_CTL_URL": served.url, "BRIDGE_NODE_CTL_TOKEN": served.token}
    return nobody


# who asks


def test_a_login_is_kept_where_nobody_else_may_read_it(nobody: Administrator, served: Served) -> None:
    said = nobody.run("login", served.url, "--token-file", "-", typed=served.token)
    assert said == f"Logged in at {served.url} as profile default. Workspaces: Main\n"
    assert stat.S_IMODE(nobody.profiles.stat().st_mode) == 0o600
    assert stat.S_IMODE(nobody.profiles.parent.stat().st_mode) == 0o700
    assert nobody.told("workspace", "list")[0]["name"] == "Main"
    token = nobody.file("token", served.token)
    assert nobody.told("--profile", "two", "login", served.url, "--token-file", token)["profile"] == "two"
    assert [(one["name"], one["current"]) for one in nobody.told("profile", "list")] == [
        ("default", False),
        ("two", True),
    ]
    nobody.run("profile", "use", "default")
    assert "there is no profile third, but default, two" in nobody.run("--profile", "third", "quota", code=2)
    nobody.run("logout")
    assert "nobody is logged in" in nobody.run("quota", code=2)
    assert served.token not in nobody.run("profile", "list")


def test_a_profile_that_others_may_read_is_refused(nobody: Administrator, served: Served) -> None:
    nobody.run("login", served.url, "--token-file", "-", typed=served.token)
    nobody.profiles.chmod(0o640)
    assert "others may read the tokens in it" in nobody.run("quota", code=2)
    nobody.profiles.chmod(0o600)
    nobody.profiles.write_text("{}")
    assert "is no file of profiles" in nobody.run("quota", code=2)


def test_a_token_that_the_platform_does_not_know_is_not_kept(nobody: Administrator, served: Served) -> None:
    said = nobody.run("login", served.url, "--token-file", "-", typed="no-token", code=4)
    assert "The bearer token is not valid" in said
    assert not nobody.profiles.exists()


def test_a_kept_token_goes_to_its_own_platform_only(nobody: Administrator, served: Served) -> None:
    nobody.run("login", served.url, "--token-file", "-", typed=served.token)
    assert f"the token is for {served.url}" in nobody.run("--url", "https://other.example.com", "quota", code=2)


def test_a_token_is_not_sent_over_a_network_in_clear(nobody: Administrator) -> None:
    nobody.variables = {"BRIDGE_NODE_CTL_URL": "http://platform.example.com", "BRIDGE_NODE_CTL_TOKEN": "t"}
    assert "use https, or --plain-http" in nobody.run("quota", code=2)


def test_a_platform_that_does_not_answer_is_code_3(nobody: Administrator) -> None:
    (port,) = free_ports(1)
    nobody.variables = {"BRIDGE_NODE_CTL_URL": f"http://127.0.0.1:{port}", "BRIDGE_NODE_CTL_TOKEN": "t"}
    assert nobody.run("quota", code=3) == "bridge-node: the platform cannot be reached: Connection refused\n"


# resources


def test_workspaces_and_their_members(admin: Administrator) -> None:
    made = admin.told("workspace", "create", "Lab")
    assert re.search(rf"^Lab +{made['id']} +0$", admin.run("workspace", "list"), re.MULTILINE)
    assert admin.told("workspace", "update", "Lab", "--name", "Laboratory")["name"] == "Laboratory"
    assert "A workspace of this name exists already" in admin.run("workspace", "create", "Main", code=4)
    (owner,) = {one["userId"] for one in admin.told("event", "list") if one["userId"]}
    admin.run("workspace", "add-member", "Laboratory", owner, "--access", "write")
    admin.run("workspace", "update-member", "Laboratory", owner, "--access", "ADMIN")
    assert re.search(r"admin@localhost .* ADMIN$", admin.run("workspace", "show", "Laboratory"), re.MULTILINE)
    admin.run("workspace", "remove-member", "Laboratory", owner)
    assert admin.run("workspace", "delete", "Laboratory", "--yes") == "Workspace Laboratory is deleted.\n"
    assert "there is no workspace Laboratory" in admin.run("workspace", "show", "Laboratory", code=4)


def test_buckets_with_a_secret_from_a_file_that_no_output_shows(admin: Administrator) -> None:
    secret = admin.file("secret", SECRET + "\n")
    where = ("--bucket", "media-eu", "--endpoint", CLOSED, "--key", "AK1", "--secret-file", secret)
    made = admin.told("bucket", "create", "media", *where)
    assert re.search(rf"^media +{made['bucketId']} +S3 +media-eu +us-east-1", admin.run("bucket", "list"), re.MULTILINE)
    assert admin.told("bucket", "show", "media")["key"] == "AK1"
    admin.run("bucket", "update", "media", "--region", "eu-west-1", "--key", "AK2")
    shown = admin.run("bucket", "show", made["bucketId"])
    assert re.search(r"^region +eu-west-1$", shown, re.MULTILINE)
    assert re.search(r"^key +AK2$", shown, re.MULTILINE)
    assert SECRET not in shown
    assert "bridge-node: " in admin.run("bucket", "validate", "media", code=4)
    assert "a bucket of this name" in admin.run("bucket", "create", "media", *where, code=4).lower()
    assert "Nobody can be asked here: --yes" in admin.run("bucket", "delete", "media", code=2)
    assert admin.told("bucket", "delete", "media", "--yes") == {"success": True}


def test_a_secret_that_nobody_tells_is_a_usage_error(admin: Administrator) -> None:
    said = admin.run("bucket", "create", "b", "--bucket", "b", "--key", "AK", code=2)
    assert "The bucket's secret is needed: by a file, by BRIDGE_NODE_CTL_SECRET, or at a terminal" in said
    assert "--secret " not in admin.run("bucket", "create", "--help")


def test_provider_keys(admin: Administrator) -> None:
    admin.variables["BRIDGE_NODE_CTL_SECRET"] = SECRET
    made = admin.told("apikey", "create", "cloud", "--provider", "aws", "--key", "AK", "--region", "eu-west-1")
    row = rf"^cloud +{made['apiKeyId']} +AWS +AK +eu-west-1 +0$"
    assert re.search(row, admin.run("apikey", "list", "-w", "Main"), re.MULTILINE)
    admin.run("bucket", "create", "through", "--bucket", "through-eu", "--apikey", "cloud")
    admin.run("apikey", "update", "cloud", "--description", "Cloud", "--region", "us-east-1")
    assert admin.told("apikey", "show", "Cloud")["bucket_count"] == 1
    assert "still used by 1 bucket" in admin.run("apikey", "delete", "Cloud", "--yes", code=4)
    admin.run("bucket", "delete", "through", "--yes")
    assert admin.run("apikey", "delete", "Cloud", "--yes") == "API key Cloud is deleted.\n"


@pytest.fixture
def disk(admin: Administrator) -> Iterator[Administrator]:
    """With bucket `disk`."""
    admin.run("bucket", "create", "disk", "--bucket", "disk-bucket", "--type", "local", "--endpoint", "disk")
    yield admin
    admin.run("bucket", "delete", "disk", "--yes")


def test_repositories_and_their_access_keys(disk: Administrator) -> None:
    assert disk.run("repo", "validate", "-b", "disk") == "It may be made so.\n"
    assert "master" in disk.run("repo", "validate", "--mode", "mirror", "-b", "disk", code=4)
    made = disk.told("repo", "create", "photos", "-b", "disk=old")
    row = rf"^photos +{made['repoId']} +S3 +NORMAL +disk +0$"
    assert re.search(row, disk.run("repo", "list"), re.MULTILINE)
    disk.run("repo", "update", "photos", "--name", "Photos", "--disable")
    assert re.search(r"^disabled +yes$", disk.run("repo", "show", "Photos"), re.MULTILINE)
    assert "Bucket is attached to 1 repository" in disk.run("bucket", "delete", "disk", "--yes", code=4)

    said = disk.run("key", "create", "Photos", "ci", "--access", "write", "-b", "disk")
    key, secret = re.findall(r"^(?:key|secret) +(\S+)$", said, re.MULTILINE)
    listed = disk.run("key", "list", "Photos")
    assert re.search(rf"^ci +\S+ +WRITE +{key} +\S+", listed, re.MULTILINE)
    assert secret not in listed + json.dumps(disk.told("key", "show", "Photos", "ci"))
    disk.run("key", "update", "Photos", "ci", "--name", "robot", "--access", "READ", "--all-buckets")
    shown = disk.told("key", "show", "Photos", "robot")
    assert (shown["accessType"], "buckets" in shown) == ("READ", False)
    disk.run("key", "delete", "Photos", "robot", "--yes")
    assert "there is no access key robot" in disk.run("key", "show", "Photos", "robot", code=4)
    assert disk.run("key", "list", "Photos") == "Nothing.\n"
    assert disk.told("repo", "delete", "Photos", "--yes") == {"success": True}


def test_organisation_keys_are_written_once_for_the_owner_alone(admin: Administrator) -> None:
    file = admin.directory / "organisation.pem"
    assert admin.told("orgkey", "create", "--file", file) == {"file": str(file)}
    assert file.read_text().startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "File exists" in admin.run("orgkey", "create", "--file", file, code=2)
    (key,) = admin.told("orgkey", "list")
    assert admin.run("orgkey", "delete", key["id"], "--yes") == "Organisation key deleted.\n"
    assert "-----BEGIN" in admin.run("orgkey", "create")
    assert "say which key, or --all" in admin.run("orgkey", "delete", code=2)
    assert admin.run("orgkey", "delete", "--all", "--yes") == "1 organisation key deleted.\n"


def test_nodes_statistics_events_and_quotas_are_shown(disk: Administrator) -> None:
    assert disk.run("node", "list") == "Nothing.\n"
    for command in ("approve", "show"):
        assert "there is no node n" in disk.run("node", command, "n", code=4)
    assert re.search(r"^disk +0 +0 B +0 B +0 B$", disk.run("stats", "buckets", "--bucket", "disk"), re.MULTILINE)
    assert disk.told("stats", "repos") == []
    assert disk.told("stats", "nodes") == []
    for command in ("minutes", "days"):
        assert disk.told("stats", command, "--from", "2026-02-01", "--to", "2026-02-02") == []
    assert disk.run("stats", "days", "--from", "yesterday", code=4)
    assert re.search(r"Z +bucket +created +\S+ +admin@localhost", disk.run("event", "list", "--most", "1"))
    assert {one["capability"]["code"] for one in disk.told("quota")} >= {"BUCKETS", "REPOS", "ORGKEYS"}
    assert re.search(r"^Buckets of the organisation +1 +1000$", disk.run("quota"), re.MULTILINE)


# the declarative file

DECLARED = """
workspace = "WORKSPACE"
[provider_keys.cloud-WORKSPACE]
provider = "AWS"
key = "AK"
secret = { env = "CLOUD_SECRET" }
[buckets.media-WORKSPACE]
bucket = "media-eu"
provider_key = "cloud-WORKSPACE"
[buckets.disk-WORKSPACE]
bucket = "disk-bucket"
storage_type = "LOCAL"
root = "disk"
[repositories.photos-WORKSPACE]
options = { unattached_sources = false }
[[repositories.photos-WORKSPACE.buckets]]
bucket = "media-WORKSPACE"
[[repositories.photos-WORKSPACE.buckets]]
bucket = "disk-WORKSPACE"
folder = "old"
[repositories.photos-WORKSPACE.keys.ci]
access = "WRITE"
[repositories.photos-WORKSPACE.keys.web]
buckets = ["disk-WORKSPACE"]
"""


@pytest.fixture
def workspace(admin: Administrator) -> Iterator[str]:
    """An empty one, which `apply` fills and empties."""
    name = f"w-{admin.directory.name[-12:]}"
    admin.run("workspace", "create", name)
    admin.variables["CLOUD_SECRET"] = SECRET
    yield name
    admin.run("apply", admin.file("empty.toml", f'workspace = "{name}"'), "--prune")
    admin.run("workspace", "delete", name, "--yes")


def test_a_file_is_applied_and_a_second_time_changes_nothing(admin: Administrator, workspace: str) -> None:
    file = admin.file("apply.toml", DECLARED.replace("WORKSPACE", workspace))
    assert "8 changes would be made." in admin.run("apply", file, "--dry-run")
    assert admin.told("repo", "list", "-w", workspace) == []
    done = admin.told("apply", file)
    assert [key["name"] for key in done["keys"]] == ["ci", "web"]
    assert all(key["secret"] for key in done["keys"])
    assert SECRET not in json.dumps(done)
    assert admin.run("apply", file) == "Nothing to change.\n"
    assert "its secret" in admin.run("apply", file, "--secrets", "--dry-run")


def test_what_differs_is_changed_and_what_is_not_in_the_file_is_pruned(admin: Administrator, workspace: str) -> None:
    text = DECLARED.replace("WORKSPACE", workspace)
    admin.run("apply", admin.file("apply.toml", text))
    changed = text.replace('access = "WRITE"', 'access = "READ"').replace('bucket = "media-eu"', 'bucket = "media-us"')
    said = admin.run("apply", admin.file("apply.toml", changed))
    assert re.search(r"update +bucket +\S+ +bucket: media-eu → media-us", said)
    assert re.search(r"update +key +ci of \S+ +accessType: WRITE → READ", said)
    assert "2 changes made." in said
    nothing = admin.file("nothing.toml", f'workspace = "{workspace}"')
    said = admin.run("apply", nothing)
    assert said.count("not in the file; --prune deletes it") == 4
    assert "4 changes made." in admin.run("apply", nothing, "--prune")


def test_a_file_that_does_not_fit_says_so_after_what_was_done(admin: Administrator, workspace: str) -> None:
    text = f'workspace = "{workspace}"\n[repositories."r-{workspace}"]\nstorage_type = "S3"\n'
    admin.run("apply", admin.file("apply.toml", text))
    (found,) = admin.told("repo", "list", "-w", workspace)
    text = f'{text.replace("S3", "GCS")}[provider_keys."k-{workspace}"]\nprovider = "LOCAL"\nroot = "disk"\n'
    said = admin.run("apply", admin.file("apply.toml", text), code=4, told=rf"create +provider key +k-{workspace}")
    assert "make another one" in said
    assert admin.told("repo", "list", "-w", workspace) == [found]
    assert "there is no workspace Elsewhere" in admin.run("apply", admin.file("a", 'workspace = "Elsewhere"'), code=4)
    assert "for the organisation" in admin.run("apply", admin.file("a", 'organisation = "Other"'), code=4)
    assert "did you mean bucket?" in admin.run("apply", admin.file("a", '[buckets.b]\nbukket = "x"'), code=2)


@pytest.mark.parametrize(
    "group", ["workspace", "bucket", "repo", "key", "apikey", "orgkey", "node", "stats", "event", "profile"]
)
def test_every_group_of_commands_explains_itself(nobody: Administrator, group: str) -> None:
    assert f"Usage: bridge-node ctl {group}" in nobody.run(group, "--help").replace("root", "bridge-node")
