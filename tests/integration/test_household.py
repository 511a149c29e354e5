"""The process around the broker: admin listener, $SYS and metrics, control socket, limits, daemon, stop."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

from harness import BrokerTest, OwnBrokerTest, eventually, for_workers, free_port, own_only, tool
import wire


def get(port, path, token=None, host="127.0.0.1"):
    """(status, text) of an HTTP request to the admin listener."""
    request = urllib.request.Request(f"http://{host}:{port}{path}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def control(broker, **request):
    """What the control socket answers, one dict for each line."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(broker.data / "control.sock"))
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile() as reply:
            return [json.loads(line) for line in reply]


def metric(text, name):
    lines = [line for line in text.splitlines() if line.startswith(name + " ")]
    assert len(lines) == 1, (name, lines)
    return int(lines[0].split()[1])


def try_to_connect(test):
    try:
        return test.client()
    except (AssertionError, ConnectionError, wire.Closed):
        return None


@own_only("admin listener")
class Admin(BrokerTest):
    workers = 2

    @classmethod
    def setUpClass(cls):
        cls.admin = free_port()
        cls.config = f"admin_listener {cls.admin}"
        super().setUpClass()

    def test_health(self):
        eventually(lambda: get(self.admin, "/health")[0] == 200, what="the end of the start")
        status, text = get(self.admin, "/health")
        self.assertEqual((status, json.loads(text)["status"]), (200, "ok"))
        self.assertEqual(get(self.admin, "/health/ping"), (200, "pong\n"))
        status, text = get(self.admin, "/health/listeners")
        listeners = json.loads(text)["listeners"]
        self.assertEqual([(each["port"], each["addresses"]) for each in listeners],
                         [(self.port, [f"127.0.0.1:{self.port}"])])
        self.assertEqual(get(self.admin, "/elsewhere")[0], 404)

    def test_metrics_count(self):
        before = get(self.admin, "/metrics")[1]
        client = self.client()
        for _ in range(10):
            client.publish("a/b", b"12345", 1)
        after = get(self.admin, "/metrics")[1]

        def more(name):
            return metric(after, name) - metric(before, name)
        self.assertEqual(more("metrino_publish_received_total"), 10)
        self.assertEqual(more("metrino_publish_received_bytes_total"), 50)
        self.assertEqual(metric(after, "broker_publish_messages_received"), metric(after, "metrino_publish_received_total"))
        self.assertGreaterEqual(metric(after, "metrino_clients_connected"), 1)
        self.assertGreaterEqual(metric(after, "broker_clients_connected"), 1)
        self.assertEqual(metric(after, "metrino_workers"), 2)

    def test_metrics_name_no_client(self):
        client = self.client("secret-client-id")
        client.subscribe("secret/topic", 1)
        client.publish("secret/topic", b"secret payload", 1, retain=True)
        self.assertNotIn("secret", get(self.admin, "/metrics")[1])


@own_only("admin listener")
class AdminToken(OwnBrokerTest):
    def test_token(self):
        admin, token = free_port(), "0123456789abcdef0123456789abcdef"
        path = self.broker.root / "token"
        path.write_text(token + "\n")
        self.broker.config = f"admin_listener {admin} 0.0.0.0\nadmin_token_file {path}"
        self.broker.start()
        self.assertEqual(get(admin, "/metrics")[0], 401)
        self.assertEqual(get(admin, "/metrics", token + "0")[0], 401)
        self.assertEqual(get(admin, "/metrics", token)[0], 200)

    def test_too_long(self):
        path = self.broker.root / "token"
        self.broker.config = f"admin_listener {free_port()} 127.0.0.1\nadmin_token_file {path}"
        self.broker.write_config()
        path.write_text(513 * "t" + "\n")
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1)
        self.assertIn("16 to 512 characters", words)

    def test_off_loopback_without_token_is_refused(self):
        self.broker.config = f"admin_listener {free_port()} 0.0.0.0"
        self.broker.write_config()
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 3)
        self.assertIn("admin_token_file", words)


@own_only("control socket")
@for_workers(1, 3)
class Control(BrokerTest):
    def test_count_list_kick(self):
        here, kicked = self.client("here"), self.client("kicked", properties=[("session_expiry_interval", 100)])
        kicked.subscribe("t", 1)
        clients = {line["client_id"]: line for line in control(self.broker, command="clients.list") if "client_id" in line}
        self.assertTrue(clients["here"]["connected"])
        self.assertEqual(clients["kicked"]["subscriptions"], 1)
        self.assertEqual(clients["kicked"]["version"], 5)
        self.assertLess(abs(clients["kicked"]["connected_at"] - time.time()), 60)
        self.assertEqual(control(self.broker, command="clients.kick", client_id="kicked"), [{"ok": True, "kicked": 1}])
        self.assertEqual(kicked.ended(), 0x98)
        count = eventually(lambda: [line for line in control(self.broker, command="clients.count")
                                    if line["connected"] == 1])
        self.assertEqual(count, [{"ok": True, "connected": 1, "sessions": 2}])
        self.assertFalse(control(self.broker, command="clients.kick", client_id="nobody")[0]["ok"])
        here.ping()

    def test_mode(self):
        self.assertEqual((self.broker.data / "control.sock").stat().st_mode & 0o777, 0o600)


class MaxConnections(OwnBrokerTest):
    @own_only("counts at once")
    def test_listener_limit(self):
        self.broker.config = "max_connections 2\nworkers 2"
        self.broker.start()
        # Whoever asked whether the broker answers may still have a place.
        first = eventually(lambda: try_to_connect(self), what="a free place")
        second = eventually(lambda: try_to_connect(self), what="another free place")
        with self.assertRaises((AssertionError, ConnectionError, wire.Closed)):
            self.client()
        first.ping()
        second.ping()
        first.cut()
        eventually(lambda: try_to_connect(self), what="a free place")


@own_only("says so in its log")
class Descriptors(OwnBrokerTest):
    """A full descriptor table: new connections are closed, old ones served, and no processor time is burnt."""

    def test_exhaustion(self):
        self.broker.config = "workers 1\nsys_interval 1"
        command = self.broker.command
        self.broker.command = lambda *extra: [tool("prlimit"), "--nofile=64:64", *command(*extra)]
        self.broker.start()
        self.assertIn("only 64 files", self.broker.log())
        clients = []
        with self.assertRaises((AssertionError, ConnectionError, wire.Closed)):
            for _ in range(100):
                clients.append(self.client())
        self.assertGreater(len(clients), 20)
        for client in clients:
            client.ping()
        eventually(lambda: "out of file descriptors" in self.broker.log(), what="a word in the log")
        before = self.cpu_s()
        time.sleep(0.5)
        self.assertLess(self.cpu_s() - before, 0.2)
        for client in clients[:10]:
            client.disconnect()
        eventually(lambda: try_to_connect(self), what="a free descriptor")

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.broker.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@own_only("its own ways")
class Life(OwnBrokerTest):
    workers = 2

    def test_stop_while_somebody_does_not_read(self):
        """A client that takes nothing delays the end by some seconds at most."""
        self.broker.start()
        deaf = self.client()
        deaf.subscribe("flood", 0)
        publisher = self.client()
        for _ in range(50):
            publisher.publish("flood", b"x" * 100000, 0)
        publisher.ping()
        begin = time.monotonic()
        self.assertEqual(self.broker.stop(), 0)
        self.assertLess(time.monotonic() - begin, 8)

    def test_stop_says_what_is_let_go(self):
        self.broker.start()
        client = self.client()
        client.subscribe("$SYS/broker/load/connections/15min", 0)  # the last of the first update: all is on its way
        client.message()
        client.publish("kept", b"x", 1, retain=True)
        self.assertEqual(self.broker.stop(), 0)
        self.assertRegex(self.broker.log(), r"let go: 1 retained messages, 0 wills")

    def test_pid_file(self):
        path = self.broker.root / "pid"
        self.broker.config = f"pid_file {path}"
        self.broker.start()
        self.assertEqual(int(path.read_text()), self.broker.process.pid)
        self.assertEqual(self.broker.stop(), 0)
        self.assertFalse(path.exists())

    def test_daemon(self):
        """The parent ends with 0 when the broker serves, so the port answers at once."""
        path = self.broker.root / "pid"
        self.broker.config = f"pid_file {path}"
        self.broker.write_config()
        code, words = self.broker.run_to_end("-d")
        self.assertEqual(code, 0, words)
        pid = int(path.read_text())
        try:
            self.client().ping()
        finally:
            os.kill(pid, signal.SIGTERM)
        eventually(lambda: not path.exists(), timeout=15, what="the end of the daemon")

    def test_daemon_that_cannot_start(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            self.broker.port = other.getsockname()[1]
            self.broker.write_config()
            code, words = self.broker.run_to_end("-d")
        self.assertEqual(code, 1)
        self.assertIn("in use", words)

    def test_notify(self):
        """What systemd is told, in its order."""
        path = str(self.broker.root / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.bind(path)
            sock.settimeout(10)
            os.environ["NOTIFY_SOCKET"] = path
            os.environ["WATCHDOG_USEC"] = "400000"
            try:
                self.broker.start()
            finally:
                del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
            said = []

            def hear(state):
                while state not in said:
                    said.append(sock.recv(4096).decode().split("\n")[0])
            hear("READY=1")
            said.clear()
            hear("WATCHDOG=1")
            self.broker.signal(signal.SIGHUP)
            hear("RELOADING=1")
            hear("READY=1")
            self.assertLess(said.index("RELOADING=1"), said.index("READY=1"))
            self.broker.signal(signal.SIGTERM)
            hear("STOPPING=1")
            self.assertEqual(self.broker.wait(), 0)

    def activated(self, port):
        """The broker's command, started as systemd would with a socket for the port."""
        starter = ("import os, socket, sys\n"
                   "with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:\n"
                   "    fd = os.dup(server.fileno()) if server.fileno() == 3 else server.fileno()\n"
                   "    os.dup2(fd, 3)\n"
                   "    os.environ.update(LISTEN_FDS='1', LISTEN_PID=str(os.getpid()))\n"
                   "    os.execvp(sys.argv[2], sys.argv[2:])\n")
        command = self.broker.command
        return lambda *extra: [sys.executable, "-c", starter, str(port), *command(*extra)]

    def test_socket_activation(self):
        self.broker.command = self.activated(self.broker.port)
        self.broker.start()
        clients = [self.client() for _ in range(20)]
        for client in clients:
            client.subscribe("t", 1)
        clients[0].publish("t", b"x", 1)
        for client in clients:
            self.assertEqual(client.message().payload, b"x")
        self.assertEqual(self.broker.stop(), 0)

    def test_socket_that_nobody_asked_for(self):
        port = free_port()
        self.broker.write_config()
        self.broker.command = self.activated(port)
        code, words = self.broker.run_to_end()
        self.assertEqual(code, 1, words)
        self.assertIn(f"127.0.0.1:{port}", words)

    def test_hup_names_what_needs_a_restart(self):
        self.broker.start()
        self.broker.config = f"sys_interval 77\nlistener {free_port()} 127.0.0.1"
        self.broker.workers = 3
        self.broker.write_config()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "read again" in self.broker.log(), what="the reload")
        self.assertRegex(self.broker.log(), "workers: a change needs a restart")
        self.assertRegex(self.broker.log(), "listeners: a change needs a restart")
        self.client().ping()

    def test_hup_under_load(self):
        """Settings change while clients publish: nobody is dropped and nothing lost."""
        self.broker.start()
        reader, writer = self.client(), self.client()
        reader.subscribe("t", 1)
        done = threading.Event()

        def reload():
            while not done.wait(0.01):
                self.broker.signal(signal.SIGHUP)
        thread = threading.Thread(target=reload)
        thread.start()
        try:
            for n in range(300):
                writer.send(wire.publish("t", b"%d" % n, 1, n + 1))
                self.assertEqual(reader.message().payload, b"%d" % n)
                self.assertEqual(writer.expect(wire.PUBACK).packet_id, n + 1)
        finally:
            done.set()
            thread.join()

    @unittest.skipIf(os.geteuid() != 0, "not possible here: only root can become another user")
    def test_becomes_another_user(self):
        self.broker.root.chmod(0o755)
        self.broker.config = "user nobody"
        self.broker.data.rmdir()
        self.broker.start()
        self.client(properties=[("session_expiry_interval", 100)]).ping()
        status = pathlib.Path(f"/proc/{self.broker.process.pid}/status").read_text()
        uids = [line.split()[1:] for line in status.splitlines() if line.startswith("Uid:")][0]
        self.assertEqual(len(set(uids)), 1)
        self.assertNotEqual(uids[0], "0")
        self.assertEqual((self.broker.data / "data.mdb").stat().st_uid, int(uids[0]))
        self.assertEqual(self.broker.stop(), 0)
        self.broker.start()
        self.client().ping()

    @unittest.skipIf(os.geteuid() != 0, "not possible here: only root sees whose a port is")
    def test_no_listening_but_where_configured(self):
        self.broker.start()
        done = subprocess.run([tool("ss"), "-Hltnp"], capture_output=True, text=True, check=True)
        ours = [line.split()[3] for line in done.stdout.splitlines() if f"pid={self.broker.process.pid}," in line]
        self.assertEqual(set(ours), {f"127.0.0.1:{self.port}"})
