"""Encryption of stored secrets, and hashing of API tokens.

A sealed (encrypted) value is ``ENC:`` + base64(nonce 12 bytes | ciphertext | tag 16 bytes),
AES-256-GCM (NIST SP 800-38D). It can be bound to a context (table, column, row). Decrypting it
with another context fails, so a value that was copied from another row is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mail_proxy.errors import EncryptionError, EncryptionKeyNotConfigured

__all__ = [
    "EncryptionError",
    "EncryptionKeyNotConfigured",
    "decrypt_value",
    "decrypt_value_with_key",
    "encrypt_value",
    "encrypt_value_with_key",
    "generate_key",
    "hash_token",
    "is_encrypted",
    "load_key",
    "new_token",
    "token_matches",
]

KEY_BYTES = 32
KEY_VARIABLE = "MAIL_PROXY_ENCRYPTION_KEY"
SECRETS_FILE = Path("/run/secrets/encryption_key")
_PREFIX = "ENC:"
_NONCE_BYTES = 12
_TAG_BYTES = 16


def generate_key() -> str:
    """Return a new random key as base64, for MAIL_PROXY_ENCRYPTION_KEY."""
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def load_key(key_file: Path | None = None, environ: Mapping[str, str] | None = None) -> bytes:
    """Return the encryption key: environment, else secrets folder, else ``key_file``.

    Key files hold 32 raw bytes. Raises EncryptionKeyNotConfigured if no source has a key, and
    EncryptionError if a key does not have 32 bytes: a damaged key is never skipped for the next
    source.
    """
    text = (os.environ if environ is None else environ).get(KEY_VARIABLE)
    if text:
        return parse_key(text, KEY_VARIABLE)
    for path in (SECRETS_FILE, key_file):
        key = read_key_file(path) if path is not None else None
        if key is not None:
            return key
    raise EncryptionKeyNotConfigured(
        f"no encryption key: set {KEY_VARIABLE} (base64 of {KEY_BYTES} bytes) "
        "or put an encryption_key file into the instance folder"
    )


def key_from_outside(environ: Mapping[str, str]) -> str | None:
    """Return the name of the key source that overrides the key file, or None."""
    if environ.get(KEY_VARIABLE):
        return KEY_VARIABLE
    return str(SECRETS_FILE) if SECRETS_FILE.exists() else None


def parse_key(text: str, source: str) -> bytes:
    """Decode a key from base64. EncryptionError names the ``source``, never the text."""
    try:
        return _checked(base64.b64decode(text.strip(), validate=True), source)
    except ValueError:
        raise EncryptionError(f"{source} is not base64 of {KEY_BYTES} bytes") from None


def read_key_file(path: Path) -> bytes | None:
    """Return the key in a file of 32 raw bytes, or None if the file does not exist.

    Raises EncryptionError for a file of any other length, or one that cannot be read.
    """
    try:
        return _checked(path.read_bytes(), path.name)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise EncryptionError(f"{path}: the key cannot be read: {error.strerror}") from None


def make_key_file(path: Path) -> None:
    """Write a new random key to ``path``, mode 0600. Never replace an existing file."""
    draft = _draft(path, secrets.token_bytes(KEY_BYTES))
    try:
        # Unlike a rename, a link never replaces. If two processes start at once, one key wins.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()
    _sync_folder(path)


def replace_key_file(path: Path, key: bytes) -> None:
    """Replace the key file atomically by one with ``key``, mode 0600."""
    _draft(path, _checked(key, "key")).replace(path)
    _sync_folder(path)


def rename_key_file(source: Path, target: Path) -> None:
    """Replace ``target`` by ``source``, and sync the folder."""
    source.replace(target)
    _sync_folder(target)


def encrypt_value_with_key(value: str, key: bytes | str, context: str = "") -> str:
    """Encrypt text. Decrypting it needs the same ``context``.

    ``key`` is 32 bytes, or their base64 as ``generate_key`` returns it.
    """
    return _sealed(os.urandom(_NONCE_BYTES), value, _key_bytes(key), context)


def encrypt_repeatably(value: str, key: bytes, context: str) -> str:
    """Encrypt text so that the same value, key and context give the same result.

    The nonce is a keyed hash of context and value, so no nonce is used for two texts. A reader of
    the results sees which of one context are equal.
    """
    unique = f"{len(context)}:{context}{value}".encode()
    nonce = hmac.digest(_checked(key, "key"), b"nonce:" + unique, "sha256")[:_NONCE_BYTES]
    return _sealed(nonce, value, key, context)


def _sealed(nonce: bytes, value: str, key: bytes, context: str) -> str:
    sealed = AESGCM(key).encrypt(nonce, value.encode(), context.encode())
    return _PREFIX + base64.b64encode(nonce + sealed).decode()


def decrypt_value_with_key(value: str, key: bytes | str, context: str = "") -> str:
    """Decrypt a value with a key as in ``encrypt_value_with_key``.

    Raises EncryptionError for a wrong key or context.
    """
    if not is_encrypted(value):
        raise EncryptionError("the value is not sealed (no ENC: prefix)")
    try:
        raw = base64.b64decode(value[len(_PREFIX) :], validate=True)
    except ValueError:
        raise EncryptionError("the sealed value is damaged (not base64)") from None
    if len(raw) < _NONCE_BYTES + _TAG_BYTES:
        raise EncryptionError("the sealed value is damaged (too short)")
    try:
        nonce, sealed = raw[:_NONCE_BYTES], raw[_NONCE_BYTES:]
        return AESGCM(_key_bytes(key)).decrypt(nonce, sealed, context.encode()).decode()
    except InvalidTag:
        raise EncryptionError(
            "the sealed value cannot be opened: wrong encryption key, damaged, or moved"
        ) from None


def encrypt_value(value: str) -> str:
    """Encrypt text with the key of the environment or the secrets folder."""
    return encrypt_value_with_key(value, load_key())


def decrypt_value(value: str) -> str:
    """Decrypt a value with the key of the environment or the secrets folder."""
    return decrypt_value_with_key(value, load_key())


def is_encrypted(value: str) -> bool:
    """Return whether ``value`` has the form of an encrypted value, under any key."""
    return value.startswith(_PREFIX)


def new_token() -> str:
    """Return a new API token: 256 random bits as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token in hex. Tokens are random, so salt is not needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def token_matches(token: str, token_hash: str) -> bool:
    """Compare a token with a stored hash, in constant time."""
    return hmac.compare_digest(hash_token(token), token_hash)


def _draft(path: Path, key: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise EncryptionError(f"{path}: the key cannot be written: {error.strerror}") from None
    return draft


def _sync_folder(path: Path) -> None:
    """Sync the folder of ``path``. A new file name is durable only after that."""
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _key_bytes(key: bytes | str) -> bytes:
    return parse_key(key, "key") if isinstance(key, str) else _checked(key, "key")


def _checked(key: bytes, source: str) -> bytes:
    if len(key) != KEY_BYTES:
        raise EncryptionError(f"{source} holds {len(key)} bytes; a key has {KEY_BYTES}")
    return key
