"""Cuts incoming bytes into chunks of sound: WAV, raw samples, or other containers (taken as opaque, by their bytes)."""

from __future__ import annotations

import array
import hashlib
import struct
from collections.abc import Iterator

from .transcripts import CHUNK_S

_BYTES_A_SAMPLE = {"linear16": 2, "linear32": 4, "mulaw": 1, "alaw": 1}
_OPAQUE_BYTES_A_SECOND = 16000  # 128 kbit/s
_OPAQUE_ENCODINGS = ("flac", "amr-nb", "amr-wb", "opus", "ogg-opus", "speex", "g729")
_MAGIC = (
    (0, b"ID3"),
    (0, b"\xff\xfb"),
    (0, b"\xff\xf3"),
    (0, b"fLaC"),
    (0, b"OggS"),
    (0, b"\x1aE\xdf\xa3"),
    (4, b"ftyp"),
)
_HEADER_LIMIT = 1 << 16
_EXTENSIBLE = 0xFFFE


class NotAudio(ValueError):
    """The bytes are no sound that the Engine can read."""


class AudioReader:
    """Feed it bytes, get chunks: (samples of each channel, seconds). `end` gives what is left.

    `encoding`, `sample_rate` and `channels` are those of the request; a WAV header in the bytes goes before them.
    """

    def __init__(self, encoding: str = "", sample_rate: int = 0, channels: int = 0):
        self._encoding, self._rate = encoding, sample_rate
        self.channels = channels or 1
        self.linear = False
        self.duration = 0.0
        self._digest = hashlib.sha256()
        self._buffer = bytearray()
        self._bytes_a_second = 0
        self._frame = 1
        self._left: int | None = None  # bytes of sound still to come, where a header says so

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def feed(self, data: bytes) -> Iterator[tuple[list[bytes], float]]:
        self._digest.update(data)
        self._buffer += data
        if not self._bytes_a_second and not self._start(final=False):
            return
        yield from self._chunks()

    def end(self) -> Iterator[tuple[list[bytes], float]]:
        if not self._bytes_a_second and not self._start(final=True):
            return
        yield from self._chunks()
        rest = self._take(len(self._buffer))
        if rest:
            yield self._split(rest)

    def _chunks(self) -> Iterator[tuple[list[bytes], float]]:
        size = max(self._frame, int(self._bytes_a_second * CHUNK_S) // self._frame * self._frame)
        while len(self._buffer) >= size and self._left != 0:
            yield self._split(self._take(size))

    def _take(self, size: int) -> bytes:
        if self._left is not None:
            size = min(size, self._left)
            self._left -= size
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        if self._left == 0:
            self._buffer.clear()  # what follows the sound in a WAV file (tags) is not sound
        return taken

    def _split(self, samples: bytes) -> tuple[list[bytes], float]:
        length = len(samples) / self._bytes_a_second
        self.duration += length
        if self.channels == 1 or not self.linear:
            return [samples], length
        values = array.array("h", samples[: len(samples) // 2 * 2])
        return [values[channel :: self.channels].tobytes() for channel in range(self.channels)], length

    def _start(self, final: bool) -> bool:
        """Finds out what the bytes are; False while too few have come. NotAudio when they are nothing known."""
        head = bytes(self._buffer[:12])
        if len(head) < len(b"RIFF....WAVE") and not final:
            return False
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return self._start_wav(final)
        if self._encoding in _BYTES_A_SAMPLE:
            self._raw(_BYTES_A_SAMPLE[self._encoding], self._rate or 16000)
        elif self._encoding in _OPAQUE_ENCODINGS or any(head[at : at + len(magic)] == magic for at, magic in _MAGIC):
            self._bytes_a_second, self.channels = _OPAQUE_BYTES_A_SECOND, 1
        elif head or final:
            raise NotAudio("corrupt or unsupported data")
        return True

    def _raw(self, width: int, rate: int) -> None:
        self.linear = width == _BYTES_A_SAMPLE["linear16"]
        self._frame = width * self.channels
        self._bytes_a_second = rate * self._frame

    def _start_wav(self, final: bool) -> bool:
        at, header = 12, bytes(self._buffer[:_HEADER_LIMIT])
        while at + 8 <= len(header):
            name, size = header[at : at + 4], struct.unpack_from("<I", header, at + 4)[0]
            if name == b"fmt " and at + 24 <= len(header):
                kind, self.channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", header, at + 8)
                if kind == _EXTENSIBLE and size >= 40 and at + 34 <= len(header):
                    kind = struct.unpack_from("<H", header, at + 32)[0]
                if not (self.channels and rate and bits):
                    raise NotAudio("corrupt or unsupported data")
                self._raw(bits // 8 or 1, rate)
                self.linear = kind == 1 and bits == 16
            if name == b"data":
                if not self._bytes_a_second:
                    raise NotAudio("corrupt or unsupported data")
                # A stream's header often says 0 or the largest number: then the sound ends where the bytes end.
                self._left = size if 0 < size < 0xFFFFFF00 else None
                del self._buffer[: at + 8]
                return True
            at += 8 + size + size % 2
        self._bytes_a_second = 0
        if final or len(header) == _HEADER_LIMIT:
            raise NotAudio("corrupt or unsupported data")
        return False
