import { Button, Group, Paper, Table, Title } from '@mantine/core';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { Time } from '../../kit/Time';
import { words } from './text';

type Item = Schemas['TopologyRequest'];

const base = '/v1/products/{productSN}/devices/{deviceSN}/topology-requests/{subdeviceProductSN}/{subdeviceSN}';

function answer(r: Item, yes: boolean) {
  const params = { path: { productSN: r.gatewayProductSN, deviceSN: r.gatewaySN, subdeviceProductSN: r.productSN, subdeviceSN: r.deviceSN } };
  return yes ? take(api.POST(`${base}/accept`, { params })) : take(api.POST(`${base}/refuse`, { params }));
}

/** Requests are sub-devices that gateways want and somebody has to agree to; nothing when there are none. */
export function Requests() {
  const t = words.use();
  const { may } = useSession();
  const read = useRead(['topology-requests'], (signal) => take(api.GET('/v1/topology-requests', { params: { query: { limit: 100 } }, signal })));
  const act = useAct(({ request, yes }: { request: Item; yes: boolean }) => answer(request, yes), { keys: [['topology-requests'], ['branch']] });
  const items = read.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Paper withBorder p="md" role="region" aria-label={t.requests}>
      <Title order={2} size="h5" mb="xs">
        {t.requests}
      </Title>
      <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} role="region" aria-label={t.wants}>
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t.gateway}</Table.Th>
              <Table.Th>{t.wants}</Table.Th>
              <Table.Th>{t.since}</Table.Th>
              <Table.Td />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {items.map((r) => (
              <Table.Tr key={`${r.gatewaySN} ${r.productSN}/${r.deviceSN}`}>
                <Table.Td>{r.gatewaySN}</Table.Td>
                <Table.Td>{r.deviceSN}</Table.Td>
                <Table.Td>
                  <Time at={r.requestedAt} />
                </Table.Td>
                <Table.Td>
                  {may('device.write', r.gatewayProductSN) && (
                    <Group gap="xs" justify="flex-end" wrap="nowrap">
                      <Button size="compact-sm" aria-label={t.acceptOf(r.deviceSN)} onClick={() => act.mutate({ request: r, yes: true })}>
                        {t.accept}
                      </Button>
                      <Button size="compact-sm" variant="default" aria-label={t.refuseOf(r.deviceSN)} onClick={() => act.mutate({ request: r, yes: false })}>
                        {t.refuse}
                      </Button>
                    </Group>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  );
}
