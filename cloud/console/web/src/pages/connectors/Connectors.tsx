import { lazy } from 'react';
import { Route, Switch } from 'wouter';
import { Missing } from '../../kit/Page';
import { ConnectorList } from './ConnectorList';

const Connector = lazy(() => import('./Connector'));

export default function Connectors() {
  return (
    <Switch>
      <Route path="/connectors" component={ConnectorList} />
      <Route path="/connectors/:connector" component={Connector} />
      <Route component={Missing} />
    </Switch>
  );
}
