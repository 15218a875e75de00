import { Badge, Button } from '@mantine/core';
import { useState } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { Icon } from '../../kit/icons';
import { asked, ListPage, type Column } from '../../kit/ListPage';
import { Page } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { ProductForm } from './ProductForm';
import { words } from './text';

type Product = Schemas['Product'];

export function ProductList() {
  const t = words.use();
  const { may } = useSession();
  const [making, setMaking] = useState(false);
  const columns: Column<Product>[] = [
    { id: 'name', title: t.name, sort: 'name', cell: (p) => p.name || p.productSN, csv: (p) => p.name },
    { id: 'sn', title: t.sn, sort: 'sn', cell: (p) => p.productSN, csv: (p) => p.productSN },
    { id: 'kind', title: t.kind, sort: 'kind', cell: (p) => t[p.kind], csv: (p) => p.kind },
    { id: 'published', title: t.published, sort: 'published', cell: (p) => <Published product={p} />, csv: (p) => p.published },
    { id: 'description', title: t.description, hidden: true, cell: (p) => p.description, csv: (p) => p.description },
    { id: 'updated', title: t.updated, sort: 'updated', cell: (p) => <Time at={p.updatedAt} />, csv: (p) => p.updatedAt },
    { id: 'created', title: t.created, sort: 'created', hidden: true, cell: (p) => <Time at={p.createdAt} />, csv: (p) => p.createdAt },
  ];
  return (
    <Page
      title={t.title}
      actions={
        may('product.write') && (
          <Button leftSection={<Icon name="plus" />} onClick={() => setMaking(true)}>
            {t.create}
          </Button>
        )
      }
    >
      <ListPage<Product>
        name="products"
        columns={columns}
        rowKey={(p) => p.productSN}
        rowLink={(p) => `/products/${p.productSN}`}
        empty={t.none}
        filter={{ placeholder: 'kind:gateway published:no' }}
        load={(q) => take(api.GET('/v1/products', { params: { query: asked(q) }, signal: q.signal }))}
      />
      {making && <ProductForm onClose={() => setMaking(false)} />}
    </Page>
  );
}

export function Published({ product }: { product: Product }) {
  const t = words.use();
  return (
    <Badge variant="light" color={product.published ? 'teal' : 'gray'} className="badge">
      {product.published ? t.published : t.draft}
    </Badge>
  );
}
