"""Signals: TERM and INT end in order, HUP reads the configuration again."""

import signal
import time

from harness import STAND_IN, OwnBrokerTest, eventually, own_only
import wire


class Signals(OwnBrokerTest):
    workers = 2

    def test_term_and_int(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.setUp()
            self.broker.start()
            new, old = self.client(), self.client(version=4)
            self.broker.signal(number)
            self.assertEqual(new.ended(), None if STAND_IN else 0x8B)  # mosquitto 2.0.11 just closes
            self.assertIsNone(old.ended())
            self.assertEqual(self.broker.wait(), 0)

    @own_only("no wills at a stop")
    def test_term_publishes_no_wills(self):
        self.broker.start()
        watcher = self.client()
        watcher.subscribe("will", 1)
        self.client(will=wire.Will("will", b"gone", 1))
        self.broker.signal(signal.SIGTERM)
        self.assertEqual(watcher.ended(), 0x8B)
        self.assertEqual([p for p in watcher.kept if p.type == wire.PUBLISH], [])
        self.assertEqual(self.broker.wait(), 0)

    def test_term_with_messages_on_the_way(self):
        self.broker.start()
        slow = self.client()
        slow.subscribe("t", 2)
        publisher = self.client()
        for n in range(100):
            publisher.publish("t", b"x" * 10000, 1 + n % 2)
        self.assertEqual(self.broker.stop(), 0)

    @own_only("mosquitto does not tell new clients")
    def test_hup_reads_again(self):
        self.broker.config = "max_keepalive 100"
        self.broker.start()
        stays = self.client(keep_alive=1000)
        stays.subscribe("t", 1)
        self.assertEqual(stays.connack.get("server_keep_alive"), 100)
        self.broker.config = "max_keepalive 50"
        self.broker.write_config()
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: self.client(keep_alive=1000).connack.get("server_keep_alive") == 50, what="the new value")
        self.client().publish("t", b"still here", 1)
        self.assertEqual(stays.message().payload, b"still here")

    @own_only("mosquitto goes on without a word")
    def test_hup_with_a_broken_file_changes_nothing(self):
        self.broker.config = "max_keepalive 100"
        self.broker.start()
        client = self.client()
        self.broker.conf.write_text("max_keepalive banana\n")
        self.broker.signal(signal.SIGHUP)
        eventually(lambda: "max_keepalive" in self.broker.log(), what="the complaint in the log")
        client.ping()
        self.assertEqual(self.client(keep_alive=1000).connack.get("server_keep_alive"), 100)

    @own_only("a broker of others may go on, or say nothing")
    def test_abort_ends_at_once(self):
        """What systemd's watchdog sends to a broker that hangs: it does not go on, and says why."""
        self.broker.start()
        self.broker.signal(signal.SIGABRT)
        self.assertEqual(self.broker.wait(), -signal.SIGABRT)
        self.assertIn("ended by SIGABRT", self.broker.log())

    def test_signals_that_do_no_harm(self):
        self.broker.start()
        client = self.client()
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGPIPE):
            self.broker.signal(number)
            time.sleep(0.1)
            client.ping()
