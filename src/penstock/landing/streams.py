"""A landing file's bytes: hashed while they are read, without their compression, or with random access."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.fs as pafs

_CODECS = {".gz": "gzip", ".zst": "zstd"}
_BLOCK = 4 << 20


class Hashed(io.RawIOBase):
    """A binary stream that hashes what is read through it."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        data: bytes = self._stream.read(None if size is None or size < 0 else size)
        self._hash.update(data)
        self.size += len(data)
        return data

    def drain(self) -> str:
        """Reads to the end and gives the digest of all bytes."""
        while self.read(_BLOCK):
            pass
        return self._hash.hexdigest()


@dataclass(frozen=True)
class Source:
    """Where a file is: a URI or an absolute path, or a path of `filesystem`."""

    path: str
    filesystem: pafs.FileSystem | None = None

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    def stream(self) -> Hashed:
        """The bytes in order. Raises OSError when the file cannot be opened."""
        filesystem, path = self._place()
        return Hashed(filesystem.open_input_stream(path, compression=None))

    def file(self) -> pa.NativeFile:
        """The bytes with random access."""
        filesystem, path = self._place()
        return filesystem.open_input_file(path)

    def _place(self) -> tuple[pafs.FileSystem, str]:
        if self.filesystem is not None:
            return self.filesystem, self.path
        filesystem, path = pafs.FileSystem.from_uri(self.path)
        return filesystem, path


def plain(raw: Hashed, name: str) -> pa.NativeFile:
    """The stream without its compression, which the file's name tells."""
    stream = pa.PythonFile(raw, mode="r")
    codec = next((codec for suffix, codec in _CODECS.items() if name.endswith(suffix)), None)
    return pa.CompressedInputStream(stream, codec) if codec else stream
