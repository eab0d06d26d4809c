"""Where settings come from, which source wins, and what an operator reads when something is wrong."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import trustme

from bridge_node.configuration import Configuration, ConfigurationError, load, reload
from bridge_node.settings import Gateway, Listener, Log, Settings, restart_needed

SECRET = "correct-horse-battery-staple"
TOKEN_KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

COMPLETE = f"""
[local_roots]
disk = "data"

[backends.disk]
kind = "local"
root = "disk"

[backends.cloud]
kind = "s3"
endpoint = "https://s3.example.com"
access_key = "AKIDCLOUD"
secret_key = "{SECRET}"

[repositories.media]
buckets = [{{ backend = "disk", bucket = "photos" }}, {{ backend = "cloud", bucket = "films", folder = "movies" }}]
keys = [{{ access_key = "AKIDCLIENT", secret_key = "{SECRET}", access = "WRITE" }}]
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file, readable by its owner only, beside a directory `data`."""
    (tmp_path / "data").mkdir()

    def _write(text: str, name: str = "node.toml", mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    return _write


def read(path: Path, **environment: str) -> Configuration:
    return load(path, environment)


def complaints(path: Path, environment: Mapping[str, str] | None = None) -> list[str]:
    """The problems without the file's directory."""
    with pytest.raises(ConfigurationError) as refused:
        load(path, environment or {})
    return [str(problem).replace(f"{path.parent}/", "") for problem in refused.value.problems]


# sources


def test_an_empty_file_gives_the_defaults(write: Write) -> None:
    assert read(write("")).settings == Settings()


def test_later_sources_win_and_tables_are_merged_key_by_key(write: Write) -> None:
    path = write('[log]\nlevel = "error"\nformat = "json"\n[limits]\nconnections = 7')
    write('[log]\nlevel = "warning"', "conf.d/20-more.toml")
    write('[log]\nlevel = "debug"\n[limits]\nrequests_in_flight = 5', "conf.d/10-some.toml")
    settings = read(path, BRIDGE_NODE__LIMITS__CONNECTIONS="9").settings
    assert (settings.log.level, settings.log.format) == ("warning", "json")
    assert (settings.limits.connections, settings.limits.requests_in_flight) == (9, 5)


def test_lists_are_replaced_whole(write: Write) -> None:
    path = write("[gateway]\nlisteners = [{ port = 1000 }, { port = 2000 }]")
    write("[gateway]\nlisteners = [{ port = 3000 }]", "conf.d/a.toml")
    assert read(path).settings.gateway.listeners == (Listener(port=3000),)


def test_every_value_knows_where_it_comes_from(write: Write) -> None:
    path = write('[log]\nlevel = "error"\n[gateway]\nlisteners = [{ port = 1000 }]')
    more = write('[log]\nformat = "json"', "conf.d/a.toml")
    configuration = read(path, BRIDGE_NODE__LOG__LEVEL="info")
    assert configuration.origin(("log", "level")) == "BRIDGE_NODE__LOG__LEVEL"
    assert configuration.origin(("log", "format")) == str(more)
    assert configuration.origin(("gateway", "listeners", 0, "port")) == str(path)
    assert configuration.origin(("gateway", "workers")) is None


def test_variables_with_lists_and_tables_are_json(write: Write) -> None:
    settings = read(
        write(""),
        BRIDGE_NODE__GATEWAY__LISTENERS='[{"port": 4000}]',
        BRIDGE_NODE__LOCAL_ROOTS='{"disk": "data"}',
        BRIDGE_NODE__BACKENDS__DISK__KIND="local",
        BRIDGE_NODE__BACKENDS__DISK__ROOT="disk",
    ).settings
    assert settings.gateway.listeners[0].port == 4000
    assert settings.backends["disk"].root == "disk"


def test_a_more_exact_variable_adds_to_a_wider_one(write: Write) -> None:
    log = read(write(""), BRIDGE_NODE__LOG='{"level": "error"}', BRIDGE_NODE__LOG__FORMAT="json").settings.log
    assert (log.level, log.format) == ("error", "json")


def test_variables_find_names_from_the_files_whatever_their_case(write: Write) -> None:
    path = write(COMPLETE.replace("repositories.media", 'repositories."Media-1"'))
    settings = read(path, BRIDGE_NODE__REPOSITORIES__MEDIA_1__UNATTACHED_SOURCES="true").settings
    assert list(settings.repositories) == ["Media-1"]
    assert settings.repositories["Media-1"].unattached_sources


def test_an_empty_variable_unsets_an_optional_setting(write: Write) -> None:
    path = write('secrets_directory = "secrets"')
    assert read(path, BRIDGE_NODE__SECRETS_DIRECTORY="").settings.secrets_directory is None


def test_variables_that_kubernetes_injects_are_none_of_ours(write: Write) -> None:
    environment = {"BRIDGE_NODE_PORT": "tcp://10.0.0.1:9000", "BRIDGE_NODE_SERVICE_HOST": "10.0.0.1"}
    assert read(write(""), **environment).settings == Settings()


def test_relative_paths_start_at_the_configuration_file(write: Write, tmp_path: Path) -> None:
    assert read(write('state_directory = "state"')).settings.state_directory == tmp_path / "state"


def test_settings_built_in_code_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG", '{"level": "error"}')
    monkeypatch.setenv("BRIDGE_NODE__LOG__LEVEL", "error")
    assert Settings().log.level == "info"


# secrets


def test_secrets_are_found_by_file_variable_and_name(write: Write, tmp_path: Path) -> None:
    write(SECRET + "\n", "by-file")
    write("in-the-credentials-directory", "credentials/both")
    write("in-the-secrets-directory", "secrets/both")
    write("only-in-the-secrets-directory", "secrets/one")
    references = ['{ file = "by-file" }', '{ env = "BY_ENV" }', '{ name = "both" }', '{ name = "one" }']
    keys = ",".join(
        f'{{ access_key = "K{index}", secret_key = {reference} }}' for index, reference in enumerate(references)
    )
    path = write(f'secrets_directory = "secrets"\n[repositories.r]\nkeys = [{keys}]')
    settings = read(path, BY_ENV="taken-from-a-variable", CREDENTIALS_DIRECTORY=str(tmp_path / "credentials")).settings
    assert [key.secret_key.get_secret_value() for key in settings.repositories["r"].keys] == [
        SECRET,
        "taken-from-a-variable",
        "in-the-credentials-directory",
        "only-in-the-secrets-directory",
    ]


def test_a_variable_may_hold_a_reference(write: Write) -> None:
    write(SECRET, "secret")
    path = write(COMPLETE)
    settings = read(path, BRIDGE_NODE__BACKENDS__CLOUD__SECRET_KEY='{"file": "secret"}').settings
    assert settings.backends["cloud"].secret_key.get_secret_value() == SECRET


@pytest.mark.parametrize(
    ("reference", "complaint"),
    [
        ('{ file = "nowhere" }', "nowhere cannot be read: No such file or directory"),
        ('{ file = "data" }', "data cannot be read: Is a directory"),
        ('{ file = "empty" }', "empty is empty"),
        ('{ env = "UNSET" }', "environment variable UNSET is not set or empty"),
        ('{ name = "nowhere" }', 'no place to look for "nowhere": set secrets_directory, or $CREDENTIALS_DIRECTORY'),
        ('{ name = "../secret" }', '"../secret" is no plain file name: use {file = …} for a path'),
        ('{ fiel = "x" }', "must be text, {file = …}, {env = …} or {name = …}"),
        ('{ file = "x", env = "Y" }', "must be text, {file = …}, {env = …} or {name = …}"),
        ("12345", "must be text in quotes"),
    ],
)
def test_a_secret_that_cannot_be_found_says_why(write: Write, reference: str, complaint: str) -> None:
    write("", "empty")
    path = write(f'[repositories.r]\nkeys = [{{ access_key = "K", secret_key = {reference} }}]')
    assert complaints(path) == [f"node.toml: repositories.r.keys[0].secret_key: {complaint}"]


def test_files_with_secrets_that_others_can_read_are_refused(write: Write) -> None:
    write(SECRET, "secret", mode=0o644)
    path = write('[repositories.r]\nkeys = [{ access_key = "K", secret_key = { file = "secret" } }]', mode=0o644)
    (complaint,) = complaints(path)
    assert "secret is open to every user (mode 0644): chmod o-rw" in complaint


def test_configuration_files_with_inline_secrets_that_others_can_read_are_refused(write: Write) -> None:
    (complaint,) = complaints(write(COMPLETE, mode=0o644))
    assert complaint.startswith("node.toml: backends.cloud.secret_key: is a secret, and the file is open to every user")


def test_configuration_files_without_secrets_may_be_read_by_anybody(write: Write) -> None:
    read(write('[log]\nlevel = "error"', mode=0o644))


def test_no_secret_is_ever_part_of_a_complaint_or_of_a_representation(write: Write) -> None:
    path = write(
        COMPLETE + f'\n[backends.more]\nkind = "{SECRET[:3]}"\nsecret_kye = "{SECRET}"\nsecret_key = ["{SECRET}"]'
    )
    assert SECRET not in "".join(complaints(path))
    assert SECRET not in repr(read(write(COMPLETE)).settings)
    environment = {"BRIDGE_NODE__BACKENDS__CLOUD__SECRET_KEY": '{"file": "' + SECRET}
    assert SECRET not in "".join(complaints(write(COMPLETE), environment))


# problems


def test_all_problems_are_named_at_once_each_with_its_key_and_its_source(write: Write) -> None:
    path = write(
        f"""
        region = "eu-west-1"
        [gateway]
        workers = "many"
        wrokers = 3
        [backends.cloud]
        kind = "s4"
        [backends.disk]
        kind = "local"
        root = "dsik"
        [local_roots]
        disk = "data"
        [repositories.media]
        buckets = [{{ backend = "dsk", bucket = "photos" }}]
        keys = [{{ access_key = "K", secret_key = "{SECRET}" }}, {{ access_key = "K" }}]
        """
    )
    write("[log]\nformat = 7", "conf.d/log.toml")
    assert complaints(path, {"BRIDGE_NODE__LIMITS__MEMROY": "1", "BRIDGE_NODE__ADMIN__PORT": "70000"}) == [
        'node.toml: gateway.workers: must be a whole number, not "many"',
        "node.toml: gateway.wrokers: unknown key; did you mean workers?",
        'node.toml: backends.cloud.kind: must be "s3", "local" or "memory", not "s4"',
        "node.toml: repositories.media.keys[1].secret_key: is missing",
        "node.toml: region: unknown key; did you mean s3.region?",
        'node.toml: backends.disk.root: "dsik" is not in local_roots; did you mean "disk"?',
        'node.toml: repositories.media.buckets[0].backend: "dsk" is not in backends; did you mean "disk"?',
        'node.toml: repositories.media.keys[1].access_key: "K" is the access key of repositories.media.keys[0] already',
        'conf.d/log.toml: log.format: must be "auto", "json", "pretty" or "journald", not 7',
        "BRIDGE_NODE__LIMITS__MEMROY: limits.memroy: unknown key; did you mean BRIDGE_NODE__LIMITS__MEMORY?",
        'BRIDGE_NODE__ADMIN__PORT: admin.port: must be at most 65535, not "70000"',
    ]


def test_what_only_follows_from_another_problem_is_not_named(write: Write) -> None:
    path = write(
        "[backends]\ncloud = 5\n"
        '[repositories.r]\nbuckets = [{ backend = "cloud", bucket = "b" }, 7]\naccounts = "cloud"'
    )
    assert complaints(path) == [
        "node.toml: backends.cloud: must be a table",
        "node.toml: repositories.r.buckets[1]: must be a table",
        "node.toml: repositories.r.accounts: must be a list",
    ]


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    assert complaints(tmp_path / "node.toml") == ["node.toml: cannot be read: No such file or directory"]


def test_invalid_toml_is_named_with_line_and_column(write: Write) -> None:
    path = write('[log]\nlevel = "info\n')
    write("[log", "conf.d/x.toml")
    assert complaints(path) == [
        "node.toml:2:14: invalid TOML: illegal character '\\n'",
        "conf.d/x.toml: invalid TOML: expected ']' at the end of a table declaration (at end of document)",
    ]


def test_text_that_is_not_utf8_is_named(write: Write, tmp_path: Path) -> None:
    path = write("")
    path.write_bytes(b'a = "\xff"')
    assert complaints(path) == ["node.toml: is not UTF-8 text (byte 5)"]


def test_a_list_in_a_variable_that_is_not_json_is_named(write: Write) -> None:
    assert complaints(write(""), {"BRIDGE_NODE__S3__DOMAINS": "s3.example.com"}) == [
        "BRIDGE_NODE__S3__DOMAINS: s3.domains: must be JSON, as it is a list or a table"
    ]


def test_a_problem_is_sought_where_its_table_was_begun(write: Write) -> None:
    path = write('[backends.cloud]\nkind = "s3"\nsecret_key = "x"')
    assert complaints(path, {"BRIDGE_NODE__BACKENDS__CLOUD__CONNECTIONS": "5"}) == [
        "node.toml: backends.cloud.access_key: is missing"
    ]


def test_a_problem_within_a_list_is_sought_where_the_list_is_from(write: Write) -> None:
    path = write("[gateway]\nlisteners = [{}]")
    listeners = '[{"prot": 1, "tls": [{"certificate": "node.toml"}]}]'
    assert complaints(path, {"BRIDGE_NODE__GATEWAY__LISTENERS": listeners}) == [
        "BRIDGE_NODE__GATEWAY__LISTENERS: gateway.listeners[0].tls[0].private_key: is missing",
        "BRIDGE_NODE__GATEWAY__LISTENERS: gateway.listeners[0].prot: unknown key; did you mean port?",
    ]


@pytest.mark.parametrize("key", ["model_config", "self", "_env_file", "__pydantic_self__", "copy", '""', '"a b"', "_"])
def test_no_key_is_special(write: Write, key: str) -> None:
    assert complaints(write(f"{key} = 1")) == [f"node.toml: {key}: unknown key"]


def test_names_that_could_not_be_labels_are_refused(write: Write) -> None:
    assert complaints(write('[repositories."a/b"]\n[repositories.""]')) == [
        f"node.toml: repositories.{name}: names are letters, digits, '.', '_' and '-', at most 63 of them"
        for name in ('"a/b"', '""')
    ]


def test_a_complaint_stays_on_one_line_whatever_was_written(write: Write) -> None:
    path = write('"two\\nlines" = 1\n[log]\nlevel = "in\\nfo"')
    assert all("\n" not in complaint for complaint in complaints(path))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ('backend = "disk"|backend = "memory"', 'repositories.media.buckets[0].backend: "memory" is not in backends'),
        ('"data"|"elsewhere"', "local_roots.disk: elsewhere must be a directory that the node's user may write to"),
        (
            'bucket = "films", folder = "movies"|bucket = "photos"',
            'buckets[1].bucket: "photos" already means buckets[0]',
        ),
        ('folder = "movies"|folder = "photos"', 'buckets[1].folder: "photos" already means another bucket'),
        ("https://s3.example.com|s3.example.com", 'endpoint: "s3.example.com" must be https://host[:port] or http'),
        ("https://s3.example.com|https://me:pw@s3.example.com", "endpoint: must not carry a user or password"),
        (
            'access_key = "AKIDCLOUD"|access_key = "A"\nproxy = "https://p:8080"',
            'proxy: "https://p:8080" must be http://',
        ),
        ('access_key = "AKIDCLOUD"|access_key = "A"\nproxy_login = "me:pw"', "has no meaning without `proxy`"),
        ("https://s3.example.com|https://s3.example.com/?x=1", "must end after host and port"),
        ("https://s3.example.com|https://s3.example.com:99999", "is no URL: Port out of range 0-65535"),
        ('access_key = "AKIDCLOUD"|session_token = "x"', "backends.cloud.access_key: is missing"),
        ('access_key = "AKIDCLIENT"|access_key = "a/b"', "must not contain spaces"),
        (f'secret_key = "{SECRET}", access|secret_key = "", access', "keys[0].secret_key: is empty"),
        (f'secret_key = "{SECRET}", access|secret_key = "short", access', "keys[0].secret_key: is too weak"),
        (f'secret_key = "{SECRET}", access|secret_key = "{"ab" * 20}", access', "is too easily guessed"),
        ('"WRITE"|"WRITE", buckets = ["photo"]', 'keys[0].buckets[0]: "photo" is not in this repository\'s buckets'),
        ("[repositories.media]|[repositories.media]\ntoken_key = 'eA=='", "token_key: must be 32 bytes in base64"),
        ('[backends.disk]|[backends.x]\nkind = "local"\nroot = "disk"\n[backends.disk]', "is the root of backends.x"),
        ('[backends.disk]|[backends.x]\nkind = "memory"\n[backends.disk]', '"memory" is not shared between processes'),
        (
            'kind = "local"|kind = "local"\nendpoint = "http://x"',
            'endpoint: has no meaning for a backend of kind "local"',
        ),
    ],
)
def test_contradictions_are_named(write: Write, change: str, complaint: str) -> None:
    before, _, after = change.partition("|")
    assert before in COMPLETE
    found = complaints(write(COMPLETE.replace(before, after)))
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gateway]\nlisteners = []", "gateway.listeners: the node needs at least one listener"),
        ("[gateway]\nlisteners = [{ host = '' }]", "gateway.listeners[0].host: must not be empty"),
        ("[gateway]\nlisteners = [{}, {}]", "listeners[1].port: port 9000 is taken by gateway.listeners[0] already"),
        ("[gateway]\nlisteners = [{}, {host = '::'}]", "port 9000 is taken by gateway.listeners[0] already"),
        ("[gateway]\nlisteners = [{port = 9090}]", "admin.port: port 9090 is taken by gateway.listeners[0] already"),
        ("[gateway]\ntrusted_proxies = ['10.0.0.1/8']", '"10.0.0.1/8" is no address or network such as 10.0.0.0/8'),
        ("[gateway.cors]\norigins = ['https://a.example.com/']", "must end after host and port"),
        ("[s3]\nregion = 'eu west'", 's3.region: "eu west" is no region'),
        ("[s3]\ndomains = ['*.s3.example.com']", 'write "s3.example.com"'),
        ("[s3]\ndomains = ['10.0.0.1']", "is no host name"),
        ("[s3]\nexternal_urls = ['https://a.example.com/b']", "must end after host and port"),
        ("state_directory = 'data/state'\n[local_roots]\nd = 'data'", "must not contain state_directory"),
        ("[local_roots]\na = 'data'\nb = 'data'", "lie in one another"),
    ],
)
def test_contradictions_of_the_node_are_named(write: Write, text: str, complaint: str) -> None:
    (found,) = complaints(write(text))
    assert complaint in found


LISTENER_WITH_TLS = '[[gateway.listeners]]\ntls = [{ certificate = "cert.pem", private_key = "key.pem" }]'


def test_certificates_must_be_there_and_their_keys_private(write: Write) -> None:
    write("a key", "key.pem", mode=0o644)
    missing, exposed = complaints(write(LISTENER_WITH_TLS))
    assert missing.endswith("tls[0].certificate: cert.pem cannot be read: No such file or directory")
    assert "tls[0].private_key: key.pem is open to every user (mode 0644)" in exposed


def test_a_certificate_and_its_key_must_belong_together(write: Write) -> None:
    authority = trustme.CA()
    one, other = authority.issue_cert("a.example.com"), authority.issue_cert("b.example.com")
    write(one.cert_chain_pems[0].bytes().decode(), "cert.pem")
    write(one.private_key_pem.bytes().decode(), "key.pem")
    read(write(LISTENER_WITH_TLS))
    write(other.private_key_pem.bytes().decode(), "key.pem")
    (complaint,) = complaints(write(LISTENER_WITH_TLS))
    assert complaint.endswith("tls[0]: cert.pem and key.pem cannot be used together: key values mismatch")


def test_memory_is_allowed_with_one_worker(write: Write) -> None:
    assert read(write('[gateway]\nworkers = 1\n[backends.m]\nkind = "memory"')).settings.backends["m"].kind == "memory"


# reload


def test_a_reload_names_the_changes_that_need_a_restart() -> None:
    new = Settings(
        state_directory=Path("/srv/state"), gateway=Gateway(workers=3, drain_wait=1.0), log=Log(level="debug")
    )
    assert restart_needed(Settings(), new) == ["state_directory", "gateway.workers"]
    assert restart_needed(new, new) == []


def test_a_reload_takes_up_what_it_can_and_names_what_has_to_wait(write: Write) -> None:
    running = read(write("[gateway]\nworkers = 2")).settings
    settings, waiting = reload(write('[gateway]\nworkers = 3\n[log]\nlevel = "debug"'), {}, running)
    assert (settings.gateway.workers, settings.log.level) == (2, "debug")
    assert waiting == ["gateway.workers"]


def test_a_reload_is_refused_when_new_settings_contradict_those_that_wait_for_a_restart(write: Write) -> None:
    running = read(write("[gateway]\nworkers = 2")).settings
    path = write('[gateway]\nworkers = 1\n[backends.m]\nkind = "memory"')
    with pytest.raises(ConfigurationError) as refused:
        reload(path, {}, running)
    contradiction, reason = map(str, refused.value.problems)
    assert contradiction.startswith(f'{path}: backends.m.kind: "memory" is not shared between processes')
    assert reason == "until a restart, these keep their values: gateway.workers"
