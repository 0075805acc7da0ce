"""Each alert once with what sets it off, and once with what must not.

A case is {series: values in promtool's notation, one a minute} for red and for green, and the minute at which it is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86400


@dataclass(frozen=True)
class Case:
    alert: str
    at_m: int
    red: dict[str, str]
    green: dict[str, str]


def engine(name: str, **labels: str) -> str:
    reported = {"job": "deepgram_engine", "instance": "gpu1", "profile": "stt", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in reported.items()) + "}"


def host(name: str, **labels: str) -> str:
    return engine(name, **{"job": "deepgram_host", **labels})


def proxy(name: str, **labels: str) -> str:
    reported = {"job": "deepgram_host", "instance": "lb1", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in reported.items()) + "}"


def rising(per_minute: float, minutes: int) -> str:
    return f"0+{per_minute}x{minutes}"


def latency(mean_s: float, within_400ms: float, within_1500ms: float, minutes: int) -> dict[str, str]:
    """600 results a minute, of which these shares are below 0.4 and 1.5 s."""
    shares = {"0.4": within_400ms, "1.5": within_1500ms, "2.0": 1, "+Inf": 1}
    name = "engine_stream_latency"
    found = {engine(f"{name}_bucket", le=le): rising(600 * share, minutes) for le, share in shares.items()}
    sums = {engine(f"{name}_sum"): rising(600 * mean_s, minutes), engine(f"{name}_count"): rising(600, minutes)}
    return found | sums


def files(factor: float, audio_s: float, minutes: int) -> dict[str, str]:
    """Ten files a minute."""
    name = "engine_asr_per_file"
    return {
        engine(f"{name}_audio_duration_seconds_sum"): rising(10 * audio_s, minutes),
        engine(f"{name}_audio_duration_seconds_count"): rising(10, minutes),
        engine(f"{name}_wall_time_seconds_sum"): rising(10 * audio_s / factor, minutes),
    }


def speech(share_200ms: float, share_400ms: float, share_500ms: float, minutes: int) -> dict[str, str]:
    """120 answers a minute."""
    name = "engine_tts_first_transcoded_byte_latency"
    shares = {"0.1": 0, "0.2": share_200ms, "0.4": share_400ms, "0.5": share_500ms, "1.0": 1, "+Inf": 1}
    found = {engine(f"{name}_bucket", le=le): rising(120 * share, minutes) for le, share in shares.items()}
    return found | {engine(f"{name}_count"): rising(120, minutes)}


def requests(failed: float) -> dict[str, str]:
    """100 requests a minute."""
    name = "engine_requests_total"
    return {
        engine(name, kind="stream", response_status="5xx"): rising(100 * failed, 15),
        engine(name, kind="stream", response_status="2xx"): rising(100 * (1 - failed), 15),
    }


def load(active: int, limit: int) -> dict[str, str]:
    return {
        engine("engine_active_requests", kind="stream"): f"{active}x20",
        engine("engine_max_active_requests"): f"{limit}x20",
    }


def ends(name: str, in_days: float, **labels: str) -> dict[str, str]:
    """Asked after two hours of promtool's clock, which begins at 1970."""
    return {host(name, **labels): f"{int(in_days * DAY)}x130"}


TWO = {engine("engine_max_active_requests"): "100x20", engine("engine_max_active_requests", instance="gpu2"): "60x20"}
SUPPORT, LIFE = "dgctl_release_end_of_support_timestamp_seconds", "dgctl_release_end_of_life_timestamp_seconds"
RENEWAL = "dgctl_tls_renewal_failing_since_timestamp_seconds"
CERTIFICATE = "dgctl_tls_not_after_timestamp_seconds"

CASES = (
    Case("StreamLatencyMean", 15, latency(0.45, 0.6, 1, 15), latency(0.35, 0.6, 1, 15)),
    Case("StreamLatencyTail", 15, latency(0.3, 0.9, 0.97, 15), latency(0.3, 0.9, 0.995, 15)),
    Case("StreamsLate", 20, latency(0.39, 0.4, 1, 20), latency(0.39, 0.6, 1, 20)),
    Case("FilesSlow", 70, files(80, 600, 70), files(120, 600, 70)),
    Case("ErrorsHigh", 10, requests(0.06), requests(0.04)),
    Case("Saturated", 15, load(75, 100), load(65, 100)),
    Case(
        "NoRoomForAFailure",
        15,
        TWO | {engine("engine_active_requests"): "40x20", engine("engine_active_requests", instance="gpu2"): "25x20"},
        TWO | {engine("engine_active_requests"): "30x20", engine("engine_active_requests", instance="gpu2"): "25x20"},
    ),
    Case(
        "QueueGrows",
        30,
        {host("dgctl_api_active_requests", kind="batch"): "20+2x40", engine("engine_active_requests", kind="batch"): "10x40"},
        {host("dgctl_api_active_requests", kind="batch"): "20x40", engine("engine_active_requests", kind="batch"): "10x40"},
    ),
    Case("TTSLatencyHigh", 15, speech(0.8, 0.99, 1, 15), speech(0.95, 0.99, 1, 15)),
    Case("TTSLatencyVeryHigh", 15, speech(0.5, 0.8, 1, 15), speech(0.5, 0.95, 1, 15)),
    Case("TTSTailLatencyVeryHigh", 15, speech(0.95, 0.97, 0.98, 15), speech(0.95, 0.97, 0.995, 15)),
    Case(
        "TTSLatencyRegression",
        90,
        {series: f"{values} {step}" for series, values, step in (
            (engine("engine_tts_first_transcoded_byte_latency_bucket", le="0.1"), "0+108x60", "6480+12x40"),
            (engine("engine_tts_first_transcoded_byte_latency_bucket", le="0.2"), "0+120x60", "7200+24x40"),
            (engine("engine_tts_first_transcoded_byte_latency_bucket", le="0.3"), "0+120x60", "7200+120x40"),
            (engine("engine_tts_first_transcoded_byte_latency_bucket", le="+Inf"), "0+120x60", "7200+120x40"),
            (engine("engine_tts_first_transcoded_byte_latency_count"), "0+120x60", "7200+120x40"),
        )},
        speech(0.8, 0.99, 1, 90),
    ),
    Case("ReleaseEndsIn180Days", 120, ends(SUPPORT, 170, part="api"), ends(SUPPORT, 190, part="api")),
    Case("ReleaseEndsIn90Days", 120, ends(SUPPORT, 80, part="api"), ends(SUPPORT, 100, part="api")),
    Case("ReleaseRefusesToStart", 120, ends(LIFE, 20, part="api"), ends(LIFE, 40, part="api")),
    Case("TLSEndsIn21Days", 120, ends(CERTIFICATE, 20, server_name="x"), ends(CERTIFICATE, 23, server_name="x")),
    Case("TLSEndsIn7Days", 120, ends(CERTIFICATE, 6, server_name="x"), ends(CERTIFICATE, 8, server_name="x")),
    Case("TLSRenewalFails", 1460, {host(RENEWAL): "1x1460"}, {host(RENEWAL): "1x900 0x560"}),
    Case(
        "LicenceTrustBased",
        70,
        {host("dgctl_license_proxy_state", state="TrustBased"): "1x70"},
        {host("dgctl_license_proxy_state", state="TrustBased"): "1x30 0x40"},
    ),
    Case("LicenceFailed", 5, {host("dgctl_license_proxy_up"): "0x5"}, {host("dgctl_license_proxy_up"): "1x5"}),
    Case("ServerSilent", 5, {host("up"): "0x5"}, {host("up"): "1x5"}),
    Case("EngineSilent", 15, {engine("up"): "0x15", host("up"): "1x15"}, {engine("up"): "0x15", host("up"): "0x15"}),
    Case(
        "TargetSilent",
        10,
        {host("up"): "1x10", engine("up", job="node"): "0x10"},
        {host("up"): "0x10", engine("up", job="node"): "0x10"},
    ),
    Case("NodeOutByItself", 15, {host("dgctl_watch_out"): "1x15"}, {host("dgctl_watch_out"): "1x8 0x7"}),
    Case("WatchdogSilent", 10, {host("dgctl_watch_up"): "0x10"}, {host("dgctl_watch_up"): "0x4 1x6"}),
    Case(
        "FiguresSilent",
        10,
        {host("dgctl_collector_up", collector="gpus"): "0x10"},
        {host("dgctl_collector_up", collector="gpus"): "0x4 1x6"},
    ),
    Case("ApiDown", 5, {host("dgctl_api_up"): "0x5"}, {host("dgctl_api_up"): "1x5"}),
    Case(
        "ApiUnhealthy",
        10,
        {host("dgctl_api_health", state="Critical"): "1x10"},
        {host("dgctl_api_health", state="Critical"): "0x10", host("dgctl_api_health", state="Initializing"): "1x10"},
    ),
    Case(
        "NodeOut",
        5,
        {proxy("dgctl_proxy_member_state", member="gpu1", state="down"): "1x5"},
        {proxy("dgctl_proxy_member_state", member="gpu1", state="drained"): "1x5"},
    ),
    Case(
        "NodeLeftOut",
        70,
        {proxy("dgctl_proxy_member_drained", member="gpu1", reason="failed"): "1x70"},
        {proxy("dgctl_proxy_member_drained", member="gpu1", reason="operator"): "1x70"},
    ),
    Case(
        "NobodyServes",
        5,
        {proxy("dgctl_proxy_member_state", member="gpu1", state="up"): "0x5"},
        {
            proxy("dgctl_proxy_member_state", member="gpu1", state="up"): "0x5",
            proxy("dgctl_proxy_member_state", member="gpu2", state="up"): "1x5",
        },
    ),
    Case(
        "RetriesHigh",
        20,
        {proxy("dgctl_proxy_retries_total"): "0+8x20", proxy("dgctl_proxy_responses_total", status="2xx"): "0+100x20"},
        {proxy("dgctl_proxy_retries_total"): "0+4x20", proxy("dgctl_proxy_responses_total", status="2xx"): "0+100x20"},
    ),
    Case(
        "OverflowUsed",
        25,
        {proxy("dgctl_proxy_overflow_requests_total", answer="2xx"): "0+3x25"},
        {
            proxy("dgctl_proxy_overflow_requests_total", answer="2xx"): "0+3x15 45x10",  # it is over
            proxy("dgctl_proxy_overflow_requests_total", answer="full"): "0+3x25",  # nothing went there
            proxy("dgctl_proxy_overflow_connections"): "2x15 0x10",
        },
    ),
    Case(
        "OverflowFails",
        25,
        {proxy("dgctl_proxy_overflow_requests_total", answer="401"): "0+1x25"},
        {
            proxy("dgctl_proxy_overflow_requests_total", answer="401"): "0x10 1x15",
            proxy("dgctl_proxy_overflow_requests_total", answer="2xx"): "0+9x25",
            proxy("dgctl_proxy_overflow_requests_total", answer="none"): "0+9x25",
            proxy("dgctl_proxy_overflow_address_known"): "1x25",
        },
    ),
    Case(
        "GpuGone",
        10,
        {host("dgctl_gpus_on_bus"): "2x5 1x5", host("dgctl_gpus_answering"): "2x5 1x5"},
        {host("dgctl_gpus_on_bus"): "2x10", host("dgctl_gpus_answering"): "2x10"},
    ),
    Case(
        "GpuError",
        5,
        {host("dgctl_xid_errors_total", xid="79"): "0 0 0 1 1 1"},
        {host("dgctl_xid_errors_total", xid="79"): "1x5", host("dgctl_xid_errors_total", xid="31"): "0 0 0 1 1 1"},
    ),
    Case(
        "GpuSlowedDown",
        10,
        {host("dgctl_gpu_slowdown", gpu="0", reason="hw_slowdown"): "1x10"},
        {host("dgctl_gpu_slowdown", gpu="0", reason="hw_slowdown"): "1 0 1 0 1 0 1 0 1 0 1"},
    ),
    Case(
        "GpuMemoryErrors",
        5,
        {host("dgctl_gpu_memory_errors", gpu="0"): "3x5"},
        {host("dgctl_gpu_memory_errors", gpu="0"): "0x5", host("dgctl_gpu_memory_repair_pending", gpu="0"): "0x5"},
    ),
    Case("DriverMismatch", 5, {host("dgctl_driver_mismatch"): "1x5"}, {host("dgctl_driver_mismatch"): "0x5"}),
    Case(
        "DiskFull",
        15,
        {
            engine("node_filesystem_avail_bytes", job="node", fstype="ext4", mountpoint="/"): "9x15",
            engine("node_filesystem_size_bytes", job="node", fstype="ext4", mountpoint="/"): "100x15",
        },
        {
            engine("node_filesystem_avail_bytes", job="node", fstype="ext4", mountpoint="/"): "11x15",
            engine("node_filesystem_size_bytes", job="node", fstype="ext4", mountpoint="/"): "100x15",
        },
    ),
)  # fmt: skip

# Besides: what must set an alert off too, or must not.
MORE = (
    # A stream that goes on is in no log yet; a name that DNS does not know is as bad as a refusal.
    Case("OverflowUsed", 25, {proxy("dgctl_proxy_overflow_connections"): "2x25"}, {}),
    Case("OverflowFails", 15, {proxy("dgctl_proxy_overflow_address_known"): "0x25"}, {}),
    Case(
        "OverflowFails",
        25,
        {proxy("dgctl_proxy_overflow_requests_total", answer="full"): "0+1x25"},
        {proxy("dgctl_proxy_overflow_requests_total", answer="full"): "0+0.3x25"},
    ),
    # An Engine without a limit counts by its own estimate; Flux by its streams, in both spellings of the pages.
    Case(
        "Saturated",
        15,
        load(50, 0) | {engine("engine_estimated_stream_capacity"): "60x20"},
        load(30, 0) | {engine("engine_estimated_stream_capacity"): "60x20"},
    ),
    Case(
        "Saturated",
        15,
        load(1, 100) | {engine("engine_flux_used_streams"): "8x20", engine("engine_flux_max_streams"): "10x20"},
        load(90, 100) | {engine("engine_flux_used_streams"): "3x20", engine("engine_flux_max_streams"): "10x20"},
    ),
    Case(
        "Saturated",
        15,
        {engine("flux_used_streams"): "8x20", engine("flux_max_streams"): "10x20"},
        {engine("flux_used_streams"): "3x20", engine("flux_max_streams"): "10x20"},
    ),
    # Short files are no proof that a GPU is slow.
    Case("FilesSlow", 70, files(80, 61, 70), files(20, 5, 70)),
    # One slow answer on an idle server is no quantile.
    Case(
        "TTSLatencyHigh",
        15,
        speech(0.8, 0.99, 1, 15),
        {name: values.replace("0+", "0+0.0") for name, values in speech(0, 0, 0, 15).items()},
    ),
    # A counter that starts again counts from there.
    Case(
        "ErrorsHigh",
        10,
        {key: f"{values[:-2]}4 {values}" for key, values in requests(0.2).items()},
        {key: f"{values[:-2]}4 {values}" for key, values in requests(0.04).items()},
    ),
    Case(
        "GpuGone",
        10,
        {host("dgctl_gpus_on_bus"): "1x10", host("dgctl_gpus_answering"): "0x10"},
        {host("dgctl_gpus_on_bus"): "1x10"},
    ),
    Case(
        "LicenceFailed",
        5,
        {host("dgctl_license_proxy_state", state="Failed"): "1x5"},
        {host("dgctl_license_proxy_state", state="Failed"): "0x5"},
    ),
    # One server alone has nobody beside it: that is no alert for ever.
    Case("NoRoomForAFailure", 15, TWO | {engine("engine_active_requests"): "90x20"}, load(90, 100)),
)  # fmt: skip
