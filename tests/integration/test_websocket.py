"""MQTT over WebSocket with the clients of others: MQTT.js in node and in a browser, Paho for Python."""

import http.server
import json
import os
import pathlib
import queue
import shutil
import subprocess
import tempfile
import threading

from harness import HERE, MQTTJS, BrokerTest, eventually, free_port, mqttjs_modules, own_only, run_client, tool
import pki
import wire
import ws


class Page(http.server.BaseHTTPRequestHandler):
    """Serves the page and the library, and takes its result."""

    def do_GET(self):
        name = {"/": HERE / "browser.html", "/mqtt.js": mqttjs_modules() / "mqtt" / "dist" / "mqtt.min.js"}.get(self.path)
        if not name:
            self.send_error(404)
            return
        data = name.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if self.path == "/" else "text/javascript")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self):
        self.server.results.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        pass


@own_only("Debian's keeps frames of other sizes; this is a test of ours")
class WebSockets(BrokerTest):
    workers = 2

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(tempfile.mkdtemp(prefix="metrino-pki-"))
        cls.addClassCleanup(shutil.rmtree, cls.home, ignore_errors=True)
        cls.authority = pki.Authority(cls.home / "ca")
        certificate, key = cls.authority.server()
        cls.plain, cls.sealed, cls.page_port = free_port(), free_port(), free_port()
        cls.config = f"""
listener {cls.plain} 127.0.0.1
protocol websockets
websockets_origin http://localhost:{cls.page_port}
listener {cls.sealed} 127.0.0.1
protocol websockets
certfile {certificate}
keyfile {key}
"""
        cls.start_broker(folders=[cls.home])

    def urls(self):
        return f"ws://localhost:{self.plain}/mqtt", f"wss://localhost:{self.sealed}/mqtt"

    def test_mqttjs(self):
        for url in self.urls():
            for version in ("4", "5"):
                for scenario in ("qos", "big"):
                    with self.subTest(url, version=version, scenario=scenario):
                        env = dict(os.environ, NODE_PATH=str(mqttjs_modules()), MQTT_URL=url,
                                   NODE_EXTRA_CA_CERTS=str(self.authority.certificate))
                        run_client(["node", str(MQTTJS), scenario, "0", version, self.name()], 30, env)

    def test_paho(self):
        import paho.mqtt.client as mqtt
        for port, sealed in ((self.plain, False), (self.sealed, True)):
            received = []
            client = mqtt.Client(self.name(), transport="websockets")
            if not sealed:
                client.ws_set_options(headers=lambda headers: {**headers, "Origin": f"http://localhost:{self.page_port}"})
            else:
                client.tls_set(ca_certs=str(self.authority.certificate))
            client.on_connect = lambda c, *_: c.subscribe("paho", 1)
            client.on_subscribe = lambda c, *_: c.publish("paho", b"x" * 100000, 1)
            client.on_message = lambda _c, _u, message: received.append(message.payload)
            client.connect("localhost", port)
            client.loop_start()
            eventually(lambda: received == [b"x" * 100000], what="the message")
            client.disconnect()
            client.loop_stop()

    def test_the_end_comes_with_the_last_message(self):
        """A close frame right behind it: also who is at home on the other worker, or waits for its session to be stored, has been heard."""
        subscriber = wire.Client(0, self.name(), dial=lambda: ws.Connection(ws.tcp(self.plain)))
        self.addCleanup(subscriber.cut)
        subscriber.subscribe("last", 0)
        for n in range(32):
            # Whoever has so many filters whose SUBACK waits is not read for a while.
            many = wire.subscribe(1, [(f"{n}/{i}", 0) for i in range(256)], version=4) if n in (1, 3) else b""
            sender = ws.Connection(ws.tcp(self.plain))
            self.addCleanup(sender.close)
            connect = wire.connect(f"last-{n}", version=4, clean=n % 2 == 0)
            sender.socket.sendall(ws.frame(ws.BINARY, connect + many + wire.publish("last", b"%d" % n, version=4)) +
                                  ws.frame(ws.CLOSE, b"\x03\xe8"))
            self.assertEqual(subscriber.message().payload, b"%d" % n)
            while sender.socket.recv(4096):  # to the end, which does not wait for ours
                pass

    def test_nothing_comes_behind_the_close_frame(self):
        """Answers that are made after it (of who is at home on the other worker, or waits for its session to be stored) go nowhere."""
        ends = (ws.frame(ws.CLOSE, b"\x03\xe8"), ws.frame(ws.BINARY, b"x", reserved=4), ws.frame(ws.TEXT, b"x"),
                ws.frame(ws.PING, fin=False))
        for n in range(48):
            sender = ws.Connection(ws.tcp(self.plain))
            self.addCleanup(sender.close)
            said = wire.connect(f"behind-{n}", version=4, clean=False) + wire.subscribe(1, [(f"{n}", 0)] * 256, version=4)
            sender.socket.sendall(ws.frame(ws.BINARY, said) + ends[n % 4])
            self.assertIn(sender.close_code_of_broker(), (1000, 1002, 1003))

    def browse(self, server, url, version):
        profile = tempfile.mkdtemp(prefix="metrino-browser-")
        self.addCleanup(shutil.rmtree, profile, ignore_errors=True)
        browser = subprocess.Popen(
            [tool("chromium"), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--ignore-certificate-errors", "--no-first-run", f"--user-data-dir={profile}",
             f"http://localhost:{self.page_port}/#{url},{version}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, HOME=profile))
        try:
            return server.results.get(timeout=40)
        except queue.Empty:
            raise AssertionError("the page said nothing") from None
        finally:
            browser.terminate()
            browser.wait(10)

    def test_browser(self):
        """MQTT.js in headless Chromium, over ws with an origin that is checked, and over wss."""
        mqttjs_modules()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.page_port), Page)
        server.results = queue.Queue()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        for url, version in zip(self.urls(), (4, 5)):
            words = self.browse(server, url, version)
            self.assertTrue(words.startswith("{"), words)
            result = json.loads(words)
            self.assertEqual(result["inbox"], [{"topic": f"browser/{qos}", "qos": qos, "bytes": [qos, 0, 255]} for qos in (0, 1, 2)])
            self.assertEqual(result["length"], 300000)


