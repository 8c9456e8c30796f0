"""Without a network: in a namespace that has none, and under the guard that every test runs under."""

import os
import shutil
import socket
import subprocess
import sys
import urllib.request

import pytest

OUTSIDE = "192.0.2.1"  # reserved for documentation (RFC 5737): belongs to nobody

PROGRAM = """
import sys
interfaces = [line.split(":")[0].strip() for line in open("/proc/net/dev") if ":" in line]
assert interfaces == ["lo"], interfaces

import torch
import geolangbind
from geolangbind.models import zoo

torch.manual_seed(0)
zoo.build("tiny").save(sys.argv[1])
model = geolangbind.load(sys.argv[1])
image = model.encode_image(torch.rand(2, 4, 64, 64), wavelengths_um=[0.49, 0.56, 0.665, 0.842])
words = model.encode_text(["a harbour", "a forest"])
print((image @ words.T).shape == (2, 2) and bool(torch.isfinite(image @ words.T).all()) and "ok")
"""
HELP = "import sys; sys.argv = ['geolangbind', '--help']; from geolangbind.cli import main; main()"


@pytest.fixture
def no_network(tmp_path):
    """Run Python in a fresh network namespace, with an empty home: `no_network("-c", program)` returns its output."""
    reason = "needs Linux with unprivileged network namespaces (unshare -rn)"
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip(reason)

    def run(*arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        done = subprocess.run(["unshare", "-rn", sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    return run


def test_a_model_is_saved_loaded_and_used_without_a_network(no_network, tmp_path):
    assert no_network("-c", PROGRAM, str(tmp_path / "model")) == "ok\n"


def test_the_command_helps_without_a_network(no_network):
    assert "classify" in no_network("-c", HELP)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_guard_refuses_before_anything_is_sent(family):
    address = OUTSIDE if family == socket.AF_INET else "2001:db8::1"
    with socket.socket(family, socket.SOCK_STREAM) as stream, socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        for call in (stream.connect, stream.connect_ex, datagrams.connect):
            with pytest.raises(RuntimeError, match=f"tried to reach {address}; tests may use this machine's loopback only"):
                call((address, 80))
        with pytest.raises(RuntimeError, match="tried to reach"):
            datagrams.sendto(b"x", (address, 53))
        # the kernel gives a socket its port when it first connects or sends
        assert stream.getsockname()[1] == 0 and datagrams.getsockname()[1] == 0


def test_the_guard_refuses_to_look_names_up():
    with pytest.raises(RuntimeError, match=r"tried to reach example\.org"):
        urllib.request.urlopen("http://example.org", timeout=1)
    with pytest.raises(RuntimeError, match=r"tried to reach example\.org"):
        socket.getaddrinfo(b"example.org", 80)
    assert socket.getaddrinfo("localhost", 80) and socket.getaddrinfo("127.0.0.1", 80)


def test_the_guard_lets_this_machine_through(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"here")
            assert accepted.recv(4) == b"here"
    left, right = socket.socketpair(socket.AF_UNIX)
    with left, right:
        left.sendall(b"x")
        assert right.recv(1) == b"x"


def test_subprocesses_are_told_that_the_hub_is_offline():
    assert os.environ["HF_HUB_OFFLINE"] == "1"
