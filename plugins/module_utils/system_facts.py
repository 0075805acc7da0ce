"""Which system this is, by the collectors of Ansible's own setup: as it says with the subsets distribution and pkg_mgr."""

from ansible.module_utils.facts.system.distribution import DistributionFactCollector
from ansible.module_utils.facts.system.pkg_mgr import PkgMgrFactCollector


def collect(module):
    """{"ansible_distribution": "Debian", "ansible_distribution_version": "12.8", ..., "ansible_pkg_mgr": "apt"}."""
    facts = _prefixed(DistributionFactCollector().collect(module=module))
    return facts | _prefixed(PkgMgrFactCollector().collect(module=module, collected_facts=facts))


def _prefixed(facts):
    return {f"ansible_{name}": value for name, value in facts.items()}
