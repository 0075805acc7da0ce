"""What runs in a container deepgram-COMPONENT: one of four kinds, of Engines and APIs several (engine-NAME, api-GROUP)."""

# Each is a project of its own: the others of the server are nothing to it.
ALONE = ("license-proxy", "billing")
KINDS = ("engine", "api", *ALONE)
PREFIX = "deepgram-"
ROLES = ("deepgram", "license_proxy", "billing")  # which run them


def kind(component):
    """Which of KINDS a component is; a word that is none of them for another's."""
    return component if component in KINDS else component.split("-")[0]


def folder(component):
    """Where the files of its project are."""
    return f"/etc/{PREFIX}{component}" if component in ALONE else "/etc/deepgram"


def component(container):
    """The component that a container or unit is named after; "" for a name of others."""
    rest = container[len(PREFIX) :] if container.startswith(PREFIX) else ""
    return rest if kind(rest) in KINDS else ""
