"""What a CDI specification says, read without a parser of YAML, which hosts need not have. Only reads text."""

import re

from ansible.module_utils.nvidia_host import VERSION

NEWEST = (1, 1, 0)  # of the CDI specification, read 2026-11: what is above it nobody reads yet
_KIND = re.compile(r"""["']?kind["']?\s*:\s*["']?nvidia\.com/gpu["']?\s*(?:,|$)""", re.MULTILINE)
_VERSION = re.compile(r"""["']?cdiVersion["']?\s*:\s*["']?v?(\d+(?:\.\d+)*)""")
_LIBRARY = re.compile(r"lib(?:cuda|nvidia-ml)\.so\." + VERSION)
_CUDA = re.compile(r"libcuda\.so\.")
_HOST_PATH = re.compile(r"""["']?hostPath["']?\s*:\s*["']?(/[^"'\s,]+)""")


def is_nvidia(text):
    """Does it hand out NVIDIA's GPUs?"""
    return bool(_KIND.search(text))


def version(text):
    """The version of its form as numbers, such as (0, 7, 0); () when it names none."""
    match = _VERSION.search(text)
    return tuple(map(int, match.group(1).split("."))) if match else ()


def drivers(text):
    """The driver versions whose libraries it hands out; one in a good file."""
    return sorted(set(_LIBRARY.findall(text)))


def has_cuda(text):
    """Does it hand out the CUDA library, without which a container has a GPU and cannot compute?"""
    return bool(_CUDA.search(text))


def host_paths(text):
    """The files of the host that it mounts, each once, in its order."""
    return list(dict.fromkeys(_HOST_PATH.findall(text)))


def dotted(numbers):
    return ".".join(map(str, numbers))
