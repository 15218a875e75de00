// Bytes as people look at them.

export function toBytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

export function toBase64(octets: Uint8Array): string {
  let text = '';
  for (let i = 0; i < octets.length; i += 0x8000) text += String.fromCharCode(...octets.subarray(i, i + 0x8000));
  return btoa(text);
}

/** asText is what the bytes say in UTF-8; undefined when they are no text. */
export function asText(octets: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
    return /[\u0000-\u0008\u000e-\u001f]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

/** hexDump is lines of sixteen bytes: their place, their digits, and what of them can be read. */
export function hexDump(octets: Uint8Array): string {
  const lines: string[] = [];
  for (let i = 0; i < octets.length; i += 16) {
    const part = [...octets.subarray(i, i + 16)];
    const digits = part.map((b) => b.toString(16).padStart(2, '0'));
    const readable = part.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('');
    lines.push(`${i.toString(16).padStart(6, '0')}  ${[digits.slice(0, 8).join(' '), digits.slice(8).join(' ')].join('  ').padEnd(49)} ${readable}`);
  }
  return lines.join('\n');
}

/** fromHex reads digits, with blanks and colons between them; undefined when they are none. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  const digits = text.replace(/[\s:]+/g, '');
  if (digits.length % 2 !== 0 || /[^0-9a-f]/i.test(digits)) return undefined;
  return Uint8Array.from(digits.match(/../g) ?? [], (d) => parseInt(d, 16));
}

/** treeOf is the JSON value that a text is; undefined when it is none, or no more than a number or a word. */
export function treeOf(text: string | undefined): unknown {
  if (text === undefined || !/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
