"""Formats that are not read, known by their first bytes: the message names them and says what to do."""

from __future__ import annotations

from pathlib import Path

from services.errors import InputError

_PACKED = {
    "bzip2": b"1AY&SY",  # after BZh and a digit
    "zip": b"PK\x03\x04",
    "xz": b"\xfd7zXZ\x00",
    "7-Zip": b"7z\xbc\xaf\x27\x1c",
}
_TWICE = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}


def require_text_or_known(path: Path, head: bytes, within: str | None = None) -> None:
    """Pass what may be text, parquet, gzip or zstd.

    Args:
        path: The file, for the message.
        head: Its first 512 bytes, or those of what it packs.
        within: The compression that the head came out of.

    Raises:
        InputError: the bytes are of another format; it is named.
    """
    inside = f" within {within}" if within else ""
    for name, magic in _PACKED.items():
        if head.startswith(magic, 4 if name == "bzip2" else 0):
            raise InputError(
                f"{path}: is a {name} file{inside}", hint="unpack it, or pack it with gzip or zstd instead"
            )
    if head[257:262] == b"ustar":
        raise InputError(f"{path}: is a tar archive{inside}", hint="unpack it and name its files")
    if within and head.startswith(tuple(_TWICE.values())):
        raise InputError(f"{path}: is compressed twice", hint="unpack it once")
    encoding = _wide(head)
    if encoding:
        raise InputError(
            f"{path}: is text in {encoding}{inside}",
            hint=f"write it as UTF-8: iconv -f {encoding} -t UTF-8 FILE > NEW",
        )


def _wide(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "UTF-32"
    bare = head[:8]  # without a byte order mark: every other byte of ASCII is NUL
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (
        len(bare) == 8 and (not any(bare[::2]) or not any(bare[1::2])) and any(bare)
    ):
        return "UTF-16"
    return None
