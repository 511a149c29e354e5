#!/usr/bin/python3
"""Paho for Python (Debian's 1.6.1) as a client of the chaos test; README.md has the protocol.

usage: client_paho_py.py pub|sub PORT CLIENT_ID SEED VERSION
"""

import collections
import os
import random
import select
import sys
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

FILTER, LONGEST_DELAY_S, CONNECT_TIMEOUT_S = "chaos/#", 0.3, 2.0


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


class Client:
    def __init__(self, role, port, client_id, seed, version):
        self.role, self.port, self.version = role, int(port), int(version)
        self.random = random.Random(seed)
        self.numbers, self.waiting = {}, collections.deque()
        self.connected, self.wanted, self.next_try, self.asked_at = False, True, 0.0, 0.0
        extra = {} if self.version == 5 else {"clean_session": False}
        self.mqtt = mqtt.Client(client_id, protocol=mqtt.MQTTv5 if self.version == 5 else mqtt.MQTTv311, **extra)
        self.mqtt.max_inflight_messages_set(0)
        self.mqtt.on_connect = self.on_connect
        self.mqtt.on_disconnect = self.on_disconnect
        self.mqtt.on_publish = self.on_publish
        self.mqtt.on_message = self.on_message
        self.mqtt.on_subscribe = lambda *_: self.is_connected(0)

    # --- what the library reports

    def on_connect(self, _client, _data, flags, reason, properties=None):
        if reason != 0:
            say("E", f"CONNACK {reason}")
            return
        for name, value in getattr(properties, "UserProperty", []):
            if name == "metrino-lost":
                say("L", int(value))
        present = flags["session present"]
        if self.role == "sub" and not present:
            self.mqtt.subscribe(FILTER, 2)  # is_connected() when SUBACK comes
        else:
            self.is_connected(present)

    def is_connected(self, present):
        self.connected = True
        say("C", present)

    def on_disconnect(self, *_):
        if self.connected:
            say("D")
        self.connected = False
        self.next_try = time.monotonic() + self.random.random() * LONGEST_DELAY_S

    def on_publish(self, _client, _data, identifier):
        say("A", self.numbers.pop(identifier))

    def on_message(self, _client, _data, message):
        say("R", int(message.retain), message.topic, message.payload.decode())

    # --- what it is told

    def obey(self, line):
        word, *rest = line.split(" ", 5)
        if word == "P":
            self.waiting.append(rest)
        elif word == "away":
            self.wanted = False
            self.mqtt.disconnect()
        elif word == "back":
            self.wanted, self.next_try = True, 0.0

    def publish_waiting(self):
        while self.connected and self.waiting:
            number, topic, qos, retain, payload = self.waiting.popleft()
            done = self.mqtt.publish(topic, payload, int(qos), retain == "1")
            self.numbers[done.mid] = int(number)

    def remember_released(self):
        """Paho forgets at the second attempt in a row that it has sent PUBREL, and would publish the message anew."""
        for message in () if "UNAIDED" in os.environ else self.mqtt._out_messages.values():
            if message.state == mqtt.mqtt_ms_resend_pubrel:
                message.state = mqtt.mqtt_ms_wait_for_pubcomp

    def connect(self):
        self.asked_at = time.monotonic()
        try:
            if self.mqtt._host:  # noqa: the first time an address must be given
                self.remember_released()
                self.mqtt.reconnect()
            elif self.version == 5:
                lasting = Properties(PacketTypes.CONNECT)
                lasting.SessionExpiryInterval = 3600
                self.mqtt.connect("127.0.0.1", self.port, 30, clean_start=False, properties=lasting)
            else:
                self.mqtt.connect("127.0.0.1", self.port, 30)
        except OSError:
            self.next_try = time.monotonic() + self.random.random() * LONGEST_DELAY_S

    def turn(self, commands):
        connection = self.mqtt.socket()
        if connection is None and self.wanted and time.monotonic() >= self.next_try:
            self.connect()
            connection = self.mqtt.socket()
        elif connection and not self.connected and time.monotonic() > self.asked_at + CONNECT_TIMEOUT_S:
            connection.close()  # a broker that died between accept and CONNACK
        self.publish_waiting()
        read = [commands] + ([connection] if connection and connection.fileno() >= 0 else [])
        write = [connection] if len(read) > 1 and self.mqtt.want_write() else []
        readable, writable, _ = select.select(read, write, [], 0.02)
        if connection in writable:
            self.mqtt.loop_write()
        if connection in readable:
            self.mqtt.loop_read()
        self.mqtt.loop_misc()
        return commands in readable


def main():
    client, rest, commands = Client(*sys.argv[1:]), b"", sys.stdin.fileno()
    while True:
        if not client.turn(commands):
            continue
        data = os.read(commands, 65536)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            client.obey(line.decode())


if __name__ == "__main__":
    main()
