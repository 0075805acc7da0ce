"""Files as a tar archive in memory, the form in which images and containers take them."""

import io
import tarfile


def tar_of(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar of path -> (content, mode), owned by root, without times."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (content, mode) in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
