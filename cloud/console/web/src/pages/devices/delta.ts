// What is between two shadow documents.

export type Document = { [key: string]: unknown };

/** same compares JSON values; the order of keys does not count. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null || Array.isArray(a) !== Array.isArray(b)) return false;
  const [x, y] = [a as Document, b as Document];
  const keys = Object.keys(x);
  return keys.length === Object.keys(y).length && keys.every((k) => Object.hasOwn(y, k) && same(x[k], y[k]));
}

/** deltaOf is what the device has yet to become: each desired value that is not what it reports. */
export function deltaOf(desired: Document, reported: Document): Document {
  return Object.fromEntries(Object.entries(desired).filter(([k, v]) => !same(v, reported[k])));
}

/** patchOf turns one document into another: what is new or other, and null for what has gone. */
export function patchOf(from: Document, to: Document): Document {
  const gone = Object.keys(from).filter((k) => !Object.hasOwn(to, k));
  return { ...Object.fromEntries(Object.entries(to).filter(([k, v]) => !Object.hasOwn(from, k) || !same(v, from[k]))), ...Object.fromEntries(gone.map((k) => [k, null])) };
}
