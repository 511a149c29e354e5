"""The log holds no client, no topic, no payload and no address, at any level."""

import time

from harness import OwnBrokerTest, own_only
import wire

LASTING = [("session_expiry_interval", 60)]


@own_only("mosquitto logs all of it")
class Log(OwnBrokerTest):
    config = "log_type all\nconnection_messages true"
    CANARIES = ("canaryclient", "canarytopic", "canarypayload", "canaryuser", "canarypassword", "canaryproperty",
                "canarywill", "canaryshare", "canaryresponse")

    def live(self):
        """A life with everything in it that a log might be tempted to tell."""
        base, user = "canarytopic/a", {"user_name": "canaryuser", "password": b"canarypassword"}
        watcher = self.client("canaryclient-w", properties=LASTING)
        watcher.subscribe([("canarytopic/#", 2), ("$share/canaryshare/canarytopic/+", 1)])
        for version in (3, 4, 5):
            client = self.client(f"canaryclient-{version}", version=version,
                                 will=wire.Will("canarytopic/will", b"canarywill", 1))
            client.subscribe(base, 1)
            for qos in (0, 1, 2):
                client.publish(base, "canarypayload", qos, retain=True,
                               properties=[("user_property", ("canaryproperty", "canaryproperty")),
                                           ("response_topic", "canaryresponse")] if version == 5 else None)
            client.cut()
            refused = wire.Client(self.port, version=version, greet=False)
            self.addCleanup(refused.cut)
            refused.send(wire.connect("canaryclient-user", version=version, **user))
            try:
                refused.receive()
            except wire.Closed:
                pass
        self.client("canaryclient-w", clean=False, properties=LASTING)  # take-over
        for packet in (wire.publish("canarytopic/#", b"canarypayload"), wire.frame(wire.AUTH, 0),
                       wire.subscribe(1, [("canarytopic#", 0)]), wire.publish("canarytopic\0", b""),
                       wire.connect("canaryclient-second"), b"\x30\xff\xff\xff\xff\xff"):
            bad = self.client("canaryclient-bad")
            bad.send(packet)
            try:
                bad.receive(1)
            except (wire.Closed, TimeoutError):
                pass
            bad.cut()
        self.client("canaryclient-auth", expect=0x8C, properties=[("authentication_method", "canaryuser")])
        time.sleep(0.2)

    def test_no_canary(self):
        for log_format in ("text", "json"):
            with self.subTest(log_format=log_format):
                self.setUp()
                self.broker.config = f"{self.config}\nlog_format {log_format}"
                self.broker.start()
                started = len(self.broker.log())
                self.live()
                self.assertEqual(self.broker.stop(), 0)
                log = self.broker.log()
                for canary in self.CANARIES:
                    self.assertNotIn(canary, log)
                for address in ("127.0.0.1", "::1"):
                    self.assertNotIn(address, log[started:])
                self.assertGreater(len(log[started:]), 0, "the log says nothing at all: is this the log?")

    def test_ip_logging_full_shows_the_address(self):
        """The counterpart: the test above would see an address if there were one."""
        self.broker.config = f"{self.config}\nip_logging full"
        self.broker.start()
        started = len(self.broker.log())
        self.live()
        self.assertEqual(self.broker.stop(), 0)
        self.assertIn("127.0.0.1", self.broker.log()[started:])
