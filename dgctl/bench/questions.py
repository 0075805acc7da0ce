"""What a bench asks a server, by its profile: streams, files, or texts to be spoken."""

from __future__ import annotations

from dgctl.base.errors import DgctlError, Exit, Problem
from dgctl.base.words import listed
from dgctl.bench.job import FILES, STREAMS, TTS, file_query, stream_query
from dgctl.deployment.deployment import SERVING, Deployment, Host
from dgctl.verify import topology, voices

# What a profile can be measured with.
OF_PROFILES = {"stt": (STREAMS, FILES), "flux": (STREAMS,), "aura": (TTS,), "flux_tts": (TTS,)}
SPEAKING = [profile for profile, kinds in OF_PROFILES.items() if TTS in kinds]


def require_voices(deployment: Deployment) -> None:
    """Raises DgctlError (exit 2) where no server of the inventory speaks."""
    names = deployment.members(*SERVING)
    if not any(deployment.hosts[name].vars.get("deepgram_profile") in SPEAKING for name in names):
        fix = f"measure what they do with --streams or --files, or give one deepgram_profile: {' or '.join(SPEAKING)}"
        raise DgctlError(Problem("no server of this inventory speaks", "--tts", fix=fix), Exit.USAGE)


def question(deployment: Deployment, host: Host, kind: str) -> tuple[str, dict[str, str]]:
    """(path, query) of what is asked of a server; raises DgctlError (exit 2) where it serves nothing of the kind."""
    desired = topology.desired_state(deployment, host)
    profile = desired["deepgram_profile"] or "stt"
    language = desired["deepgram_verify_language"] or "en"
    if kind not in OF_PROFILES.get(profile, ()):
        can = listed([f"--{one}" for one in OF_PROFILES.get(profile, ())]) or "nothing yet"
        problem = Problem(
            f"a server of the profile {profile} is measured with {can}", host.name, f"--{kind}", f"give {can}"
        )
        raise DgctlError(problem, Exit.USAGE)
    if kind == TTS:
        return spoken(host, desired["voices"])
    if desired["flux"]:
        return stream_query(desired["flux"], "", True)
    model = desired["speech"].get("streaming" if kind == STREAMS else "batch")
    if not model:
        fix = "name one in deepgram_verify_model"
        raise DgctlError(Problem(f"no model in deepgram_models_links serves {kind}", host.name, fix=fix), Exit.USAGE)
    return stream_query(model, language, False) if kind == STREAMS else file_query(model, language)


def spoken(host: Host, known: list[dict[str, str]]) -> tuple[str, dict[str, str]]:
    """(path, query) of a text to be spoken; raises DgctlError (exit 2) where no voice is known."""
    if not known:
        fix = "name one in deepgram_verify_voice"
        raise DgctlError(Problem("no voice is known that this server speaks with", host.name, fix=fix), Exit.USAGE)
    return known[0]["path"], voices.query(known[0]["model"])
