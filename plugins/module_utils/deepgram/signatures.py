"""What lines of the Deepgram programs' logs mean, and what to do: a table that provision, verify and doctor read.

Sources: `parser` is diagnostics/dg_log_parser.sh of github:deepgram/self-hosted-resources (d78df52); `flux`, `formats` and
`fips` are pages of developers.deepgram.com/docs (flux-self-hosted, log-formats, fips-compliant-deployment); `#N` is an issue
or pull request of deepgram/self-hosted-resources; `inferred` is how Rust, CUDA or the loader say it: no log of a real program
shows it.
"""

from __future__ import annotations

import re
from collections import namedtuple

# name; pattern of one event as deepgram_log.events spells it (case does not matter); meaning; remediation, in which {url} is
# what the pattern's group `url` caught; source; the day on which it was read there.
Signature = namedtuple("Signature", "name pattern meaning remediation source read")
Diagnosis = namedtuple("Diagnosis", "name meaning remediation line")

READ = "2026-11-29"
_AEGIS = r"Aegis request to (?P<url>\S+) failed\b"
_REFUSED = r"(?<![\w.=-])401(?![\w.-])|\b(status|code)=401\b|unauthorized|forbidden|denied"
_SETTINGS = "deepgram_api_settings, deepgram_engine_settings or license_proxy_settings"

TABLE = (
    Signature(
        "no key", r"Missing license configuration",
        "no key was given to the program: its environment holds no DEEPGRAM_API_KEY",
        "set deepgram_api_key in group_vars/all/vault.yml (`ansible-vault edit`), then `dgctl provision`: it writes "
        "DEEPGRAM_API_KEY into deepgram.env, and the container reads it when it is recreated",
        "parser", READ,
    ),
    Signature(
        "key refused", rf"{_AEGIS}.*({_REFUSED})|licen[sc]e.*(unauthorized|forbidden|denied)",
        "the licence server refuses the key",
        "check deepgram_api_key: the licence server refuses it, or it lacks the self-hosted permission "
        "(console.deepgram.com shows whether it is active)",
        "parser", READ,
    ),
    Signature(
        "licence server has no address", rf"{_AEGIS}.*(dns error|failed to lookup)",
        "the container finds no address for its licence server",
        "make {url} resolve on this server (`getent hosts` with its name; the container asks the same name servers), or "
        "correct deepgram_license_servers",
        "parser", READ,
    ),
    Signature(
        "licence server unreachable", r"Aegis request to (?P<url>\S*license\.deepgram\.com\S*) failed\b",
        "Deepgram's licence server does not answer this server",
        "let this server reach {url}, port 443: a firewall or an HTTP proxy is between them",
        "parser", READ,
    ),
    Signature(
        "license proxy unreachable", _AEGIS,
        "the License Proxy, or another licence server of deepgram_license_servers, does not answer",
        "see that {url} runs, is healthy and is reached from this server: for a License Proxy `docker ps` or "
        "`systemctl status deepgram-license-proxy` there, and its port open in that server's firewall",
        "parser", READ,
    ),
    Signature(
        "LD_LIBRARY_PATH", r"libicui18n\S*: cannot open",
        "LD_LIBRARY_PATH was set for the Engine, and hides libraries of its own image",
        "take LD_LIBRARY_PATH out of deepgram_engine_environment, then `dgctl provision`",
        "#177, #179, #180", READ,
    ),
    Signature(
        "no libcuda", r"libcuda\.so\S*: cannot open",
        "the GPU's libraries are missing in the container",
        "run `systemctl restart nvidia-cdi-refresh.service` on the server, then run again: the GPU's libraries lack",
        "#177", READ,
    ),
    Signature(
        "too few GPUs", r"insufficient devices",
        "the models need more GPUs than the Engine has (Aura-2: two)",
        "give this node as many GPUs as its models need (deepgram_gpu_devices), or take those models out of "
        "deepgram_models_links",
        "#109", READ,
    ),
    Signature(
        "no GPU", r"\bno (usable |available |visible )?gpus?\b|\bgpu\b.*\b(not found|required|unavailable)\b|\bno cuda\b",
        "the Engine finds no GPU",
        "make the GPU visible: `nvidia-smi` and `nvidia-ctk cdi list` on the server must show it",
        "inferred", READ,
    ),
    Signature(
        "GPU memory", r"\bout of memory\b",
        "the GPU has no memory left; a Flux Engine takes all of it, and serves no other model",
        "use fewer models on this node, or a GPU with more memory; a Flux model needs a node of its own",
        "flux", READ,
    ),
    Signature(
        "Flux model missing", r"Can't find flux-\S+ model",
        "the Flux model that the Engine is to run is not among its files; without [flux] model_name it is flux-general-en",
        "name the link of that Flux model in deepgram_models_links, or set deepgram_engine_settings.flux.model_name to the "
        "one that is there",
        "flux", READ,
    ),
    Signature(
        "--log-format unknown", r"unexpected argument '--log-format'",
        "the image is older than --log-format, or it stands after `serve`",
        "set deepgram_release to release-260319 or newer",
        "formats", READ,
    ),
    Signature(
        "image too old for Flux", r"missing field `socket_path`",
        "the Engine's image is older than Flux",
        "set deepgram_release to release-251015 or newer",
        "flux", READ,
    ),
    Signature(
        "models unreadable", r"Unable to read model search path",
        "the directory of the models is not there inside the container, or cannot be read",
        "see that deepgram_models_dir is there on the server and is mounted into the Engine, then `dgctl provision`",
        "parser", READ,
    ),
    Signature(
        "model of another project",
        r"Failed to load model\b.*(\b(no|missing) ?manifest|manifest.*not found)",
        "the model was issued for another project than the key",
        "use the link of that model which your Deepgram project was given, or the key of the model's project",
        "#61 (its title alone: the line is in a picture)", READ,
    ),
    Signature(
        "Flux not enabled", r"Failed to load model\b.*unknown variant `turn-taking`",
        "the Engine has a Flux model, and Flux is not enabled",
        "set deepgram_profile: flux for this server, or take the Flux model out of its deepgram_models_links",
        "flux", READ,
    ),
    Signature(
        "model refused", r"Failed to load model\b",
        "the Engine cannot load a model file",
        "replace that file: it is corrupt, or belongs to another project than deepgram_api_key",
        "parser", READ,
    ),
    Signature(
        "certificates expired", r"\bcertificates? (has|have|is|are)( \w+)? expired\b|past its end of life",
        "the release's certificates have expired",
        "set deepgram_release to a newer release: this one's certificates have expired",
        "inferred", READ,
    ),
    Signature(
        "configuration not understood",
        r"TOML parse error|Unable to parse configuration|\binvalid (type|value)\b|\bunknown field\b|\bmissing field\b",
        "the program does not understand its configuration",
        f"correct {_SETTINGS}",
        "flux (TOML parse error); else inferred", READ,
    ),
    Signature(
        "default configuration", r"Configuration file not found at|falling back to (the )?(default|bundled)",
        "the program did not find its configuration, and runs with one of its own",
        "see that the file is there and mounted at /config, recreate the container on the server, then run again",
        "parser", READ,
    ),
    Signature(
        "CPU", r"using devices: *cpu\b|\bon device cpu\b",
        "the Engine computes on the CPU",
        "make the GPU visible in the Engine's container: `nvidia-ctk cdi list` must name nvidia.com/gpu=all",
        "parser, flux", READ,
    ),
    Signature(
        "half precision off", r"\bhalf_precision[=:] ?false\b",
        "the GPU does not compute in half precision: inference is much slower",
        "set deepgram_engine_settings: {half_precision: {state: enabled}}, unless the GPU cannot do it",
        "parser", READ,
    ),
    Signature(
        "Flux overload", r"audio_window_end increased by more than \d+ frames",
        "the Flux Engine has more streams than it can serve in time",
        "lower deepgram_engine_settings.flux.max_streams until latency is steady under load",
        "flux", READ,
    ),
    Signature(
        "Engine not reached", r"Unable to get model info from Engine with any drivers",
        "the API reaches no Engine",
        "see that an Engine runs, and that the API's driver_pool in /etc/deepgram/api/api.toml names its address and port",
        "parser", READ,
    ),
)  # fmt: skip
# Of an image that is to be FIPS compliant only: a standard image says the first of itself as well.
FIPS = Signature(
    "not FIPS", r"\b(has_fips_encryption|openssl_fips_enabled)[=:] ?false\b",
    "the program does not run in FIPS mode: both openssl_fips_enabled and has_fips_encryption must be true",
    "set deepgram_release to a tag that ends in -fips, and [fips] mode = \"enabled\" for every program "
    f"({_SETTINGS})",
    "fips, github:deepgram/skills self-hosted/references/kubernetes.md", READ,
)  # fmt: skip
# What does not keep a program from answering.
HARMLESS = frozenset({"half precision off", "Flux overload"})


def named(name):
    return next(signature for signature in TABLE if signature.name == name)


def diagnose(found, names=None, fips=False):
    """The first signature of the table, or of those named, that the events of a log show: a Diagnosis, or None."""
    table = [*([FIPS] if fips else []), *TABLE]
    for signature in [one for one in table if names is None or one.name in names]:
        for line in found:
            match = re.search(signature.pattern, line, re.IGNORECASE)
            if match:
                url = (match.groupdict().get("url") or "the licence server").rstrip(":,")
                fix = signature.remediation.replace("{url}", url)
                return Diagnosis(signature.name, signature.meaning, fix, line)
    return None
