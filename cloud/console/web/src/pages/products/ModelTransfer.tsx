import { Alert, Button, FileInput, Group, Menu, Modal, Select, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { saveAs } from '../../kit/csv';
import { useAct } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { words as kitWords } from '../../kit/text';
import { toastDone } from '../../kit/toast';
import { Changes } from './ModelVersions';
import { words } from './modelText';

type Product = Schemas['Product'];
type Format = Schemas['ModelFormat'];

const formats: Format[] = ['native', 'wrapped', 'tsl', 'wot'];

export function ExportModel({ product }: { product: Product }) {
  const t = words.use();
  const get = useAct(async (format: Format) => {
    const got = await take(api.GET('/v1/products/{productSN}/thing-model:export', { params: { path: { productSN: product.productSN }, query: { format } } }));
    saveAs(`${product.name || product.productSN}.${format}.json`, [JSON.stringify(got.document, null, 2)], 'application/json');
    if (got.losses.length > 0) toastDone(`${t.losses}: ${got.losses.map((l) => l.path).join(', ')}`);
    return got;
  });
  return (
    <Menu>
      <Menu.Target>
        <Button variant="default" leftSection={<Icon name="download" size={16} />} loading={get.isPending}>
          {t.export}
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {formats.map((f) => (
          <Menu.Item key={f} onClick={() => get.mutate(f)}>
            {f}
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

export function ImportModel({ product }: { product: Product }) {
  const t = words.use();
  const [open, setOpen] = useState(false);
  return (
    <>
      <Button variant="default" leftSection={<Icon name="upload" size={16} />} onClick={() => setOpen(true)}>
        {t.import}
      </Button>
      {open && <ImportDialog product={product} onClose={() => setOpen(false)} />}
    </>
  );
}

/** ImportDialog shows what a file would make of the thing model before it does so. */
function ImportDialog({ product, onClose }: { product: Product; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [file, setFile] = useState<File | null>(null);
  const [format, setFormat] = useState<Format | null>(null);
  const keys = [['model', product.productSN], ['product', product.productSN], ['model-diff', product.productSN]];
  const send = useAct(
    async (dryRun: boolean) => {
      const document = JSON.parse(await file!.text()) as { [k: string]: unknown };
      return take(api.POST('/v1/products/{productSN}/thing-model:import', { params: { path: { productSN: product.productSN }, query: { dryRun } }, body: { document, ...(format && { format }) } }));
    },
    { keys },
  );
  const go = (dryRun: boolean) =>
    send.mutate(dryRun, {
      onSuccess() {
        if (dryRun) return;
        toastDone(t.imported);
        onClose();
      },
    });
  return (
    <Modal opened onClose={onClose} title={t.import} size="lg" closeButtonProps={{ 'aria-label': kit.close }}>
      <Stack>
        <FileInput label={t.file} accept=".json,.jsonld,application/json" value={file} onChange={setFile} leftSection={<Icon name="upload" size={16} />} />
        <Select label={t.format} placeholder={t.guess} clearable data={formats} value={format} onChange={(f) => setFormat(f as Format | null)} />
        {send.data && (
          <>
            <Changes of={send.data.changes} breaking={send.data.breaking} />
            {send.data.losses.length > 0 && (
              <Alert color="yellow" title={t.losses}>
                {send.data.losses.map((l, i) => (
                  <Text key={i} size="sm" className="wrap">
                    {l.path}: {l.reason}
                  </Text>
                ))}
              </Alert>
            )}
          </>
        )}
        <Group justify="flex-end">
          <Button variant="default" disabled={!file} loading={send.isPending} onClick={() => go(true)}>
            {t.try}
          </Button>
          <Button disabled={!file} loading={send.isPending} onClick={() => go(false)}>
            {t.import}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
