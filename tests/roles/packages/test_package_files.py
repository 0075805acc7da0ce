"""A file of a package that is gone: as the package has it, without an installation, by apt and by dnf."""

import pytest
from ansible.module_utils.packages import families
from ansible.module_utils.packages import files as packages_files
from ansible.module_utils.packages import manager as packages_manager

PATH = "/etc/nginx/nginx.conf"
UNPACK = 'mkdir -p {0}/etc/nginx && echo "of $(basename {1})" > {0}/etc/nginx/nginx.conf'


class Gone(Exception):
    pass


def give_up(what, fix):
    raise Gone(f"{what}. Fix: {fix}")


@pytest.fixture
def debian(program, monkeypatch, tmp_path):
    """debian(offers): a host with nginx-common 1.22 whose archive has these versions; .log() is what apt was asked to do."""
    log = tmp_path / "log"
    monkeypatch.setattr(families, "here", lambda: families.FAMILIES["apt"])

    def set_up(*offers, owner=f"nginx-common: {PATH}"):
        log.write_text("")
        reported = f'[ "$1" != --search ] || {{ [ -n "{owner}" ] || exit 1; echo "{owner}"; exit 0; }}\n'
        program("dpkg-query", reported + 'printf "nginx-common\\tall\\t1.22\\tinstall\\tinstalled\\n"\n')
        program("dpkg-deb", UNPACK.format('"$3"', '"$2"') + "\n")
        program(
            "apt-get",
            f"""echo "$*" >> {log}
[ "$1" = update ] && exit 0
for version in {" ".join(offers)}; do
    case $3 in nginx-common|nginx-common=$version) touch nginx-common_$version.deb; exit 0 ;; esac
done
echo "E: 404  Not Found" >&2; exit 100
""",
        )

    set_up.log = lambda: log.read_text().splitlines()
    return set_up


def test_of_the_installed_version(debian):
    debian("1.22", "1.24")
    assert packages_files.packaged(PATH, give_up) == "of nginx-common_1.22.deb\n"
    assert debian.log() == ["-q download nginx-common=1.22"], "and nothing was installed"


def test_of_the_version_that_is_offered_now(debian):
    debian("1.24")
    assert packages_files.packaged(PATH, give_up) == "of nginx-common_1.24.deb\n"
    assert [line.partition(" -o")[0] for line in debian.log()][1:] == ["update -q", "-q download nginx-common"]


def test_neither_of_them(debian):
    debian()
    with pytest.raises(Gone, match=f"{PATH} is gone, and apt-get download nginx-common ends with: .*404.* Fix: "):
        packages_files.packaged(PATH, give_up)


def test_a_file_of_no_package(debian):
    debian("1.22", owner="")
    with pytest.raises(Gone, match=f"{PATH} is gone, and no installed package has it. Fix: Bring the file"):
        packages_files.packaged(PATH, give_up)
    assert debian.log() == []


def test_a_package_without_the_file(debian):
    debian("1.22")
    with pytest.raises(Gone, match=r"/etc/nginx/other is gone, and package nginx-common .* does not have it"):
        packages_files.packaged("/etc/nginx/other", give_up)


@pytest.mark.parametrize(
    "reported", ["nginx-common: {}", "nginx-common:amd64: {}", "diversion by a from: {}\nnginx-common, b: {}"]
)
def test_whose_file_it_is_by_dpkg(debian, reported):
    debian(owner=reported.replace("{}", PATH))
    assert packages_manager.owner(PATH) == "nginx-common"


@pytest.mark.parametrize("verb", ["reinstall", "upgrade"])
def test_by_dnf(program, monkeypatch, verb):
    monkeypatch.setattr(families, "here", lambda: families.FAMILIES["dnf"])
    monkeypatch.setattr(packages_files.dnf_command.rpm_database, "at_work", lambda: False)
    program("rpm", "[ $1 = -qf ] && echo nginx-core\n")
    program(
        "dnf",
        f"""case " $* " in *" {verb} --downloadonly "*) ;; *) echo 'Error: none' >&2; exit 1 ;; esac
for word; do case $word in --downloaddir=*) cd ${{word#*=}}; touch nginx-1-1.rpm nginx-core-1-1.rpm ;; esac; done
""",
    )
    program("rpm2archive", f'mkdir "$1.d" && {UNPACK.format("$1.d", "$1")} && tar -C "$1.d" -czf "$1.tgz" ./etc\n')
    assert packages_files.packaged(PATH, give_up) == "of nginx-core-1-1.rpm\n"
    program("dnf", "echo 'Error: All mirrors were tried' >&2; exit 1\n")
    with pytest.raises(Gone, match=f"{PATH} is gone, and dnf downloads no nginx-core: .*mirrors were tried. Fix: Look"):
        packages_files.packaged(PATH, give_up)


def test_a_file_of_no_package_by_rpm(program, monkeypatch):
    monkeypatch.setattr(families, "here", lambda: families.FAMILIES["dnf"])
    program("rpm", "echo 'file /x is not owned by any package'; exit 1\n")
    assert packages_manager.owner("/x") == ""
