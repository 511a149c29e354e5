"""Paho for Python (Debian's 1.6.1) with everything that arrives put into queues, so that a test can wait for it."""

import queue
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROTOCOL = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}
TIMEOUT_S = 10


def properties(packet_type, **values):
    """Properties of a packet; names as Paho writes them (UserProperty=[(name, value), ...])."""
    made = Properties(getattr(PacketTypes, packet_type))
    for name, value in values.items():
        setattr(made, name, value)
    return made


class PahoClient:
    def __init__(self, port, client_id, version=5, clean=True, will=None, keep_alive=60, expect=0,
                 login=None, **connect_properties):
        self.inbox, self.acks, self.ends, self.started = (queue.Queue() for _ in range(4))
        extra = {} if version == 5 else {"clean_session": clean}
        self.mqtt = mqtt.Client(client_id, protocol=PROTOCOL[version], reconnect_on_failure=False, **extra)
        self.mqtt.max_inflight_messages_set(100)
        self.mqtt.on_message = lambda _c, _u, message: self.inbox.put(message)
        self.mqtt.on_subscribe = lambda _c, _u, _mid, codes, *_: self.acks.put(codes)
        self.mqtt.on_unsubscribe = lambda _c, _u, _mid, *rest: self.acks.put(rest)
        self.mqtt.on_connect = lambda _c, _u, flags, reason, *rest: self.started.put((flags, reason, rest))
        self.mqtt.on_disconnect = lambda _c, _u, reason, *_: self.ends.put(reason)
        if will:
            self.mqtt.will_set(**will)
        if login:
            self.mqtt.username_pw_set(*login)
        arguments = {"keepalive": keep_alive}
        if version == 5:
            arguments["clean_start"] = clean
            if connect_properties:
                arguments["properties"] = properties("CONNECT", **connect_properties)
        self.mqtt.connect("127.0.0.1", port, **arguments)
        self.mqtt.loop_start()
        flags, reason, rest = self.started.get(timeout=TIMEOUT_S)
        self.session_present, self.connack_properties = flags["session present"], rest[0] if rest else None
        code = reason if isinstance(reason, int) else reason.value
        if code != expect:
            raise AssertionError(f"CONNACK {reason}, expected {expect}")

    def subscribe(self, topic_filter, qos=0, **args):
        self.mqtt.subscribe(topic_filter, qos, **args)
        return [code if isinstance(code, int) else code.value for code in self.acks.get(timeout=TIMEOUT_S)]

    def publish(self, topic, payload=None, qos=0, retain=False, **message_properties):
        extra = {"properties": properties("PUBLISH", **message_properties)} if message_properties else {}
        info = self.mqtt.publish(topic, payload, qos, retain, **extra)
        info.wait_for_publish(TIMEOUT_S)
        if not info.is_published():
            raise AssertionError(f"the publish at QoS {qos} was not acknowledged within {TIMEOUT_S} s")

    def message(self, timeout=TIMEOUT_S):
        try:
            return self.inbox.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError("no message came") from None

    def silent(self, seconds=0.3):
        time.sleep(seconds)
        if not self.inbox.empty():
            raise AssertionError(f"an unexpected message on {self.inbox.get().topic}")

    def cut(self):
        """Ends the connection without DISCONNECT."""
        self.mqtt.socket().shutdown(2)
        self.ends.get(timeout=TIMEOUT_S)
        self.close()

    def disconnect(self):
        self.mqtt.disconnect()
        self.ends.get(timeout=TIMEOUT_S)
        self.close()

    def close(self):
        self.mqtt.disconnect()  # also wakes the thread of the loop
        self.mqtt.loop_stop()
        sock = self.mqtt.socket()
        if sock:
            sock.close()
