import { ActionIcon, Group, Progress, Stack, Table, Text, Title } from '@mantine/core';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from 'wouter';
import { api, currentProject, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { bytes, numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { useRefresh } from '../../kit/refresh';
import { Time } from '../../kit/Time';
import { words } from './text';

const ConfirmDialog = lazy(() => import('../../kit/ConfirmDialog').then((m) => ({ default: m.ConfirmDialog })));

type Upload = Schemas['Upload'];

const shown = 50;
const pause = 2000;

/** Uploads are the files that are still coming in parts, with how far they are; nothing when there are none. */
export default function Uploads({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  const cache = useQueryClient();
  const [asked, setAsked] = useState<Upload>();
  const read = useRead(['uploads', product], (signal) => take(api.GET('/v1/products/{productSN}/uploads', { params: { path: { productSN: product }, query: { limit: shown } }, signal })));
  useRefresh(`/v1/metrics/events?product=${encodeURIComponent(product)}`, [['uploads', product]], pause);
  const cancel = useAct(
    (u: Upload) => take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}/uploads/{uploadID}', { params: { path: { productSN: product, deviceSN: u.deviceSN, uploadID: u.uploadID } } })),
    { keys: [['uploads', product]], done: t.cancelled },
  );
  const items = read.data?.items ?? [];
  // One that is there no more has become a file, mostly.
  const going = items.length;
  const before = useRef(going);
  useEffect(() => {
    if (going < before.current) void cache.invalidateQueries({ queryKey: [currentProject(), 'files'] });
    before.current = going;
  }, [going, cache]);
  if (going === 0) return null;
  return (
    <Stack gap="xs" component="section" aria-label={t.coming} mb="md">
      <Title order={2} size="h4">
        {t.coming}
      </Title>
      <Table.ScrollContainer minWidth={640} type="native" tabIndex={0} role="region" aria-label={t.coming}>
        <Table data-list="uploads" verticalSpacing="xs">
          <Table.Tbody>
            {items.map((u) => (
              <Table.Tr key={u.uploadID}>
                <Table.Td className="cell">{u.name}</Table.Td>
                <Table.Td>
                  <Link href={`/devices/${product}/${encodeURIComponent(u.deviceSN)}`} className="row-link">
                    {u.deviceSN}
                  </Link>
                </Table.Td>
                <Table.Td miw={220}>
                  <Group gap="xs" wrap="nowrap">
                    <Progress value={part(u)} w={120} aria-label={u.name} animated={u.checking} />
                    <Text size="sm" className="nowrap">
                      {u.checking ? t.checking : t.stored(numeral(Math.floor(part(u))), bytes(u.stored), bytes(u.size))}
                    </Text>
                  </Group>
                </Table.Td>
                <Table.Td className="nowrap">
                  {t.progressAt} <Time at={u.progressAt} />
                </Table.Td>
                <Table.Td>
                  {may('device.write', product) && (
                    <ActionIcon variant="subtle" color="red" aria-label={t.cancelOne(u.name)} onClick={() => setAsked(u)}>
                      <Icon name="close" size={16} />
                    </ActionIcon>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {asked && (
        <Suspense>
          <ConfirmDialog opened onClose={() => setAsked(undefined)} title={t.cancelOne(asked.name)} action={t.cancelIt} busy={cancel.isPending} onConfirm={() => cancel.mutate(asked, { onSettled: () => setAsked(undefined) })}>
            {t.cancelSure(asked.deviceSN)}
          </ConfirmDialog>
        </Suspense>
      )}
    </Stack>
  );
}

const part = (u: Upload) => (u.size > 0 ? (100 * u.stored) / u.size : 0);
