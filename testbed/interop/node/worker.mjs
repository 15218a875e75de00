// Node's mqtt package as a worker of the interoperability tests; see ../worker_test.go for its argument and its events.
import { readFileSync } from 'node:fs'
import mqtt from 'mqtt'

const job = JSON.parse(process.argv[2])
const say = (event) => process.stdout.write(JSON.stringify(event) + '\n')

const client = mqtt.connect({
  protocol: job.tls ? 'mqtts' : 'mqtt', host: job.host, port: job.port, ca: job.tls ? readFileSync(job.ca) : undefined,
  clientId: job.clientId, username: job.username, password: job.password, protocolVersion: job.version,
  clean: false, properties: job.version === 5 ? { sessionExpiryInterval: 300 } : undefined,
  keepalive: 60, reconnectPeriod: 150, connectTimeout: 10_000, resubscribe: false,
})
client.on('error', (err) => console.error(String(err)))
client.on('message', (topic, payload) => say({ got: payload.toString() }))

let begun = false
let subscribed = false
client.on('connect', async (connack) => {
  say({ present: connack.sessionPresent })
  try {
    if (job.subscribe && !subscribed) await client.subscribeAsync(job.subscribe, { qos: 2 })
    subscribed = true
    say({ subscribed: true })
  } catch (err) {
    console.error(String(err)) // cut off: with the next connection
  }
  const again = unsent
  unsent = []
  again.forEach(send)
  if (!begun) {
    begun = true
    publish()
  }
})

async function publish() {
  for (let n = 1; n <= job.count; n++) {
    send(n)
    if (job.pause) await new Promise((resolve) => setTimeout(resolve, job.pause))
  }
}

// What waited behind the messages of an earlier connection when that ended was not sent: it is handed back, and sent once more
// with the next connection.
let unsent = []
function send(n) {
  client.publish(job.topic, JSON.stringify({ n }), { qos: job.qos }, (err) => {
    if (err) unsent.push(n)
    else say({ acked: n })
  })
}

process.stdin.on('end', () => client.end(false, () => process.exit(0)))
process.stdin.resume()
