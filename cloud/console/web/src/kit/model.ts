// The thing model of a product, for names, types and forms.
import { api, take } from '../api/client';
import { useRead } from './data';
import { modelOf, type ThingModel } from './schema';

const none = modelOf(undefined);

export function useModel(product: string): ThingModel {
  const read = useRead(['model', product], (signal) => take(api.GET('/v1/products/{productSN}/thing-model', { params: { path: { productSN: product } }, signal })));
  return read.data ? modelOf(read.data) : none;
}
