"""`metrino rr` beside mosquitto_rr: the same requests, the same responses."""

import pathlib
import shutil
import tempfile
import threading

from harness import own_only
from test_cli import CommandTest

not_under = ("tsan",)


class RequestResponse(CommandTest):
    abstract = False

    def answer(self, topic, count, version=5, response=None):
        """Answers requests in the background; gives the list of those that came."""
        responder, requests = self.client(version=version), []
        responder.subscribe(topic, 1)

        def serve():
            for _ in range(count):
                request = responder.message(timeout=20)
                requests.append(request)
                properties = [("correlation_data", request.get("correlation_data"))] if request.get("correlation_data") else []
                responder.publish(response or request.get("response_topic"), b"re: " + request.payload, 1,
                                  properties=properties if version == 5 else None)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        return requests, thread

    def ours(self, *args, **more):
        return self.finish(self.start(*args, program="rr", **more))[0]

    def both(self, *args):
        """What both print; it has to be the same."""
        theirs, ours = self.ours("mosquitto", *args), self.ours("metrino", *args)
        self.assertEqual(theirs, ours)
        return ours

    def test_asks_and_prints(self):
        ask, reply = self.name("ask"), self.name("reply")
        cases = [
            (("-m", "ping"), b"re: ping\n"), (("-n",), b"re: \n"), (("-m", "x", "-N"), b"re: x"), (("-m", "x", "-v", "-q", "2"), f"{reply} re: x\n".encode()),
            (("-m", "x", "-D", "publish", "correlation-data", "corr", "-F", "%t|%D|%p|%q"), f"{reply}|corr|re: x|1\n".encode()),
        ]
        cases[-1] = (cases[-1][0] + ("-q", "1"), cases[-1][1])
        requests, thread = self.answer(ask, 2 * len(cases))
        for args, printed in cases:
            with self.subTest(args=args):
                self.assertEqual(self.both("-t", ask, "-e", reply, *args), printed)
        thread.join(10)
        self.assertEqual({request.get("response_topic") for request in requests}, {reply})
        self.assertEqual([request.qos for request in requests[-4:]], [1, 1, 1, 1])

    def test_before_5_the_responder_has_to_know(self):
        ask, reply = self.name("ask"), self.name("reply")
        for version, number in (("311", 4), ("31", 3)):
            _, thread = self.answer(ask, 2, version=number, response=reply)
            self.assertEqual(self.both("-V", version, "-t", ask, "-e", reply, "-m", "x", "-i", self.name("c")), b"re: x\n")
            thread.join(10)

    def test_what_mosquitto_rr_says_and_does_not_do(self):
        """2.0.11 sends an empty request for -f and -s, and prints what was retained before in spite of -R."""
        ask, reply = self.name("ask"), self.name("reply")
        path = self.broker.root / "request"
        path.write_bytes(b"from a file")
        _, thread = self.answer(ask, 3)
        self.assertEqual(self.ours("-t", ask, "-e", reply, "-f", str(path)), b"re: from a file\n")
        with path.open("rb") as stream:
            self.assertEqual(self.ours("-t", ask, "-e", reply, "-s", stdin=stream), b"re: from a file\n")
        self.client().publish(reply, b"old", 1, retain=True)
        self.assertEqual(self.ours("-t", ask, "-e", reply, "-m", "x", "-R"), b"re: x\n")
        thread.join(10)
        self.assertEqual(self.both("-t", ask, "-e", reply, "-m", "x"), b"old\n")

    def test_nobody_answers(self):
        process = self.start("-t", self.name("ask"), "-e", self.name("reply"), "-m", "x", "-W", "1", program="rr")
        self.assertEqual(self.finish(process, 27), (b"", b"Timed out\n"))

    def test_the_broker_is_not_there(self):
        process = self.start("-p", "1", "-t", "a", "-e", "b", "-m", "x", program="rr")
        self.assertIn(b"refused", self.finish(process, 1)[1])


@own_only("its own rights")
class Refused(CommandTest):
    abstract = False

    @classmethod
    def setUpClass(cls):
        home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-rr-"))
        cls.addClassCleanup(shutil.rmtree, home, ignore_errors=True)
        (home / "acl").write_text("topic read #\n")
        cls.config = f"acl_file {home / 'acl'}\n"
        cls.start_broker(folders=[home])

    def test_nothing_to_wait_for(self):
        process = self.start("-t", "ask", "-e", "reply", "-m", "x", "-q", "1", program="rr")
        self.assertIn(b"The request was refused: Not authorized", self.finish(process, 0x87)[1])
