"""A standalone node's catalog: what the configuration says, with keys that last."""

import base64
import multiprocessing
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge_node.catalog import Repository
from bridge_node.configuration import ConfigurationError
from bridge_node.operations import Access
from bridge_node.settings import BackendSettings, BucketSettings, KeySettings, RepositorySettings, Settings
from bridge_node.standalone import from_settings, token_key

SECRET = "correct-horse-battery-staple"
SHARED = base64.b64encode(bytes(range(32))).decode()


def settings(tmp_path: Path, **repository: object) -> Settings:
    return Settings(
        state_directory=tmp_path / "state",
        local_roots={"disk": tmp_path / "data"},
        backends={"disk": BackendSettings(kind="local", root="disk"), "scratch": BackendSettings(kind="memory")},
        repositories={
            name: RepositorySettings.model_validate(
                {
                    "buckets": (BucketSettings(backend="disk", bucket="photos", folder="pictures"),),
                    "accounts": ("scratch",),
                    "keys": ({"access_key": f"KEY-{name}", "secret_key": SECRET, "access": "WRITE"},),
                }
                | repository
            )
            for name in ("media", "backups")
        },
    )


def test_repositories_buckets_accounts_and_keys_are_what_the_settings_say(tmp_path: Path) -> None:
    catalog = from_settings(settings(tmp_path), version=7)
    repository = catalog.repositories["media"]
    (bucket,), (account,) = repository.buckets, repository.accounts
    assert catalog.version == 7
    assert (bucket.bucket, bucket.folder, bucket.backend.kind) == ("photos", "pictures", "local")
    assert bucket.backend.root == str(tmp_path / "data")
    assert account.backend.name == "scratch"
    key = catalog.keys["KEY-media"]
    assert (key.repository, key.access, key.buckets) == ("media", Access.READ | Access.WRITE, None)
    assert key.secret.get_secret_value() == SECRET


def test_a_key_can_be_limited_to_buckets(tmp_path: Path) -> None:
    keys = (KeySettings.model_validate({"access_key": "K", "secret_key": SECRET, "buckets": ["photos"]}),)
    configured = settings(tmp_path)
    media = configured.repositories["media"].model_copy(update={"keys": keys})
    catalog = from_settings(configured.model_copy(update={"repositories": {"media": media}}))
    assert catalog.keys["K"].buckets == frozenset({"photos"})


def test_repositories_share_one_backend_of_a_name(tmp_path: Path) -> None:
    assert {spec.name for spec in from_settings(settings(tmp_path)).backends()} == {"disk", "scratch"}
    assert len(from_settings(settings(tmp_path)).backends()) == 2


def test_a_proxy_login_becomes_part_of_its_url_and_of_no_representation(tmp_path: Path) -> None:
    cloud = BackendSettings(
        kind="s3",
        access_key="A",
        secret_key=SecretStr(SECRET),
        proxy="http://p:3128",
        proxy_login=SecretStr("me:p@ss/"),
    )
    configured = settings(tmp_path, accounts=["cloud"], buckets=[]).model_copy(update={"backends": {"cloud": cloud}})
    (spec,) = from_settings(configured).backends()
    assert spec.proxy == "http://me:p%40ss%2F@p:3128"
    assert "p%40ss" not in repr(spec)


def test_ids_and_token_keys_survive_a_restart(tmp_path: Path) -> None:
    def lasting(repository: Repository) -> tuple[object, ...]:
        (bucket,), (account,) = repository.buckets, repository.accounts
        return repository.id, repository.token_key, bucket.id, account.id

    first, second = from_settings(settings(tmp_path)), from_settings(settings(tmp_path))
    assert lasting(first.repositories["media"]) == lasting(second.repositories["media"])


def test_each_repository_has_a_token_key_of_its_own(tmp_path: Path) -> None:
    repositories = from_settings(settings(tmp_path)).repositories
    assert len(repositories["media"].token_key) == 32
    assert repositories["media"].token_key != repositories["backups"].token_key


def test_nodes_with_the_same_token_key_setting_understand_each_other(tmp_path: Path) -> None:
    one, other = (
        from_settings(settings(tmp_path / node, token_key=SHARED)).repositories["media"].token_key for node in "ab"
    )
    assert one == other
    assert not (tmp_path / "a").exists()


def test_the_made_token_key_can_be_copied_into_the_setting(tmp_path: Path) -> None:
    made = from_settings(settings(tmp_path)).repositories["media"].token_key
    copied = (tmp_path / "state/token.key").read_text().strip()
    shared = from_settings(settings(tmp_path / "other", token_key=copied)).repositories["media"].token_key
    assert shared == made


def test_the_token_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    token_key(tmp_path / "state")
    assert stat.S_IMODE((tmp_path / "state/token.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["token.key"]


def test_processes_that_start_at_once_agree_on_the_token_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(token_key, [tmp_path / "state"] * 16, chunksize=1)
    assert len(set(keys)) == 1
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["token.key"]


@pytest.mark.parametrize("content", ["", "short\n", "bm90IDMyIGJ5dGVz\n", "\xff"])
def test_a_damaged_token_key_is_refused_and_not_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"token\.key: is damaged: it must hold 32 bytes in base64"):
        token_key(tmp_path)
    assert path.read_text() == content


def test_a_token_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    token_key(tmp_path)
    (tmp_path / "token.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="is open to every user"):
        token_key(tmp_path)


def test_a_state_directory_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="Not a directory; is state_directory writable for this user"):
        token_key(tmp_path / "file" / "state")


def test_secrets_are_no_part_of_representations(tmp_path: Path) -> None:
    catalog = from_settings(settings(tmp_path, token_key=SHARED))
    assert SECRET not in repr(catalog)
    assert repr(catalog.repositories["media"].token_key) not in repr(catalog)
