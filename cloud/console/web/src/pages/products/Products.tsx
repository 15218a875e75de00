import { lazy } from 'react';
import { Route, Switch } from 'wouter';
import { Missing } from '../../kit/Page';
import { ProductList } from './ProductList';

const Product = lazy(() => import('./Product'));

export default function Products() {
  return (
    <Switch>
      <Route path="/products" component={ProductList} />
      <Route path="/products/:product/:tab?" component={Product} />
      <Route component={Missing} />
    </Switch>
  );
}
