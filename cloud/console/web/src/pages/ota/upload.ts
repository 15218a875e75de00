import { ownHeaders } from '../../api/client';
import { problemOf, UnreachableError } from '../../api/problem';

/** send sends a file as it is, and tells how much of it is out, from 0 to 1. Only XMLHttpRequest can tell that. */
export function send<T>(method: string, path: string, file: File, on: (part: number) => void, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of Object.entries({ ...ownHeaders(), 'Content-Type': 'application/octet-stream' })) request.setRequestHeader(name, value);
    request.upload.onprogress = (e) => e.lengthComputable && on(e.loaded / e.total);
    request.onerror = () => reject(new UnreachableError());
    request.onabort = () => reject(new DOMException('aborted', 'AbortError'));
    request.onload = () => {
      const body: unknown = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300) resolve(body as T);
      else reject(problemOf(new Response(null, { status: request.status }), body));
    };
    signal.addEventListener('abort', () => request.abort());
    request.send(file);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const hashable = 512 << 20;

/** digestOf is a file's SHA-256 in lower-case hex; undefined where the browser does not compute it (a page over plain HTTP) or the file is too large. */
export async function digestOf(file: File): Promise<string | undefined> {
  if (!globalThis.crypto?.subtle || file.size > hashable) return undefined;
  const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  return [...sum].map((b) => b.toString(16).padStart(2, '0')).join('');
}
