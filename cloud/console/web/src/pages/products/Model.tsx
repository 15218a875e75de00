import { Alert, Button, Group, SegmentedControl, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { CodeEditor } from '../../kit/CodeEditor';
import { useAct, useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Ready } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { modelOf, type ThingModel } from '../../kit/schema';
import { ModelForm } from './ModelForm';
import { ExportModel, ImportModel } from './ModelTransfer';
import { Diff, Publish, Versions } from './ModelVersions';
import { words } from './modelText';

type Product = Schemas['Product'];

export default function Model({ product }: { product: Product }) {
  const path = { productSN: product.productSN };
  const read = useRead(['model', product.productSN], (signal) => take(api.GET('/v1/products/{productSN}/thing-model', { params: { path }, signal })));
  return <Ready of={read}>{(raw) => <Editor key={JSON.stringify(raw)} product={product} saved={modelOf(raw)} />}</Ready>;
}

const views = ['form', 'json', 'diff', 'versions'] as const;

/** Editor has the model as a form and as JSON; both change the same draft, which is stored as a whole if nobody else changed the product meanwhile. */
function Editor({ product, saved }: { product: Product; saved: ThingModel }) {
  const t = words.use();
  const { may } = useSession();
  const [view, setView] = useParam('view', 'form');
  const [draft, setDraft] = useState(saved);
  const write = may('product.write', product.productSN);
  const changed = JSON.stringify(draft) !== JSON.stringify(saved);
  const keys = [['model', product.productSN], ['product', product.productSN], ['model-diff', product.productSN]];
  const save = useAct(
    () => take(api.PUT('/v1/products/{productSN}/thing-model', { params: { path: { productSN: product.productSN } }, headers: { 'If-Match': `"${product.revision ?? 0}"` }, body: draft as unknown as Schemas['ThingModel'] })),
    { keys, done: t.saved },
  );
  const fixed = !write || product.published;
  return (
    <Stack>
      <Group>
        <SegmentedControl aria-label={t.view} data={views.map((v) => ({ value: v, label: t[v] }))} value={view} onChange={(v) => setView(v)} />
        <Group ml="auto" gap="xs">
          <ExportModel product={product} />
          {!fixed && <ImportModel product={product} />}
          {write && <Publish product={product} disabled={changed} />}
        </Group>
      </Group>
      {product.published && <Alert icon={<Icon name="warning" />}>{t.frozen}</Alert>}
      {changed && (
        <Alert color="yellow" role="status">
          <Group>
            <Text size="sm">{t.unsaved}</Text>
            <Button size="xs" loading={save.isPending} onClick={() => save.mutate(undefined)}>
              {t.save}
            </Button>
            <Button size="xs" variant="default" onClick={() => setDraft(saved)}>
              {t.discard}
            </Button>
          </Group>
        </Alert>
      )}
      {view === 'form' && <ModelForm model={draft} onChange={fixed ? undefined : setDraft} />}
      {view === 'json' && <AsJSON model={draft} onChange={fixed ? undefined : setDraft} />}
      {view === 'diff' && <Diff product={product} />}
      {view === 'versions' && <Versions product={product} />}
    </Stack>
  );
}

function AsJSON({ model, onChange }: { model: ThingModel; onChange?: (m: ThingModel) => void }) {
  const t = words.use();
  const [typed, setTyped] = useState(() => JSON.stringify(model, null, 2));
  const [wrong, setWrong] = useState(false);
  return (
    <>
      <CodeEditor
        language="json"
        label={t.json}
        value={typed}
        readOnly={!onChange}
        height="32rem"
        onChange={(text) => {
          setTyped(text);
          try {
            const v: unknown = JSON.parse(text);
            if (typeof v !== 'object' || v === null || Array.isArray(v)) throw new Error();
            onChange?.(modelOf(v));
            setWrong(false);
          } catch {
            setWrong(true);
          }
        }}
      />
      {wrong && (
        <Text c="red" size="sm" role="alert">
          {t.wrong}
        </Text>
      )}
    </>
  );
}
