import { Button, Tabs } from '@mantine/core';
import { Suspense, useState } from 'react';
import { Link, useLocation, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Loading, Page, Ready } from '../../kit/Page';
import { ProductForm } from './ProductForm';
import { Published } from './ProductList';
import { tabs } from './tabs';
import { words } from './text';

export default function Product() {
  const t = words.use();
  const { product: sn = '' } = useParams<{ product: string }>();
  const read = useRead(['product', sn], (signal) => take(api.GET('/v1/products/{productSN}', { params: { path: { productSN: sn } }, signal })));
  return (
    <Page title={read.data?.name || sn} trail={[[t.title, '/products']]} badge={read.data && <Published product={read.data} />} actions={read.data && <Actions product={read.data} />}>
      <Ready of={read}>{(p) => <Detail product={p} />}</Ready>
    </Page>
  );
}

function Actions({ product }: { product: Schemas['Product'] }) {
  const t = words.use();
  const { may } = useSession();
  const [, go] = useLocation();
  const [asked, setAsked] = useState<'edit' | 'remove' | null>(null);
  const remove = useAct(() => take(api.DELETE('/v1/products/{productSN}', { params: { path: { productSN: product.productSN } } })), { keys: [['products']], done: t.removed });
  return (
    <>
      <Button component={Link} href={`/devices?product=${product.productSN}`} variant="default" leftSection={<Icon name="devices" />}>
        {t.showDevices}
      </Button>
      {may('product.write', product.productSN) && (
        <>
          <Button variant="default" leftSection={<Icon name="edit" />} onClick={() => setAsked('edit')}>
            {t.edit}
          </Button>
          <Button variant="default" c="red" leftSection={<Icon name="trash" />} onClick={() => setAsked('remove')}>
            {t.remove}
          </Button>
        </>
      )}
      {asked === 'edit' && <ProductForm product={product} onClose={() => setAsked(null)} />}
      <ConfirmDialog
        opened={asked === 'remove'}
        onClose={() => setAsked(null)}
        title={t.remove}
        action={t.remove}
        name={product.name || product.productSN}
        busy={remove.isPending}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/products'), onError: () => setAsked(null) })}
      >
        {t.removeSure(product.name || product.productSN)}
      </ConfirmDialog>
    </>
  );
}

function Detail({ product }: { product: Schemas['Product'] }) {
  const t = words.use();
  const { tab: named } = useParams<{ tab?: string }>();
  const [, go] = useLocation();
  const open = tabs.find((tab) => tab.id === named) ?? tabs[0]!;
  const base = `/products/${product.productSN}`;
  return (
    <Tabs value={open.id} onChange={(id) => go(id === tabs[0]!.id ? base : `${base}/${id}`)} keepMounted={false}>
      <Tabs.List mb="md">
        {tabs.map((tab) => (
          <Tabs.Tab key={tab.id} value={tab.id}>
            {tab.title(t)}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      {tabs.map((tab) => (
        <Tabs.Panel key={tab.id} value={tab.id}>
          <Suspense fallback={<Loading />}>
            <tab.view product={product} />
          </Suspense>
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}
