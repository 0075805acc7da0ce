"""The initramfs of a kernel: which modules it would load at boot before any file on disk is read, and rebuilding it."""

import os
import re

from ansible.module_utils.host.outcome import last_line, run

# By the image that a system makes: what lists it, what rebuilds it. {kernel} and {image} are filled in.
KINDS = (
    ("initrd.img-{kernel}", ["lsinitramfs", "{image}"], ["update-initramfs", "-u", "-k", "{kernel}"]),
    ("initramfs-{kernel}.img", ["lsinitrd", "{image}"], ["dracut", "--force", "--kver", "{kernel}"]),
)
# An image that was made elsewhere, such as the rescue image, has its own copy of the module.
KEEP_OFF = "--args=rd.driver.blacklist=nouveau,nova_core modprobe.blacklist=nouveau,nova_core"
MODULE = re.compile(r"/(nvidia|nvidia-current|nouveau|nova_core|nova-core)\.ko")


def stale(kernel, blacklist, module_file="", boot="/boot"):
    """Why this kernel's image must be rebuilt; "" where it need not, or there is none.

    blacklist: the file that keeps nouveau from loading. module_file: the NVIDIA module on disk, "" for none.
    """
    image, lister, _ = _kind(kernel, boot)
    if not image:
        return ""
    older = [path for path in (blacklist, module_file) if path and _time(path) > _time(image)]
    if not older and os.path.exists(blacklist):
        return ""
    rc, out, _err = run(lister, timeout=120)
    inside = set(MODULE.findall(out)) if rc == 0 else set()
    retained_off = os.path.exists(blacklist) and blacklist not in older
    if inside & {"nouveau", "nova_core", "nova-core"} and not retained_off:
        return "it would load nouveau"
    if module_file in older and inside & {"nvidia", "nvidia-current"}:
        return "it holds an older NVIDIA module"
    return ""


def rebuild(kernel, boot="/boot"):
    """Rebuilds the image; where grubby keeps the kernels' arguments, nouveau goes there too. "" or why that failed."""
    _, _, maker = _kind(kernel, boot)
    makers = [maker, ["grubby", "--update-kernel=ALL", KEEP_OFF]] if maker[0] == "dracut" else [maker]
    for argv in makers:
        rc, out, err = run(argv, timeout=1800)
        if rc != 0:
            return last_line(err) or last_line(out) or f"{argv[0]} ended with {rc}"
    return ""


def _kind(kernel, boot):
    """(image, the command that lists it, the command that makes it)."""
    for name, lister, maker in KINDS:
        image = os.path.join(boot, name.format(kernel=kernel))
        if os.path.exists(image):
            return image, *([word.format(kernel=kernel, image=image) for word in words] for words in (lister, maker))
    return "", [], []


def _time(path):
    return os.path.getmtime(path) if os.path.exists(path) else 0
