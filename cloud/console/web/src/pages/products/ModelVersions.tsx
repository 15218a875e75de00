import { Alert, Badge, Button, Group, Paper, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { ListPage, type Column } from '../../kit/ListPage';
import { Ready } from '../../kit/Page';
import { useParamSet } from '../../kit/params';
import { Time } from '../../kit/Time';
import { useWho } from '../../kit/who';
import { words } from './modelText';

type Product = Schemas['Product'];
type Version = Schemas['ModelVersion'];

/** keysOf is all that another thing model makes old. */
const keysOf = (p: Product) => [['model', p.productSN], ['product', p.productSN], ['products'], ['model-versions', p.productSN], ['model-diff', p.productSN]];

/** Publish freezes the thing model as a version, or frees it again. */
export function Publish({ product, disabled }: { product: Product; disabled: boolean }) {
  const t = words.use();
  const [asked, setAsked] = useState(false);
  const [note, setNote] = useState('');
  const params = { path: { productSN: product.productSN } };
  const keys = keysOf(product);
  const publish = useAct(() => take(api.POST('/v1/products/{productSN}/publish', { params, body: note ? { note } : {} })), { keys, done: t.published });
  const free = useAct(() => take(api.POST('/v1/products/{productSN}/unpublish', { params })), { keys, done: t.unpublished });
  if (product.published) {
    return (
      <Button variant="default" loading={free.isPending} onClick={() => free.mutate(undefined)}>
        {t.unpublish}
      </Button>
    );
  }
  return (
    <>
      <Button disabled={disabled} onClick={() => setAsked(true)}>
        {t.publish}
      </Button>
      <ConfirmDialog opened={asked} onClose={() => setAsked(false)} title={t.publish} action={t.publish} busy={publish.isPending} onConfirm={() => publish.mutate(undefined, { onSettled: () => setAsked(false) })}>
        <Stack>
          <span>{t.publishSure}</span>
          <TextInput label={t.note} maxLength={1024} value={note} onChange={(e) => setNote(e.currentTarget.value)} data-autofocus />
        </Stack>
      </ConfirmDialog>
    </>
  );
}

export function Versions({ product }: { product: Product }) {
  const t = words.use();
  const who = useWho();
  const { may } = useSession();
  const [asked, setAsked] = useState<number | null>(null);
  const path = { productSN: product.productSN };
  const restore = useAct((version: number) => take(api.POST('/v1/products/{productSN}/thing-model/versions/{version}/restore', { params: { path: { ...path, version } } })), { keys: keysOf(product), done: t.restored });
  const write = may('product.write', product.productSN) && !product.published;
  const columns: Column<Version>[] = [
    { id: 'number', title: t.version, cell: (v) => v.number, csv: (v) => v.number },
    { id: 'when', title: t.when, cell: (v) => <Time at={v.publishedAt} exact />, csv: (v) => v.publishedAt },
    { id: 'by', title: t.by, cell: (v) => who(v.publishedBy), csv: (v) => v.publishedBy },
    { id: 'note', title: t.note, cell: (v) => v.note, csv: (v) => v.note },
    {
      id: 'do',
      title: '',
      cell: (v) =>
        write && (
          <Button size="compact-sm" variant="default" onClick={() => setAsked(v.number)}>
            {t.restore}
          </Button>
        ),
    },
  ];
  return (
    <>
      <ListPage<Version>
        name="model-versions"
        about={[product.productSN]}
        columns={columns}
        rowKey={(v) => String(v.number)}
        empty={t.noVersions}
        load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/thing-model/versions', { params: { path, query: { cursor: cursor || undefined, limit } }, signal }))}
      />
      <ConfirmDialog opened={asked !== null} onClose={() => setAsked(null)} title={t.restore} action={t.restore} busy={restore.isPending} onConfirm={() => asked !== null && restore.mutate(asked, { onSettled: () => setAsked(null) })}>
        {asked !== null && t.restoreSure(asked)}
      </ConfirmDialog>
    </>
  );
}

/** Diff compares two versions, or one with what the product has now. */
export function Diff({ product }: { product: Product }) {
  const t = words.use();
  const [params, change] = useParamSet();
  const path = { productSN: product.productSN };
  const [from, to] = [params.get('from') ?? '', params.get('to') ?? ''];
  const versions = useRead(['model-versions', product.productSN, 'all'], (signal) => take(api.GET('/v1/products/{productSN}/thing-model/versions', { params: { path, query: { limit: 200 } }, signal })));
  const read = useRead(['model-diff', product.productSN, from, to], (signal) =>
    take(api.GET('/v1/products/{productSN}/thing-model:diff', { params: { path, query: { ...(from && { from: Number(from) }), ...(to && { to: Number(to) }) } }, signal })),
  );
  const numbers = (versions.data?.items ?? []).map((v) => ({ value: String(v.number), label: `${t.version} ${v.number}` }));
  return (
    <Stack>
      <Group>
        <Select label={t.from} data={numbers} placeholder={t.lastPublished} value={from || null} clearable onChange={(v) => change({ from: v ?? '' })} />
        <Select label={t.to} data={numbers} placeholder={t.present} value={to || null} clearable onChange={(v) => change({ to: v ?? '' })} />
      </Group>
      <Ready of={read}>{(diff) => <Changes of={diff.changes} breaking={diff.breaking} />}</Ready>
    </Stack>
  );
}

/** Changes are what is other between two thing models. */
export function Changes({ of, breaking }: { of: Schemas['ModelChange'][]; breaking: boolean }) {
  const t = words.use();
  if (of.length === 0) return <Text size="sm">{t.noChanges}</Text>;
  const colours = { added: 'green', removed: 'red', changed: 'yellow' };
  return (
    <Stack>
      {breaking && <Alert color="red">{t.breakingMore}</Alert>}
      <Paper withBorder>
        <Table verticalSpacing="xs" data-list="changes">
          <Table.Tbody>
            {of.map((c) => (
              <Table.Tr key={`${c.kind} ${c.identifier}`}>
                <Table.Td>
                  <Badge variant="light" color={colours[c.change]} className="badge">
                    {t[c.change]}
                  </Badge>
                </Table.Td>
                <Table.Td className="cell">
                  {c.kind} {c.identifier}
                </Table.Td>
                <Table.Td className="cell">
                  {(c.fields ?? []).map((f) => (
                    <div key={f.path}>
                      {f.path}: <del>{f.from}</del> <ins>{f.to}</ins>
                    </div>
                  ))}
                </Table.Td>
                <Table.Td>
                  {c.breaking && (
                    <Badge variant="light" color="red" className="badge">
                      {t.breaking}
                    </Badge>
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Paper>
    </Stack>
  );
}
