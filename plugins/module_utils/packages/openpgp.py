"""Reads OpenPGP public key files (RFC 9580) without gpg, which a minimal Debian 13 does not have."""

import base64
import binascii
import hashlib
import re

SIGNATURE, PUBLIC_KEY, SUBKEY = 2, 6, 14  # packet tags
KEY_ID, FINGERPRINT = 16, 33  # kinds of a signature's part that name who made it
ARMOR = re.compile(rb"-----BEGIN PGP PUBLIC KEY BLOCK-----\r?\n(.*?)-----END PGP PUBLIC KEY BLOCK-----", re.S)
SIGNED = re.compile(rb"-----BEGIN PGP SIGNATURE-----\r?\n(.*?)-----END PGP SIGNATURE-----", re.S)


def dearmor(data):
    """The binary packets of a key file, which may be armored or binary already."""
    blocks = ARMOR.findall(data)
    return b"".join(_decode(block) for block in blocks) if blocks else data


def file_sum(data):
    """SHA-256 of a key file without the lines that begin with Version, which vary with who exported it."""
    return hashlib.sha256(unversioned(data)).hexdigest()


def unversioned(data):
    """A key file without those lines, as `sed '/^Version/d'` leaves it."""
    return re.sub(rb"(?m)^Version[^\n]*\n?", b"", data)


def armor(binary):
    """Binary packets as the armored text that rpm takes keys in."""
    text = base64.b64encode(binary).decode()
    lines = [text[place : place + 64] for place in range(0, len(text), 64)]
    checksum = base64.b64encode(_crc24(binary).to_bytes(3, "big")).decode()
    head, tail = "-----BEGIN PGP PUBLIC KEY BLOCK-----", "-----END PGP PUBLIC KEY BLOCK-----"
    return "\n".join([head, "", *lines, "=" + checksum, tail, ""]).encode()


def _crc24(data):
    """Checksum of an armored block (RFC 9580, section 6.1)."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc & 0xFFFFFF


def _decode(block):
    """One armored block: headers end at the first empty line, the checksum line begins with '='."""
    lines = block.replace(b"\r", b"").split(b"\n")
    start = lines.index(b"") + 1 if b"" in lines else 0
    body = [line for line in lines[start:] if not line.startswith(b"=")]
    try:
        return base64.b64decode(b"".join(body), validate=True)
    except binascii.Error as error:
        raise ValueError(f"damaged armor: {error}") from error


def packets(data):
    """[(tag, body)] of binary OpenPGP data; ValueError when it is something else."""
    found, place = [], 0
    while place < len(data):
        if not data[place] & 0x80:
            raise ValueError("not an OpenPGP key")
        tag, length, place = _header(data, place)
        if place + length > len(data):
            raise ValueError("the key is cut off")
        found.append((tag, data[place : place + length]))
        place += length
    return found


def _header(data, place):
    """(tag, length of body, where it begins) of the packet header at place, in new or old format."""
    first, place = data[place], place + 1
    try:
        if not first & 0x40:
            size = (1, 2, 4)[first & 3]  # old format; 3 would be of unknown length
            return (first >> 2) & 15, int.from_bytes(data[place : place + size], "big"), place + size
        one = data[place]
        if one < 192:
            return first & 63, one, place + 1
        if one < 224:
            return first & 63, ((one - 192) << 8) + data[place + 1] + 192, place + 2
        if one == 255:
            return first & 63, int.from_bytes(data[place + 1 : place + 5], "big"), place + 5
    except IndexError:
        pass
    raise ValueError("not an OpenPGP key")


def fingerprints(data):
    """Fingerprints (40 or 64 upper-case hex digits) of every primary key in binary data."""
    return [_fingerprint(body) for tag, body in packets(data) if tag == PUBLIC_KEY]


def _fingerprint(body):
    if body[:1] == b"\x04":
        return hashlib.sha1(b"\x99" + len(body).to_bytes(2, "big") + body).hexdigest().upper()
    if body[:1] == b"\x06":
        return hashlib.sha256(b"\x9b" + len(body).to_bytes(4, "big") + body).hexdigest().upper()
    raise ValueError("a key of version %s" % (body[0] if body else "?"))


def all_fingerprints(data):
    """The same with those of the subkeys, with which signatures may be made."""
    return [_fingerprint(body) for tag, body in packets(data) if tag in (PUBLIC_KEY, SUBKEY)]


def issuers(text):
    """Who signed a clear-signed text: fingerprints, or key ids of 16 digits; [] when it does not say, or is damaged."""
    found = []
    try:
        for block in SIGNED.findall(text.encode("utf-8", "replace")):
            found += [_issuer(body) for tag, body in packets(_decode(block)) if tag == SIGNATURE]
    except (ValueError, IndexError):
        return []
    return [issuer for issuer in found if issuer]


def _issuer(body):
    """The maker of a signature of version 4 or 6: its fingerprint where the signature has it, else its key id."""
    wide = 4 if body[0] == 6 else 2
    place, named = 4, {}
    for _ in range(2):  # the hashed parts, then the others
        end = place + wide + int.from_bytes(body[place : place + wide], "big")
        place += wide
        while place < end:
            length, place = _length(body, place)
            named[body[place] & 0x7F] = body[place + 1 : place + length]
            place += length
    if FINGERPRINT in named:
        return named[FINGERPRINT][1:].hex().upper()
    return named.get(KEY_ID, b"").hex().upper()


def _length(body, place):
    """(length of a signature's part, where it begins)."""
    one = body[place]
    if one < 192:
        return one, place + 1
    if one < 255:
        return ((one - 192) << 8) + body[place + 1] + 192, place + 2
    return int.from_bytes(body[place + 1 : place + 5], "big"), place + 5
