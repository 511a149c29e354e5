// MQTT.js, with its store in memory, as a client of the chaos test; README.md has the protocol.
//
// usage: client_mqttjs.js pub|sub PORT CLIENT_ID SEED VERSION
'use strict';

const mqtt = require('mqtt');
const readline = require('readline');

const [role, port, clientId, seed, version] = process.argv.slice(2);
const LONGEST_DELAY_MS = 300;
const IDENTIFIER_NOT_FOUND = 0x92;

let state = Number(seed) >>> 0;

// A small generator of our own: Math.random takes no seed.
function random() {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
}

const say = (...words) => process.stdout.write(`${words.join(' ')}\n`);
const delay = () => 5 + Math.floor(random() * LONGEST_DELAY_MS);

const client = mqtt.connect({
    host: '127.0.0.1', port: Number(port), clientId, protocolVersion: Number(version), clean: false, keepalive: 30,
    reconnectPeriod: delay(), connectTimeout: 3000, resubscribe: false,
    properties: version === '5' ? { sessionExpiryInterval: 3600 } : undefined,
});
const waiting = [];
let connected = false;

function isConnected(present) {
    connected = true;
    say('C', present);
    publishWaiting();
}

function publishWaiting() {
    while (connected && waiting.length) {
        const [number, topic, qos, retain, payload] = waiting.shift();
        client.publish(topic, payload, { qos: Number(qos), retain: retain === '1' }, (error) => {
            if (error?.code === IDENTIFIER_NOT_FOUND)
                say('U', number);
            else if (error?.code >= 0x80)
                say('N', number);
            else if (error)
                say('E', `publish ${number}: ${error.message}`);
            else
                say('A', number);
        });
    }
}

client.on('connect', (connack) => {
    client.options.reconnectPeriod = delay();
    const lost = connack.properties?.userProperties?.['metrino-lost'];
    if (lost !== undefined)
        say('L', lost);
    if (role === 'sub' && !connack.sessionPresent)
        client.subscribe('chaos/#', { qos: 2 }, (error) => error || isConnected(0));
    else
        isConnected(connack.sessionPresent ? 1 : 0);
});
client.on('close', () => {
    if (connected)
        say('D');
    connected = false;
});
client.on('message', (topic, payload, packet) => say('R', packet.retain ? 1 : 0, topic, payload));
client.on('error', (error) => {
    if (!String(error.code).startsWith('E') && error.message !== 'connack timeout') // what a dead broker causes
        say('E', error.message);
});

const orders = readline.createInterface({ input: process.stdin });
orders.on('line', (line) => {
    const words = line.split(' ');
    if (words[0] === 'P') {
        waiting.push(words.slice(1));
        publishWaiting();
    }
});
orders.on('close', () => process.exit(0));
