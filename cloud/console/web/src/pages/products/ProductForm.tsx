import { Button, Group, Modal, Select, Stack, Switch, TextInput } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useAct } from '../../kit/data';
import { words as kitWords } from '../../kit/text';
import { words } from './text';

type Product = Schemas['Product'];
type Kind = Product['kind'];

/** ProductForm makes a product, or changes the one that it is given. */
export function ProductForm({ product, onClose }: { product?: Product; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const [, go] = useLocation();
  const [name, setName] = useState(product?.name ?? '');
  const [description, setDescription] = useState(product?.description ?? '');
  const [kind, setKind] = useState<Kind>(product?.kind ?? 'device');
  const [flags, setFlags] = useState({ dynamicRegister: product?.dynamicRegister ?? false, preRegister: product?.preRegister ?? false, shadow: product?.shadow ?? true });
  const keys = [['products'], ['product', product?.productSN]];
  const save = useAct<void, Product>(
    () =>
      product
        ? take(api.PATCH('/v1/products/{productSN}', { params: { path: { productSN: product.productSN } }, headers: { 'If-Match': `"${product.revision ?? 0}"` }, body: { name, description, ...flags } }))
        : take(api.POST('/v1/products', { body: { name, description, kind, ...flags } })),
    { keys, done: product ? t.saved : t.created1 },
  );
  const flag = (name: keyof typeof flags, label: string, hint?: string) => (
    <Switch label={label} description={hint} checked={flags[name]} onChange={(e) => setFlags({ ...flags, [name]: e.currentTarget.checked })} />
  );
  return (
    <Modal opened onClose={onClose} title={product ? t.edit : t.create} closeButtonProps={{ 'aria-label': kit.close }} centered>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate(undefined, {
            onSuccess(made) {
              onClose();
              if (!product) go(`/products/${made.productSN}`);
            },
          });
        }}
      >
        <Stack>
          <TextInput label={t.name} required value={name} onChange={(e) => setName(e.currentTarget.value)} data-autofocus />
          <TextInput label={t.description} value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
          {!product && <Select label={t.kind} data={(['device', 'gateway', 'subdevice'] as Kind[]).map((k) => ({ value: k, label: t[k] }))} value={kind} allowDeselect={false} onChange={(k) => setKind((k ?? 'device') as Kind)} />}
          {flag('dynamicRegister', t.dynamicRegister, t.dynamicHint)}
          {flags.dynamicRegister && flag('preRegister', t.preRegister)}
          {flag('shadow', t.shadow)}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" loading={save.isPending}>
              {product ? kit.save : t.create}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
