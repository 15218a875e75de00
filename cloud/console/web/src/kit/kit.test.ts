import { describe, expect, test } from 'vitest';
import { Parser, type StreamEvent } from '../api/stream';
import { csvCell, csvLine, fileName } from './csv';
import { blank, faultsIn, parametersSchema, toWire, valueText, type Parameter } from './schema';
import { relative } from './Time';

describe('files', () => {
  test.each([
    ['plain', 'plain'],
    ['a,b', '"a,b"'],
    ['say "x"', '"say ""x"""'],
    ['two\nlines', '"two\nlines"'],
    ['=1+1', "'=1+1"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['-cmd|x', "'-cmd|x"],
    [-12.5, '-12.5'],
    [{ a: 1 }, '"{""a"":1}"'],
    [null, ''],
  ])('cell %j', (value, want) => expect(csvCell(value)).toBe(want));
  test('line', () => expect(csvLine(['a', 1, true])).toBe('a,1,true\r\n'));
  test.each([
    ['../../etc/passwd', 'etc_passwd'],
    ['a"b\r\nc', 'a_b_c'],
    ['泵 1.log', '泵_1.log'],
    ['...', 'file'],
  ])('name %j', (name, want) => expect(fileName(name)).toBe(want));
});

describe('streams', () => {
  const events = (pieces: string[]) => {
    const got: StreamEvent[] = [];
    const p = new Parser((e) => got.push(e));
    for (const piece of pieces) p.feed(piece);
    return got;
  };
  const text = ': connected\n\nid: 7\nevent: presence\ndata: {"a":1}\n\nevent: gap\ndata: x\ndata: y\n\n:\n\n';
  const want = [
    { id: '7', type: 'presence', data: '{"a":1}' },
    { id: '7', type: 'gap', data: 'x\ny' },
  ];
  test('whole', () => expect(events([text])).toEqual(want));
  test('in pieces of any size', () => {
    for (let n = 1; n < 9; n++) expect(events(text.match(new RegExp(`[^]{1,${n}}`, 'g'))!), String(n)).toEqual(want);
  });
  test('with the ends of lines that are allowed', () => expect(events([text.replaceAll('\n', '\r\n')])).toEqual(want));
});

describe('forms of a thing model', () => {
  const list: Parameter[] = [
    { Identifier: 'seconds', Name: 'Seconds', DataType: { Type: 'int32', Spec: { Min: 1, Max: 600, UnitName: 's' } } },
    { Identifier: 'mode', DataType: { Type: 'enum', Spec: { 1: 'gentle', 2: 'strong' } } },
    { Identifier: 'on', DataType: { Type: 'bool', Spec: { 0: 'off', 1: 'on' } } },
    { Identifier: 'points', DataType: { Type: 'array', Spec: { Size: 3, Item: { Type: 'struct', Spec: [{ Identifier: 'ok', DataType: { Type: 'bool' } }] } } } },
    { Identifier: 'note', DataType: { Type: 'string', Spec: { Length: 4 } } },
  ];
  const schema = parametersSchema(list);
  test('begin with something that fits', () => {
    expect(blank(schema)).toEqual({ seconds: 1, mode: 1, on: false, points: [], note: '' });
    expect(faultsIn(schema, blank(schema)).size).toBe(0);
  });
  test('are sent as devices have it', () => {
    expect(toWire(schema, { seconds: 5, mode: 2, on: true, points: [{ ok: false }], note: 'x' })).toEqual({ seconds: 5, mode: 2, on: 1, points: [{ ok: 0 }], note: 'x' });
  });
  test.each([
    [{ seconds: 601, mode: 1, on: true, points: [], note: '' }, ['/seconds']],
    [{ seconds: 1.5, mode: 1, on: true, points: [], note: '' }, ['/seconds']],
    [{ mode: 1, on: true, points: [{}], note: '' }, ['/seconds', '/points/0/ok']],
    [{ seconds: 1, mode: 1, on: true, points: [], note: '水水' }, ['/note']],
  ])('tell what does not fit %#', (value, want) => expect([...faultsIn(schema, value).keys()]).toEqual(want));
  test.each([
    [list[0]!.DataType, 5, '5 s'],
    [list[1]!.DataType, 2, 'strong'],
    [list[2]!.DataType, 1, 'on'],
    [list[2]!.DataType, true, 'on'],
    [undefined, { a: 1 }, '{"a":1}'],
  ])('are read by people %#', (type, value, want) => expect(valueText(type, value)).toBe(want));
});

test.each([
  [-5_000, '5 sec. ago'],
  [-200_000, '3 min. ago'],
  [90 * 60_000, 'in 1 hr.'],
])('%d ms from now', (offset, want) => expect(relative(1e12 + offset, 1e12, 'en')).toBe(want));
