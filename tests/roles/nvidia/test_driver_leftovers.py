"""What another source of the driver left: it is found, named with what to do, and removed only where that is allowed."""

import pytest
from ansible.module_utils.nvidia import driver_leftovers as leftovers

CUDA = "https://developer.download.nvidia.com/compute/cuda/repos/debian13/x86_64/"
TOOLKIT = "https://nvidia.github.io/libnvidia-container/stable/deb/amd64"
DEBIAN = "Debian NVIDIA Maintainers <pkg-nvidia-devel@lists.alioth.debian.org>"
UBUNTU = "Ubuntu Core Developers <ubuntu-devel-discuss@lists.ubuntu.com>"
NVIDIA = "NVIDIA <cudatools@nvidia.com>"
FILES = {
    "cuda-debian13-x86_64.list": f"deb [signed-by=/usr/share/keyrings/cuda-archive-keyring.gpg] {CUDA} /\n",
    "nvidia-docker.list": f"# deb {TOOLKIT}/old /\ndeb {TOOLKIT} /\ndeb http://deb.example.com/ x main\n",
    "mixed.sources": f"Types: deb\nURIs: http://deb.example.com/\nSuites: x\n\nTypes: deb\nURIs: {CUDA}\nSuites: /\n",
    "off.sources": f"Types: deb\nURIs: {CUDA}\nSuites: /\nEnabled: no\n",
    "commented.list": f"# deb {CUDA} /\n",
    "debian.sources": "Types: deb\nURIs: http://deb.example.com/\nSuites: trixie\n",
    "nvidia-driver.sources": f"Types: deb\nURIs: {CUDA}\nSuites: /\n",
}


@pytest.fixture
def host(tmp_path, program, monkeypatch):
    """host(packages, run): files of sources, packages with their makers, and perhaps an installer's files."""
    folder, log = tmp_path / "sources.list.d", tmp_path / "log"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    patterns = (f"{folder}/*.list", f"{folder}/*.sources", f"{folder}/*.repo")
    ours = (str(folder / "nvidia-driver.sources"),)
    monkeypatch.setattr(leftovers.of_sources, "__defaults__", ((), patterns, ours))

    def set_up(packages=(), run=False, takes_along="", files=None):
        for name in FILES if files is None else set(FILES) - set(files):
            if files is not None:
                (folder / name).unlink()
        rows = "".join(f"installed\\t{name}\\t{maker}\\n" for name, maker in packages)
        (tmp_path / "rows").write_text(rows.encode().decode("unicode_escape"))
        owned = "case $2 in *cuda-debian13*) echo cuda-keyring: $2 ;; *) exit 1 ;; esac"
        program("dpkg-query", f"if [ $1 = --search ]; then {owned}; else cat {tmp_path}/rows; fi\n")
        program("rpm", "exit 1\n")
        program("apt-mark", f"[ $1 = showhold ] && echo libcuda1 || echo apt-mark $* >> {log}\n")
        program(
            "apt-get",
            f"case $1 in -s) shift 2; for p; do echo Purg $p [1]; done; {takes_along or ':'} ;;\n"
            f"*) echo apt-get $* >> {log} ;; esac\n",
        )
        uninstaller = tmp_path / "bin/nvidia-uninstall"
        if run:
            program("nvidia-uninstall", f"echo nvidia-uninstall $* >> {log}; rm {uninstaller}\n")
        monkeypatch.setattr(leftovers.of_run, "__defaults__", ((str(uninstaller),),))
        log.write_text("")
        return folder

    set_up.log = lambda: log.read_text().splitlines()
    return set_up


def test_a_clean_host(host, call):
    host(
        packages=[("nvidia-open", NVIDIA), ("nvidia-container-toolkit", "x"), ("sed", DEBIAN)], files=["debian.sources"]
    )
    result = call("driver_leftovers")
    assert not result["changed"] and result["removed"] == []


def test_sources_that_name_our_repositories_are_found(host):
    folder = host()
    found = {one["paths"][0].rpartition("/")[2]: one for one in leftovers.of_sources()}
    assert set(found) == {"cuda-debian13-x86_64.list", "nvidia-docker.list", "mixed.sources"}
    assert "apt-get purge cuda-keyring" in found["cuda-debian13-x86_64.list"]["fix"]
    assert str(folder / "mixed.sources") in found["mixed.sources"]["what"]


def test_a_mirror_s_second_entry_is_found(host):
    folder = host(files=["debian.sources"])
    (folder / "second.list").write_text("deb http://mirror.example.com/nvidia/ /\n")
    addresses = ["", "http://mirror.example.com/nvidia/"]
    (found,) = leftovers.of_sources(addresses)
    assert found["paths"] == [str(folder / "second.list")]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("nvidia", ["libnvidia-compute-550", "linux-modules-nvidia-550-x", "nvidia-smi"]),
        ("distribution", ["nvidia-open"]),
    ],
)
def test_packages_are_told_apart_by_their_maker(host, source, names):
    packages = [
        ("nvidia-open", NVIDIA),
        ("nvidia-smi", DEBIAN),
        ("libnvidia-compute-550", UBUNTU),
        ("linux-modules-nvidia-550-x", UBUNTU),
        ("libnvidia-container1", NVIDIA),
        ("nvidia-cuda-toolkit", DEBIAN),  # compilers: no driver
        ("libnvidia-ml1", "somebody <x@mirror.example.com>"),
    ]
    host(packages=packages)
    (found,) = leftovers.of_packages(source)
    assert found["names"] == names and "nvidia_driver_remove_other_sources" in found["fix"]


def test_leftovers_are_refused_and_stay(host, call):
    folder = host(packages=[("nvidia-smi", DEBIAN)], run=True)
    result = call("driver_leftovers")
    assert result["failed"] and host.log() == []
    for word in (".run installer", "nvidia-docker.list", "nvidia-smi"):
        assert word in result["msg"]
    assert (folder / "nvidia-docker.list").read_text() == FILES["nvidia-docker.list"]


def test_leftovers_go_where_that_is_allowed_and_packages_only_after_others_came(host, call):
    folder = host(packages=[("nvidia-smi", DEBIAN), ("libcuda1", DEBIAN)], run=True)
    assert call("driver_leftovers", check=True, remove=True)["changed"] and host.log() == []
    result = call("driver_leftovers", remove=True)
    assert result["packages"] == ["libcuda1", "nvidia-smi"]
    assert host.log() == ["nvidia-uninstall --silent", "apt-mark unhold libcuda1"]
    docker = (folder / "nvidia-docker.list").read_text()
    assert f"# switched off by dgctl: deb {TOOLKIT} /\ndeb http://deb.example.com/ x main\n" in docker
    mixed = FILES["mixed.sources"].rstrip("\n") + "\nEnabled: no\n"
    assert (folder / "mixed.sources").read_text() == mixed
    assert leftovers.of_sources() == []
    assert call("driver_leftovers", remove=True, stage="after")["removed"]
    assert host.log()[-1] == "apt-get -y purge libcuda1 nvidia-smi"


def test_nothing_else_goes_with_the_packages(host, call):
    host(packages=[("nvidia-smi", DEBIAN)], takes_along="echo Purg docker-ce [1]", files=["debian.sources"])
    result = call("driver_leftovers", remove=True, stage="after")
    assert result["failed"] and "docker-ce" in result["msg"] and host.log() == []


def test_an_installer_that_stays_is_an_error(host, call, program):
    host(run=True, files=["debian.sources"])
    program("nvidia-uninstall", "echo 'ERROR: it is in use' >&2; exit 1\n")
    result = call("driver_leftovers", remove=True)
    assert result["failed"] and "it is in use" in result["msg"]


def test_a_repository_of_dnf_is_switched_off(host, call):
    folder = host(files=["debian.sources"])
    text = (
        f"[a]\nbaseurl=http://a.example.com\n\n[cuda]\nbaseurl={CUDA}\nenabled=1\n\n[b]\nbaseurl=http://b.example.com\n"
    )
    (folder / "cuda.repo").write_text(text)
    call("driver_leftovers", remove=True)
    desired = text.replace("enabled=1\n", "enabled=0\n")
    assert (folder / "cuda.repo").read_text() == desired and leftovers.of_sources() == []


@pytest.mark.parametrize(
    ("rehearsal", "purge", "words"),
    [
        (
            "exit 0",
            "echo 'E: Sub-process dpkg returned 1' >&2; exit 100",
            "apt-get -y purge nvidia-smi: E: Sub-process",
        ),
        ("echo 'E: held packages' >&2; exit 100", "exit 0", "cannot be removed: E: held packages"),
    ],
)
def test_a_removal_that_fails_is_an_error(host, call, program, tmp_path, rehearsal, purge, words):
    host(packages=[("nvidia-smi", DEBIAN)], files=["debian.sources"])
    program("apt-get", f"echo $* >> {tmp_path}/log; [ $1 = -s ] && {{ {rehearsal}; }} || {{ {purge}; }}\n")
    result = call("driver_leftovers", remove=True, stage="after")
    assert result["failed"] and words in result["msg"] and result["fix"]
    assert host.log()[-1].startswith("-s purge" if "held" in rehearsal else "-y purge")


def test_an_uninstaller_that_ends_well_and_leaves_its_files_is_an_error(host, call, program):
    host(run=True, files=["debian.sources"])
    program("nvidia-uninstall", "exit 0\n")
    result = call("driver_leftovers", remove=True)
    assert result["failed"] and "it ended well, and its files are still there" in result["msg"]
