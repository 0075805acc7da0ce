"""The doctor on the file system that callers' files have of their own, while they are received whole."""

import os

from ansible.module_utils.doctor.check import Check, healthy, unhealthy, unknown
from ansible.module_utils.host.loop_mount import backing

PLACE, UNIT = "/var/lib/deepgram/uploads", "var-lib-deepgram-uploads.mount"
IMAGE = PLACE + ".img"
FULL, GB = 0.95, 1000 * 1000 * 1000


def buffer(host):
    if UNIT not in (host.recorded("nginx_proxy").get("units") or {}):
        return unknown("callers' files have no file system of their own here")
    seen = backing(PLACE, host.root)
    if seen != IMAGE:
        return unhealthy(f"{seen or 'nothing'} is mounted at {PLACE}")
    return room(os.statvfs(host.path(PLACE)))


def room(found):
    size, used = (blocks * found.f_frsize / GB for blocks in (found.f_blocks, found.f_blocks - found.f_bavail))
    text = f"{used:.1f} of {size:.1f} GB used"
    if found.f_flag & os.ST_RDONLY:
        fix = f"on the server: dmesg | grep EXT4-fs says why; then systemctl restart {UNIT}"
        return unhealthy(f"{PLACE} is read-only", "the disk below it failed", fix)
    if used > FULL * size:
        fix = "set nginx_proxy_upload_buffer_gb higher, or nginx_proxy_connections_per_key, then dgctl provision"
        return unhealthy(text, "callers send more at a time than has room: they get 503", fix)
    return healthy(text)


CHECKS = (
    Check(
        "upload buffer", buffer,
        "the file system that callers' files have of their own (nginx_proxy_upload_buffer_gb): mounted, and how full",
        f"{IMAGE} is mounted, and filled below {FULL:.0%}",
        "its unit was stopped, or could not mount it: NGINX refuses files above 1 MB (503)",
        f"on the server: systemctl restart {UNIT} && systemctl reload nginx; where that fails: dgctl provision",
        True, (), False,
        stands_on=("disk", "units"),
    ),
)  # fmt: skip
