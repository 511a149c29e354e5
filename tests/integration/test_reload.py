"""HUP again and again while the threads that show what is in force are asked for it: for ThreadSanitizer above all."""

import concurrent.futures
import json
import signal
import socket
import time
import urllib.error
import urllib.request

from account import AccountTest
from harness import free_port, own_only

REQUESTS = ({"command": "traffic.summary"}, {"command": "accounts.recover", "address": "ann@example.org"}, {"command": "bans.list"},
            {"command": "clients.list"}, {"command": "aggregate.list"})
SETTINGS = ("region DE\nroute_expiry 1h\naggregate_expiry 10d\nrate_connect 1000000\nreconnect_ban 5 1s\nauth_fail_ban never\n",
            "region EU\nroute_expiry 24h\naggregate_expiry 90d\nmax_half_open 500\nrate_reconnect 1000000\nauth_fail_ban 10 1s\n")
PATIENCE_S = 120  # how long a machine that is busy with other things may hold an answer up


@own_only("its own settings")
class WhileOthersRead(AccountTest):
    def test_all_at_once(self):
        admin = free_port()
        base = self.broker.config + f"admin_listener {admin}\nrecovery_mailer /bin/true\n"
        self.broker.config = base
        self.broker.start()
        document = {"command": "subject.export", "name": self.create()}
        path = next(path for path in self.broker.data.iterdir() if path.is_socket())
        end, answers = time.monotonic() + 0.8, []

        def answer_to(request):
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(PATIENCE_S)
                link.connect(str(path))
                link.sendall(json.dumps(request).encode() + b"\n")
                return json.loads(link.makefile().read().splitlines()[-1])

        def ask(request):
            """On a busy machine a worker may be behind by more than the 5 s that the broker waits: that is said, and asked again."""
            answer, until = answer_to(request), time.monotonic() + PATIENCE_S
            while "too busy" in answer.get("error", "") and time.monotonic() < until:
                answer = answer_to(request)
            answers.append(answer["ok"])

        def ask_all():
            while time.monotonic() < end:
                for request in (*REQUESTS, document):
                    ask(request)

        def read(page):
            """More than HTTP_ANSWERS_MAX requests in one second are refused (broker/http.h): a quick machine gets there."""
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{admin}/{page}", timeout=PATIENCE_S) as answer:
                    return answer.status == 200
            except urllib.error.HTTPError as refusal:
                with refusal:
                    return refusal.code == 429

        def read_all():
            while time.monotonic() < end:
                for page in ("ledger.json", "metrics"):
                    answers.append(read(page))

        with concurrent.futures.ThreadPoolExecutor() as pool:
            works = [pool.submit(work) for work in (ask_all, read_all)]
            for number in range(1000000):
                self.broker.config = base + SETTINGS[number % 2]
                self.broker.write_config()
                self.broker.signal(signal.SIGHUP)
                time.sleep(0.02)
                if time.monotonic() > end:
                    break
        for work in works:
            work.result()  # what went wrong in there goes wrong here
        self.assertTrue(answers and all(answers))
