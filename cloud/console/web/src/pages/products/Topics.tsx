import { ActionIcon, Button, Group, Paper, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { dictionary } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Ready } from '../../kit/Page';

const words = dictionary({
  en: {
    about: (sn: string) => `Topics of the product’s own, below /${sn}/{deviceSN}/. Those that begin with $system need no entry.`,
    path: 'Path',
    permission: 'The device may',
    description: 'Description',
    pub: 'publish',
    sub: 'subscribe',
    pubsub: 'publish and subscribe',
    add: 'Add a topic',
    remove: (p: string) => `Remove ${p}`,
    save: 'Save',
    saved: 'The topics are saved',
    none: 'No topics',
  },
  zh: {
    about: (sn: string) => `产品自定义主题,位于 /${sn}/{deviceSN}/ 之下。以 $system 开头的主题无需配置。`,
    path: '路径',
    permission: '设备权限',
    description: '描述',
    pub: '发布',
    sub: '订阅',
    pubsub: '发布和订阅',
    add: '添加主题',
    remove: (p: string) => `移除 ${p}`,
    save: '保存',
    saved: '主题已保存',
    none: '没有主题',
  },
});

type Product = Schemas['Product'];
type Topic = Schemas['Topic'];

export default function Topics({ product }: { product: Product }) {
  const path = { productSN: product.productSN };
  const read = useRead(['topics', product.productSN], (signal) => take(api.GET('/v1/products/{productSN}/topics', { params: { path }, signal })));
  return <Ready of={read}>{(list) => <Editor key={JSON.stringify(list)} product={product} saved={list.items} />}</Ready>;
}

function Editor({ product, saved }: { product: Product; saved: Topic[] }) {
  const t = words.use();
  const { may } = useSession();
  const write = may('product.write', product.productSN);
  const [rows, setRows] = useState(saved);
  const save = useAct(
    () =>
      take(api.PUT('/v1/products/{productSN}/topics', { params: { path: { productSN: product.productSN } }, headers: { 'If-Match': `"${product.revision ?? 0}"` }, body: { items: rows.filter((r) => r.path.trim()) } })),
    { keys: [['topics', product.productSN], ['product', product.productSN]], done: t.saved },
  );
  const set = (i: number, change: Partial<Topic>) => setRows(rows.map((r, j) => (i === j ? { ...r, ...change } : r)));
  const changed = JSON.stringify(rows) !== JSON.stringify(saved);
  const permissions = (['pub', 'sub', 'pubsub'] as const).map((p) => ({ value: p, label: t[p] }));
  return (
    <Paper withBorder p="md">
      <Stack>
        <Text size="sm" c="dimmed">
          {t.about(product.productSN)}
        </Text>
        {rows.length === 0 && <Text size="sm">{t.none}</Text>}
        {rows.length > 0 && (
          <Table.ScrollContainer minWidth={520} type="native">
            <Table>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t.path}</Table.Th>
                  <Table.Th>{t.permission}</Table.Th>
                  <Table.Th>{t.description}</Table.Th>
                  <Table.Th />
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rows.map((r, i) => (
                  <Table.Tr key={i}>
                    <Table.Td>
                      <TextInput aria-label={t.path} value={r.path} disabled={!write} onChange={(e) => set(i, { path: e.currentTarget.value })} spellCheck={false} />
                    </Table.Td>
                    <Table.Td>
                      <Select aria-label={t.permission} data={permissions} value={r.permission} disabled={!write} allowDeselect={false} onChange={(p) => set(i, { permission: (p ?? 'pub') as Topic['permission'] })} />
                    </Table.Td>
                    <Table.Td>
                      <TextInput aria-label={t.description} value={r.description ?? ''} disabled={!write} onChange={(e) => set(i, { description: e.currentTarget.value })} />
                    </Table.Td>
                    <Table.Td>
                      <ActionIcon variant="subtle" color="red" disabled={!write} aria-label={t.remove(r.path)} onClick={() => setRows(rows.filter((_, j) => j !== i))}>
                        <Icon name="trash" size={16} />
                      </ActionIcon>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </Table.ScrollContainer>
        )}
        {write && (
          <Group>
            <Button variant="default" leftSection={<Icon name="plus" size={16} />} onClick={() => setRows([...rows, { path: '', permission: 'pub' }])}>
              {t.add}
            </Button>
            <Button disabled={!changed} loading={save.isPending} onClick={() => save.mutate(undefined)}>
              {t.save}
            </Button>
          </Group>
        )}
      </Stack>
    </Paper>
  );
}
