"""Hand-made kernel modules: no code, but the sections that the real modinfo and depmod read."""

import struct

HEADER, SECTION = 64, 64
PROGBITS, STRTAB = 1, 3
ET_REL, EM_X86_64, LITTLE_ENDIAN_64 = 1, 62, b"\x7fELF\x02\x01\x01" + bytes(9)


def kernel_module(name: str, version: str, licence: str, aliases: list[str]) -> bytes:
    """A relocatable ELF object with a .modinfo section."""
    pairs = [("license", licence), *([("version", version)] if version else []), ("name", name)]
    pairs += [("description", "Simulated module of the dgctl lab")]
    pairs += [("alias", alias) for alias in aliases]
    if name.startswith("nvidia_"):
        pairs.append(("depends", "nvidia"))
    modinfo = b"".join(f"{key}={value}\0".encode() for key, value in pairs)
    return _object({".modinfo": modinfo})


def _object(sections: dict[str, bytes]) -> bytes:
    """ELF header, section contents, section names, section table."""
    names = b"\0" + b"".join(f"{name}\0".encode() for name in [*sections, ".shstrtab"])
    body, table = b"", bytes(SECTION)
    for name, content, kind in [*((n, c, PROGBITS) for n, c in sections.items()), (".shstrtab", names, STRTAB)]:
        table += _section(names.index(name.encode() + b"\0"), kind, HEADER + len(body), len(content))
        body += content + bytes(-len(content) % 8)
    count = len(sections) + 2
    header = LITTLE_ENDIAN_64 + struct.pack(
        "<HHIQQQIHHHHHH", ET_REL, EM_X86_64, 1, 0, 0, HEADER + len(body), 0, HEADER, 0, 0, SECTION, count, count - 1
    )
    return header + body + table


def _section(name: int, kind: int, offset: int, size: int) -> bytes:
    return struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, offset, size, 0, 0, 1, 0)
