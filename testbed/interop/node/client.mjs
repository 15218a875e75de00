// One MQTT session of Node's mqtt package, told what to do by one JSON argument:
// {url, clientId, username, password, ca, subscribe: [filter], publish: [{topic, payload, qos}], expect: n}
// It prints each received message as a JSON line and ends with 0 when all
// publications are acknowledged and `expect` messages have come.
import { readFileSync } from 'node:fs'
import mqtt from 'mqtt'

const job = JSON.parse(process.argv[2])
const client = await mqtt.connectAsync(job.url, {
  clientId: job.clientId, username: job.username, password: job.password,
  ca: job.ca ? readFileSync(job.ca) : undefined, keepalive: 60, reconnectPeriod: 0, connectTimeout: 60_000,
  clean: job.clean ?? true,
}, false)

let received = 0
const enough = new Promise((resolve) => {
  client.on('message', (topic, payload, packet) => {
    console.log(JSON.stringify({ topic, payload: payload.toString(), qos: packet.qos }))
    if (++received >= (job.expect ?? 0)) resolve()
  })
  if (!job.expect) resolve()
})
for (const filter of job.subscribe ?? []) {
  await client.subscribeAsync(filter, { qos: 1 })
}
for (const m of job.publish ?? []) {
  await client.publishAsync(m.topic, m.payload, { qos: m.qos ?? 1 })
}
console.log(JSON.stringify({ ready: true }))
const timer = setTimeout(() => { console.error('timed out'); process.exit(1) }, job.timeout ?? 60_000)
await enough
clearTimeout(timer)
await client.endAsync()
