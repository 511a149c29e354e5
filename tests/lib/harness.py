"""Starts the broker under test and the clients that others wrote.

Environment:
  METRINOD   the broker's command; `-c FILE` is appended, or FILE is put where it says {conf}
  STAND_IN   `mosquitto`: another broker is under test; what only Metrino promises is skipped
  TEST_BUILD the folder for what the tests build (default: build/integration)
  BROKER_CONFIG  lines added to every configuration, separated by `;`
"""

import contextlib
import fcntl
import os
import pathlib
import random
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "integration"
MQTTJS = HERE / "mqttjs.js"
BUILD = pathlib.Path(os.environ.get("TEST_BUILD", ROOT / "build" / "integration"))
STAND_IN = os.environ.get("STAND_IN", "")
COMMAND = shlex.split(os.environ.get("METRINOD") or shlex.quote(str(ROOT / "build" / "metrinod")))
if "/" in COMMAND[0]:
    COMMAND[0] = os.path.abspath(COMMAND[0])  # brokers run in folders of their own

START_TIMEOUT_S = 40  # of a machine that has much else to do
STOP_TIMEOUT_S = 15


def own_only(reason):
    """Marks a test or class of something that the stand-in does not promise."""
    return unittest.skipIf(STAND_IN, f"Metrino only: {reason}")


def for_workers(*counts):
    """Runs a class of tests once for each number of workers; once, without the key, against a stand-in."""
    def decorate(cls):
        module = __import__(cls.__module__)
        if STAND_IN:
            return cls
        for count in counts:
            name = f"{cls.__name__}Workers{count}"
            members = {"workers": count, "__module__": cls.__module__, "abstract": False}
            setattr(module, name, type(name, (cls,), members))
        cls.abstract = True
        return cls
    return decorate


def raise_descriptor_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


GIVEN = {}  # ports, and what marks them as ours for the other processes that test here


def free_port(host="127.0.0.1"):
    """
    A port below the range that outgoing connections are given, so that no client takes it meanwhile; another one each
    time, also in other processes that test here at the same time.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(200):
        port = random.SystemRandom().randrange(18000, 32000)
        if port in GIVEN:
            continue
        mark = socket.socket(socket.AF_UNIX)  # its name is taken until this process ends
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                mark.bind(f"\0metrino-test-port-{port}")
                probe.bind((host, port))
            except OSError:
                mark.close()
                continue
        GIVEN[port] = mark
        return port
    raise RuntimeError("no free port")


def listening_addresses(port):
    """The local addresses (hexadecimal, as the kernel writes them) at which somebody listens on that port."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            rows = [line.split() for line in pathlib.Path(table).read_text().splitlines()[1:]]
            found |= {row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port}
    return found


def eventually(check, timeout=5.0, what="the condition"):
    """Calls check until it gives something true; fails after the time-out."""
    end = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true within {timeout} s")
        time.sleep(0.02)


def is_answer(refused, process):
    """Does what CONNECT got say that the broker is there?"""
    if isinstance(refused.__cause__, wire.Closed):  # by one that is about to end, perhaps
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.5)
        return process.poll() is None
    return not isinstance(refused.__cause__, TimeoutError)  # a refusal is one


def answers(process, port, host="127.0.0.1"):
    """Waits until the broker answers a CONNECT; False when the process ended instead."""
    end = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < end:
        if process.poll() is not None:
            return False
        try:
            wire.Client(port, "ready", version=4, keep_alive=10, host=host, timeout=2).disconnect()
            return True
        except AssertionError as refused:
            if is_answer(refused, process):
                return True
        except (ConnectionError, TimeoutError, wire.Closed):
            time.sleep(0.02)
    process.kill()
    raise AssertionError(f"the broker does not answer within {START_TIMEOUT_S} s")


# Whom a broker becomes that root started: without `user` in its configuration.
BROKER_USER = 65534 if os.geteuid() == 0 and not STAND_IN else None


def as_broker(*words):
    """A command that is run as the user that the broker runs as."""
    if BROKER_USER is None:
        return [*map(str, words)]
    return [tool("setpriv"), f"--reuid={BROKER_USER}", f"--regid={BROKER_USER}", "--clear-groups", *map(str, words)]


class Broker:
    """One broker process with its own folder. `config` holds lines of the broker's configuration; `folders` are others
    that it names: what is in them and in its own belongs to the broker's user at each start and each HUP."""

    def __init__(self, config="", workers=None, host="127.0.0.1", root=None, folders=()):
        self.host, self.workers, self.config = host, workers, config
        self.folders = list(folders)
        self.owns_root = root is None
        self.root = pathlib.Path(root or tempfile.mkdtemp(prefix="metrino-test-"))
        self.root.chmod(0o755)
        self.data = self.root / "data"
        self.data.mkdir(mode=0o700, exist_ok=True)
        self.conf = self.root / "broker.conf"
        self.log_path = self.root / "stderr"
        self.process, self.port = None, free_port(host)
        self.end_asked = False

    def write_config(self):
        lines = [f"listener {self.port} {self.host}", "allow_anonymous true", f"persistence_location {self.data}/"]
        if STAND_IN:
            lines += ["persistence true", "user root" if os.geteuid() == 0 else ""]
        elif self.workers:
            lines.append(f"workers {self.workers}")
        lines += os.environ.get("BROKER_CONFIG", "").split(";")
        lines += self.config.splitlines()
        doors = [number for number, line in enumerate(lines) if line.startswith("allow_anonymous ")]
        for number in reversed(doors[:-1]):  # what a test writes is instead
            del lines[number]
        self.conf.write_text("\n".join(lines) + "\n")

    def command(self, *extra):
        if any("{conf}" in word for word in COMMAND):
            return [word.replace("{conf}", str(self.conf)) for word in COMMAND] + list(extra)
        return [*COMMAND, "-c", str(self.conf), *extra]

    def hand_over(self):
        for folder in (self.root, *self.folders) if BROKER_USER is not None else ():
            for path in (folder, *folder.rglob("*")):
                with contextlib.suppress(OSError):  # gone, or on a file system that is read only
                    os.chown(path, BROKER_USER, BROKER_USER, follow_symlinks=False)

    def start(self):
        self.end_asked = False
        for attempt in range(3):
            self.write_config()
            self.hand_over()
            with open(self.log_path, "ab") as log:
                self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                cwd=self.root)
            if answers(self.process, self.port, self.host):
                return self
            if attempt == 2 or "in use" not in self.log().lower():
                raise AssertionError(f"the broker ended with {self.process.returncode} at start:\n{self.log()}")
            self.port = free_port(self.host)

    def run_to_end(self, *extra, timeout=START_TIMEOUT_S):
        """Starts a broker that is expected to end by itself; gives (exit code, its words)."""
        self.hand_over()
        try:
            done = subprocess.run(self.command(*extra), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, cwd=self.root, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as running:
            words = (running.stdout or b"").decode(errors="replace")
            raise AssertionError(f"the broker runs, although it should have refused to:\n{words}") from None
        return done.returncode, done.stdout.decode(errors="replace")

    def signal(self, number):
        if number == signal.SIGHUP:
            self.hand_over()
        self.process.send_signal(number)

    def _is_stopped(self):
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    @contextlib.contextmanager
    def stopped(self):
        """With each of its threads stopped, so that what comes meanwhile is found all at once."""
        self.signal(signal.SIGSTOP)
        try:
            eventually(self._is_stopped, what="a broker that stands still")
            yield
        finally:
            self.signal(signal.SIGCONT)

    def wait(self, timeout=STOP_TIMEOUT_S):
        self.end_asked = True
        return self.process.wait(timeout)

    def stop(self):
        """SIGTERM; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def kill(self):
        """SIGKILL, as a loss of the process."""
        self.end_asked = True
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def finish(self):
        """Ends the process whatever its state and removes its folder; an end that nobody asked for, or a wrong exit
        code (a sanitizer's report, a leak), fails the test."""
        code, words = 0, ""
        try:
            if self.process and self.process.poll() is None:
                code = self.stop()
            elif self.process and not self.end_asked:
                code = self.process.returncode
            words = self.log()[-4000:] if code else ""
        finally:
            if self.process and self.process.poll() is None:
                self.kill()
            if self.owns_root:
                shutil.rmtree(self.root, ignore_errors=True)
        if code != 0:
            raise AssertionError(f"the broker ended with {code}:\n{words}")


# For tests that publish first and read then, in one thread: with `delivered` each PUBACK would wait for ack_hold_max.
ACCEPTED = "" if STAND_IN else "ack_when accepted"


class BrokerTest(unittest.TestCase):
    """One broker for the tests of a class; names from name() keep the tests apart."""

    config = ""
    workers = None
    abstract = False  # True: only its subclasses run
    alone = False     # True: nothing else runs meanwhile, because time or load is measured
    broker = None
    counter = 0

    @classmethod
    def setUpClass(cls):
        cls.start_broker()

    @classmethod
    def start_broker(cls, **args):
        cls.broker = Broker(cls.config, cls.workers, **args)
        cls.addClassCleanup(cls.broker.finish)
        cls.broker.start()

    @property
    def port(self):
        return self.broker.port

    def name(self, stem="t"):
        BrokerTest.counter += 1
        return f"{stem}-{os.getpid()}-{BrokerTest.counter}"

    def client(self, client_id=None, **args):
        client = wire.Client(self.port, self.name("c") if client_id is None else client_id, **args)
        self.addCleanup(client.cut)
        return client

    def paho(self, client_id=None, **args):
        import paho_client
        client = paho_client.PahoClient(self.port, self.name("p") if client_id is None else client_id, **args)
        self.addCleanup(client.close)
        return client


class OwnBrokerTest(BrokerTest):
    """A broker for each test, for tests that stop, kill or reconfigure it."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        self.broker = Broker(self.config, self.workers)
        self.addCleanup(self.broker.finish)


# --- clients of others as processes

MOSQUITTO_VERSION = {3: "mqttv31", 4: "mqttv311", 5: "mqttv5"}


def tool(name):
    path = shutil.which(name)
    if not path:
        raise unittest.SkipTest(f"{name} is not installed")
    return path


def run_client(command, timeout=30, env=None, stdin=b""):
    """Runs a client to its end; gives its standard output. A non-zero exit fails the test."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, env=env, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))[:300]} gave {done.returncode}: "
                             f"{(done.stderr + done.stdout)[-2000:].decode(errors='replace')}")
    return done.stdout


def mosquitto_pub(port, *args, version=4, stdin=b""):
    run_client([tool("mosquitto_pub"), "-p", str(port), "-V", MOSQUITTO_VERSION[version], *args], stdin=stdin)


class MosquittoSub:
    """mosquitto_sub in the background. It is subscribed once a probe to its own topic has come back."""

    def __init__(self, port, *args, version=4, count=None):
        command = [tool("mosquitto_sub"), "-p", str(port), "-V", MOSQUITTO_VERSION[version], "-d", "-F", "%t|%q|%r|%p"]
        command = ["stdbuf", "-oL", *command, *args] + (["-C", str(count)] if count else []) + ["-W", "20"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.lines = []
        self.subscribed = self._read_until(lambda line: line.startswith("Subscribed"))

    def _read_until(self, wanted):
        for raw in self.process.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            if wanted(line):
                return line
            if "|" in line:
                self.lines.append(line)
        return None

    def finish(self):
        """Waits until it has its messages; gives the lines `topic|qos|retain|payload`."""
        self._read_until(lambda line: False)
        code = self.process.wait(25)
        self.process.stdout.close()
        if code != 0:
            raise AssertionError(f"mosquitto_sub gave {code} after {self.lines}")
        return self.lines

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        self.process.stdout.close()


@contextlib.contextmanager
def one_at_a_time():
    """Among all processes of the suite: what is built, is built once."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def paho_c():
    """The path of the Paho C test client, built at the first use."""
    program, source = BUILD / "paho_c", HERE / "paho_c.c"
    with one_at_a_time():
        if program.exists() and program.stat().st_mtime > source.stat().st_mtime:
            return str(program)
        if not pathlib.Path("/usr/include/MQTTClient.h").exists():
            raise unittest.SkipTest("libpaho-mqtt-dev is not installed")
        run_client(["cc", "-std=c11", "-D_GNU_SOURCE", "-O1", "-Wall", "-Wextra", "-o", str(program), str(source),
                    "-lpaho-mqtt3c"], timeout=120)
        return str(program)


def preload(name):
    """The path of a library to preload into a broker, made of NAME.c at the first use."""
    program, source = BUILD / f"{name}.so", HERE / f"{name}.c"
    with one_at_a_time():
        if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
            run_client(["cc", "-D_GNU_SOURCE", "-O1", "-fPIC", "-shared", "-o", str(program), str(source)], timeout=60)
    return program


def mqttjs_modules():
    """The folder of MQTT.js, installed from the lock file into the build folder."""
    tool("node"), tool("npm")
    home = BUILD / "mqttjs"
    wanted = (HERE / "package-lock.json").read_bytes()
    done = home / "installed-lock.json"
    with one_at_a_time():
        if not done.exists() or done.read_bytes() != wanted:
            home.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HERE / name, home / name)
            run_client(["npm", "ci", "--prefix", str(home), "--ignore-scripts", "--no-audit", "--no-fund",
                        "--loglevel=error"], timeout=180)
            done.write_bytes(wanted)
    return home / "node_modules"


def mqttjs(scenario, port, version, *args, timeout=30):
    env = dict(os.environ, NODE_PATH=str(mqttjs_modules()))
    return run_client(["node", str(MQTTJS), scenario, str(port), str(version), *args], timeout, env)
