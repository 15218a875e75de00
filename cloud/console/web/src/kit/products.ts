// The products of the project, for choices and names. There are tens of them, seldom hundreds; a project with more is asked for the first thousand.
import { api, take, type Schemas } from '../api/client';
import { useRead } from './data';

export function useProducts(): Schemas['Product'][] {
  const read = useRead(['products', 'all'], (signal) => take(api.GET('/v1/products', { params: { query: { limit: 1000 } }, signal })));
  return read.data?.items ?? [];
}

/** productName is a product as people know it. */
export function productName(products: Schemas['Product'][], sn: string): string {
  return products.find((p) => p.productSN === sn)?.name || sn;
}
