"""Secrets at rest."""

import pytest

from bridge_node.platform.vault import Vault, VaultError

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_sealed_secret_opens_for_its_own_row_only() -> None:
    vault = Vault(NEW)
    sealed = vault.seal("s3cret", "buckets", "b1")
    assert b"s3cret" not in sealed
    assert vault.open(sealed, "buckets", "b1") == "s3cret"
    for table, row in (("buckets", "b2"), ("provider_keys", "b1")):
        with pytest.raises(VaultError):
            vault.open(sealed, table, row)


def test_the_same_secret_is_never_sealed_the_same_way() -> None:
    vault = Vault(NEW)
    assert vault.seal("s3cret", "buckets", "b1") != vault.seal("s3cret", "buckets", "b1")


def test_a_changed_byte_anywhere_is_noticed() -> None:
    vault = Vault(NEW)
    sealed = vault.seal("s3cret", "buckets", "b1")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(VaultError):
            vault.open(changed, "buckets", "b1")
    for length in range(len(sealed)):
        with pytest.raises(VaultError):
            vault.open(sealed[:length], "buckets", "b1")


def test_after_a_rotation_old_values_open_and_are_wrapped_anew() -> None:
    sealed = Vault(OLD).seal("s3cret", "buckets", "b1")
    rotated = Vault(NEW, previous=[OLD])
    assert rotated.open(sealed, "buckets", "b1") == "s3cret"
    assert not rotated.is_current(sealed)
    again = rotated.rewrap(sealed, "buckets", "b1")
    assert rotated.is_current(again)
    assert Vault(NEW).open(again, "buckets", "b1") == "s3cret"


def test_another_master_key_opens_nothing() -> None:
    with pytest.raises(VaultError):
        Vault(NEW).open(Vault(OLD).seal("s3cret", "buckets", "b1"), "buckets", "b1")


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(VaultError):
        Vault(b"short")
