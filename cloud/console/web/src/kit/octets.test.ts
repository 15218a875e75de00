import { expect, test } from 'vitest';
import { asText, fromHex, hexDump, toBase64, toBytes, treeOf } from './octets';

const some = Uint8Array.from({ length: 20 }, (_, i) => i * 13);

test('base64 and back', () => {
  expect(toBytes(toBase64(some))).toEqual(some);
  expect(toBase64(new Uint8Array(100_000))).toHaveLength(133_336);
});

test('text is text only when it is', () => {
  expect(asText(new TextEncoder().encode('温度 21\n'))).toBe('温度 21\n');
  expect(asText(Uint8Array.of(0xff, 0xfe))).toBeUndefined();
  expect(asText(Uint8Array.of(0x41, 0x00))).toBeUndefined();
});

test('hex', () => {
  expect(hexDump(new TextEncoder().encode('0123456789abcdef!'))).toBe('000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef\n000010  21                                                !');
  expect(fromHex('0A:ff 10')).toEqual(Uint8Array.of(10, 255, 16));
  expect(fromHex('abc')).toBeUndefined();
  expect(fromHex('zz')).toBeUndefined();
});

test('a tree is an object or a list', () => {
  expect(treeOf(' {"a":1}')).toEqual({ a: 1 });
  expect(treeOf('12')).toBeUndefined();
  expect(treeOf('{"a":')).toBeUndefined();
});
