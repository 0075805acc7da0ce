"""Would a package manager believe a repository, by the key beside it and by who signed its index?"""

from ansible.module_utils.doctor.check import listed
from ansible.module_utils.packages import openpgp


def distrust(host, key, served, cached):
    """(is that sure, why it would not be believed: "" when it would, None when nothing is known of it).

    key: its file; served: the signed index as the repository has it now, cached: as the package manager has it, "" for none.
    What is cached may be older than the key beside it, and says nothing for sure.
    """
    if not host.exists(key):
        return True, f"its key {key} is not there"
    try:
        with open(host.path(key), "rb") as stream:
            trusted = openpgp.all_fingerprints(openpgp.dearmor(stream.read()))
    except (OSError, ValueError) as error:
        return True, f"its key {key} cannot be read: {error}"
    issuers = openpgp.issuers(served or cached)
    if issuers and not any(same(one, known) for one in issuers for known in trusted):
        return bool(served), f"signed by {listed(issuers)}, and {key} has {listed(trusted)}"
    return True, "" if issuers else None


def same(issuer, fingerprint):
    """A key is named by its whole fingerprint, or by the last 16 digits of it."""
    return fingerprint.endswith(issuer)
