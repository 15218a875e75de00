import { Alert, Badge, Button, Group, Stack, Table, Text, Title } from '@mantine/core';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { bytes, numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { Day, Spark } from './Live';
import { droppedOf, sumOf } from './stats';
import { words } from './text';

type ActionStats = Schemas['ActionStats'];

export function useStats(rule: string) {
  return useRead(['rule-stats', rule], (signal) => take(api.GET('/v1/rules/{ruleID}/stats', { params: { path: { ruleID: rule } }, signal })));
}

/** Metrics is what became of a rule's messages and results. */
export function Metrics({ rule }: { rule: Schemas['Rule'] }) {
  const t = words.use();
  const { may } = useSession();
  const read = useStats(rule.id);
  return (
    <Ready of={read}>
      {(stats) => {
        const sum = sumOf(stats);
        return (
          <Stack>
            <Group justify="space-between">
              <Group gap="xl">
                <Number label={t.matched} n={sum.matched} />
                <Number label={t.delivered} n={sum.delivered} />
                <Number label={t.waiting} n={sum.waiting} />
                <Number label={t.deadLetters} n={sum.letters} bad />
                <Number label={t.dropped} n={sum.dropped} bad />
                <Number label={t.failed} n={sum.failed} bad />
              </Group>
              <Button variant="default" leftSection={<Icon name="refresh" />} onClick={() => void read.refetch()}>
                {t.refresh}
              </Button>
            </Group>
            <Text size="sm" c="dimmed">
              {t.sinceStart} {stats.failedTotal !== undefined && t.failedTotal(numeral(stats.failedTotal))}
            </Text>
            {may('hub.read') && <Spark rule={rule.id} />}
            <ActionTable of={stats.actions} rule={rule.id} />
            {may('hub.read') && <Day rule={rule.id} />}
          </Stack>
        );
      }}
    </Ready>
  );
}

function Number({ label, n, bad }: { label: string; n: number; bad?: boolean }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text size="xl" fw={600} c={bad && n > 0 ? 'var(--mantine-color-error)' : undefined} data-number={label}>
        {numeral(n)}
      </Text>
    </div>
  );
}

function ActionTable({ of, rule }: { of: ActionStats[]; rule: string }) {
  const t = words.use();
  return (
    <Stack>
      {of.map((a) => (
        <Stack key={a.id} gap="xs">
          <Group gap="xs">
            <Title order={2} size="h5">
              {a.kind}
            </Title>
            {a.role !== 'action' && <Badge variant="default">{a.role === 'fallback' ? t.fallback : t.errorAction}</Badge>}
            <Status of={a} />
          </Group>
          <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} role="region" aria-label={a.kind}>
            <Table>
              <Table.Thead>
                <Table.Tr>
                  {[t.matched, t.delivered, t.inFlight, t.queued, t.late, t.dead, t.fellBack, t.dropped, t.retries].map((h) => (
                    <Table.Th key={h} className="nowrap">
                      {h}
                    </Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                <Table.Tr>
                  {[a.matched, a.delivered, a.inFlight, a.queued, a.late, a.dead, a.fellBack, droppedOf(a), a.retries].map((n, i) => (
                    <Table.Td key={i}>{numeral(n)}</Table.Td>
                  ))}
                </Table.Tr>
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
          <Facts
            of={[
              [t.waitingBytes, a.waitingBytes > 0 && bytes(a.waitingBytes)],
              [t.droppedWhy, droppedOf(a) > 0 && Object.entries(a.dropped).map(([why, n]) => `${why}: ${numeral(n)}`).join(', ')],
              [t.deadLetters, a.letters > 0 && <Link className="row-link" href={`/rules/${rule}/dead-letters?action=${a.id}`}>{`${numeral(a.letters)} (${bytes(a.letterBytes)})`}</Link>],
              [t.total, a.total && t.totalOf(numeral(a.total.delivered), numeral(a.total.dead), numeral(a.total.retries))],
            ]}
          />
          {a.lastError && (
            <Alert color={a.connected ? 'gray' : 'red'} title={t.lastError}>
              <Text size="sm" className="wrap">
                {a.lastError}
              </Text>
              <Text size="xs" c="dimmed">
                <Time at={a.lastErrorAt} />
              </Text>
            </Alert>
          )}
        </Stack>
      ))}
      {of.length === 0 && <Text c="dimmed">{t.noActions}</Text>}
    </Stack>
  );
}

function Status({ of: a }: { of: ActionStats }) {
  const t = words.use();
  const colours = { connected: 'green', connecting: 'gray', disconnected: 'red' } as const;
  return (
    <Badge variant="light" color={colours[a.status]} className="badge">
      {t[a.status]}
    </Badge>
  );
}
