"""An archive of images as `dgctl images save` writes it: an OCI image layout in a tar, and in its last file what it holds.

The blobs are the registry's own, byte for byte. So an image keeps the digest that it has in the registry, which `docker save` and
`podman save` lose, because they pack the layers again (moby/moby#22011, docker/cli#6996, podman#18809).
"""

import contextlib
import hashlib
import json
import os
import re
import tarfile

PLACE = "/var/lib/deepgram/images/archive.tar"
ABOUT = "dgctl-images.json"  # written last: an archive without it is torn
ENGINES = "manifest.json"  # docker save and podman save write it, docker since release 25 into an OCI image layout
FORMAT = 1
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
BLOCK = 1 << 20
GZIP, WRAP, MOST_RATIO = b"\x1f\x8b", 1 << 32, 10
AGAIN = "write it again: dgctl images save INVENTORY --to FILE"
SAVE = "take the images from the registry: dgctl images save INVENTORY --to FILE"
# As `uname -m` says it, and as images do.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


class Unusable(Exception):
    """An archive that no image can be taken from; `fix` says what to do."""

    def __init__(self, what, fix=AGAIN):
        super().__init__(what)
        self.fix = fix


@contextlib.contextmanager
def readable(digest):
    """Raises Unusable where what is read of an image is not of the form that it has to be."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unusable(f"the manifest {digest} in it cannot be read ({type(error).__name__})") from error


def blob(digest):
    """The name of a blob in the archive (OCI image specification: image-layout.md)."""
    return "blobs/sha256/" + digest.partition(":")[2]


class Archive:
    """What is in an archive; raises Unusable for one that is torn or something else, OSError for none.

    images: {REPOSITORY:RELEASE: digest}; manifests: {digest: media type}; members: {name: (where it begins, bytes)}.
    """

    def __init__(self, path):
        self.path = path
        try:
            with tarfile.open(path, "r:") as tar:
                self.members = {each.name: (each.offset_data, each.size) for each in tar if each.isreg()}
        except (tarfile.TarError, ValueError, OverflowError, EOFError) as error:
            raise Unusable(f"it is torn, or no archive of images ({error})") from error
        if ABOUT not in self.members and ENGINES in self.members:
            raise Unusable("it is of docker save or podman save, which lose the registry's digests", SAVE)
        if ABOUT not in self.members:
            raise Unusable(f"it is torn, or no archive of dgctl's: {ABOUT} is missing at its end")
        try:
            about = json.loads(b"".join(self.pieces(ABOUT)))
            if about["format"] != FORMAT:
                raise Unusable(f"it has format {about['format']}, and this dgctl reads {FORMAT}", "use the same dgctl")
            self.images, self.manifests = texts(about["images"]), texts(about["manifests"])
            self.architecture = str(about["architecture"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unusable(f"{ABOUT} in it cannot be read ({type(error).__name__})") from error
        if lost := sorted(set(self.images.values()) - {d for d in self.manifests if blob(d) in self.members}):
            raise Unusable(f"it is torn: {lost[0]} is missing")

    def pieces(self, name):
        """The content of a member, in pieces."""
        begin, left = self.members[name]
        with open(self.path, "rb") as stream:
            stream.seek(begin)
            while left:
                piece = stream.read(min(BLOCK, left))
                if not piece:
                    raise Unusable(f"it is torn: {name} ends early")
                left -= len(piece)
                yield piece

    def room(self, digests):
        """Bytes that each image takes in an engine's store while it is loaded; a layer counts with the first that has it."""
        found, counted = [], set()
        for digest in digests:
            layers = set(self._layers(digest)) - counted
            counted |= layers
            found.append(sum(self._room_of(layer) for layer in layers))
        return found

    def _layers(self, digest):
        """The layers of an image that are here."""
        with readable(digest):
            layers = [layer["digest"] for manifest in self._manifests(digest) for layer in manifest["layers"]]
            return [layer for layer in layers if blob(layer) in self.members]

    def _architectures(self, digest):
        """What an image is for, as its own configuration says it: a plain manifest says nothing of it."""
        with readable(digest):
            configs = [manifest["config"]["digest"] for manifest in self._manifests(digest)]
            return {str(self._json(config)["architecture"]) for config in configs}

    def _manifests(self, digest):
        """The manifest of an image; of an index those that are here."""
        top = self._json(digest)
        below = [each["digest"] for each in top.get("manifests") or []]
        return (
            [one for each in below if blob(each) in self.members for one in self._manifests(each)] if below else [top]
        )

    def _json(self, digest):
        return json.loads(b"".join(self.pieces(blob(digest))))

    def _room_of(self, layer):
        """A layer's bytes as they arrive, and as they are unpacked."""
        begin, size = self.members[blob(layer)]
        with open(self.path, "rb") as stream:
            stream.seek(begin)
            head = stream.read(len(GZIP))
            stream.seek(begin + max(0, size - 4))
            tail = stream.read(4)
        return size + (unpacked(size, int.from_bytes(tail, "little")) if head == GZIP else 2 * size)

    def check(self):
        """Reads all of it; raises Unusable for a blob that is not what its name says, and an image of another architecture."""
        for name in sorted(self.members):
            if name.startswith("blobs/sha256/") and sha256_of(self.pieces(name)) != name.rpartition("/")[2]:
                raise Unusable(f"it is damaged: {name} is not what its name says")
        for name, digest in sorted(self.images.items()):
            if other := sorted(self._architectures(digest) - {self.architecture}):
                raise Unusable(
                    f"it says that it is for {self.architecture}, and {name} in it is for {', '.join(other)}"
                )


def unpacked(size, reported):
    """Bytes in a gzip file of this size that says `reported` (RFC 1952, ISIZE: the number modulo 2**32, of its last part)."""
    if reported < size:
        reported += -(-(size - reported) // WRAP) * WRAP
    return reported if reported <= MOST_RATIO * size or reported < WRAP else 2 * size


def texts(mapping):
    """A mapping of texts to texts; raises ValueError for anything else."""
    found = dict(mapping)
    if not all(isinstance(text, str) for pair in found.items() for text in pair):
        raise ValueError("not all of it is text")
    return found


def sha256_of(pieces):
    """The digest of what comes in pieces, as hex digits."""
    found = hashlib.sha256()
    for piece in pieces:
        found.update(piece)
    return found.hexdigest()


def sha256_of_file(path):
    """The digest of a file, as hex digits."""
    with open(path, "rb") as stream:
        return sha256_of(iter(lambda: stream.read(BLOCK), b""))


def places(given=""):
    """Where an archive may be on this server, each once: where it is said to be, and where it is by default."""
    return list(dict.fromkeys(filter(None, (given, PLACE))))


def there(path):
    """The archive at this place; None without one, or with one that cannot be used."""
    try:
        return Archive(path) if os.path.isfile(path) else None
    except (OSError, Unusable):
        return None
