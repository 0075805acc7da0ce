"""What is gathered, each by a thread of its own: one that hangs takes nobody with it, and what is old is not told."""

import sys
import threading
import time

import ask
import gpus
import proxy
import services
import watchdog
from page import Page


class Collector:
    """`gather(page)` fills a page, every `interval_s` seconds."""

    def __init__(self, name, gather, interval_s):
        self.name, self.gather, self.interval_s = name, gather, interval_s
        self.page, self.good_at, self.started, self.reported = Page(), None, time.monotonic(), ""

    def look(self):
        """Gathers once; what fails is said once, and leaves the last page to grow old."""
        page = Page()
        try:
            self.gather(page)
            self.page, self.good_at, self.reported = page, time.monotonic(), ""
        except Exception as error:
            kind = "" if isinstance(error, ask.Silent) else f"{type(error).__name__}: "
            if str(error) != self.reported:
                self.reported = str(error)
                print(f"{self.name}: {kind}{error}", file=sys.stderr, flush=True)

    def run(self):
        while True:
            begin = time.monotonic()
            self.look()
            time.sleep(max(1.0, self.interval_s - (time.monotonic() - begin)))

    def fresh(self):
        """Whether what it gathered is of now: two rounds may fail."""
        return self.good_at is not None and time.monotonic() - self.good_at <= 3 * self.interval_s + 5

    def tell(self, page):
        about = "Whether this part of the exporter has figures of now; without them it tells none"
        young = self.good_at is None and time.monotonic() - self.started < 3 * self.interval_s
        page.add("dgctl_collector_up", about, None if young else self.fresh(), collector=self.name)
        if self.fresh():
            page.extend(self.page)


def collectors(config):
    """Those for the parts that the configuration names."""
    interval_s, found = float(config["interval_s"]), {}
    relay, apis = config.get("license_proxy"), config.get("apis") or {}
    for part, url in apis.items():
        found[part] = _api(part, url, {"api": part} if len(apis) > 1 else {})
    if relay:
        found["license_proxy"] = lambda page: (
            services.license_proxy(page, relay),
            services.certificates(page, "license-proxy", relay),
        )
    if billing := config.get("billing"):
        found["billing"] = lambda page: services.certificates(page, "billing", billing)
    if config.get("gpus"):
        found["gpus"], found["kernel_log"] = gpus.figures, gpus.Xids().figures
    if config.get("watch"):
        found["watchdog"] = watchdog.figures
    if config.get("proxy"):
        found.update(_proxy(config["proxy"]))
    return [Collector(name, gather, interval_s) for name, gather in found.items()]


def _api(part, url, names):
    return lambda page: (services.api(page, url, **names), services.certificates(page, part, url))


def _proxy(config):
    port, log = int(config["port"]), proxy.AccessLog(config["access_log"])

    def behind():
        return proxy.behind(config["upstreams"], config["servers"])

    def certificate(page):
        about = "When the certificate ends that callers are served, seconds since 1970"
        end = ask.certificate_end("127.0.0.1", port, config["server_name"])
        page.add("dgctl_tls_not_after_timestamp_seconds", about, end, server_name=config["server_name"])

    found = {
        "tls": certificate,
        **({"acme": lambda page: services.renewal(page, config["acme"])} if config.get("acme") else {}),
        "proxy_connections": lambda page: proxy.connections(page, port, behind()[0]),
        "proxy_log": lambda page: log.figures(page, behind()[0]),
    }
    if config.get("overflow"):
        found["proxy_overflow"] = lambda page: proxy.overflow(page, config["upstreams"], config["overflow"])
    if config.get("members"):
        found["proxy_members"] = lambda page: proxy.members(page, config["members"], behind()[1])
    return found


def start(found):
    for collector in found:
        threading.Thread(target=collector.run, daemon=True).start()
