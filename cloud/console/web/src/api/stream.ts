// Server-sent events over fetch: as EventSource does it (Last-Event-ID, coming back by itself), and with the project's header, the status of a
// refusal, and a wait that grows. A hidden tab holds no stream, because browsers have six connections a hub; it takes up where it was.
import { connection } from './connection';
import { endedIf, ownHeaders } from './client';
import { problemOf, ProblemError, UnreachableError } from './problem';

export interface StreamEvent {
  id: string;
  type: string;
  data: string;
}

/** Parser takes the text of a stream in pieces of any size and calls on for each event. */
export class Parser {
  #rest = '';
  #id = '';
  #type = '';
  #data: string[] = [];

  constructor(private on: (event: StreamEvent) => void) {}

  feed(text: string) {
    this.#rest += text;
    const lines = this.#rest.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  #line(line: string) {
    if (line === '') {
      if (this.#data.length > 0) this.on({ id: this.#id, type: this.#type || 'message', data: this.#data.join('\n') });
      this.#type = '';
      this.#data = [];
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment: the hub lives
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'data') this.#data.push(value);
    else if (field === 'event') this.#type = value;
    else if (field === 'id') this.#id = value;
  }
}

export type StreamState = 'connecting' | 'open' | 'lost' | 'refused';

export interface StreamHandlers {
  onEvent: (event: StreamEvent) => void;
  onState?: (state: StreamState, err?: Error) => void;
}

const pauses = [500, 1_000, 2_000, 4_000, 8_000];

/** open follows path until the signal aborts. */
export async function follow(path: string, handlers: StreamHandlers, signal: AbortSignal): Promise<void> {
  let last = '';
  let tries = 0;
  const parser = () =>
    new Parser((event) => {
      last = event.id || last;
      handlers.onEvent(event);
    });
  while (!signal.aborted) {
    await visible(signal);
    if (signal.aborted) return;
    handlers.onState?.('connecting');
    const turn = turnOf(signal);
    try {
      await read(path, last, parser(), turn.signal, () => {
        tries = 0;
        handlers.onState?.('open');
      });
    } catch (err) {
      if (signal.aborted) return;
      if (err instanceof ProblemError && err.status < 500 && err.status !== 429) {
        handlers.onState?.('refused', err);
        return;
      }
    } finally {
      turn.end();
    }
    if (signal.aborted || turn.hidden()) continue;
    // A stream may end because what it is about has: only one that cannot be opened again says that the hub is away.
    handlers.onState?.('lost');
    await sleep(pauses[Math.min(tries++, pauses.length - 1)]! * (0.8 + 0.4 * Math.random()), signal);
  }
}

/** turnOf is a signal that aborts with another, and when the tab is hidden. */
function turnOf(signal: AbortSignal) {
  const own = new AbortController();
  let hidden = false;
  const hide = () => {
    if (!document.hidden) return;
    hidden = true;
    own.abort();
  };
  const end = () => own.abort();
  document.addEventListener('visibilitychange', hide);
  signal.addEventListener('abort', end);
  return {
    signal: own.signal,
    hidden: () => hidden,
    end() {
      document.removeEventListener('visibilitychange', hide);
      signal.removeEventListener('abort', end);
    },
  };
}

async function read(path: string, last: string, parser: Parser, signal: AbortSignal, opened: () => void) {
  let response: Response;
  try {
    response = await fetch(path, {
      headers: { Accept: 'text/event-stream', ...ownHeaders(), ...(last && { 'Last-Event-ID': last }) },
      cache: 'no-store',
      credentials: 'same-origin',
      signal,
    });
  } catch {
    if (!signal.aborted) connection.lost();
    throw new UnreachableError();
  }
  if (!response.ok) {
    const problem = problemOf(response, await response.json().catch(() => undefined));
    endedIf(problem);
    throw problem;
  }
  opened();
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      parser.feed(value);
    }
  } catch {
    throw new UnreachableError();
  }
}

function visible(signal: AbortSignal): Promise<void> {
  if (!document.hidden) return Promise.resolve();
  return new Promise((done) => {
    const check = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener('visibilitychange', check);
      signal.removeEventListener('abort', check);
      done();
    };
    document.addEventListener('visibilitychange', check);
    signal.addEventListener('abort', check);
  });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      done();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}
