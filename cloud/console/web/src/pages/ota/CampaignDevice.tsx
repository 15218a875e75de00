import { Anchor, Paper, Stack, Table, Title } from '@mantine/core';
import { Link, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { bytes } from '../../kit/i18n';
import { Page, Ready } from '../../kit/Page';
import { useRefresh } from '../../kit/refresh';
import { eventsPath } from '../../kit/stream';
import { Time } from '../../kit/Time';
import { DeviceStateBadge } from './Board';
import { campaignPath } from './CampaignList';
import { className, classWords, words } from './text';

/** CampaignDevice is what became of one device, moment by moment. */
export function CampaignDevice() {
  const t = words.use();
  const names = classWords.use();
  const { product = '', campaign = '', device: raw = '' } = useParams<{ product: string; campaign: string; device: string }>();
  const device = decodeURIComponent(raw);
  const read = useRead(['campaign-device', product, campaign, device], (signal) =>
    take(api.GET('/v1/products/{productSN}/campaigns/{campaignID}/devices/{deviceSN}', { params: { path: { productSN: product, campaignID: campaign, deviceSN: device } }, signal })),
  );
  useRefresh(eventsPath({ product, device, types: ['ota'] }), [['campaign-device', product, campaign, device]], 400);
  return (
    <Page
      title={device}
      trail={[
        [t.title, `/ota?product=${product}`],
        [t.campaign, campaignPath(product, campaign)],
      ]}
      badge={read.data && <DeviceStateBadge state={read.data.state} percent={read.data.percent} />}
    >
      <Ready of={read}>
        {(d) => (
          <Stack>
            <Paper withBorder p="md">
              <Facts
                of={[
                  [t.device, <Anchor component={Link} size="sm" href={`/devices/${product}/${encodeURIComponent(device)}`}>{device}</Anchor>],
                  [t.reason, d.class && className(names, d.class)],
                  [t.errCode, d.errCode],
                  [t.fromVersion, d.fromVersion],
                  [t.waveTitle, d.wave],
                  [t.attempts, d.attempts],
                  [t.downloaded, d.bytes ? bytes(d.bytes) : ''],
                  [t.signed, d.verifies && t.verifies],
                  [t.offeredAt, d.offeredAt && <Time at={d.offeredAt} exact />],
                  [t.deadline, d.deadlineAt && <Time at={d.deadlineAt} exact />],
                ]}
              />
            </Paper>
            <Title order={2} size="h4">
              {t.timeline}
            </Title>
            <Timeline of={d.timeline ?? []} />
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

function Timeline({ of }: { of: Schemas['CampaignMoment'][] }) {
  const t = words.use();
  const names = classWords.use();
  return (
    <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} role="region" aria-label={t.timeline}>
      <Table data-list="timeline">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t.time}</Table.Th>
            <Table.Th>{t.state}</Table.Th>
            <Table.Th>{t.after}</Table.Th>
            <Table.Th>{t.reason}</Table.Th>
            <Table.Th>{t.attempt}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {of.map((m, i) => (
            <Table.Tr key={i}>
              <Table.Td>
                <Time at={m.time} exact />
              </Table.Td>
              <Table.Td>
                <DeviceStateBadge state={m.state} />
              </Table.Td>
              <Table.Td>{i > 0 && t.seconds(((Date.parse(m.time) - Date.parse(of[i - 1]!.time)) / 1000).toFixed(1))}</Table.Td>
              <Table.Td>
                {m.class && className(names, m.class)} {m.errCode ? `(${m.errCode})` : ''}
              </Table.Td>
              <Table.Td>{m.attempt}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
