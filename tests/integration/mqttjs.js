'use strict';
// Drives a broker with MQTT.js. usage: node mqttjs.js SCENARIO PORT VERSION NAME
// MQTT_URL in the environment goes before PORT: ws://... or wss://...
// Each scenario is one function; a failed assertion or a wait without end makes the exit code 1.

const assert = require('node:assert');
const crypto = require('node:crypto');
const mqtt = require('mqtt');

const [scenario, port, versionText, name] = process.argv.slice(2);
const version = Number(versionText);
const TIMEOUT_MS = 20000;
const SILENCE_MS = 300;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// A connected client whose messages wait in `inbox`. `resumed` is Session Present.
async function open(suffix, options = {}) {
    const place = process.env.MQTT_URL ? {} : { host: '127.0.0.1', port: Number(port), protocol: 'mqtt' };
    const client = mqtt.connect(process.env.MQTT_URL, {
        ...place, protocolVersion: version,
        clientId: `${name}-${suffix}`, clean: true, reconnectPeriod: 0, ...options,
    });
    const inbox = [];
    client.on('message', (topic, payload, packet) => inbox.push(packet));
    const connack = await new Promise((resolve, reject) => {
        client.once('connect', resolve);
        client.once('error', reject);
    });
    const next = async () => {
        while (inbox.length === 0)
            await sleep(5);
        return inbox.shift();
    };
    return { client, inbox, next, resumed: connack.sessionPresent };
}

async function subscribe(link, filter, qos, options = {}) {
    const granted = await link.client.subscribeAsync(filter, { qos, ...options });
    assert.deepStrictEqual(granted.map((one) => one.qos), [qos]);
}

const publish = (link, topic, payload, options) => link.client.publishAsync(topic, payload, options);

// The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), for one exchange.
class Scram {
    constructor(user, secret) {
        this.secret = secret;
        this.nonce = crypto.randomBytes(18).toString('base64');
        this.bare = `n=${user},r=${this.nonce}`;
    }

    first() {
        return Buffer.from('n,,' + this.bare);
    }

    final(challenge) {
        const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest();
        const [, nonce, salt, rounds] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge);
        assert.ok(nonce.startsWith(this.nonce) && nonce.length > this.nonce.length);
        const salted = crypto.pbkdf2Sync(this.secret, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256');
        const key = hmac(salted, 'Client Key');
        const said = `${this.bare},${challenge},c=biws,r=${nonce}`;
        const signature = hmac(crypto.createHash('sha256').update(key).digest(), said);
        this.proves = 'v=' + hmac(hmac(salted, 'Server Key'), said).toString('base64');
        return Buffer.from(`c=biws,r=${nonce},p=${key.map((byte, i) => byte ^ signature[i]).toString('base64')}`);
    }
}

const scenarios = {
    // NAME is the id of a device key, a space, and its secret.
    async scram() {
        const [id, secret] = name.split(' ');
        const scram = new Scram(id, secret);
        const properties = { authenticationMethod: 'SCRAM-SHA-256', authenticationData: scram.first() };
        const client = mqtt.connect({
            host: '127.0.0.1', port: Number(port), protocol: 'mqtt', protocolVersion: 5, reconnectPeriod: 0,
            clientId: 'scram', properties,
        });
        client.handleAuth = (packet, done) => done(null, {
            cmd: 'auth', reasonCode: 0x18, properties: {
                authenticationMethod: 'SCRAM-SHA-256',
                authenticationData: scram.final(packet.properties.authenticationData.toString()),
            },
        });
        const connack = await new Promise((resolve, reject) => {
            client.once('connect', resolve);
            client.once('error', reject);
        });
        assert.strictEqual(connack.properties.authenticationMethod, 'SCRAM-SHA-256');
        assert.strictEqual(connack.properties.authenticationData.toString(), scram.proves);
        const came = new Promise((resolve) => client.once('message', (topic, payload) => resolve(payload.toString())));
        await client.subscribeAsync('t', { qos: 1 });
        await client.publishAsync('t', 'x', { qos: 1 });
        assert.strictEqual(await came, 'x');
        await client.endAsync();
    },

    async qos() {
        const publisher = await open('pub');
        for (const granted of [0, 1, 2]) {
            const subscriber = await open(`sub${granted}`);
            await subscribe(subscriber, name, granted);
            for (const qos of [0, 1, 2]) {
                await publish(publisher, name, Buffer.from([0, 255, qos]), { qos });
                const packet = await subscriber.next();
                assert.strictEqual(packet.qos, Math.min(qos, granted));
                assert.deepStrictEqual([...packet.payload], [0, 255, qos]);
            }
            await subscriber.client.endAsync();
        }
        await publisher.client.endAsync();
    },

    async big() {
        const link = await open('big');
        const payload = Buffer.alloc(1 << 20, 'metrino');
        await subscribe(link, name, 2);
        for (const qos of [0, 1, 2]) {
            await publish(link, name, payload, { qos });
            assert.ok(payload.equals((await link.next()).payload));
        }
        await link.client.endAsync();
    },

    async retained() {
        const publisher = await open('pub');
        await publish(publisher, name, 'kept', { qos: 1, retain: true });
        const subscriber = await open('sub');
        await subscribe(subscriber, name, 1);
        const packet = await subscriber.next();
        assert.deepStrictEqual([packet.payload.toString(), packet.qos, packet.retain], ['kept', 1, true]);
        await publish(publisher, name, '', { qos: 1, retain: true });
        assert.strictEqual((await subscriber.next()).retain, false);
        await subscribe(subscriber, name, 1);
        await sleep(SILENCE_MS);
        assert.strictEqual(subscriber.inbox.length, 0);
        await subscriber.client.endAsync();
        await publisher.client.endAsync();
    },

    async session() {
        const lasting = { clean: false, properties: version === 5 ? { sessionExpiryInterval: 60 } : undefined };
        let subscriber = await open('sub', lasting);
        assert.ok(!subscriber.resumed);
        await subscribe(subscriber, name, 2);
        await subscriber.client.endAsync();
        const publisher = await open('pub');
        for (let i = 0; i < 50; i++)
            await publish(publisher, name, String(i), { qos: 1 + (i >= 25) });
        subscriber = await open('sub', lasting);
        assert.ok(subscriber.resumed);
        const got = [[], []];
        for (let i = 0; i < 50; i++) {
            const packet = await subscriber.next();
            got[packet.qos - 1].push(Number(packet.payload));
        }
        assert.deepStrictEqual(got.flat(), [...Array(50).keys()]);
        await subscriber.client.endAsync();
        subscriber = await open('sub');
        assert.ok(!subscriber.resumed);
        await subscriber.client.endAsync();
        await publisher.client.endAsync();
    },

    async will() {
        const watcher = await open('watch');
        await subscribe(watcher, name, 1);
        const dying = await open('dying', { will: { topic: name, payload: Buffer.from('gone'), qos: 1 } });
        dying.client.stream.destroy();
        const packet = await watcher.next();
        assert.deepStrictEqual([packet.payload.toString(), packet.qos], ['gone', 1]);
        await watcher.client.endAsync();
    },

    async properties() {
        const link = await open('props');
        await subscribe(link, name, 1, { properties: { subscriptionIdentifier: 200 } });
        const properties = {
            contentType: 'application/json', responseTopic: 'answers/here', correlationData: Buffer.from([0, 1, 255]),
            payloadFormatIndicator: true, userProperties: { z: ['1', '2'], a: '3' },
        };
        await publish(link, name, '{}', { qos: 1, properties });
        const got = (await link.next()).properties;
        assert.strictEqual(got.contentType, properties.contentType);
        assert.strictEqual(got.responseTopic, properties.responseTopic);
        assert.deepStrictEqual([...got.correlationData], [0, 1, 255]);
        assert.strictEqual(got.payloadFormatIndicator, true);
        assert.deepStrictEqual({ ...got.userProperties }, { z: ['1', '2'], a: '3' });
        assert.strictEqual(got.subscriptionIdentifier, 200);
        await link.client.endAsync();
    },

    async alias() {
        const link = await open('alias', { autoUseTopicAlias: true, autoAssignTopicAlias: true,
            properties: { topicAliasMaximum: 10 } });
        const topics = [0, 1, 2].map((n) => `${name}/${n}`);
        await subscribe(link, `${name}/#`, 1);
        for (let i = 0; i < 30; i++)
            await publish(link, topics[i % 3], String(i), { qos: 1 });
        for (let i = 0; i < 30; i++) {
            const packet = await link.next();
            assert.strictEqual(Number(packet.payload), i);
        }
        await link.client.endAsync();
    },

    async shared() {
        const members = [await open('one'), await open('two'), await open('three')];
        for (const member of members)
            await subscribe(member, `$share/group/${name}`, 1);
        const publisher = await open('pub');
        for (let i = 0; i < 30; i++)
            await publish(publisher, name, String(i), { qos: 1 });
        await sleep(SILENCE_MS);
        const got = members.flatMap((member) => member.inbox.map((packet) => Number(packet.payload)));
        assert.deepStrictEqual(got.sort((a, b) => a - b), [...Array(30).keys()]);
        for (const member of members) {
            assert.ok(member.inbox.length > 0);
            await member.client.endAsync();
        }
        await publisher.client.endAsync();
    },
};

setTimeout(() => { throw new Error(`${scenario} took more than ${TIMEOUT_MS} ms`); }, TIMEOUT_MS).unref();
scenarios[scenario]().then(() => process.exit(0), (error) => {
    console.error(error);
    process.exit(1);
});
