"""What a CDI specification says, read without a parser of YAML, which hosts need not have. Only reads text."""

import re

from ansible.module_utils.nvidia.host import VERSION

NEWEST = (1, 1, 0)  # of the CDI specification, read 2026-11: what is above it nobody reads yet
_KIND = re.compile(r"""["']?kind["']?\s*:\s*["']?nvidia\.com/gpu["']?\s*(?:,|$)""", re.MULTILINE)
_VERSION = re.compile(r"""["']?cdiVersion["']?\s*:\s*["']?v?(\d+(?:\.\d+)*)""")
_LIBRARY = re.compile(r"lib(?:cuda|nvidia-ml)\.so\." + VERSION)
_CUDA = re.compile(r"libcuda\.so\.")
_UUID = re.compile(r"\bGPU-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
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


def uuids(text):
    """The UUIDs of the GPUs that it names, or that the driver's own files do; a CDI file may have numbers alone."""
    return set(_UUID.findall(text))


def wrong_uuids(text, present):
    """What is wrong with the UUIDs in a file where these GPUs are present, in words; "" for nothing."""
    named = uuids(text)
    foreign, missing = sorted(named - set(present)), sorted(set(present) - named)
    if not present or not (foreign or (named and missing)):
        return ""
    return f"names {foreign[0]}, a GPU that is not here" if foreign else f"lacks {missing[0]}"


def same(text, other):
    """Do two files hand out the same? In which order nvidia-ctk finds libraries is no difference."""
    return sorted(text.split()) == sorted(other.split())


def dotted(numbers):
    return ".".join(map(str, numbers))
