# SPDX-License-Identifier: GPL-2.0-or-later
"""What a pool of machines says and refuses before anything is connected: addresses, identities, orders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import KilledWorker
from distributed.client import FutureCancelledError
from hypothesis import given
from hypothesis import strategies as st

from harness import errors
from harness.build.cache import Cache
from harness.build.limits import LimitExceeded
from harness.build.sandbox import Sandbox
from harness.build.store import Ref, Store, StoreError
from harness.errors import FaultloopError, InfrastructureError, UserError
from harness.jobs import address, identity, orders, worker
from harness.jobs import cluster as module
from harness.jobs.cluster import Cluster, Task
from harness.jobs.orders import File, GuestOrder, Reply
from harness.model import Patch, Series, Setup
from tests.unit import certificates

REF = Ref("ab" * 32, 5)


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:8786", "tcp://localhost:1", "tcp://127.9.9.9:1", "tcp://[::1]:1"]
)
def test_plain_tcp_serves_on_loopback(url: str) -> None:
    found = address.parse(url)
    assert found.loopback and not found.tls
    assert address.parse(found.url) == found
    assert address.security(found, "client") is None


@pytest.mark.parametrize(
    "url",
    ["tcp://192.0.2.1:8786", "tcp://0.0.0.0:1", "tcp://build.example:1", "tcp://[::]:1", "tcp://127.0.0.1.x:1"],
)
def test_plain_tcp_beyond_loopback_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(UserError, match=r"refused: .*runs what it is sent.*tls://"):
        address.parse(url)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8786", "ucx://127.0.0.1:1", "tls://", "tls://h:x", "tls://u@h:1", "tls://h:1/p", "tls://[", ""],
)
def test_what_is_no_address_is_said_to_be_none(url: str) -> None:
    with pytest.raises(UserError, match="no address of a scheduler"):
        address.parse(url)


def test_a_port_may_be_left_out_and_0_is_one() -> None:
    assert address.parse("tls://h").url == "tls://h:8786"
    assert address.parse("tcp://127.0.0.1:0").port == 0


def test_missing_certificates_are_one_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAULTLOOP_TLS_CA", str(tmp_path / "ca.pem"))
    for name in ("FAULTLOOP_TLS_CERT", "FAULTLOOP_TLS_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError) as found:
        address.security(address.parse("tls://192.0.2.1:1"), "client")
    assert "not named: FAULTLOOP_TLS_CERT, FAULTLOOP_TLS_KEY" in found.value.message
    assert f"no such file: FAULTLOOP_TLS_CA={tmp_path}/ca.pem" in found.value.message


def test_certificates_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in certificates.make(tmp_path).items():
        monkeypatch.setenv(name, value)
    made = address.security(address.parse("tls://192.0.2.1:1"), "worker")
    assert made is not None and made.require_encryption
    monkeypatch.setenv("FAULTLOOP_TLS_KEY", str(tmp_path / "ca.pem"))
    with pytest.raises(UserError, match="do not serve for TLS"):
        address.security(address.parse("tls://192.0.2.1:1"), "worker")


def test_the_store_must_be_named_when_a_pool_has_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FAULTLOOP_STORE", raising=False)
    monkeypatch.setenv("FAULTLOOP_CACHE", "/cache")
    assert worker.store_of(address.parse("tcp://127.0.0.1:1")) == "file:///cache/store"
    with pytest.raises(UserError, match="FAULTLOOP_STORE"):
        worker.store_of(address.parse("tls://192.0.2.1:1"))


def test_a_difference_is_told_with_both_sides(tmp_path: Path) -> None:
    here = identity.identity(Store((tmp_path / "s").as_uri()), Sandbox())
    assert identity.differences(here, dict(here)) == []
    assert {"faultloop", "architecture", "harness", "guest-tests", "emulator", "store", "bwrap"} < here.keys()
    there = {**here, "aarch64-linux-gnu-gcc": "gcc 99", "bwrap": ""}
    assert identity.differences(here, there) == [
        f"aarch64-linux-gnu-gcc (here {here['aarch64-linux-gnu-gcc']}, there gcc 99)",
        f"bwrap (here {here['bwrap']}, there none)",
    ]
    assert identity.resource(here) == identity.resource(dict(reversed(here.items()))) != identity.resource(there)


def test_a_worker_offers_what_it_can() -> None:
    found = worker.Offer(3, 1, kvm=False).resources({"a": "b"})
    assert found.pop(identity.resource({"a": "b"})) == worker.PLENTY
    assert found == {"guest": 3.0, "build": 1.0}
    assert worker.Offer(3, 0, kvm=True).resources({})["kvm"] == 3.0
    assert worker.offer(0, build=True).builds == 1
    with pytest.raises(UserError, match="nothing to offer"):
        worker.offer(0, build=False)


def order() -> GuestOrder:
    files = (File("Image", REF), File("modules/a.ko", REF, 0o600))
    setup = Setup("s", "cortex-a57", cpus=2)
    return GuestOrder(
        "base", "6.1", "6.1.9", setup, ("a", "b"), (), files, files, "QEMU 10", files, "ssh-ed25519 A"
    )


def test_an_order_is_small_plain_and_comes_out_as_it_went_in() -> None:
    text = orders.dump(order())
    assert orders.load(text) == order()
    assert len(text) < 1500
    assert "/" not in text.replace("modules/a.ko", "")


@given(st.text(), st.text(), st.binary())
def test_a_series_comes_out_as_it_went_in(subject: str, title: str, data: bytes) -> None:
    """Also one whose text is no UTF-8."""
    diff = data.decode("utf-8", errors="surrogateescape")
    series = Series((Patch(subject, diff, hunks=(1, 2), files=("a",), notes=("n",)), Patch("t", "")), title)
    assert orders.load_series(orders.dump_series(series)) == series


KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, FaultloopError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_arrives_as_what_it_was(kind: type[FaultloopError]) -> None:
    found = orders.load_reply(orders.dump_reply(Reply(kind("what", detail="more"), {"record": REF})))
    assert found.error is not None
    assert type(found.error) is kind
    assert (found.error.message, found.error.detail, found.error.status) == ("what", "more", kind.status)
    assert found.packs == {"record": REF}


@pytest.mark.parametrize(("error", "kind"), [(LimitExceeded("x"), None), (StoreError("x"), InfrastructureError)])
def test_an_error_of_another_module_arrives_as_the_nearest_known(error: FaultloopError, kind: type | None) -> None:
    found = orders.load_reply(orders.dump_reply(Reply(error))).error
    assert found is not None
    assert found.status == error.status
    assert kind is None or type(found) is kind


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"error": null, "packs": {"a": "b"}}', '{"error": {"kinds": 1}, "packs": {}}'],
)
def test_an_answer_that_is_none_is_our_trouble(text: str) -> None:
    with pytest.raises(InfrastructureError, match="answer"):
        orders.load_reply(text)


def test_a_bundle_is_laid_out_once_with_its_modes(tmp_path: Path) -> None:
    store, cache = Store((tmp_path / "store").as_uri()), Cache(tmp_path / "cache")
    bundle = (File("run", store.put_bytes(b"1"), 0o755), File("modules/a.ko", store.put_bytes(b"2")))
    folder = orders.materialise(cache, store, bundle)
    assert (folder / "run").stat().st_mode & 0o777 == 0o755
    assert (folder / "modules/a.ko").read_bytes() == b"2"
    (tmp_path / "store").rename(tmp_path / "gone")
    assert orders.materialise(cache, store, bundle) == folder
    other = (replace(bundle[0], mode=0o600), bundle[1])
    with pytest.raises(StoreError, match="missing"):
        orders.materialise(cache, store, other)
    assert cache.entries(orders.BUNDLES) == [folder]


def reply_of(tmp_path: Path, error: Exception) -> FaultloopError | None:
    """What becomes of a task whose future raises this."""
    pool = Cluster("tcp://127.0.0.1:1", cache=Cache(tmp_path), sandbox=Sandbox, say=print)

    def result() -> str:
        raise error

    return pool._reply(SimpleNamespace(result=result), Task("base/a", "", {})).error  # type: ignore[arg-type]


def test_what_dask_says_is_told_in_our_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAULTLOOP_STORE", (tmp_path / "store").as_uri())
    last = SimpleNamespace(address="tls://192.0.2.7:1")
    for error, told in (
        (KilledWorker("k", last, 3), "base/a: 4 workers died over it, the last one at tls://192.0.2.7:1"),  # type: ignore[arg-type]
        (FutureCancelledError("k", "lost"), "base/a: tcp://127.0.0.1:1: the scheduler is gone"),
        (ZeroDivisionError("x"), "base/a: a worker failed: ZeroDivisionError('x')"),
    ):
        found = reply_of(tmp_path, error)
        assert isinstance(found, InfrastructureError)
        assert found.message == told


def test_a_pool_is_deserted_only_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now, workers = [0.0], [["one"]]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    watch = module._Watch(lambda: workers[0])
    now[0] = module.PATIENCE * 3
    assert not watch.deserted()
    workers[0] = []
    now[0] += module.PATIENCE - 1
    assert not watch.deserted()
    now[0] += 2
    assert watch.deserted()
