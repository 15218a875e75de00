import { Alert, Button, Modal, Select, Stack, Tabs, TextInput } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import { api, take } from '../../api/client';
import { Icon } from '../../kit/icons';
import { ListPage } from '../../kit/ListPage';
import { Loading, Page } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { DevicePick, ProductPick } from '../../kit/Pick';
import { Since } from '../../kit/Since';
import { words as kitWords } from '../../kit/text';
import { useColumns } from './columns';
import { keyOf, queryOf, results, views, type Choice, type Record, type View } from './filter';
import { words } from './text';

const RecordView = lazy(() => import('./RecordView').then((m) => ({ default: m.RecordView })));
const Tail = lazy(() => import('./Tail').then((m) => ({ default: m.Tail })));

/** One is the device whose records alone are shown; without it product and device can be chosen. */
export interface One {
  product: string;
  device: string;
}

/** useChoice is what the address says of the records to show. */
function useChoice(of?: One): Choice {
  const [view] = useParam('view', 'all');
  const [result] = useParam('result');
  const [product] = useParam('product');
  const [device] = useParam('device');
  const [application] = useParam('application');
  const [contains] = useParam('q');
  const [since] = useParam('since');
  const [until] = useParam('until');
  return { view: view in views ? (view as View) : 'all', result, contains, since, until, ...(of ? { ...of, application: '' } : { product, device, application }) };
}

export function LogList() {
  const t = words.use();
  return (
    <Page title={t.title} actions={<Live />}>
      <Log />
    </Page>
  );
}

/** Live is the switch between the log as it is kept and what comes. */
export function Live() {
  const t = words.use();
  const [live, setLive] = useParam('live');
  return (
    <Button variant={live ? 'light' : 'default'} leftSection={<Icon name={live ? 'close' : 'play'} />} onClick={() => setLive(live ? '' : '1')} aria-pressed={live !== ''}>
      {live ? t.stopLive : t.startLive}
    </Button>
  );
}

/** Log is the log, kept or live: of one device, or of what is chosen. */
export function Log({ of }: { of?: One }) {
  const t = words.use();
  const choice = useChoice(of);
  const [, setView] = useParam('view', 'all');
  const [live] = useParam('live');
  const [open, setOpen] = useState<Record | null>(null);
  return (
    <>
      <Tabs value={choice.view} onChange={(v) => setView(v ?? 'all')}>
        <Tabs.List>
          {(Object.keys(views) as View[]).map((v) => (
            <Tabs.Tab key={v} value={v} aria-controls="records">
              {t[v]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
      </Tabs>
      <div id="records" role="tabpanel" aria-label={t[choice.view]}>
        <Suspense fallback={<Loading />}>
          {live ? <Tail choice={choice} facets={<Facets live fixed={of !== undefined} />} onOpen={setOpen} /> : <Kept choice={choice} fixed={of !== undefined} onOpen={setOpen} />}
        </Suspense>
      </div>
      <Detail record={open} onClose={() => setOpen(null)} />
    </>
  );
}

function Facets({ live, fixed }: { live?: boolean; fixed: boolean }) {
  const t = words.use();
  const kit = kitWords.use();
  const [result, setResult] = useParam('result');
  const [product, setProduct] = useParam('product');
  const [device, setDevice] = useParam('device');
  const [application, setApplication] = useParam('application');
  return (
    <>
      <Select label={t.result} placeholder={kit.any} data={results.map((r) => ({ value: r, label: t[r] }))} value={result || null} onChange={(v) => setResult(v ?? '')} clearable w={130} />
      {!fixed && <ProductPick value={product} onChange={setProduct} w={160} />}
      {!fixed && <DevicePick product={product} value={device} onChange={(v) => setDevice(v, 'replace')} w={160} />}
      {!fixed && <TextInput label={t.application} placeholder={t.applicationHint} value={application} onChange={(e) => setApplication(e.currentTarget.value, 'replace')} spellCheck={false} w={190} />}
      {!live && <Since w={160} />}
    </>
  );
}

/** Kept is the log as it is kept, newest first. */
function Kept({ choice, fixed, onOpen }: { choice: Choice; fixed: boolean; onOpen: (r: Record) => void }) {
  const t = words.use();
  const [missing, setMissing] = useState<{ nodes: string[]; damaged: boolean }>({ nodes: [], damaged: false });
  return (
    <Stack gap="sm">
      {missing.nodes.length > 0 && <Alert color="yellow">{t.missing(missing.nodes.join(', '))}</Alert>}
      {missing.damaged && <Alert color="yellow">{t.damaged}</Alert>}
      <ListPage<Record>
        name="messages"
        about={[choice]}
        columns={useColumns(onOpen)}
        rowKey={keyOf}
        filter={{ placeholder: t.filterExample, hint: t.filterHint }}
        facets={<Facets fixed={fixed} />}
        empty={t.none}
        load={async ({ cursor, limit, signal }) => {
          const page = await take(api.GET('/v1/messages', { params: { query: { ...queryOf(choice), cursor: cursor || undefined, limit } }, querySerializer: { array: { style: 'form', explode: false } }, signal }));
          setMissing({ nodes: page.missing ?? [], damaged: page.damaged ?? false });
          return page;
        }}
      />
    </Stack>
  );
}

function Detail({ record, onClose }: { record: Record | null; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  return (
    <Modal opened={record !== null} onClose={onClose} title={t.record} size="lg" closeButtonProps={{ 'aria-label': kit.close }}>
      <Suspense fallback={<Loading />}>{record && <RecordView record={record} />}</Suspense>
    </Modal>
  );
}
