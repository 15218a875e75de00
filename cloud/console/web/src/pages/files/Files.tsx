import { ActionIcon, Anchor, Button, Group, NumberInput, Text, TextInput } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import { Link, Route, Switch } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { BulkButtons } from '../../kit/BulkButtons';
import { CopyText } from '../../kit/CopyText';
import { fileName } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { bytes } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { ListPage, type Column } from '../../kit/ListPage';
import { Missing, Page } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { DevicePick, ProductPick } from '../../kit/Pick';
import { useProducts } from '../../kit/products';
import { Since } from '../../kit/Since';
import { Time } from '../../kit/Time';
import { queryOf, type Choice } from './filter';
import { words } from './text';

const Uploads = lazy(() => import('./Uploads'));
const ConfirmDialog = lazy(() => import('../../kit/ConfirmDialog').then((m) => ({ default: m.ConfirmDialog })));

type File = Schemas['File'];

/** Files are what the devices of a product have sent. The product is in the address; without it the first one's are shown. */
export default function Files() {
  return (
    <Switch>
      <Route path="/files" component={Room} />
      <Route component={Missing} />
    </Switch>
  );
}

function Room() {
  const t = words.use();
  const [named] = useParam('product');
  const products = useProducts();
  const product = named || products[0]?.productSN || '';
  return (
    <Page title={t.title}>
      {product ? <List key={product} product={product} /> : <Text c="dimmed">{t.noProducts}</Text>}
    </Page>
  );
}

function useChoice(): Choice {
  const [device] = useParam('device');
  const [name] = useParam('q');
  const [kind] = useParam('class');
  const [since] = useParam('since');
  const [until] = useParam('until');
  const [min] = useParam('min');
  const [max] = useParam('max');
  return { device, name, class: kind, since, until, min, max };
}

const contentOf = (product: string, f: File) => `/v1/products/${product}/devices/${encodeURIComponent(f.deviceSN ?? '')}/files/${encodeURIComponent(f.fileID)}/content`;

/** baseName is a name without the folders that stock devices send with it. */
const baseName = (name: string) => name.split(/[\\/]/).pop() || name;

function download(product: string, f: File) {
  const a = document.createElement('a');
  a.href = contentOf(product, f);
  a.download = fileName(baseName(f.name));
  a.click();
}

function List({ product }: { product: string }) {
  const t = words.use();
  const { may } = useSession();
  const choice = useChoice();
  const [asked, setAsked] = useState<File | null>(null);
  const writes = may('device.write', product);
  const remove = useAct((f: File) => removeFile(product, f), { keys: [['files']], done: t.removed });
  const columns: Column<File>[] = [
    {
      id: 'name',
      title: t.name,
      csv: (f) => f.name,
      cell: (f) => (
        <Anchor href={contentOf(product, f)} download={fileName(baseName(f.name))} className="wrap" size="sm" fw={500}>
          {f.name}
        </Anchor>
      ),
    },
    {
      id: 'device',
      title: t.device,
      csv: (f) => f.deviceSN,
      cell: (f) => (
        <Link href={`/devices/${product}/${encodeURIComponent(f.deviceSN ?? '')}`} className="row-link">
          {f.deviceSN}
        </Link>
      ),
    },
    { id: 'class', title: t.class, cell: (f) => f.class, csv: (f) => f.class },
    { id: 'size', title: t.size, cell: (f) => <span className="nowrap">{bytes(f.size)}</span>, csv: (f) => f.size },
    { id: 'type', title: t.type, cell: (f) => f.contentType, csv: (f) => f.contentType },
    { id: 'received', title: t.received, cell: (f) => <Time at={f.receivedAt} />, csv: (f) => f.receivedAt },
    { id: 'expires', title: t.expires, hidden: true, cell: (f) => (f.expiresAt ? <Time at={f.expiresAt} /> : t.kept), csv: (f) => f.expiresAt },
    { id: 'sum', title: t.digest, hidden: true, cell: (f) => <CopyText value={f.sha256 || f.md5} />, csv: (f) => f.sha256 || f.md5 },
    { id: 'do', title: t.actions, cell: (f) => <Row file={f} product={product} onRemove={writes ? () => setAsked(f) : undefined} /> },
  ];
  return (
    <>
      <Suspense>
        <Uploads product={product} />
      </Suspense>
      <ListPage<File>
        name="files"
        about={[product, choice]}
        columns={columns}
        rowKey={(f) => f.fileID}
        filter={{ placeholder: t.filterExample, hint: t.filterHint }}
        facets={<Facets product={product} />}
        empty={t.none}
        load={({ cursor, limit, signal }) => take(api.GET('/v1/products/{productSN}/files', { params: { path: { productSN: product }, query: { ...queryOf(choice), cursor: cursor || undefined, limit } }, signal }))}
        bulk={(rows, clear) => <Bulk rows={rows} clear={clear} product={product} writes={writes} />}
      />
      {asked && (
        <Suspense>
          <ConfirmDialog opened onClose={() => setAsked(null)} title={t.remove} action={t.remove} busy={remove.isPending} onConfirm={() => remove.mutate(asked, { onSettled: () => setAsked(null) })}>
            {t.sure(asked.name)}
          </ConfirmDialog>
        </Suspense>
      )}
    </>
  );
}

function removeFile(product: string, f: File) {
  return take(api.DELETE('/v1/products/{productSN}/devices/{deviceSN}/files/{fileID}', { params: { path: { productSN: product, deviceSN: f.deviceSN ?? '', fileID: f.fileID } } }));
}

function Row({ file, product, onRemove }: { file: File; product: string; onRemove?: () => void }) {
  const t = words.use();
  return (
    <Group gap={4} wrap="nowrap">
      <ActionIcon variant="subtle" color="gray" aria-label={t.downloadOne(file.name)} onClick={() => download(product, file)}>
        <Icon name="download" size={16} />
      </ActionIcon>
      {onRemove && (
        <ActionIcon variant="subtle" color="red" aria-label={t.removeOne(file.name)} onClick={onRemove}>
          <Icon name="trash" size={16} />
        </ActionIcon>
      )}
    </Group>
  );
}

function Facets({ product }: { product: string }) {
  const t = words.use();
  const [, setProduct] = useParam('product');
  const [device, setDevice] = useParam('device');
  const [kind, setKind] = useParam('class');
  const [min, setMin] = useParam('min');
  const [max, setMax] = useParam('max');
  return (
    <>
      <ProductPick required value={product} onChange={setProduct} w={140} />
      <DevicePick product={product} value={device} onChange={(v) => setDevice(v, 'replace')} w={120} />
      <TextInput label={t.class} placeholder={t.anyClass} value={kind} onChange={(e) => setKind(e.currentTarget.value.trim(), 'replace')} w={90} spellCheck={false} />
      <Since w={140} />
      <NumberInput label={t.minSize} min={0} value={min} onChange={(v) => setMin(String(v), 'replace')} w={84} hideControls />
      <NumberInput label={t.maxSize} min={0} value={max} onChange={(v) => setMax(String(v), 'replace')} w={84} hideControls />
    </>
  );
}

function Bulk({ rows, clear, product, writes }: { rows: File[]; clear: () => void; product: string; writes: boolean }) {
  const t = words.use();
  const total = rows.reduce((n, f) => n + f.size, 0);
  return (
    <>
      <Button size="xs" variant="default" leftSection={<Icon name="download" size={14} />} onClick={() => rows.forEach((f) => download(product, f))}>
        {t.downloadMany(rows.length, bytes(total))}
      </Button>
      {writes && <BulkButtons rows={rows} clear={clear} lists={['files']} name={(f) => f.name} acts={[{ label: t.remove, sure: t.removeMany, act: (f) => removeFile(product, f) }]} />}
    </>
  );
}
