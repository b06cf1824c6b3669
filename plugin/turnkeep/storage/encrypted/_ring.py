"""The keys, and how what is sealed with them looks.

From each secret three keys are derived: one to seal, one to hash names with, and a public name
by which a sealed value says what it was sealed with.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
from typing import Any, Final

import msgspec

from ..._errors import MissingExtraError, StorageError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ModuleNotFoundError as error:
    raise MissingExtraError("encryption", "encryption", "cryptography") from error

__all__ = ["BrokenSealError", "KeyRing", "Sealed"]

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12

_encode: Final = msgspec.json.Encoder().encode


class Sealed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="sealed"):
    """A sealed value. `key` names the key, and `generation` and `id` the place it is bound to."""

    key: str
    data: str
    generation: str = ""
    id: int = 0
    size: int = 0


class BrokenSealError(Exception):
    """A sealed value was changed, or moved from the place that it is bound to."""


class _Key:
    """The keys that are derived from one secret."""

    def __init__(self, secret: bytes) -> None:
        def derived(use: str) -> bytes:
            return hmac.digest(secret, f"turnkeep {use}".encode(), hashlib.sha256)

        self.name: str = derived("name")[:6].hex()
        self.lookup: bytes = derived("lookup")
        self.cipher = AESGCM(derived("seal"))


class KeyRing:
    """The secret keys of an encrypted storage: the first one seals, and all of them open.

    Each is 32 bytes, or the text that `new_key` returns. To change the key, give the new one
    first and the old one behind it, and run `rotate`. Raises `ValueError` for any other key.
    """

    def __init__(self, current: str | bytes, *older: str | bytes) -> None:
        self._keys = {key.name: key for key in (_Key(_secret(one)) for one in (current, *older))}
        self._current = next(iter(self._keys.values()))

    def __repr__(self) -> str:
        """Return the names of the keys, which are no secret."""
        return f"<KeyRing {' '.join(self._keys)}>"

    @staticmethod
    def new_key() -> str:
        """Return a new key as text, from the operating system's random source."""
        return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES)).decode()

    @property
    def current(self) -> str:
        """The name of the key that seals."""
        return self._current.name

    def seal(self, value: Any, binding: Any, *, generation: str = "", id: int = 0) -> Sealed:
        """Seal JSON, so that it opens under this binding alone."""
        plain, nonce = _encode(value), os.urandom(_NONCE_BYTES)
        bound = _encode((generation, id, binding))
        data = nonce + self._current.cipher.encrypt(nonce, plain, bound)
        text = base64.b64encode(data).decode()
        return Sealed(self._current.name, text, generation, id, len(plain))

    def open(self, sealed: Sealed, binding: Any) -> bytes:
        """Return the JSON that was sealed.

        Raises `StorageError` if the ring does not have the key, and `BrokenSealError` if the
        value was changed or is in another place.
        """
        key = self._keys.get(sealed.key)
        if key is None:
            raise StorageError(
                f"this was encrypted with the key {sealed.key!r}, and the key ring has "
                f"{', '.join(map(repr, self._keys))}: give the right key; nothing was changed"
            )
        bound = _encode((sealed.generation, sealed.id, binding))
        try:
            data = base64.b64decode(sealed.data, validate=True)
            return key.cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], bound)
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise BrokenSealError from error

    def names(self, kind: str, name: str) -> list[str]:
        """Return what a name is found by: its hash under each key, that of the current one first.

        Nobody without the key can tell the name by its hash, or try names.
        """
        text = f"{kind} {name}".encode(errors="surrogatepass")
        return [_hashed(key, text) for key in self._keys.values()]


def _hashed(key: _Key, text: bytes) -> str:
    digest = hmac.digest(key.lookup, text, hashlib.sha256)[:16]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _secret(key: str | bytes) -> bytes:
    if isinstance(key, str):
        try:
            key = base64.urlsafe_b64decode(key)
        except (ValueError, binascii.Error):
            key = b""
    if not isinstance(key, bytes) or len(key) != _KEY_BYTES:
        raise ValueError(
            "a key is 32 bytes, or what KeyRing.new_key() returned: keep that outside of the "
            "storage"
        )
    return key
