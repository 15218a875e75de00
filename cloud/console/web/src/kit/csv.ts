// Tables as files. A cell that a spreadsheet would take for a formula gets an apostrophe before it: what devices say must not run there.

export function csvCell(value: unknown): string {
  let text = value === undefined || value === null ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value);
  if (/^[=+\-@\t\r]/.test(text) && !/^-?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

export function csvLine(values: unknown[]): string {
  return values.map(csvCell).join(',') + '\r\n';
}

/** fileName keeps what no file system and no shell takes amiss. */
export function fileName(name: string): string {
  const kept = name.replace(/[^\p{L}\p{N}._-]+/gu, '_').replace(/^[._-]+/, '');
  return kept.slice(0, 100) || 'file';
}

/** saveAs gives the reader a file. */
export function saveAs(name: string, data: BlobPart[], type = 'application/octet-stream') {
  const url = URL.createObjectURL(new Blob(data, { type }));
  const a = document.createElement('a');
  a.href = url;
  a.download = fileName(name);
  a.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
