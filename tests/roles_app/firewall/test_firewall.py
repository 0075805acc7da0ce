"""host_firewall: which ports only whom, and the table that follows."""

import importlib.util
import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.host import systemd

from tests.roles_app.conftest import ROOT, load
from tests.roles_app.rendering import render, value

SPEC = importlib.util.spec_from_file_location("host_firewall", ROOT / "roles/host_firewall/files/host_firewall.py")
PROGRAM = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PROGRAM)
MODULE = load("modules", "host_firewall")

FLEET = {
    "node": ["gpu1", "gpu2"],
    "api": ["api1"],
    "engine": ["e1"],
    "proxy": ["lb1", "lb2"],
    "license_proxy": ["lp1"],
}
HOSTVARS = {name: {"ansible_host": f"{name}.test"} for names in FLEET.values() for name in names}
HOSTVARS["bl1"] = {"ansible_host": "bl1.test"}
HOSTVARS["lb2"] = {"deepgram_address": "192.0.2.9"}


def rules(host, groups, **changes):
    """Port -> sources on one host."""
    found = value(
        "host_firewall", "host_firewall_rules", inventory_hostname=host, groups=groups, hostvars=HOSTVARS, **changes
    )
    return {rule["port"]: rule["sources"] for rule in found}


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("gpu1", {8080: ["192.0.2.9", "lb1.test"], 9810: ["192.0.2.9", "lb1.test"]}),
        ("api1", {8080: ["192.0.2.9", "lb1.test"], 9810: ["192.0.2.9", "lb1.test"]}),
        ("e1", {8080: ["api1.test"]}),
        ("lp1", {8443: ["api1.test", "e1.test", "gpu1.test", "gpu2.test"]}),
        ("lb1", {}),
    ],
)
def test_each_server_lets_in_those_who_need_it(host, expected):
    assert rules(host, FLEET) == expected


def test_billing_lets_in_its_proxies_alone_and_without_them_all_who_need_a_licence():
    gap = {**FLEET, "billing": ["bl1"]}
    assert rules("bl1", gap) == {8443: ["lp1.test"]}
    assert rules("bl1", {**gap, "license_proxy": []}, billing_port=9443) == {
        9443: ["api1.test", "e1.test", "gpu1.test", "gpu2.test"]
    }
    assert value(
        "host_firewall", "host_firewall_container_reach", inventory_hostname="lp1", groups=gap, hostvars=HOSTVARS
    ) == ["bl1.test", "e1.test"]


def test_a_server_on_its_own_needs_none():
    assert rules("gpu1", {"node": ["gpu1", "gpu2"]}) == {}
    assert rules("gpu1", {"node": ["gpu1"], "proxy": ["gpu1"]}) == {}, "its API listens on loopback"
    assert value("host_firewall", "host_firewall_rules") == []


def test_proxies_outside_of_the_inventory_reach_the_apis_and_nothing_else():
    foreign = {"deepgram_foreign_proxies": ["192.0.2.5"]}
    assert rules("gpu1", {"node": ["gpu1"]}, **foreign) == {8080: ["192.0.2.5"]}
    assert value("deepgram", "deepgram_api_bind_address", **foreign).strip() == "0.0.0.0"
    assert value("deepgram", "deepgram_api_bind_address").strip() == "127.0.0.1"


def test_another_server_of_its_own_kind_changes_nothing_for_a_node():
    assert rules("gpu1", {**FLEET, "node": ["gpu1", "gpu2", "gpu3"]}) == rules("gpu1", FLEET)


def test_metrics_are_for_the_monitoring_alone():
    found = rules("gpu1", {**FLEET, "monitoring": ["lb1"]}, deepgram_metrics_port=9000)
    assert found[9000] == ["lb1.test"]


def test_allowed_ones_are_in_every_rule():
    given = [{"name": "x", "port": "81", "sources": ["192.0.2.1"]}]
    allow = ["192.0.2.0/24", "192.0.2.1"]
    found = value("host_firewall", "_host_firewall_all", host_firewall_rules=given, host_firewall_allow=allow)
    assert found == [{"name": "x", "port": 81, "sources": ["192.0.2.1", "192.0.2.0/24"]}]


def test_the_table_lets_the_sources_in_and_drops_the_rest():
    given = [
        {"port": 8080, "sources": ["192.0.2.1", "lb", "2001:db8::/32", "192.0.2.0/28"]},
        {"port": 9991, "sources": []},
    ]
    comment, text = PROGRAM.table(given, {"lb": ["198.51.100.1"]})
    lines = [line.strip() for line in text.splitlines()]
    assert "ip saddr { 192.0.2.0/28, 198.51.100.1/32 } tcp dport 8080 accept" in lines
    assert "ip6 saddr { 2001:db8::/32 } tcp dport 8080 accept" in lines
    assert "tcp dport { 8080, 9991 } counter drop" in lines and not any("9991 accept" in line for line in lines)
    # Loopback and what is only passed on come before every drop.
    order = [next(n for n, line in enumerate(lines) if word in line) for word in ('"lo"', "fib", "established", "drop")]
    assert order == sorted(order) and "priority -150" in text and f'comment "{comment}"' in text


def test_other_rules_have_another_sum():
    one, other = ([{"port": 8080, "sources": [source]}] for source in ("192.0.2.1", "192.0.2.2"))
    assert PROGRAM.table(one, {})[0] != PROGRAM.table(other, {})[0]


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The program's files, and what it gave to nft."""
    reported = []
    monkeypatch.setattr(PROGRAM, "RULES", str(tmp_path / "rules.json"))
    for name, path in (("KEPT", "kept/addresses.json"), ("LAST", "kept/table.nft"), ("IN_FORCE", "in-force")):
        monkeypatch.setattr(PROGRAM, name, str(tmp_path / path))
    monkeypatch.setattr(
        PROGRAM, "nft", lambda *words, text=None: reported.append(text) or SimpleNamespace(returncode=0, stderr="")
    )
    sources = ["lb.test", "lost.test"]
    (tmp_path / "rules.json").write_text(json.dumps({"rules": [{"name": "API", "port": 1, "sources": sources}]}))
    return reported


def test_a_name_that_no_longer_resolves_keeps_its_addresses(program, monkeypatch, capsys):
    known = {"lb.test": [(0, 0, 0, "", ("192.0.2.4", 0))]}

    def resolver(name, _port):
        if name not in known:
            raise OSError("no DNS")
        return known[name]

    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", resolver)
    PROGRAM.apply()
    known.clear()
    PROGRAM.apply()
    assert "192.0.2.4" in program[1] and program[0] == program[1]
    assert "lost.test" in capsys.readouterr().err
    assert program[0].startswith("table inet deepgram\ndelete table inet deepgram\ntable inet deepgram {")


class Server:
    """A server with systemd and the program: `loads` says whether putting the table in place works."""

    def __init__(self, tmp_path, monkeypatch, enabled=True, active=True, table=True, stale=False, loads=True):
        self.enabled, self.active, self.table, self.stale, self.loads = enabled, active, table, stale, loads
        self.unit, self.program = tmp_path / "deepgram-firewall.service", tmp_path / "program"
        self.refuses, self.did = "", []
        for file in (self.unit, self.program):
            file.write_text("x")
        for module in (MODULE, systemd):
            monkeypatch.setattr(module, "run", self.run)

    def run(self, words, timeout=60):
        if words == [str(self.program), "check"]:
            return (0 if self.table else 1), "", ""
        if words[:2] == ("systemctl", "show"):
            known = {True: ("enabled", "active", "yes"), False: ("disabled", "inactive", "no")}
            states = (known[self.enabled][0], known[self.active][1], known[self.stale][2])
            names = ("UnitFileState", "ActiveState", "NeedDaemonReload")
            return 0, "".join(f"{name}={state}\n" for name, state in zip(names, states, strict=True)), ""
        if words[0] == "journalctl":
            return 0, "nft: Operation\nnot permitted\n", ""
        self.did.append(" ".join(words[1:]))
        if words[1] == self.refuses:
            return 1, "", "Job failed.\n"
        self.table = self.loads if words[1] in ("start", "reload") else self.table
        return 0, "", ""

    def be_present(self, check=False):
        def fail_json(**reported):
            raise AssertionError(reported["msg"])

        params = {"unit": str(self.unit), "program": str(self.program), "files": [], "reread": False}
        return MODULE.present(SimpleNamespace(params=params, check_mode=check, fail_json=fail_json))


UNIT = "deepgram-firewall.service"


@pytest.mark.parametrize(
    ("state", "did"),
    [
        ({}, []),
        ({"enabled": False, "active": False, "table": False}, ["daemon-reload", f"enable {UNIT}", f"start {UNIT}"]),
        ({"active": False, "table": False}, [f"start {UNIT}"]),
        ({"table": False}, [f"reload {UNIT}"]),
        ({"stale": True}, ["daemon-reload"]),
    ],
)
def test_what_is_missing_is_done_and_nothing_else(tmp_path, monkeypatch, state, did):
    server = Server(tmp_path, monkeypatch, **state)
    assert server.be_present(check=True) is bool(did) and server.did == []
    assert server.be_present() is bool(did) and server.did == did and server.table


@pytest.mark.parametrize("state", [{"table": False}, {"active": False, "table": False}])
def test_a_table_that_is_not_loaded_is_no_success(tmp_path, monkeypatch, state):
    server = Server(tmp_path, monkeypatch, loads=False, **state)
    with pytest.raises(AssertionError, match="the kernel has not the firewall's table"):
        server.be_present()


def test_a_unit_that_does_not_start_says_what_its_log_says(tmp_path, monkeypatch):
    server = Server(tmp_path, monkeypatch, active=False, table=False)
    server.refuses = "start"
    with pytest.raises(AssertionError, match=f"systemctl start {UNIT}: Job failed. . nft: Operation . not permitted"):
        server.be_present()


def test_a_first_run_in_check_mode_asks_for_nothing(tmp_path, monkeypatch):
    server = Server(tmp_path, monkeypatch)
    server.program.unlink()
    for module in (MODULE, systemd):
        monkeypatch.setattr(module, "run", lambda *words, **_: pytest.fail("nothing is there that could answer"))
    assert server.be_present(check=True)


@pytest.mark.parametrize("torn", ["", '{"lb.te', "[]", '{"lb.test": 7}', "null", "\x00"])
def test_a_torn_memory_of_addresses_leaves_no_gap(program, monkeypatch, tmp_path, torn):
    """After a power cut the file was half written, and the server booted without any table."""
    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", lambda name, _port: [(0, 0, 0, "", ("192.0.2.4", 0))])
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/addresses.json").write_text(torn)
    PROGRAM.apply()
    assert "192.0.2.4/32 } tcp dport 1 accept" in program[0] and "tcp dport { 1 } counter drop" in program[0]


def test_names_that_nobody_remembers_are_kept_out_and_not_let_in(program, monkeypatch, tmp_path):
    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", no_dns)
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/addresses.json").write_text("{")
    PROGRAM.apply()
    assert "saddr" not in program[0] and "tcp dport { 1 } counter drop" in program[0]


def no_dns(name, port):
    raise OSError("no DNS")


@pytest.mark.parametrize("torn", [None, "", "{", "[]", '{"rules": [{"name": "API"}]}', '{"rules": 7}'])
def test_with_torn_rules_the_table_of_before_counts(program, monkeypatch, tmp_path, torn):
    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", lambda name, _port: [(0, 0, 0, "", ("192.0.2.4", 0))])
    PROGRAM.apply()
    rules = tmp_path / "rules.json"
    rules.unlink() if torn is None else rules.write_text(torn)
    PROGRAM.apply()
    assert program[1] == program[0]
    with pytest.raises(SystemExit, match=r"rules\.json"):  # it is not right, and the role mends it
        PROGRAM.check()
    (tmp_path / "kept/table.nft").unlink()
    with pytest.raises(SystemExit, match="no table was kept"):
        PROGRAM.apply()


def test_what_docker_waits_for_is_there_only_with_the_table(program, monkeypatch, tmp_path):
    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", lambda name, _port: [])
    PROGRAM.apply()
    assert (tmp_path / "in-force").exists()
    PROGRAM.remove()
    assert not (tmp_path / "in-force").exists()
    monkeypatch.setattr(PROGRAM, "nft", lambda *words, text=None: SimpleNamespace(returncode=1, stderr="no"))
    with pytest.raises(SystemExit):
        PROGRAM.apply()
    assert not (tmp_path / "in-force").exists()


@pytest.mark.parametrize(
    ("groups", "changes", "engine", "starters"),
    [
        (["node"], {}, "docker", []),  # nothing is open to the network
        (["node"], {"host_firewall_containers": False}, "docker", None),
        (["proxy"], {}, "docker", None),
        (["engine"], {"host_firewall_rules": [{"name": "x", "port": 1, "sources": []}]}, "docker", ["docker"]),
        (["engine"], {"host_firewall_rules": [{"name": "x", "port": 1, "sources": []}]}, "podman",
         ["deepgram-api", "deepgram-engine", "deepgram-api-", "deepgram-engine-", "deepgram-license-proxy", "deepgram-billing"]),
    ],
)  # fmt: skip
def test_every_server_with_containers_has_one(groups, changes, engine, starters):
    known = {"group_names": groups, "deepgram_container_engine": engine, "groups": {}, **changes}
    assert value("host_firewall", "_host_firewall_wanted", **known) is (starters is not None)
    expected = [f"/etc/systemd/system/{name}.service.d/deepgram-firewall.conf" for name in starters or []]
    assert value("host_firewall", "_host_firewall_before", **known) == expected


def test_containers_wait_for_it_and_do_not_fall_with_it():
    """Requires= would stop them when it is stopped or restarted."""
    lines = [line for line in render("host_firewall", "before.conf.j2").splitlines() if line[:1] != "#"]
    assert "AssertPathExists=/run/deepgram-firewall.in-force" in lines and "After=deepgram-firewall.service" in lines
    assert not any("Requires" in line or "PartOf" in line or "BindsTo" in line for line in lines)


def test_the_system_s_firewall_brings_it_back_whatever_it_does():
    text = render("host_firewall", "nftables.conf.j2")
    for moment in ("ExecStartPost", "ExecReload", "ExecStopPost"):
        assert f"{moment}=-/usr/local/lib/deepgram/host-firewall apply" in text


def test_what_containers_may_not_reach():
    known = {"groups": FLEET, "hostvars": HOSTVARS, "inventory_hostname": "api1", "group_names": ["api"]}
    content = value("host_firewall", "_host_firewall_content", **known)
    assert content["container_blocked"] == ["169.254.0.0/16"] and content["container_reach"] == ["e1.test", "lp1.test"]
    _, text = PROGRAM.table(
        [], {"e1.test": ["192.0.2.9"]}, [8080], content["container_reach"], content["container_blocked"]
    )
    lines = [line.strip() for line in text.splitlines() if '"br-*"' in line]
    assert lines == [
        'iifname "br-*" oifname "br-*" accept',
        'iifname "br-*" ip daddr { 192.0.2.9/32 } accept',
        'iifname "br-*" ip daddr { 169.254.0.0/16 } tcp dport != 53 counter drop',
        'iifname "br-*" accept',
        'oifname "br-*" tcp dport { 8080 } counter drop',
    ]


def test_check_compares_the_whole_table(program, monkeypatch, tmp_path):
    (tmp_path / "in-force").touch()
    reported = SimpleNamespace(returncode=0, stdout="")
    monkeypatch.setattr(PROGRAM, "nft", lambda *words, text=None: reported)
    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", lambda name, _port: [(0, 0, 0, "", ("192.0.2.4", 0))])

    def status():
        with pytest.raises(SystemExit) as ended:
            PROGRAM.check()
        return ended.value.code

    assert status() == 1
    reported.stdout = PROGRAM.desired()[1]
    assert status() == 0
    reported.returncode = 1
    assert status() == 1


def test_a_table_that_nft_refuses_is_no_success(program, monkeypatch):
    monkeypatch.setattr(PROGRAM, "nft", lambda *words, text=None: SimpleNamespace(returncode=1, stderr="no\nsuch\n"))
    monkeypatch.setattr(PROGRAM.socket, "getaddrinfo", lambda name, _port: [])
    with pytest.raises(SystemExit, match="host-firewall: nft: no such"):
        PROGRAM.apply()


def test_remove_takes_the_table_out_of_the_kernel(program, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(PROGRAM, "nft", lambda *words: asked.append(words))
    for _ in range(2):  # and again where it was killed in between
        PROGRAM.remove()
    assert asked == [("delete", "table", *PROGRAM.TABLE.split())] * 2 and not (tmp_path / "in-force").exists()


def test_nothing_is_left_of_a_firewall_that_is_not_wanted(tmp_path, monkeypatch):
    ran = []
    for module in (MODULE, systemd):
        monkeypatch.setattr(module, "run", lambda words, timeout=60: ran.append(words) or (0, "", ""))
    files = [tmp_path / name for name in ("unit.service", "program", "rules.json")]
    for file in files:
        file.write_text("x")
    params = {"unit": str(files[0]), "program": str(files[1]), "files": [str(files[2])]}
    module = SimpleNamespace(params=params, check_mode=True)
    assert MODULE.absent(module) and all(file.exists() for file in files) and not ran
    module.check_mode = False
    assert MODULE.absent(module) and not any(file.exists() for file in files)
    assert ran == [
        ["systemctl", "disable", "--now", "unit.service"],
        [str(files[1]), "remove"],
        ["systemctl", "daemon-reload"],
    ]
    assert not MODULE.absent(module)
