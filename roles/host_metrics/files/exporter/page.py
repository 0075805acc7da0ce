"""The page that Prometheus reads: its text format, version 0.0.4.

Source: prometheus.io/docs/instrumenting/exposition_formats.
"""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Page:
    """Samples by metric, in the order in which metrics were first named."""

    def __init__(self):
        self.metrics = {}  # name -> (type, help, [(labels, value)])

    def add(self, name, about, value, /, metric_type="gauge", **labels):
        """One sample; None is a value that nobody knows, and leaves no trace."""
        samples = self.metrics.setdefault(name, (metric_type, about, []))[2]
        if value is not None:
            samples.append((labels, float(value)))

    def extend(self, other):
        for name, (kind, about, samples) in other.metrics.items():
            self.metrics.setdefault(name, (kind, about, []))[2].extend(samples)

    def text(self):
        lines = []
        for name, (kind, about, samples) in self.metrics.items():
            if samples:
                lines += [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
                lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]
        return "\n".join([*lines, ""])


def _labels(labels):
    pairs = [f'{key}="{str(value).translate(_ESCAPES)}"' for key, value in labels.items()]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _number(value):
    return str(int(value)) if value == int(value) else repr(value)
