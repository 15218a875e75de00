import { Anchor, Button, Group, Paper, Select, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { Link } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { dictionary } from '../../kit/i18n';
import { ListPage, type Column } from '../../kit/ListPage';
import { productName, useProducts } from '../../kit/products';
import { StateBadge } from '../../kit/State';
import { Time } from '../../kit/Time';
import { pathOf } from './DeviceList';

const words = dictionary({
  en: {
    device: 'Sub-device',
    product: 'Product',
    state: 'State',
    since: 'Behind it since',
    none: 'No sub-devices',
    add: 'Add a sub-device',
    sn: 'Serial number',
    added: 'Added',
    drop: 'Take away',
    dropped: 'Taken away',
    gateway: 'This device is behind the gateway',
    alone: 'A device of this product connects itself and is behind no gateway.',
    free: 'This device is behind no gateway.',
  },
  zh: {
    device: '子设备',
    product: '产品',
    state: '状态',
    since: '加入时间',
    none: '没有子设备',
    add: '添加子设备',
    sn: '序列号',
    added: '已添加',
    drop: '移除',
    dropped: '已移除',
    gateway: '此设备位于网关之后',
    alone: '此产品的设备自行连接,不在网关之后。',
    free: '此设备不在任何网关之后。',
  },
});

type Device = Schemas['Device'];
type Subdevice = Schemas['Subdevice'];

export default function Subdevices({ device }: { device: Device }) {
  const t = words.use();
  const products = useProducts();
  const kind = products.find((p) => p.productSN === device.productSN)?.kind;
  if (kind === 'gateway') return <Behind gateway={device} />;
  if (kind === 'subdevice') return <Gateway device={device} />;
  return <Text c="dimmed">{t.alone}</Text>;
}

function Gateway({ device }: { device: Device }) {
  const t = words.use();
  const path = { productSN: device.productSN, deviceSN: device.deviceSN };
  const read = useRead(['gateway', device.productSN, device.deviceSN], (signal) =>
    take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/gateway', { params: { path }, signal })).catch((err: unknown) => {
      if (hasCode(err, 'gateway_not_found')) return null;
      throw err;
    }),
  );
  if (!read.data) return <Text c="dimmed">{t.free}</Text>;
  return (
    <Text>
      {t.gateway}{' '}
      <Anchor component={Link} href={pathOf(read.data)}>
        {read.data.deviceSN}
      </Anchor>
    </Text>
  );
}

function Behind({ gateway }: { gateway: Device }) {
  const t = words.use();
  const { may } = useSession();
  const products = useProducts();
  const path = { productSN: gateway.productSN, deviceSN: gateway.deviceSN };
  const key = ['subdevices', gateway.productSN, gateway.deviceSN];
  const drop = useAct(
    (s: Subdevice) =>
      take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}/subdevices/{subdeviceProductSN}/{subdeviceSN}', { params: { path: { ...path, subdeviceProductSN: s.productSN, subdeviceSN: s.deviceSN } } })),
    { keys: [key], done: t.dropped },
  );
  const write = may('device.write', gateway.productSN);
  const columns: Column<Subdevice>[] = [
    { id: 'device', title: t.device, cell: (s) => s.deviceSN, csv: (s) => s.deviceSN },
    { id: 'product', title: t.product, cell: (s) => productName(products, s.productSN), csv: (s) => s.productSN },
    { id: 'state', title: t.state, cell: (s) => <StateBadge state={s.state} />, csv: (s) => s.state },
    { id: 'since', title: t.since, cell: (s) => <Time at={s.addedAt} />, csv: (s) => s.addedAt },
    {
      id: 'do',
      title: '',
      cell: (s) =>
        write && (
          <Button size="compact-sm" variant="default" onClick={() => drop.mutate(s)}>
            {t.drop}
          </Button>
        ),
    },
  ];
  return (
    <Stack>
      {write && <Add gateway={gateway} />}
      <ListPage<Subdevice>
        name="subdevices"
        about={[gateway.productSN, gateway.deviceSN]}
        columns={columns}
        rowKey={(s) => `${s.productSN}/${s.deviceSN}`}
        rowLink={pathOf}
        empty={t.none}
        load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/devices/{deviceSN}/subdevices', { params: { path, query: { cursor: cursor || undefined, limit } }, signal }))}
      />
    </Stack>
  );
}

function Add({ gateway }: { gateway: Device }) {
  const t = words.use();
  const products = useProducts().filter((p) => p.kind === 'subdevice');
  const [product, setProduct] = useState<string | null>(null);
  const [sn, setSN] = useState('');
  const path = { productSN: gateway.productSN, deviceSN: gateway.deviceSN };
  const add = useAct(() => take(api.POST('/v1/products/{productSN}/devices/{deviceSN}/subdevices', { params: { path }, body: { subdevices: [{ productSN: product ?? '', deviceSN: sn.trim() }] } })), {
    keys: [['subdevices', gateway.productSN, gateway.deviceSN]],
    done: t.added,
  });
  return (
    <Paper withBorder p="md">
      <form
        onSubmit={(e) => {
          e.preventDefault();
          add.mutate(undefined, { onSuccess: () => setSN('') });
        }}
      >
        <Group align="flex-end">
          <Select label={t.product} data={products.map((p) => ({ value: p.productSN, label: p.name || p.productSN }))} value={product} onChange={setProduct} searchable required />
          <TextInput label={t.sn} required value={sn} onChange={(e) => setSN(e.currentTarget.value)} />
          <Button type="submit" loading={add.isPending} disabled={!product || sn.trim() === ''}>
            {t.add}
          </Button>
        </Group>
      </form>
    </Paper>
  );
}
