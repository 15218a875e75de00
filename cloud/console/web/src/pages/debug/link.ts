// A device that the browser plays: MQTT over WebSocket to the hub's own door, with the device's credentials. Its code is fetched when it is wanted.
import mqtt, { type MqttClient } from 'mqtt';

export interface Incoming {
  id: number;
  at: number;
  way: 'in' | 'out';
  topic: string;
  octets: Uint8Array;
  qos: number;
}

export type LinkState = 'connecting' | 'open' | 'closed' | 'lost';

export interface LinkEvents {
  onState: (state: LinkState, why?: string) => void;
  onMessage: (topic: string, octets: Uint8Array, qos: number) => void;
}

export interface Credentials {
  product: string;
  device: string;
  secret: string;
}

/** doorOf is the address of the hub's WebSocket door, on the host that the console came from. */
export function doorOf(at: { protocol: string; host: string }): string {
  return `${at.protocol === 'https:' ? 'wss' : 'ws'}://${at.host}/mqtt`;
}

/** Link is one connection. A connection that was lost is not taken up again by itself: who looks at it should see it. */
export class Link {
  #client: MqttClient;

  constructor(door: string, who: Credentials, events: LinkEvents) {
    let ended = false;
    events.onState('connecting');
    this.#client = mqtt.connect(door, {
      clientId: `${who.product}.${who.device}`,
      username: `${who.product}|${who.device}|1`,
      password: who.secret,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: 10_000,
      keepalive: 60,
      // Its other timers run in a worker made of a text, which the page's policy keeps out.
      timerVariant: 'native',
    });
    this.#client.on('connect', () => events.onState('open'));
    this.#client.on('message', (topic, payload, packet) => events.onMessage(topic, Uint8Array.from(payload), packet.qos));
    this.#client.on('error', (err) => {
      ended = true;
      events.onState('lost', err.message);
    });
    this.#client.on('close', () => {
      if (!ended) events.onState('lost');
      ended = true;
    });
    this.close = () => {
      ended = true;
      this.#client.end(true);
      events.onState('closed');
    };
  }

  close: () => void;

  async subscribe(topic: string, qos: 0 | 1): Promise<boolean> {
    const granted = await this.#client.subscribeAsync(topic, { qos });
    return granted.every((g) => g.qos < 128);
  }

  async unsubscribe(topic: string): Promise<void> {
    await this.#client.unsubscribeAsync(topic);
  }

  async publish(topic: string, octets: Uint8Array, qos: 0 | 1): Promise<void> {
    await this.#client.publishAsync(topic, octets as Buffer, { qos });
  }
}
