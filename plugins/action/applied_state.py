"""Action plugin of applied_state: adds what only the controller knows, and says nothing but that it was done."""

import json
import os

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """Gives the module the role, the host, and what dgctl wanted to be applied there."""

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        if self._task.check_mode:
            return {**result, "changed": False}
        host = task_vars["inventory_hostname"]
        desired = self._desired(task_vars, host)
        arguments = {**self._task.args, "host": host}
        if arguments.get("state") == "begun":
            if desired is not None:
                arguments["begin"] = desired["begin"]
        else:
            role = self._role()
            arguments.update(role=role, desired=json.dumps((desired or {"roles": {}})["roles"].get(role, {})))
        result.update(self._execute_module("applied_state", module_args=arguments, task_vars=task_vars))
        result.pop("invocation", None)
        return result

    def _role(self):
        if not self._task._role:
            raise AnsibleActionFail("applied_state is not in a role. Fix: make it the last task of the role.")
        return self._task._role.get_name(include_role_fqcn=False)  # in a collection the same as in a folder of roles

    def _desired(self, task_vars, host):
        """What dgctl wrote down for this host before the run; None when Ansible is run without dgctl."""
        if "applied_state_dir" not in task_vars:
            return None
        folder = self._templar.template(task_vars["applied_state_dir"])
        path = os.path.join(folder, host + ".json")
        try:
            with open(path, encoding="utf-8") as stream:
                return json.load(stream)
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(
                f"{path} cannot be read: {error}. Fix: run dgctl again; without dgctl, do not set applied_state_dir."
            ) from error
