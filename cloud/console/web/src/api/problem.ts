// What the hub answers when something does not work (RFC 9457), and that it did not answer at all.

export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
    readonly field = '',
    readonly retCode = 0,
    readonly requestID = '',
  ) {
    super(detail || code);
    this.name = 'ProblemError';
  }
}

/** The hub could not be reached: it starts anew, or the network is away. */
export class UnreachableError extends Error {
  constructor() {
    super('the hub cannot be reached');
    this.name = 'UnreachableError';
  }
}

/** problemOf makes an error of an answer that is none of 2xx. */
export function problemOf(response: Response, body: unknown): Error {
  if (response.status >= 502 && response.status <= 504) {
    const code = member(body, 'code');
    if (typeof code !== 'string') return new UnreachableError(); // a proxy's answer, or that of a hub that is not ready
  }
  return new ProblemError(
    response.status,
    text(body, 'code') || `http_${response.status}`,
    text(body, 'detail') || text(body, 'title') || response.statusText,
    text(body, 'field'),
    Number(member(body, 'retCode') ?? 0),
    text(body, 'requestID') || response.headers.get('X-Request-Id') || '',
  );
}

function member(body: unknown, name: string): unknown {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>)[name] : undefined;
}

function text(body: unknown, name: string): string {
  const v = member(body, name);
  return typeof v === 'string' ? v : '';
}

/** hasCode tells whether err is the hub's problem of that code. */
export function hasCode(err: unknown, ...codes: string[]): err is ProblemError {
  return err instanceof ProblemError && codes.includes(err.code);
}
