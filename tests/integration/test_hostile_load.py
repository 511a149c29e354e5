"""Load that means harm, and what it may cost: each test asserts the bound that docs/robustness.md states.

A bystander, in a process of its own, sends a message to itself again and again meanwhile; how long the slowest one
took is the latency that a client sees which has nothing to do with the matter.
"""

import contextlib
import multiprocessing
import os
import pathlib
import signal
import socket
import struct
import time
import unittest

from harness import COMMAND, BrokerTest, OwnBrokerTest, as_broker, eventually, for_workers, free_port, own_only, preload
from harness import raise_descriptor_limit, run_client, tool
from test_faults import behind
from test_household import get, metric
from test_load import Swarm
import wire

SANITIZED = any(f"/{variant}/" in word for word in COMMAND for variant in ("asan", "tsan"))
SCALE = 10 if SANITIZED else 1  # counts are divided by it where the sanitizers make all the difference
LATENCY_S = 5.0 if SANITIZED else 2.0
MIB = 1 << 20


def watch(port, name, pipe):
    """The bystander: round trips until something comes through the pipe; sends the time of the slowest."""
    worst = 0.0
    with wire.Client(port, name, timeout=30) as client:
        client.subscribe(name, 1)
        pipe.send("ready")
        while not pipe.poll(0.005):
            begin = time.monotonic()
            client.publish(name, b"x", 1)
            client.message()
            worst = max(worst, time.monotonic() - begin)
    pipe.send(worst)


class Measured(BrokerTest):
    """A broker with metrics."""

    abstract = True
    alone = True
    limits = ""

    @classmethod
    def start_broker(cls, **args):
        cls.admin = free_port()
        cls.config = f"admin_listener {cls.admin}\n{cls.limits}"
        super().start_broker(**args)

    def charged(self):
        """Bytes that are held for clients, as counted against memory_limit."""
        return metric(get(self.admin, "/metrics")[1], "metrino_memory_charged_bytes")

    def resident(self):
        status = pathlib.Path(f"/proc/{self.broker.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def assert_charged_again(self, before):
        """Within some kilobytes, which a session keeps at hand."""
        end = time.monotonic() + 20
        while self.charged() > before + 65536 and time.monotonic() < end:
            time.sleep(0.05)
        self.assertLess(self.charged(), before + 65536, f"bytes are charged, {before} were before")

    @contextlib.contextmanager
    def bystander(self, latency_s=LATENCY_S):
        context = multiprocessing.get_context("spawn")  # it must not inherit our connections
        ours, theirs = context.Pipe()
        process = context.Process(target=watch, args=(self.port, self.name("bystander"), theirs))
        process.start()
        try:
            self.assertTrue(ours.poll(20) and ours.recv() == "ready")
            yield
            ours.send("enough")
            self.assertTrue(ours.poll(30), "the bystander has no answer")
            worst = ours.recv()
            self.assertLess(worst, latency_s, "seconds of the bystander's slowest message")
        finally:
            process.kill()
            process.join()


def drain(client, wanted, timeout=30):
    """Reads until `wanted` bytes have come, and forgets them; gives their number."""
    count, end = len(client.buffer), time.monotonic() + timeout
    client.buffer.clear()
    while count < wanted and time.monotonic() < end:
        client.socket.settimeout(max(0.01, end - time.monotonic()))
        data = client.socket.recv(1 << 20)
        if not data:
            break
        count += len(data)
    return count


def is_open(client):
    """Reads what there is."""
    client.socket.setblocking(False)
    try:
        while client.socket.recv(1 << 16):
            pass
    except BlockingIOError:
        return True
    except ConnectionError:
        pass
    return False


@own_only("measures its own bounds")
@for_workers(1, 4)
class Crowd(Measured):
    def test_ten_thousand_connect_at_once(self):
        """Everybody is let in within 20 s, at 6 KiB each; when they are gone so is the memory."""
        count = 10000 // SCALE
        hard = raise_descriptor_limit()
        if hard < count + 500:
            self.skipTest(f"not possible here: {hard} descriptors are too few")
        before, resident, begin, accepted = self.charged(), self.resident(), time.monotonic(), []
        swarm = Swarm(self.port)
        self.addCleanup(swarm.close)

        def on_packet(first, body):
            self.assertEqual((first >> 4, body[1]), (wire.CONNACK, 0))
            accepted.append(1)
        with self.bystander():
            for n in range(count):
                swarm.add(wire.connect(f"swarm-{n}", version=4), on_packet)
            swarm.run(lambda: len(accepted) == count)
            self.assertEqual(len(accepted), count)
            self.assertLess(time.monotonic() - begin, 20)
            if not SANITIZED:
                self.assertLess((self.resident() - resident) / count, 6144)
            swarm.close()
            self.assert_charged_again(before)


@own_only("measures its own bounds")
class Slow(Measured):
    abstract = False
    workers = 2
    limits = "connect_timeout 4\nmax_queued_bytes 1048576\nmax_queued_messages 100000"

    def trickle(self, clients, data, seconds):
        """A byte to each, again and again; gives how many are still open after so many seconds."""
        end, at = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            for client in clients:
                with contextlib.suppress(ConnectionError):
                    client.socket.send(data[at:at + 1])
            at = min(at + 1, len(data) - 1)
            time.sleep(0.1)
        return sum(map(is_open, clients))

    def test_connect_byte_by_byte(self):
        """A CONNECT has to be whole within connect_timeout, however its bytes come."""
        before = self.charged()
        with self.bystander():
            clients = [self.client(greet=False) for _ in range(100)]
            self.assertEqual(self.trickle(clients, wire.connect("x" * 200), 1), 100)
            self.assertLess(self.charged() - before, 100 * 4096)
            self.assertEqual(self.trickle(clients, wire.connect("x" * 200), 4.5), 0)
            self.assert_charged_again(before)

    def test_large_packet_byte_by_byte(self):
        """What a header promises is not kept ready, and bytes that are no packet do not keep a connection alive."""
        packet = wire.publish("t", b"x" * 15000000)[:100]
        with self.bystander():
            before = self.charged()
            clients = [self.client(keep_alive=3) for _ in range(100)]
            self.assertEqual(self.trickle(clients, packet, 1), 100)
            self.assertLess(self.charged() - before, 100 * 4096)
            self.assertEqual(self.trickle(clients, packet[20:], 5), 0)

    @unittest.skipIf(SCALE > 1, "not possible here: a sanitizer keeps what was freed")
    def test_few_large_things(self):
        """A peak that took few packets goes back to the system as well, after some quiet seconds."""
        before = self.resident()
        clients = [self.client(client_id=f"{n}-".ljust(65000, "x")) for n in range(400)]
        self.assertGreater(self.resident() - before, 20 * MIB)
        for client in clients:
            client.cut()
        eventually(lambda: self.resident() < before + 6 * MIB, 20, "the memory of 400 long identifiers to be given back")

    def test_subscribers_that_never_read(self):
        """Each holds max_queued_bytes and what one socket takes, no more; who reads gets everything."""
        topic, deaf = self.name(), 20
        before = self.charged()
        for _ in range(deaf):
            client = self.client(version=4)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.subscribe(topic, 0)
        healthy, publisher = self.client(version=4), self.client(version=4)
        healthy.subscribe(topic, 0)
        payload = b"z" * 50000
        with self.bystander():
            for n in range(400):  # 20 MB for each
                publisher.publish(topic, b"%d " % n + payload, 0)
                self.assertEqual(int(healthy.message().payload.split(b" ")[0]), n)
            self.assertLess(self.charged() - before, deaf * 1.25 * MIB)
        publisher.publish(self.name(), b"", 1)

    def test_asks_and_never_reads(self):
        """Its answers are bounded because it is not read any more: what it sends stays in its own socket."""
        before = self.charged()
        asker = self.client()
        asker.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asker.socket.settimeout(1)
        with self.bystander():
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < 64 * MIB:
                    sent += asker.socket.send(wire.frame(wire.PINGREQ, 0) * 32768)
            self.assertLess(sent, 64 * MIB)
            self.assertLess(self.charged() - before, 2 * MIB)
            asker.cut()
            self.assert_charged_again(before)


@own_only("measures its own bounds")
class Many(Measured):
    abstract = False
    workers = 2
    limits = ("receive_maximum 65535\nmax_inflight_messages 65535\nmax_queued_messages 100000\n"
              "max_queued_bytes 67108864\nmax_retained_messages 200000")

    def test_65535_publishes_not_released(self):
        """Every identifier of a client at once, at 16 bytes each; and all of them come to their end."""
        count = 65535 // SCALE
        client, before = self.client(timeout=30), self.charged()
        begin = time.monotonic()
        with self.bystander():
            publishes = [wire.publish("nobody", b"x", 2, n) for n in range(1, count + 1)]
            client.send(b"".join(publishes))
            self.assertEqual(drain(client, 4 * count), 4 * count)  # PUBREC
            self.assertLess(self.charged() - before, 16 * count + 65536)
            client.send(b"".join(publishes[:100]))  # the same again are the same exchanges
            self.assertGreater(drain(client, 400), 0)
            client.send(b"".join(wire.ack(wire.PUBREL, n) for n in range(1, count + 1)))
            drain(client, 4 * count)
            self.assertLess(time.monotonic() - begin, 20)
            self.assert_charged_again(before)
        client.ping()

    def test_65535_deliveries_not_acknowledged(self):
        """Likewise towards a client that takes everything and acknowledges nothing: 256 bytes each."""
        count, topic = 65535 // SCALE, self.name()
        publisher = self.client(timeout=30)
        reader = self.client(timeout=30, properties=[("receive_maximum", 65535)])
        reader.subscribe(topic, 2)
        before, begin = self.charged(), time.monotonic()
        publishes = [wire.publish(topic, b"x", 2, n) for n in range(1, count + 1)]
        size = sum(map(len, publishes))
        with self.bystander():
            publisher.send(b"".join(publishes))
            self.assertEqual(drain(publisher, 4 * count), 4 * count)
            self.assertEqual(drain(reader, size), size)
            self.assertLess(self.charged() - before, 256 * count + 65536)
            for answer in (wire.PUBREC, wire.PUBCOMP):
                reader.send(b"".join(wire.ack(answer, n) for n in range(1, count + 1)))
                if answer == wire.PUBREC:
                    self.assertEqual(drain(reader, 4 * count), 4 * count)  # PUBREL
            self.assertLess(time.monotonic() - begin, 20)
            self.assert_charged_again(before)
        reader.ping()

    def test_60000_filters_in_one_subscribe(self):
        """Answered within 6 s, at 512 bytes a filter; nobody waits for it."""
        count = 60000 // SCALE
        client, before = self.client(timeout=30), self.charged()
        filters = [(f"f/{n}/+", 1) for n in range(count)]
        packet = wire.subscribe(1, filters)
        with self.bystander():
            begin = time.monotonic()
            client.send(packet)
            self.assertEqual(client.expect(wire.SUBACK).reasons, [1] * count)
            self.assertLess(time.monotonic() - begin, 3 * LATENCY_S)
            self.assertLess(self.charged() - before, 512 * count)
            client.publish(f"f/{count - 1}/x", b"x", 1)
            self.assertEqual(client.message().payload, b"x")
            client.send(wire.unsubscribe(2, [name for name, _ in filters]))
            self.assertEqual(client.expect(wire.UNSUBACK).reasons, [0] * count)
            self.assert_charged_again(before)

    def test_the_same_60000_filters_again(self):
        """While the store is still busy with them, over another connection: nobody waits longer for that."""
        count, client_id = 60000 // SCALE, self.name()
        expiry = [("session_expiry_interval", 100)]
        packet = wire.subscribe(1, [(f"again/{n}", 1) for n in range(count)])
        with self.bystander():
            self.client(client_id, properties=expiry).send(packet)
            time.sleep(0.1)
            again = self.client(client_id, clean=False, properties=expiry, timeout=30)
            again.send(packet)
            self.assertEqual(again.expect(wire.SUBACK).reasons, [1] * count)
            again.send(wire.disconnect(properties=[("session_expiry_interval", 0)]))

    def test_topics_of_slashes(self):
        """65,535 levels: a name is taken and matched, but not kept, a filter refused; 100 of each take less than 10 s."""
        slashes, count = "/" * 65535, 100 // SCALE
        client, before, begin = self.client(), self.charged(), time.monotonic()
        client.subscribe([("/#", 0), ("/" * 199 + "#", 0), ("+/" * 199 + "#", 0)])
        with self.bystander():
            for _ in range(count):
                self.assertEqual(client.publish(slashes, b"x", 1), 0)
                self.assertEqual(client.message().topic, slashes)
                client.subscribe([(slashes, 1), ("+/" * 32767, 1), ("/" * 65534 + "#", 1)], expect=[0x97] * 3)
            self.assertEqual(client.publish(slashes, b"to be kept", 1, retain=True), 0x97)
            self.assertLess(self.charged() - before, 16 * MIB)
            client.publish(slashes, b"", 1, retain=True)
            self.assertLess(time.monotonic() - begin, 5 * LATENCY_S)
            client.cut()
            self.assert_charged_again(before)

    def test_hash_over_100000_retained(self):
        """All of them within 16 s, one kilobyte each; and who asks for them and reads none gets only his bound."""
        count = 100000 // SCALE
        publisher, begin = self.client(timeout=30), time.monotonic()
        before = self.charged()
        names = [f"r/{n % 100}/{n}" for n in range(count)]
        publisher.send(b"".join(wire.publish(name, b"12345678", 0, retain=True) for name in names))
        publisher.ping()
        eventually(lambda: metric(get(self.admin, "/metrics")[1], "metrino_retained_messages") >= count, 30,
                   "the last of the retained messages")
        self.assertLess((self.charged() - before) / count, 1024)
        kept = self.charged()
        with self.bystander():
            reader, deaf = self.client(timeout=30), self.client()
            deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.subscribe("#", 1)
            reader.send(wire.subscribe(1, [("r/#", 0)]))
            size = len(wire.frame(wire.SUBACK, 0, b"1234")) + sum(len(wire.publish(name, b"12345678", 0)) for name in names)
            self.assertEqual(drain(reader, size), size)
            self.assertLess(time.monotonic() - begin, 8 * LATENCY_S)
            self.assertLess(self.charged() - kept, 4 * MIB)
            reader.cut()
            deaf.cut()
            publisher.send(b"".join(wire.publish(name, b"", 0, retain=True) for name in names))
            publisher.ping()
            self.assert_charged_again(before)


@own_only("its own ways")
class DiskFull(OwnBrokerTest):
    workers = 2

    def test_while_subscribing(self):
        """Subscriptions that cannot be kept are refused, messages flow on, and all is well once there is room."""
        self.broker.start()
        size = (self.broker.data / "data.mdb").stat().st_size
        self.limit_files(size)
        lasting = self.client(properties=[("session_expiry_interval", 1000)])
        refused = 0
        for n in range(100):
            lasting.send(wire.subscribe(1, [(f"{n}/{m}/" + "x" * 2000, 1) for m in range(20)]))
            refused = lasting.expect(wire.SUBACK).reasons.count(0x97)
            if refused:
                break
        self.assertEqual(refused, 20)
        self.assertIn(str(self.broker.data), self.broker.log())
        with self.client() as bystander:
            bystander.subscribe("b", 1)
            bystander.publish("b", b"x", 1)
            self.assertEqual(bystander.message().payload, b"x")
        lasting.publish("0/0/" + "x" * 2000, b"y", 1)
        self.assertEqual(lasting.message().payload, b"y")
        self.client(properties=[("session_expiry_interval", 1000)], expect=(0, 0x97))
        self.limit_files("unlimited")
        eventually(lambda: self.subscribes(lasting), what="a subscription that is kept")
        self.broker.kill()
        self.broker.start()
        again = self.client_of(lasting)
        self.assertTrue(again.connack.session_present)
        for topic in ("0/0/" + "x" * 2000, "later"):
            again.publish(topic, b"z", 1)
            self.assertEqual(again.message().payload, b"z")

    def limit_files(self, size):
        run_client([*as_broker(tool("prlimit")), f"--pid={self.broker.process.pid}", f"--fsize={size}:unlimited"])

    def subscribes(self, client):
        client.send(wire.subscribe(2, [("later", 1)]))
        return client.expect(wire.SUBACK).reasons == [1]

    def client(self, client_id=None, **args):
        client_id = client_id or self.name("c")
        client = super().client(client_id, **args)
        client.client_id = client_id
        return client

    def client_of(self, client):
        return self.client(client.client_id, clean=False, properties=[("session_expiry_interval", 1000)])


@own_only("its own ways")
class Clock(OwnBrokerTest):
    """The wall clock jumps. Whatever lasts some time lasts as long as before."""

    workers = 2
    DAY_S = 86400

    def set_clock(self, offset_s):
        """In place: the broker has the file mapped."""
        with open(self.file, "r+b") as file:
            file.write(struct.pack("q", offset_s))

    def start(self):
        self.file = self.broker.root / "offset"
        self.file.write_bytes(bytes(8))
        words = [f"LD_PRELOAD={preload('clock')}", f"CLOCK_FILE={self.file}"]
        asan = os.environ.get("ASAN_OPTIONS", "")
        behind(self.broker, tool("env"), *words, f"ASAN_OPTIONS={asan}:verify_asan_link_order=0")
        self.broker.start()

    def queue(self, publisher, client_id, expiry_s):
        """A session that is away, with a message that expires and one that does not."""
        away = self.client(client_id, properties=[("session_expiry_interval", 3600)])
        away.subscribe(client_id, 1)
        away.disconnect()
        publisher.publish(client_id, b"short", 1, properties=[("message_expiry_interval", expiry_s)])
        publisher.publish(client_id, b"long", 1, properties=[("message_expiry_interval", 1000)])

    def check(self, offset_s):
        self.start()
        publisher, pinger = self.client(keep_alive=1), self.client(keep_alive=1)
        idle = self.client(keep_alive=1)
        self.queue(publisher, "jump", 2)
        self.set_clock(offset_s)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            publisher.ping()
            pinger.ping()
            time.sleep(0.2)
        self.assertEqual(idle.ended(1), 0x8D)
        back = self.client("jump", clean=False, properties=[("session_expiry_interval", 3600)])
        self.assertTrue(back.connack.session_present)
        message = back.message()
        self.assertEqual(message.payload, b"long")
        self.assertIn(message.get("message_expiry_interval"), range(990, 1000))
        back.silent()
        return back

    def test_back_by_a_day(self):
        """A session that the store has from tomorrow is there after a crash, too."""
        self.check(-self.DAY_S)
        self.broker.kill()
        self.broker.start()
        back = self.client("jump", clean=False, properties=[("session_expiry_interval", 3600)])
        self.assertTrue(back.connack.session_present)
        self.set_clock(0)
        back.ping()

    def test_forward_by_a_day(self):
        """The day did not pass for those who are here."""
        self.check(self.DAY_S)


@own_only("its own ways")
class Stopped(OwnBrokerTest):
    """SIGSTOP: nobody is cut off for what the broker slept through."""

    workers = 2
    alone = True
    # Five seconds stand in for a minute, with keep-alives as much shorter; `make hostile` waits for the whole minute.
    STOP_S = int(os.environ.get("STOP_S", "5"))
    KEEP_ALIVE_S = STOP_S * 2 // 5
    timeout_s = 60 + STOP_S

    def test_clients_that_spoke_meanwhile_stay(self):
        self.broker.start()
        speaking = [self.client(keep_alive=self.KEEP_ALIVE_S) for _ in range(700)]  # more than one turn of a worker reads
        silent = [self.client(keep_alive=self.KEEP_ALIVE_S) for _ in range(10)]
        patient = self.client(keep_alive=600)
        patient.subscribe("t", 1)
        self.broker.signal(signal.SIGSTOP)
        end = time.monotonic() + self.STOP_S
        while time.monotonic() < end:
            for client in speaking:
                client.send(wire.frame(wire.PINGREQ, 0))
            time.sleep(self.KEEP_ALIVE_S / 4)
        speaking[0].send(wire.publish("t", b"while stopped", 1, 7))
        self.broker.signal(signal.SIGCONT)
        begin = time.monotonic()
        self.assertEqual(patient.message().payload, b"while stopped")
        for client in speaking:
            client.expect(wire.PINGRESP)
            client.ping()
        self.assertLess(time.monotonic() - begin, LATENCY_S)
        for client in silent:
            self.assertEqual(client.ended(), 0x8D)
