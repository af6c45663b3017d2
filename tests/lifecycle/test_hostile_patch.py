# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hostile patch tries while its kernel is built, on a small tree: real bubblewrap, real Makefile.

docs/sandbox.md lists what is tried, and which protection each test has been seen to need.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.build.cache import MANIFEST
from harness.build.limits import Limits
from harness.build.sandbox import Sandbox
from harness.errors import BuildError, FaultloopError, PatchError
from tests.tools.test_kernel_build import _FORK, Shop, _diff
from tests.unit import fake_kernel

FAST = Limits(seconds=30, processes=100)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A key in the user's home."""
    path = tmp_path / "home" / ".ssh" / "id_ed25519"
    path.parent.mkdir(parents=True)
    path.write_text("PRIVATE-KEY-OF-THE-USER\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SECRET_TOKEN", "PRIVATE-TOKEN-OF-THE-USER")
    return path


def recipe(*commands: str, when: str = "allnoconfig:") -> str:
    """A patch whose Makefile runs ``commands`` in the rule that begins with the line ``when``."""
    lines = [command.replace("$", "$$") for command in commands]
    extra = "".join(f"\t@{line}\n" for line in lines)
    text = fake_kernel.MAKEFILE
    if when == "last":  # after everything is built, the driver too
        new = text + "\nifeq ($(M),)\nmodules: evil\nevil: Image\n" + extra + "endif\n"
    else:
        new = text.replace(f"\n{when}\n", f"\n{when}\n{extra}")
    assert new != text
    return _diff("Makefile", new)


def build(shop: Shop, *patches: str, limits: Limits = FAST) -> str:
    """Build with ``patches``; what it printed, and the error if it failed."""
    try:
        shop.build(*patches, sandbox=Sandbox(limits=limits))
    except FaultloopError as error:
        return "\n".join([*shop.lines, error.message, error.detail])
    return "\n".join(shop.lines)


def fork_patch() -> str:
    """Makes the build run: a Makefile alone is configured anew only when Kconfig files are touched."""
    return _diff("arch/arm64/Kconfig", fake_kernel.FILES["arch/arm64/Kconfig"] + "config C\n")


def hostile(shop: Shop, *commands: str, when: str = "allnoconfig:", limits: Limits = FAST) -> str:
    return build(shop, recipe(*commands, when=when), fork_patch(), limits=limits)


@pytest.fixture
def listener() -> Iterator[tuple[str, int]]:
    """A server on the host's loopback interface that hears everything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        yield server.getsockname()
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_network(shop: Shop, listener: tuple[str, int]) -> None:
    host, port = listener
    say = f"print IO::Socket::INET->new(qq({host}:{port})) ? qq(CONNECTED) : qq(no: $!)"
    said = hostile(shop, f"perl -MIO::Socket::INET -e '{say}'; echo; ls /sys/class/net | sed 's/^/SEEN /'")
    assert "no: Connection refused" in said and "CONNECTED" not in said and "SEEN" not in said


def test_a_service_of_the_host_by_its_socket(shop: Shop, tmp_path: Path) -> None:
    """Abstract sockets (X, D-Bus) belong to a network, not to a folder."""
    name = f"\0faultloop-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        connect = "socket(S, 1, 1, 0); print connect(S, pack(q(S a*), 1, qq(\\0" + name[1:] + "))) ? 1 : $!"
        assert "Connection refused" in hostile(shop, f"perl -e '{connect}'")


def test_the_users_home_keys_and_environment(shop: Shop, secret: Path) -> None:
    said = hostile(
        shop, f"cat {secret} $HOME/.ssh/* ~root/.ssh/*; env; cat /proc/*/environ | tr '\\0' '\\n'; ls /; :"
    )
    assert "PRIVATE" not in said
    assert "HOME=/tmp" in said and "SECRET" not in said
    assert not {"home", "root", "etc/ssh", "var", "srv", "mnt"}.intersection(said.splitlines())


def test_a_link_in_place_of_a_product_brings_no_file_of_the_users(shop: Shop, secret: Path) -> None:
    """Products are taken out by the harness, which can read the user's files; results are published."""
    for name in (".config", "System.map", "arch/arm64/boot/Image", "include/config/kernel.release"):
        said = hostile(shop, f"ln -sf {secret} $(O)/{name}".replace("$(O)", "/build/out"), when="last")
        assert f"{name}: not made by the build, or not a file" in said, said
    (secret.parent / "boot").mkdir()
    (secret.parent / "boot" / "Image").write_text(secret.read_text())
    said = hostile(
        shop, f"mv /build/out/arch/arm64 /build/out/x; ln -s {secret.parent} /build/out/arch/arm64", when="last"
    )
    assert "arch/arm64/boot/Image: not made by the build" in said
    assert not any("PRIVATE" in p.read_text(errors="replace") for p in entries(shop))


def test_a_driver_that_is_a_link(shop: Shop, secret: Path) -> None:
    compiles = next(line for line in fake_kernel.MAKEFILE.splitlines() if "-MF $(M)/" in line)
    makefile = fake_kernel.MAKEFILE.replace(compiles, f"\t@ln -sf {secret} $@")
    said = build(shop, _diff("Makefile", makefile), _diff("include/linux/mm.h", "#define MM 7\n"))
    assert "sva.ko: not made by the build, or not a file" in said


def test_a_pipe_in_place_of_a_product_is_not_waited_for(shop: Shop) -> None:
    said = hostile(shop, "rm -f /build/out/System.map; mkfifo /build/out/System.map", when="last")
    assert "System.map: the build made something that is no regular file" in said


def test_a_product_without_end(shop: Shop) -> None:
    said = hostile(shop, "truncate -s 1100M /build/out/System.map", when="last")
    assert "System.map: the build made a file of 1153433600 bytes" in said


def test_a_config_that_changes_after_it_was_looked_at(shop: Shop) -> None:
    said = hostile(shop, "echo '# CONFIG_A is not set' >/build/out/.config", when="last")
    assert "CONFIG_A: asked y, got n" in said


def entries(shop: Shop) -> list[Path]:
    return [p for p in shop.cache.root.rglob("*") if p.is_file() and not p.is_symlink()]


def state(shop: Shop) -> dict[str, tuple[int, str]]:
    """Mode and content of everything in the cache that counts, and of the source."""
    files = [*entries(shop), *(p for p in shop.tree.rglob("*") if p.is_file())]
    kept = [p for p in files if ".lock" not in p.name and p.name != MANIFEST]
    return {str(p): (p.stat().st_mode, hashlib.sha256(p.read_bytes()).hexdigest()) for p in kept}


def test_writing_elsewhere_and_poisoning_what_others_use(shop: Shop, tmp_path: Path) -> None:
    base = shop.build()
    before = state(shop)
    (tmp_path / "beside").write_text("mine\n")
    out = tmp_path / "cache" / "kernels"
    said = hostile(
        shop,
        # By its name in the sandbox, by the host's name, through a link, with dots, as root of a user namespace.
        "echo x >>/build/src/mm/memory.c; rm -f /build/src/mm/ksm.c; touch /build/src/new",
        "chmod 777 /build/src/mm",
        "echo x >>/build/all.config; echo x >>/usr/bin/evil; echo x >/etc/evil",
        f"echo x >>{tmp_path}/beside; mkdir -p {out}/evil",
        f"ln -s / /build/out/root; echo x >>/build/out/root{tmp_path}/beside",
        f"cd /build/out; echo x >../../../../../../../..{tmp_path}/beside; echo x >/build/evil",
        "ln /build/src/mm/memory.c /build/out/hard; echo x >>/build/out/hard",
        "mount -o remount,rw /build/src; umount /build/src/Makefile",
        "unshare -Ur sh -c 'mount -o remount,rw /build/src'",
        "nsenter -t 1 -m true && echo IN ANOTHER NAMESPACE; :",
    )
    assert (tmp_path / "beside").read_text() == "mine\n"
    assert "Read-only file system" in said and "IN ANOTHER" not in said
    after = state(shop)
    assert {name: after[name] for name in before} == before
    assert shop.build() == base and shop.lines == []
    assert not (out / "evil").exists()


def test_another_patch_is_built_from_the_bases_objects_not_from_those_of_a_hostile_one(shop: Shop) -> None:
    shop.build()
    clean = shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3"))).image_sha256
    shop.cache.remove("kernels", next(p.name for p in shop.cache.entries("kernels") if (p / "touched").exists()))
    hostile(shop, "for f in $(find /build/out -name '*.o'); do printf POISON | dd of=$f conv=notrunc; done")
    assert shop.build(_diff("kernel/fork.c", _FORK.replace("2", "3"))).image_sha256 == clean


def test_the_hosts_settings_in_proc_and_sys(shop: Shop) -> None:
    """For root they are writable in /proc, whatever capabilities were dropped."""
    kept = Path("/proc/sys/kernel/core_pattern").read_text()
    said = hostile(
        shop,
        "cat /proc/sys/kernel/core_pattern >/tmp/p; cat /tmp/p >/proc/sys/kernel/core_pattern && echo WRITTEN",
        "find /proc /sys /dev -type f -writable 2>/dev/null | sed 's/^/OPEN /' | head; :",
    )
    assert "WRITTEN" not in said and "OPEN" not in said
    assert Path("/proc/sys/kernel/core_pattern").read_text() == kept


def test_a_process_left_behind(shop: Shop, tmp_path: Path) -> None:
    beat = "for i in $(seq 500); do date >/build/out/heart; sleep 0.02; done"
    said = hostile(
        shop,
        f"(setsid setsid sh -c '{beat}' >/dev/null 2>&1 &) ; (trap '' TERM HUP INT; {beat}) >/dev/null 2>&1 &",
        "sleep 0.2; exit 7",
    )
    assert "Error 7" in said
    # Its folder is gone with the failed build; so nothing may have the path any more.
    assert not [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"/build/out/heart" in _read(p)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_patched_build_without_end_is_the_patchs_fault(shop: Shop) -> None:
    began = time.monotonic()
    with pytest.raises(BuildError, match=r"cannot build kernel: make .*not done after 2 s, and was stopped"):
        shop.build(
            recipe("while :; do sleep 1; done", when="modules: Image"), sandbox=Sandbox(limits=Limits(seconds=2))
        )
    assert time.monotonic() - began < 60
    assert not list(shop.cache.root.glob("kernels/.tmp-*"))


def test_kconfig_runs_what_it_likes_in_there_too(shop: Shop, secret: Path) -> None:
    """The first thing of a build that runs the patch's own text is its configuration."""
    text = fake_kernel.MAKEFILE.replace(
        "VERSION = 6", f"VERSION = 6\nX := $(shell cat {secret}; id -u >&2; touch /usr/evil)"
    )
    said = build(shop, _diff("Makefile", text), fork_patch())
    assert "PRIVATE" not in said and "/usr/evil" in said


def test_escape_sequences_in_what_a_build_prints(shop: Shop) -> None:
    built = shop.build(
        recipe(r"printf '\033]0;pwned\007\033[2J\302\233 \342\200\256 \rVERDICT FIXES\n'", when="modules: Image")
    )
    said = "\n".join(shop.lines) + built.log.read_text()
    assert "pwned" in said
    assert said.replace("\n", "").isprintable() and "\N{REPLACEMENT CHARACTER}" in said


def test_a_flood_of_errors_is_read_in_time() -> None:
    from harness.build import compile_log

    began = time.monotonic()
    compile_log.errors(["In function error: x"] * 200_000)
    assert time.monotonic() - began < 30


def raw(name: str, text: str = "x\n", mode: str = "100644") -> str:
    """A diff that adds a file."""
    lines = "".join(difflib.unified_diff([], text.splitlines(True), "/dev/null", f"b/{name}"))
    return f"diff --git a/{name} b/{name}\nnew file mode {mode}\n{lines}"


@pytest.mark.parametrize(
    "diff",
    [
        raw("../evil"),
        raw("/etc/evil"),
        raw("a/../../evil"),
        raw(".git/hooks/post-checkout"),
        raw("sub/.GIT/config"),
        raw("lnk", "/etc/passwd", "120000"),
        raw("lnk", "../../evil", "120000"),
        "diff --git a/sub b/sub\nnew file mode 160000\n--- /dev/null\n+++ b/sub\n@@ -0,0 +1 @@\n"
        "+Subproject commit b038fb7acadff2b9e3c72de41f0e2e49abc1caf7\n",
    ],
)
def test_names_links_and_submodules_that_leave_the_tree(shop: Shop, diff: str) -> None:
    with pytest.raises(PatchError):
        shop.build(diff)


def test_a_link_and_then_a_file_below_it(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(PatchError):
        shop.build(raw("d", "mm", "120000"), raw("d/../../evil"))
    with pytest.raises(PatchError):
        shop.build(raw("d", str(tmp_path), "120000"), raw("d/evil"))
    assert not (tmp_path / "evil").exists()


def test_attributes_and_modules_of_a_patch_mean_nothing_to_git(shop: Shop, tmp_path: Path) -> None:
    attributes = raw(".gitattributes", "* filter=evil text eol=crlf ident working-tree-encoding=UTF-16\n")
    config = tmp_path / "gitconfig"
    config.write_text(f'[filter "evil"]\n\tsmudge = touch {tmp_path}/evil\n\tclean = touch {tmp_path}/evil\n')
    os.environ["GIT_CONFIG_GLOBAL"] = str(config)
    try:
        built = shop.build(attributes, raw("mm/new.c", "int new_one; /* $Id$ */\n"))
    finally:
        del os.environ["GIT_CONFIG_GLOBAL"]
    (touched,) = shop.cache.root.glob("kernels/*/touched")
    assert (touched / "mm/new.c").read_bytes() == b"int new_one; /* $Id$ */\n"
    assert not (tmp_path / "evil").exists()
    assert built.objects == 1
