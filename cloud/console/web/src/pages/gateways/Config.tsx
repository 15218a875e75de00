import { Alert, Badge, Button, Group, Paper, Stack, Table, Text, Textarea, TextInput, Title } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { LineDiff } from '../../kit/LineDiff';
import { Icon } from '../../kit/icons';
import { Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { useRefresh } from '../../kit/refresh';
import { Time } from '../../kit/Time';
import { useWho } from '../../kit/who';
import { reasonWords, words } from './configText';

type Version = Schemas['AgentConfig'];
type State = Schemas['AgentConfigState'];

interface Of {
  product: string;
  device: string;
}

const base = '/v1/products/{productSN}/devices/{deviceSN}/agent/config';
/** How often it is looked what became of an offer, at most. */
const pause = 2000;

const keys = ({ product, device }: Of) => [['agent-config', product, device], ['agent', product, device]];

/** Config is what the agent of a gateway is to work with: what became of it, the text, and its versions. */
export function Config({ of, state }: { of: Of; state?: State }) {
  const { may } = useSession();
  const path = { productSN: of.product, deviceSN: of.device };
  const read = useRead(['agent-config', of.product, of.device, 'now'], (signal) =>
    take(api.GET(base, { params: { path }, signal })).catch((err: unknown) => {
      if (hasCode(err, 'agent_config_not_found')) return null;
      throw err;
    }),
  );
  // What the agent made of an offer is no event of its own: while one is open the metrics of the product are the clock.
  const open = state?.state === 'offered' || state?.state === 'trial' || (state?.wanted !== undefined && state.wanted !== state.offered);
  useRefresh(open ? `/v1/metrics/events?product=${encodeURIComponent(of.product)}` : null, [['agent', of.product, of.device]], pause);
  return (
    <Stack>
      <Told state={state} />
      <Ready of={read}>
        {(c) => (
          <>
            <Edit key={c?.revision ?? 0} of={of} now={c?.gone ? null : c} fixed={!may('device.control', of.product)} />
            <Versions of={of} now={c} />
          </>
        )}
      </Ready>
    </Stack>
  );
}

const colours: Record<string, string> = { offered: 'blue', trial: 'yellow', applied: 'green', back: 'red', refused: 'red' };

/** Told is what became of the configuration at the gateway. */
function Told({ state: s }: { state?: State }) {
  const t = words.use();
  const reasons = reasonWords.use() as Record<string, string>;
  if (!s || (!s.wanted && !s.running && !s.state)) return <Text c="dimmed">{t.untold}</Text>;
  const names: Record<string, string> = { offered: t.offered, trial: t.trial, applied: t.applied, back: t.back, refused: t.refused };
  return (
    <Paper withBorder p="md" role="region" aria-label={t.status}>
      <Stack gap="sm">
        <Facts
          of={[
            [t.wanted, s.wanted || t.none],
            [t.running, s.running || t.own],
            [
              t.lastOffer,
              s.offered && (
                <Group gap="xs">
                  {s.offered}
                  {s.state && (
                    <Badge variant="light" color={colours[s.state] ?? 'gray'} className="badge" data-config={s.state}>
                      {names[s.state] ?? s.state}
                    </Badge>
                  )}
                  <Time at={s.toldAt ?? s.offeredAt} />
                </Group>
              ),
            ],
          ]}
        />
        {s.reason && (
          <Alert color="red" icon={<Icon name="warning" />} title={reasons[s.reason] ?? s.reason} className="wrap">
            {s.detail}
          </Alert>
        )}
      </Stack>
    </Paper>
  );
}

function Edit({ of, now, fixed }: { of: Of; now?: Version | null; fixed: boolean }) {
  const t = words.use();
  const before = now?.document ?? '';
  const [text, setText] = useState(before);
  const [note, setNote] = useState('');
  const [asked, setAsked] = useState(false);
  const path = { productSN: of.product, deviceSN: of.device };
  const headers = now ? { 'If-Match': `"${now.revision}"` } : undefined;
  const save = useAct(() => take(api.PUT(base, { params: { path }, headers, body: { document: text, note: note || undefined } })), { keys: keys(of), done: t.saved });
  const drop = useAct(() => take(api.DELETE(base, { params: { path } })), { keys: keys(of), done: t.dropped });
  return (
    <Paper withBorder p="md" component="section" aria-label={t.document}>
      <Stack>
        <Textarea label={t.document} description={t.documentHint} value={text} onChange={(e) => setText(e.currentTarget.value)} readOnly={fixed} autosize minRows={8} maxRows={24} spellCheck={false} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 13 } }} />
        {text !== before && (
          <>
            <LineDiff before={before} after={text} label={t.changes} same={t.same} />
            <TextInput label={t.note} value={note} onChange={(e) => setNote(e.currentTarget.value)} maxLength={1024} maw={480} />
          </>
        )}
        {!fixed && (
          <Group>
            <Button disabled={text === before || text.trim() === ''} loading={save.isPending} onClick={() => save.mutate(undefined)}>
              {t.set}
            </Button>
            {text !== before && (
              <Button variant="default" onClick={() => setText(before)}>
                {t.undo}
              </Button>
            )}
            {now && (
              <Button variant="default" c="red" ml="auto" onClick={() => setAsked(true)}>
                {t.drop}
              </Button>
            )}
          </Group>
        )}
      </Stack>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.drop} action={t.drop} busy={drop.isPending} onConfirm={() => drop.mutate(undefined, { onSettled: () => setAsked(false) })}>
        {t.dropSure}
      </ConfirmDialog>
    </Paper>
  );
}

/** Versions are the last ones, each to be compared with what holds now, and to go back to. */
function Versions({ of, now }: { of: Of; now?: Version | null }) {
  const t = words.use();
  const { may } = useSession();
  const who = useWho();
  const [shown, setShown] = useParam('revision');
  const path = { productSN: of.product, deviceSN: of.device };
  const read = useRead(['agent-config', of.product, of.device, 'versions'], (signal) => take(api.GET(`${base}/versions`, { params: { path }, signal })));
  const restore = useAct((revision: number) => take(api.PUT(base, { params: { path }, body: { restore: revision } })), { keys: keys(of), done: t.saved });
  const items = read.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Stack gap="xs" component="section" aria-label={t.versions}>
      <Title order={2} size="h4">
        {t.versions}
      </Title>
      <Table.ScrollContainer minWidth={560} type="native" tabIndex={0} role="region" aria-label={t.versions}>
        <Table data-list="config-versions">
          <Table.Tbody>
            {items.map((v) => (
              <Table.Tr key={v.revision}>
                <Table.Td className="nowrap">
                  <b>{v.version}</b> {v.gone && <Badge variant="light" color="gray" className="badge">{t.gone}</Badge>}
                </Table.Td>
                <Table.Td>
                  <Time at={v.changedAt} />
                </Table.Td>
                <Table.Td>{who(v.changedBy)}</Table.Td>
                <Table.Td className="cell">{v.note}</Table.Td>
                <Table.Td>
                  {v.revision !== now?.revision && !v.gone && (
                    <Group gap="xs" wrap="nowrap" justify="flex-end">
                      <Button size="compact-sm" variant="default" aria-expanded={shown === String(v.revision)} onClick={() => setShown(shown === String(v.revision) ? '' : String(v.revision))}>
                        {t.compare}
                      </Button>
                      {may('device.control', of.product) && (
                        <Button size="compact-sm" variant="default" loading={restore.isPending && restore.variables === v.revision} onClick={() => restore.mutate(v.revision)} aria-label={t.restoreOne(v.version)}>
                          {t.restore}
                        </Button>
                      )}
                    </Group>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {shown && <Earlier of={of} revision={Number(shown)} now={now?.document ?? ''} />}
    </Stack>
  );
}

function Earlier({ of, revision, now }: { of: Of; revision: number; now: string }) {
  const t = words.use();
  const read = useRead(['agent-config', of.product, of.device, revision], (signal) => take(api.GET(base, { params: { path: { productSN: of.product, deviceSN: of.device }, query: { revision } }, signal })));
  return (
    <Ready of={read}>
      {(v) => (
        <div>
          <Text size="sm" mb={4}>
            {t.since(numeral(v.revision))}
          </Text>
          <LineDiff before={v.document ?? ''} after={now} label={t.changes} same={t.same} />
        </div>
      )}
    </Ready>
  );
}
