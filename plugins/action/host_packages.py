"""Action plugin of host_packages: the module that speaks to the host's package manager."""

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

MODULES = {"apt": "apt_packages", "dnf": "dnf_packages", "dnf5": "dnf_packages"}  # by the fact `pkg_mgr`
# Arguments that say nothing to the other module.
ONLY = {"kernel_modules": "apt_packages", "enable_repositories": "dnf_packages"}


class ActionModule(ActionBase):
    """Hands the task's arguments to one of MODULES; asks the host for the fact where nobody has yet."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        manager = (task_vars.get("ansible_facts") or {}).get("pkg_mgr") or self._asked(task_vars)
        if manager not in MODULES:
            raise AnsibleActionFail(
                f"the host's package manager is {manager or 'unknown'}. Fix: use a system that has one of "
                f"{', '.join(MODULES)}; `dgctl preflight` names those that are supported."
            )
        name = MODULES[manager]
        arguments = {key: value for key, value in self._task.args.items() if ONLY.get(key, name) == name}
        result.update(self._execute_module(name, module_args=arguments, task_vars=task_vars))
        return result

    def _asked(self, task_vars):
        reported = self._execute_module(
            "ansible.legacy.setup", module_args={"gather_subset": ["!all", "!min", "pkg_mgr"]}, task_vars=task_vars
        )
        return (reported.get("ansible_facts") or {}).get("ansible_pkg_mgr", "")
