import { Anchor, Paper, SimpleGrid } from '@mantine/core';
import { Link } from 'wouter';
import type { Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CopyText } from '../../kit/CopyText';
import { Facts } from '../../kit/Facts';
import { productName, useProducts } from '../../kit/products';
import { deviceSecret, Secret } from '../../kit/Secret';
import { Seen, StateBadge } from '../../kit/State';
import { Time } from '../../kit/Time';
import { Tags } from './DeviceList';
import { words } from './text';

export function Overview({ device }: { device: Schemas['Device'] }) {
  const t = words.use();
  const products = useProducts();
  const { may } = useSession();
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }}>
      <Paper withBorder p="md">
        <Facts
          of={[
            [t.device, <CopyText value={device.deviceSN} />],
            [t.name, device.name],
            [t.product, <Anchor component={Link} href={`/products/${device.productSN}`}>{productName(products, device.productSN)}</Anchor>],
            [t.description, device.description],
            [t.tags, Object.keys(device.tags ?? {}).length > 0 && <Tags of={device.tags} />],
            [t.secret, may('device.secret', device.productSN) && <Secret reveal={() => deviceSecret(device)} />],
          ]}
        />
      </Paper>
      <Paper withBorder p="md">
        <Facts
          of={[
            [t.state, <StateBadge state={device.state} />],
            [t.lastSeen, <Seen device={device} />],
            [t.onlineAt, device.onlineAt && <Time at={device.onlineAt} />],
            [t.offlineAt, device.offlineAt && <Time at={device.offlineAt} />],
            [t.activated, <Time at={device.activatedAt} exact />],
            [t.created, <Time at={device.createdAt} exact />],
            [t.revision, device.revision],
          ]}
        />
      </Paper>
    </SimpleGrid>
  );
}
