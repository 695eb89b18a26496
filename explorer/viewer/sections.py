"""What is sent to the components: four letters, the length of a header in JSON, the header, and sections of bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any


class Sections:
    """Bytes one after the other, each beginning at a multiple of 4."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._at = 0
        self._known: dict[bytes, dict[str, int]] = {}

    def add(self, data: bytes) -> dict[str, int]:
        """Where the bytes are; the same bytes are stored once."""
        key = hashlib.sha256(data).digest()
        if key not in self._known:
            padded = data + bytes(-len(data) % 4)
            self._known[key] = {"at": self._at, "size": len(data)}
            self.parts.append(padded)
            self._at += len(padded)
        return self._known[key]


def framed(letters: bytes, header: dict[str, Any], body: bytes) -> bytes:
    """The bytes of a component; the header's last entry becomes `id`, which other bytes do not have."""
    header["id"] = hashlib.sha256(body + json.dumps(header, allow_nan=False).encode()).hexdigest()[:16]
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return letters + len(text).to_bytes(4, "little") + text + body
