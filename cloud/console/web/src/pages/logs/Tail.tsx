import { Alert, Badge, Button, Group, Stack, Table, Text, TextInput } from '@mantine/core';
import { useEffect, useRef, useState, type ReactNode } from 'react';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { useParam } from '../../kit/params';
import { useStream } from '../../kit/stream';
import { words as kitWords } from '../../kit/text';
import { useColumns } from './columns';
import { keyOf, tailOf, type Choice, type Record } from './filter';
import { words } from './text';

/** How many records the page holds; older ones go. */
const most = 500;

/** How often what came is shown: more often nobody could read it. */
const beat = 250;

interface Held {
  shown: Record[];
  /** What came while it was paused. */
  waiting: Record[];
  /** Of those that came while it was paused, how many had no room. */
  lost: number;
}

/** Tail is the log live, newest first. Paused, what comes is held and shown afterwards. */
export function Tail({ choice, facets, onOpen }: { choice: Choice; facets: ReactNode; onOpen: (r: Record) => void }) {
  const t = words.use();
  const path = tailOf(choice);
  return (
    <Stack gap="sm">
      <Group gap="xs" align="flex-end">
        <Contains />
        {facets}
      </Group>
      <Stream key={path} path={path} onOpen={onOpen} label={t.title} />
    </Stack>
  );
}

function Contains() {
  const t = words.use();
  const kit = kitWords.use();
  const [contains, setContains] = useParam('q');
  const [typed, setTyped] = useState(contains);
  return (
    <form
      role="search"
      className="grow"
      onSubmit={(e) => {
        e.preventDefault();
        setContains(typed.trim());
      }}
    >
      <TextInput label={kit.filter} description={t.filterHint} placeholder={t.filterExample} value={typed} onChange={(e) => setTyped(e.currentTarget.value)} leftSection={<Icon name="search" />} spellCheck={false} maxLength={256} />
    </form>
  );
}

function Stream({ path, onOpen, label }: { path: string; onOpen: (r: Record) => void; label: string }) {
  const t = words.use();
  const kit = kitWords.use();
  const [held, setHeld] = useState<Held>({ shown: [], waiting: [], lost: 0 });
  const [paused, setPaused] = useState(false);
  const [missing, setMissing] = useState<string[]>([]);
  const came = useRef<Record[]>([]);
  const timer = useRef(0);
  const stop = useRef(paused);
  stop.current = paused;
  const state = useStream(path, (event) => {
    if (event.type === 'missing') return setMissing(nodesOf(event.data));
    if (event.type !== 'message') return;
    came.current.push(JSON.parse(event.data) as Record);
    if (!timer.current) timer.current = window.setTimeout(show, beat);
  });
  useEffect(() => () => clearTimeout(timer.current), []);
  function show() {
    timer.current = 0;
    const fresh = came.current.reverse();
    came.current = [];
    setHeld((old) => {
      if (!stop.current) return { ...old, shown: [...fresh, ...old.shown].slice(0, most) };
      const waiting = [...fresh, ...old.waiting];
      return { ...old, waiting: waiting.slice(0, most), lost: old.lost + Math.max(0, waiting.length - most) };
    });
  }
  const resume = () => {
    setPaused(false);
    setHeld((old) => ({ shown: [...old.waiting, ...old.shown].slice(0, most), waiting: [], lost: 0 }));
  };
  return (
    <>
      <Group gap="sm" aria-live="polite">
        <Button size="xs" variant="default" leftSection={<Icon name={paused ? 'play' : 'pause'} size={14} />} onClick={() => (paused ? resume() : setPaused(true))}>
          {paused ? kit.resume : kit.pause}
        </Button>
        <Button size="xs" variant="default" onClick={() => setHeld({ shown: [], waiting: [], lost: 0 })}>
          {kit.clear}
        </Button>
        <Badge variant="light" color={paused ? 'yellow' : state === 'open' ? 'green' : 'gray'} className="badge" data-stream={paused ? 'paused' : state}>
          {paused ? kit.paused : state === 'open' ? kit.live : t.connecting}
        </Badge>
        {paused && held.waiting.length > 0 && <Text size="sm">{t.heldBack(numeral(held.waiting.length))}</Text>}
        {held.lost > 0 && <Text size="sm">{t.lostWhilePaused(numeral(held.lost))}</Text>}
      </Group>
      {missing.length > 0 && <Alert color="yellow">{t.missing(missing.join(', '))}</Alert>}
      <Records of={held.shown} onOpen={onOpen} label={label} />
    </>
  );
}

function nodesOf(data: string): string[] {
  const said: unknown = JSON.parse(data);
  if (Array.isArray(said)) return said.map(String);
  const nodes = (said as { missing?: unknown } | null)?.missing;
  return Array.isArray(nodes) ? nodes.map(String) : [];
}

const shown = new Set(['time', 'kind', 'result', 'device', 'what', 'payload', 'took']);

function Records({ of, onOpen, label }: { of: Record[]; onOpen: (r: Record) => void; label: string }) {
  const t = words.use();
  const columns = useColumns(onOpen).filter((c) => shown.has(c.id));
  if (of.length === 0) return <Text c="dimmed">{t.nothingYet}</Text>;
  return (
    <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} role="region" aria-label={label}>
      <Table verticalSpacing={4} data-list="tail">
        <Table.Thead>
          <Table.Tr>
            {columns.map((c) => (
              <Table.Th key={c.id} className="nowrap">
                {c.title}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {of.map((r, i) => (
            <Table.Tr key={`${keyOf(r)}/${of.length - i}`}>
              {columns.map((c) => (
                <Table.Td key={c.id} className="cell">
                  {c.cell(r)}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
