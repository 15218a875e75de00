import { Alert, Anchor, Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { Link, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { CopyText } from '../../kit/CopyText';
import { useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { bytes, numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Page, Ready } from '../../kit/Page';
import { useRefresh } from '../../kit/refresh';
import { eventsPath } from '../../kit/stream';
import { words as kitWords } from '../../kit/text';
import { Time } from '../../kit/Time';
import { useWho } from '../../kit/who';
import { Board, StatusBadge } from './Board';
import { CampaignActions } from './CampaignActions';
import { CampaignDevices } from './CampaignDevices';
import { campaignName } from './CampaignList';
import { className, classWords, excludedWord, words, type Words } from './text';

type Item = Schemas['Campaign'];

/** Campaign is a campaign as it goes on: what devices report is seen within a second. */
export function Campaign() {
  const t = words.use();
  const kit = kitWords.use();
  const who = useWho();
  const { product = '', campaign: id = '' } = useParams<{ product: string; campaign: string }>();
  const read = useRead(['campaign', product, id], (signal) => take(api.GET('/v1/products/{productSN}/campaigns/{campaignID}', { params: { path: { productSN: product, campaignID: id } }, signal })));
  const live = useRefresh(
    eventsPath({ product, types: ['campaign', 'ota'] }),
    [
      ['campaign', product, id],
      ['campaign-devices', product, id],
    ],
    400,
  );
  return (
    <Page
      title={read.data ? campaignName(read.data) : id}
      trail={[[t.title, `/ota?product=${product}`]]}
      badge={
        read.data && (
          <>
            <StatusBadge status={read.data.status} />
            {live === 'open' && (
              <Text size="sm" c="dimmed">
                {kit.live}
              </Text>
            )}
          </>
        )
      }
      actions={read.data && <CampaignActions campaign={read.data} product={product} />}
    >
      <Ready of={read}>
        {(c) => (
          <Stack>
            {c.reason && (
              <Alert color={c.status === 'aborted' ? 'red' : 'yellow'} icon={<Icon name="warning" />} title={t.stoppedBy} className="wrap">
                {c.reason}
              </Alert>
            )}
            {c.status === 'awaiting_approval' && (
              <Alert color="yellow" icon={<Icon name="eye" />} role="status">
                {t.waitsFor(who(c.owner) ?? c.owner)}
              </Alert>
            )}
            <Board campaign={c} />
            <SimpleGrid cols={{ base: 1, md: 2 }}>
              <About campaign={c} product={product} />
              <Plan campaign={c} />
            </SimpleGrid>
            <Reasons campaign={c} />
            <Title order={2} size="h4">
              {t.devices}
            </Title>
            <CampaignDevices product={product} id={id} />
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

function About({ campaign: c, product }: { campaign: Item; product: string }) {
  const t = words.use();
  const who = useWho();
  return (
    <Paper withBorder p="md">
      <Facts
        of={[
          [t.id, <CopyText value={c.campaignID} />],
          [t.firmware, <Anchor component={Link} size="sm" href={`/ota/firmware?product=${product}`}>{`${c.module} ${c.version}`}</Anchor>],
          [t.targets, numeral(c.targets)],
          [t.already, c.already > 0 && numeral(c.already)],
          ...Object.entries(c.excluded ?? {}).map(([why, n]): [string, string] => [excludedWord(t, why), numeral(n)]),
          [t.onlyVersions, c.versions],
          [t.downloaded, c.bytes ? bytes(c.bytes) : ''],
          [t.owner, who(c.owner)],
          [t.approver, who(c.approver)],
          [t.created, <Time at={c.createdAt} />],
          [t.started, c.startedAt && <Time at={c.startedAt} />],
          [t.endedAt, c.endedAt && <Time at={c.endedAt} />],
          [t.expires, !c.endedAt && <Time at={c.expiresAt} exact />],
        ]}
      />
    </Paper>
  );
}

function waveText(t: Words, w: Schemas['CampaignWave']): string {
  const parts = [w.count ? t.devicesCount(numeral(w.count)) : `${numeral(w.percent ?? 100, 1)} %`];
  if (w.settled) parts.push(t.settledAt(numeral(w.settled, 1)));
  if (w.soakSeconds) parts.push(t.soaks(numeral(w.soakSeconds)));
  if (w.hold) parts.push(t.holds);
  const h = w.health;
  if (h?.reconnects) parts.push(t.watchReconnects(numeral(h.reconnects, 1)));
  if (h?.offline) parts.push(t.watchOffline(numeral(h.offline, 1)));
  if (h?.silent) parts.push(t.watchSilent(numeral(h.silent, 1)));
  return parts.join(' · ');
}

function rateText(t: Words, r: Schemas['CampaignRate']): string {
  return [r.perMinute && t.perMinute(numeral(r.perMinute, 1)), r.concurrent && t.atATime(numeral(r.concurrent)), r.bytesPerSecond && `${bytes(r.bytesPerSecond)}/s`].filter(Boolean).join(' · ') || t.unlimited;
}

/** Plan is what was asked for: the waves, and what stops them. */
function Plan({ campaign: c }: { campaign: Item }) {
  const t = words.use();
  return (
    <Paper withBorder p="md">
      <Facts
        of={[
          ...c.waves.map((w, i): [string, string] => [t.waveNo(i + 1) + (i + 1 === c.wave ? ` (${t.now})` : ''), waveText(t, w)]),
          [t.canary, c.canary?.join(', ')],
          [t.stopsAt, c.stop.limit ? t.stopsText(numeral(c.stop.limit, 1), numeral(c.stop.minimum ?? 5)) : ''],
          [t.reverted, c.stop.reverted ? numeral(c.stop.reverted) : ''],
          [t.rate, rateText(t, c.rate)],
          [t.attempts, c.retry.attempts ? numeral(c.retry.attempts) : ''],
          [t.window, c.window && `${c.window.cron} · ${t.minutes(numeral(c.window.minutes))}${c.window.tz ? ` · ${c.window.tz}` : ''}`],
          [t.consent, c.consent && t.asksOwner],
        ]}
      />
    </Paper>
  );
}

/** Reasons are why devices ended without the version. */
function Reasons({ campaign: c }: { campaign: Item }) {
  const t = words.use();
  const names = classWords.use();
  const of = Object.entries(c.classes ?? {}).sort((a, b) => b[1] - a[1]);
  if (of.length === 0) return null;
  return (
    <Paper withBorder p="md" role="region" aria-label={t.reasons}>
      <Title order={2} size="h5" mb="xs">
        {t.reasons}
      </Title>
      {of.map(([name, n]) => (
        <Group key={name} gap="sm" data-class={name}>
          <Text fw={600} w={48} ta="right">
            {numeral(n)}
          </Text>
          <Text size="sm">{className(names, name)}</Text>
        </Group>
      ))}
    </Paper>
  );
}
