import { Badge, Group, Paper, Stack, Table, Text } from '@mantine/core';
import { Link } from 'wouter';
import { Facts } from '../../kit/Facts';
import { bytes, numeral } from '../../kit/i18n';
import { Payload } from '../../kit/Payload';
import { momentOf, took, type Record, type Result } from './filter';
import { words } from './text';

const colours: { [r: string]: string } = { ok: 'green', refused: 'orange', failed: 'red', waiting: 'blue' };

export function ResultBadge({ result }: { result: Result | string }) {
  const t = words.use();
  const known: { [r: string]: string } = { ok: t.ok, refused: t.refused, failed: t.failed, waiting: t.waiting, none: t.noResult };
  return (
    <Badge variant="light" color={colours[result] ?? 'gray'} className="badge" data-result={result}>
      {known[result] ?? result}
    </Badge>
  );
}

/** useKindName names a record: its kind and what was done. */
export function useKindName() {
  const t = words.use();
  const names: { [k: string]: string } = { connection: t.behaviour, uplink: t.uplink, downlink: t.downlink, delivery: t.delivery, device: t.content, left_out: t.left };
  const actions: { [a: string]: string } = { login: t.login, logout: t.logout, register: t.register, subscribe: t.subscribe };
  return (r: Record) => {
    const action = r.action && (r.kind === 'connection' ? (actions[r.action] ?? r.action) : r.action);
    return [names[r.kind] ?? r.kind, action].filter(Boolean).join(' · ');
  };
}

/** RecordView is a record of the log with everything that is known of it. */
export function RecordView({ record: r }: { record: Record }) {
  const t = words.use();
  const kindName = useKindName();
  if (r.kind === 'left_out') {
    return (
      <Text fs="italic" data-record="left_out">
        {t.leftOut(numeral(r.leftOut ?? 0))}
      </Text>
    );
  }
  return (
    <Paper withBorder p="md" data-record={r.kind}>
      <Stack gap="sm">
        <Group gap="xs">
          <Text fw={600}>{kindName(r)}</Text>
          <ResultBadge result={r.result} />
          {r.microseconds !== undefined && <Text size="sm">{took(r.microseconds)}</Text>}
        </Group>
        <Facts
          of={[
            [t.time, momentOf(r.time)],
            [t.device, r.deviceSN && <Link className="row-link" key="d" href={`/devices/${r.productSN}/${encodeURIComponent(r.deviceSN)}`}>{`${r.productSN}/${r.deviceSN}`}</Link>],
            [t.application, r.application],
            [t.topic, r.topic],
            [t.qos, r.qos !== undefined && r.topic && String(r.qos)],
            [t.size, r.size !== undefined && bytes(r.size)],
            [t.node, r.node],
          ]}
        />
        {r.hops && r.hops.length > 0 && <Hops record={r} />}
        {(r.payload || r.payloadBase64) && (
          <div>
            <Text size="sm" fw={500} mb={4}>
              {t.payload}
            </Text>
            {(r.truncated || r.masked) && (
              <Text size="xs" c="dimmed" mb={4}>
                {[r.truncated && t.truncated, r.masked && t.masked].filter(Boolean).join(' ')}
              </Text>
            )}
            <Payload text={r.payload} base64={r.payloadBase64} label={t.payload} />
          </div>
        )}
      </Stack>
    </Paper>
  );
}

/** Hops is the way of a message: each hop with what it came to, how long it took, and a bar that shows where the time went. */
function Hops({ record: r }: { record: Record }) {
  const t = words.use();
  const hops = r.hops ?? [];
  const total = Math.max(1, hops.reduce((n, h) => n + (h.microseconds ?? 0), 0));
  let begun = 0;
  return (
    <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} role="region" aria-label={t.hops}>
      <Table verticalSpacing={4} aria-label={t.hops}>
        <Table.Thead>
          <Table.Tr>
            {[t.hop, t.result, t.took, t.answer, t.what].map((h) => (
              <Table.Th key={h} className="nowrap">
                {h}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {hops.map((h, i) => {
            const from = begun;
            begun += h.microseconds ?? 0;
            return (
              <Table.Tr key={i} data-hop={h.name}>
                <Table.Td>{h.name}</Table.Td>
                <Table.Td>
                  <ResultBadge result={h.result} />
                </Table.Td>
                <Table.Td className="nowrap" w={150}>
                  {took(h.microseconds)}
                  <span aria-hidden="true" style={{ display: 'block', height: 3, marginTop: 2, background: 'var(--mantine-color-default-border)' }}>
                    <span style={{ display: 'block', height: 3, marginInlineStart: `${(from / total) * 100}%`, width: `${Math.max(1, ((h.microseconds ?? 0) / total) * 100)}%`, maxWidth: '100%', background: 'var(--mantine-primary-color-filled)' }} />
                  </span>
                </Table.Td>
                <Table.Td>{h.retCode !== undefined && String(h.retCode)}</Table.Td>
                <Table.Td className="wrap">{[h.detail, h.reason].filter(Boolean).join(' · ')}</Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
      {r.moreHops ? <Text size="sm">{t.moreHops(r.moreHops)}</Text> : null}
    </Table.ScrollContainer>
  );
}
