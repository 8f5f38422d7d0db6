"""Sealing of secrets"""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest

from mail_proxy import encryption
from mail_proxy.encryption import (
    EncryptionError,
    EncryptionKeyNotConfigured,
    decrypt_value,
    decrypt_value_with_key,
    encrypt_value,
    encrypt_value_with_key,
    generate_key,
    hash_token,
    is_encrypted,
    key_from_outside,
    load_key,
    make_key_file,
    new_token,
    read_key_file,
    rename_key_file,
    replace_key_file,
    token_matches,
)

KEY = bytes(range(32))
VARIABLE = "MAIL_PROXY_ENCRYPTION_KEY"


@pytest.mark.parametrize("text", ["", "secret", "pässwörd ✓", "ENC:looks sealed", "x" * 100_000])
def test_what_is_sealed_opens_to_the_same_text(text: str) -> None:
    sealed = encrypt_value_with_key(text, KEY, "account.password:1")
    assert is_encrypted(sealed)
    assert decrypt_value_with_key(sealed, KEY, "account.password:1") == text


def test_the_sealed_form_is_the_documented_one_and_never_the_same_twice() -> None:
    first, second = (encrypt_value_with_key("secret", KEY) for _ in range(2))
    assert first != second
    assert first.startswith("ENC:")
    assert len(base64.b64decode(first[4:])) == 12 + len("secret") + 16


def test_a_wrong_key_or_context_does_not_open_it_and_the_error_shows_nothing() -> None:
    sealed = encrypt_value_with_key("secret", KEY, "here")
    for key, context in ((bytes(32), "here"), (KEY, "there"), (KEY, "")):
        with pytest.raises(EncryptionError) as caught:
            decrypt_value_with_key(sealed, key, context)
        assert "secret" not in str(caught.value)


def test_damage_of_any_octet_is_noticed() -> None:
    raw = base64.b64decode(encrypt_value_with_key("secret", KEY)[4:])
    for position in range(len(raw)):
        damaged = bytearray(raw)
        damaged[position] ^= 1
        text = "ENC:" + base64.b64encode(damaged).decode()
        with pytest.raises(EncryptionError):
            decrypt_value_with_key(text, KEY)


@pytest.mark.parametrize("text", ["", "plain", "ENC:", "ENC:!!", "ENC:AAAA", "enc:AAAA", "ENC:é"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    with pytest.raises(EncryptionError):
        decrypt_value_with_key(text, KEY)


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(EncryptionError, match="32"):
        encrypt_value_with_key("secret", key)


def test_the_key_comes_from_the_environment_then_the_secrets_folder_then_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets, own = tmp_path / "secrets", tmp_path / "own"
    monkeypatch.setattr(encryption, "SECRETS_FILE", secrets)
    with pytest.raises(EncryptionKeyNotConfigured, match=VARIABLE):
        load_key(own, {})
    own.write_bytes(b"o" * 32)
    assert load_key(own, {}) == b"o" * 32
    secrets.write_bytes(b"s" * 32)
    assert load_key(own, {}) == b"s" * 32
    key = generate_key()
    assert load_key(own, {VARIABLE: key}) == base64.b64decode(key)


@pytest.mark.parametrize("text", ["short", "not base64!", base64.b64encode(b"x" * 31).decode()])
def test_a_damaged_key_in_the_environment_is_an_error_and_not_passed_over(
    text: str, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"k" * 32)
    with pytest.raises(EncryptionError, match=VARIABLE) as caught:
        load_key(file, {VARIABLE: text})
    assert text not in str(caught.value)


def test_a_damaged_key_file_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "encryption_key"
    file.write_bytes(b"x" * 31)
    with pytest.raises(EncryptionError, match="encryption_key holds 31 bytes"):
        load_key(file, {})


def test_a_new_key_file_is_for_its_owner_alone_and_an_old_one_is_left(tmp_path: Path) -> None:
    file = tmp_path / "key"
    make_key_file(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    assert len(before) == 32
    make_key_file(file)
    assert file.read_bytes() == before


def test_a_key_that_cannot_be_read_or_written_is_an_error_that_names_its_place(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "encryption_key"
    folder.mkdir()
    with pytest.raises(EncryptionError, match="encryption_key: the key cannot be read: Is a dir"):
        load_key(folder, {})
    with pytest.raises(EncryptionError, match="key: the key cannot be written: No such file"):
        make_key_file(tmp_path / "missing" / "key")


def test_a_key_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    file, new = tmp_path / "key", tmp_path / "key.new"
    make_key_file(file)
    replace_key_file(new, KEY)
    assert stat.S_IMODE(new.stat().st_mode) == 0o600
    rename_key_file(new, file)
    assert list(tmp_path.iterdir()) == [file]
    assert read_key_file(file) == KEY
    assert read_key_file(new) is None
    with pytest.raises(EncryptionError, match="31 bytes"):
        replace_key_file(file, b"x" * 31)
    assert read_key_file(file) == KEY


def test_the_source_outside_the_instance_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = tmp_path / "secrets"
    monkeypatch.setattr(encryption, "SECRETS_FILE", secrets)
    assert key_from_outside({}) is None
    secrets.write_bytes(KEY)
    assert key_from_outside({}) == str(secrets)
    assert key_from_outside({VARIABLE: generate_key()}) == VARIABLE


def test_the_functions_without_a_key_use_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, generate_key())
    assert decrypt_value(encrypt_value("secret")) == "secret"


def test_tokens_are_43_url_safe_characters_and_match_their_hash_alone() -> None:
    token = new_token()
    assert len(token) == 43
    assert token.replace("-", "").replace("_", "").isalnum()
    assert token_matches(token, hash_token(token))
    assert not token_matches(new_token(), hash_token(token))
    assert token not in hash_token(token)


def test_a_key_as_generate_key_returns_it_encrypts_and_decrypts() -> None:
    key = generate_key()
    sealed = encrypt_value_with_key("secret", key)
    assert decrypt_value_with_key(sealed, key) == "secret"
    assert decrypt_value_with_key(sealed, base64.b64decode(key)) == "secret"
    with pytest.raises(EncryptionError, match="key is not base64 of 32 bytes"):
        encrypt_value_with_key("secret", "no key")
