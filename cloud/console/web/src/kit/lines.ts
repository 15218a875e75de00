// Two texts line by line: what is in one only, with a little of what is in both around it.

export interface Line {
  kind: 'same' | 'old' | 'new' | 'gap';
  text: string;
}

const around = 3;

/** linesOf compares two texts; a gap stands for lines that are the same. Nothing is the answer for the same text. */
export function linesOf(before: string, after: string): Line[] {
  const all = compare(split(before), split(after));
  if (all.every((l) => l.kind === 'same')) return [];
  const near = all.map((_, i) => all.slice(Math.max(0, i - around), i + around + 1).some((l) => l.kind !== 'same'));
  return all.flatMap((l, i): Line[] => {
    if (near[i]) return [l];
    return i > 0 && !near[i - 1] ? [] : [{ kind: 'gap', text: '' }];
  });
}

const split = (s: string) => s.replace(/\n$/, '').split('\n');

/** compare finds the longest lines in common, after what begins and what ends the same. */
function compare(a: string[], b: string[]): Line[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  const same = (list: string[]): Line[] => list.map((text) => ({ kind: 'same', text }));
  return [...same(a.slice(0, head)), ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)), ...same(a.slice(a.length - tail))];
}

const most = 4_000_000; // cells: beyond that all of the one is out and all of the other in

function middle(a: string[], b: string[]): Line[] {
  const out: Line[] = [];
  const width = b.length + 1;
  if (a.length * b.length > most) return [...a.map((text): Line => ({ kind: 'old', text })), ...b.map((text): Line => ({ kind: 'new', text }))];
  const common = new Uint32Array((a.length + 1) * width); // of the rests that begin there
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j] ? common[(i + 1) * width + j + 1]! + 1 : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
    }
  }
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      out.push({ kind: 'same', text: a[i++]! });
      j++;
    } else if (common[(i + 1) * width + j]! >= common[i * width + j + 1]!) out.push({ kind: 'old', text: a[i++]! });
    else out.push({ kind: 'new', text: b[j++]! });
  }
  for (; i < a.length; i++) out.push({ kind: 'old', text: a[i]! });
  for (; j < b.length; j++) out.push({ kind: 'new', text: b[j]! });
  return out;
}
