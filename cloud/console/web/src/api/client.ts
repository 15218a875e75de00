// The hub's API, typed by its document. Every request carries what shows that a page of this hub made it, and the project that is open.
import createClient, { type Middleware } from 'openapi-fetch';
import { connection } from './connection';
import { hasCode, problemOf, UnreachableError } from './problem';
import type { components, paths } from './schema';

export type Schemas = components['schemas'];

let project = '';

/** setProject has the requests from now on act in a project; '' for none. */
export function setProject(id: string) {
  project = id;
}

export function currentProject(): string {
  return project;
}

/** own are the headers of each request of the console. */
export function ownHeaders(): Record<string, string> {
  return { 'X-Hawser-Request': 'console', ...(project && { 'X-Hawser-Project': project }) };
}

const guard: Middleware = {
  onRequest({ request }) {
    for (const [name, value] of Object.entries(ownHeaders())) if (!request.headers.has(name)) request.headers.set(name, value);
    return request;
  },
  onError({ error }) {
    if (error instanceof DOMException && error.name === 'AbortError') return error;
    connection.lost();
    return new UnreachableError();
  },
};

export const api = createClient<paths>({ baseUrl: globalThis.location?.origin ?? '', credentials: 'same-origin' });
api.use(guard);

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** take is the body of an answer; what is none of 2xx is thrown. */
export async function take<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (response.ok) return data as T;
  const problem = problemOf(response, error);
  if (problem instanceof UnreachableError) connection.lost();
  endedIf(problem);
  throw problem;
}

/** tagged is take with the ETag, for a change that must not undo another's. */
export async function tagged<T>(answer: Promise<Answer<T>>): Promise<{ body: T; etag: string }> {
  const got = await answer;
  return { body: await take(Promise.resolve(got)), etag: got.response.headers.get('ETag') ?? '' };
}

/** raw is a request whose body or answer is a file. path has the API's /v1/… */
export async function raw(method: string, path: string, init: { body?: BodyInit; type?: string; signal?: AbortSignal } = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      body: init.body,
      signal: init.signal,
      credentials: 'same-origin',
      headers: { ...ownHeaders(), ...(init.type && { 'Content-Type': init.type }) },
    });
  } catch (err) {
    if (err instanceof DOMException && err.name === 'AbortError') throw err;
    connection.lost();
    throw new UnreachableError();
  }
  if (response.ok) return response;
  const problem = problemOf(response, await response.json().catch(() => undefined));
  endedIf(problem);
  throw problem;
}

let ended = () => {};

/** endedIf looks whether the session is over. A wrong password that was typed to confirm something is a 401 too, with a code of its own. */
export function endedIf(problem: Error) {
  if (hasCode(problem, 'unauthorized')) ended();
}

/** onSessionEnd is told when the hub no longer takes the session. */
export function onSessionEnd(told: () => void) {
  ended = told;
}
