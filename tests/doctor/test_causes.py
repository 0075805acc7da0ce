"""One fault is one cause: what follows from it is folded under it, and two faults stay two."""

import graphlib

import pytest
from ansible.module_utils.doctor import doctor
from ansible.module_utils.doctor.causes import divided, fold

from tests import log_forms
from tests.doctor.faults import certificate, driver, engines, gpus, nginx, service, system, toolkit
from tests.doctor.faults.table import FAULTS

NAMES = {check.name for check in (*doctor.CHECKS, *doctor.DEEP)}
PLAIN = {name: {divided(ground)[0] for ground in grounds} for name, grounds in doctor.GRAPH.items()}


def follows(patient):
    """{check that fails: the one that it follows from, "" for a cause}."""
    found = fold(list(patient.findings().values()), doctor.GRAPH)
    return {one["check"]: one.get("follows", "") for one in found if one["verdict"] == "fail"}


def test_every_check_says_what_it_stands_on():
    undeclared = [check.name for check in (*doctor.CHECKS, *doctor.DEEP) if check.stands_on is None]
    assert undeclared == []
    assert {name for names in PLAIN.values() for name in names} <= NAMES
    assert set(doctor.GRAPH) == NAMES


def test_the_graph_has_no_circle():
    order = [*graphlib.TopologicalSorter(PLAIN).static_order()]
    assert set(order) == NAMES


def test_callers_stand_on_everything_that_serves_them():
    """From the port down to the PCI bus."""
    seen, ahead = set(), ["callers"]
    while ahead:
        name = ahead.pop()
        ahead += [one for one in PLAIN[name] if one not in seen]
        seen.add(name)
    chain = (
        "api health",
        "containers",
        "gpu in containers",
        "cdi specifications",
        "driver versions",
        "gpu count",
        "xid",
    )
    service = ("upstreams", "nginx", "certificate served", "api engine", "licence", "engine answers", "models")
    assert {*chain, *service, "disk", "clock", "package versions", "files", "units", "resolver", "mtu"} <= seen


def finding(check, verdict="fail", **more):
    return {"check": check, "verdict": verdict, **more}


GRAPH = {"bus": (), "driver": ("bus",), "cdi": ("driver",), "engine": ("cdi", "disk"), "disk": ()}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"bus": "fail", "engine": "fail"}, {"engine": "bus"}),
        ({"bus": "fail", "driver": "skip", "engine": "fail"}, {"engine": "bus"}),
        ({"bus": "fail", "driver": "pass", "engine": "fail"}, {}),  # the driver works: that is another fault
        ({"bus": "fail", "driver": "fail", "cdi": "fail"}, {"driver": "bus", "cdi": "bus"}),
        ({"bus": "pass", "disk": "fail", "cdi": "fail", "engine": "fail"}, {"engine": "disk"}),
        ({"engine": "fail"}, {}),
    ],
)
def test_what_follows(found, expected):
    seen = fold([finding(check, verdict) for check, verdict in found.items()], GRAPH)
    assert {one["check"]: one["follows"] for one in seen if "follows" in one} == expected


def test_a_check_that_knows_more_is_a_cause_of_its_own():
    own, other = fold([finding("disk"), finding("engine", stands_on=())], GRAPH)
    assert "follows" not in own and "follows" not in other and "stands_on" not in other
    _, other = fold([finding("disk"), finding("engine", stands_on=("disk",))], GRAPH)
    assert other["follows"] == "disk"


@pytest.mark.parametrize(("path", "cause"), [("/etc/nginx/tls/x.crt", "files"), ("/etc/deepgram/x", ""), ("", "files")])
def test_a_file_explains_what_reads_it(path, cause):
    found = [finding("files", paths=[path] if path else []), finding("port", stands_on=("files:/etc/nginx/",))]
    assert fold(found, {})[1].get("follows", "") == cause and "paths" not in found[0]


def test_an_edit_of_one_file_is_no_cause_for_another_s_fault(patient):
    system.engine_toml_edited(patient)
    certificate.certificate_of_five_days(patient)
    nginx.nginx_not_reloaded(patient)
    assert follows(patient) == {"files": "", "certificate": "", "nginx reloaded": ""}


def test_a_finding_that_no_check_declares_is_a_cause():
    assert fold([finding("dcgm: Memory")], GRAPH) == [finding("dcgm: Memory")]


@pytest.mark.parametrize("change", FAULTS, ids=lambda change: change.__name__)
def test_each_fault_has_a_cause_among_what_fails(patient, change):
    change(patient)
    found = follows(patient)
    causes = {name for name, cause in found.items() if not cause}
    assert causes and set(found.values()) - {""} <= causes


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (driver.nouveau, {"nouveau": "", "driver versions": "nouveau"}),
        (driver.key_rejected, {"secure boot": "", "driver versions": "secure boot"}),
        (gpus.off_the_bus, {"xid": "", "gpu answers": "xid"}),
        (engines.engine_without_a_gpu_that_ends, {"engine on gpu": "", "containers": "engine on gpu"}),
        (
            engines.libcuda_missing_and_engine_ends,
            dict.fromkeys(("containers", "libcuda in containers"), "cdi specifications") | {"cdi specifications": ""},
        ),
    ],
)
def test_the_cause_of(patient, change, expected):
    change(patient)
    assert follows(patient) == expected


@pytest.mark.parametrize(
    ("change", "follower", "cause"),
    [
        (nginx.nginx_stopped, "callers", "nginx"),
        (nginx.nginx_masked, "callers", "nginx"),
        (nginx.cap_removed, "proxy cap", "files"),
        (service.limit_under_another_table, "engine limit", "files"),
        (service.configuration_edited_and_not_read, "configuration", "files"),
        (service.licence_server_unreachable, "api health", "licence"),
        (service.api_asks_another_engine, "api engine", "files"),
        (certificate.key_that_nginx_refuses, "callers", "certificate key"),
    ],
)
def test_what_follows_in_the_service(patient, change, follower, cause):
    change(patient)
    assert follows(patient) == {cause: "", follower: cause}


def test_a_bridge_that_is_too_large_is_the_cause_of_late_licences(patient):
    system.bridge_larger_than_the_way_out(patient)
    assert follows(patient) == {"mtu": "", "licence": "mtu", "api health": "mtu"}


def test_a_dead_resolver_is_the_cause_of_an_engine_that_ends_without_a_licence(patient):
    engines.engine_that_finds_no_licence_server(patient)
    assert follows(patient) == {"containers": ""}
    system.resolver_dead(patient)
    assert follows(patient) == {"resolver": "", "containers": "resolver"}


def test_an_engine_that_ends_for_a_refused_key_follows_from_the_licence(patient):
    service.licence_refused(patient)
    engines.engine_that_is_just_starting_again(patient)
    words = "Aegis request to https://license.deepgram.com failed: 401 Unauthorized"
    patient.say("log_engine", log_forms.reported("full", words, "ERROR", "impeller::license"))
    assert follows(patient) == {"licence": "", "containers": "licence"}


def test_an_expired_release_that_nobody_asked_for_follows_from_the_image(patient):
    engines.engine_that_is_just_starting_again(patient)
    service.engine_from_an_old_image(patient)
    assert follows(patient) == {"images": "", "containers": "images"}


def test_a_hung_engine_is_the_cause_of_an_api_without_one(patient):
    service.engine_hangs(patient)
    service.api_without_an_engine(patient)
    patient.api("Critical", active=3)
    assert follows(patient) == {"engine answers": "", "api engine": "engine answers", "api health": "engine answers"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (service.engine_hangs, certificate.certificate_of_five_days),
        (service.model_truncated, system.first_resolver_dead),
        (nginx.upstream_missing, system.key_file_for_everybody),
        (engines.engine_on_cpu, nginx.nginx_not_reloaded),
        (system.conntrack_full, gpus.needs_reset),
    ],
)
def test_pairs_of_faults_are_two_causes(patient, first, second):
    first(patient)
    alone = {name for name, cause in follows(patient).items() if not cause}
    second(patient)
    both = {name for name, cause in follows(patient).items() if not cause}
    assert alone < both


def test_two_faults_are_two_causes(patient):
    """The log says that the key lacks: no fault of the CDI file that would explain the same."""
    toolkit.cdi_of_an_older_driver(patient)
    engines.engine_without_a_key(patient)
    assert follows(patient) == {"cdi specifications": "", "containers": ""}
