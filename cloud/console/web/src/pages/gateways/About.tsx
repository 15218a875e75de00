import { Badge, Group, Paper, Stack, Table, Text, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import type { Schemas } from '../../api/client';
import { Facts } from '../../kit/Facts';
import { bytes, numeral } from '../../kit/i18n';
import { Time } from '../../kit/Time';
import { gapWords, words } from './text';

type Agent = Schemas['Agent'];

/** About is what the agent of a gateway told last: what it is, what waits in it, what its routes did, and what it lost. */
export function About({ agent: a }: { agent: Agent }) {
  const t = words.use();
  return (
    <Stack>
      <Paper withBorder p="md" role="region" aria-label={t.agent}>
        <Facts
          of={[
            [t.version, [a.version, a.variant].filter(Boolean).join(' · ')],
            [t.platform, a.platform],
            [t.channel, a.channel],
            [
              t.capabilities,
              a.capabilities.length > 0 && (
                <Group gap={4}>
                  {a.capabilities.map((c) => (
                    <Badge key={c} variant="default" className="badge" fw={400}>
                      {c}
                    </Badge>
                  ))}
                </Group>
              ),
            ],
            [t.uploads, a.uploads && t.uploadsText(numeral(a.uploads.waiting), numeral(a.uploads.sent), numeral(a.uploads.failed))],
            [t.untold, a.untold ? numeral(a.untold) : ''],
            [t.seenAt, <Time at={a.seenAt} />],
          ]}
        />
      </Paper>
      <Title order={2} size="h4">
        {t.buffer}
      </Title>
      {a.streams.length === 0 ? <Text c="dimmed">{t.noStreams}</Text> : <Streams of={a.streams} />}
      {(a.routes?.length ?? 0) > 0 && (
        <>
          <Title order={2} size="h4">
            {t.routes}
          </Title>
          <Routes of={a.routes!} />
        </>
      )}
      <Title order={2} size="h4">
        {t.gaps}
      </Title>
      {a.gaps.length === 0 ? <Text c="dimmed">{t.noGaps}</Text> : <Gaps of={a.gaps} />}
    </Stack>
  );
}

function Streams({ of }: { of: Agent['streams'] }) {
  const t = words.use();
  return (
    <Table.ScrollContainer minWidth={400} type="native" tabIndex={0} role="region" aria-label={t.buffer}>
      <Table data-list="streams">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t.stream}</Table.Th>
            <Table.Th>{t.records}</Table.Th>
            <Table.Th>{t.bytes}</Table.Th>
            <Table.Th>{t.lost}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {of.map((s) => (
            <Table.Tr key={s.name}>
              <Table.Td>{s.name}</Table.Td>
              <Table.Td>{numeral(s.records)}</Table.Td>
              <Table.Td>{bytes(s.bytes)}</Table.Td>
              <Table.Td>{s.lost > 0 ? <Badge color="red" variant="light" className="badge">{numeral(s.lost)}</Badge> : numeral(0)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

/** Routes are those in force, as in their file. What failed or was dropped stands out. */
function Routes({ of }: { of: Schemas['AgentRoute'][] }) {
  const t = words.use();
  const bad = (n: number): ReactNode => (n > 0 ? <Badge color="red" variant="light" className="badge">{numeral(n)}</Badge> : numeral(0));
  return (
    <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} role="region" aria-label={t.routes}>
      <Table data-list="routes">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t.route}</Table.Th>
            <Table.Th>{t.matched}</Table.Th>
            <Table.Th>{t.failed}</Table.Th>
            <Table.Th>{t.sent}</Table.Th>
            <Table.Th>{t.waiting}</Table.Th>
            <Table.Th>{t.dropped}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {of.map((r, i) => (
            <Table.Tr key={`${i} ${r.name}`}>
              <Table.Td className="cell">{r.name}</Table.Td>
              <Table.Td>{numeral(r.matched)}</Table.Td>
              <Table.Td>{bad(r.failed)}</Table.Td>
              <Table.Td>{numeral(r.sent)}</Table.Td>
              <Table.Td>{numeral(r.waiting)}</Table.Td>
              <Table.Td>{bad(r.dropped)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

function Gaps({ of }: { of: Agent['gaps'] }) {
  const t = words.use();
  const names = gapWords.use() as Record<string, string>;
  return (
    <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} role="region" aria-label={t.gaps}>
      <Table data-list="gaps">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t.at}</Table.Th>
            <Table.Th>{t.stream}</Table.Th>
            <Table.Th>{t.from}</Table.Th>
            <Table.Th>{t.to}</Table.Th>
            <Table.Th>{t.reason}</Table.Th>
            <Table.Th>{t.bytes}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {of.map((g) => (
            <Table.Tr key={`${g.stream} ${g.from} ${g.at}`}>
              <Table.Td>
                <Time at={g.at} exact />
              </Table.Td>
              <Table.Td>{g.stream}</Table.Td>
              <Table.Td>{g.from}</Table.Td>
              <Table.Td>{g.to}</Table.Td>
              <Table.Td>{names[g.reason] ?? g.reason}</Table.Td>
              <Table.Td>{bytes(g.bytes)}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
