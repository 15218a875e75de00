import { lazy } from 'react';
import { Route, Switch } from 'wouter';
import { Missing } from '../../kit/Page';
import { LogList } from './LogList';

const Message = lazy(() => import('./Message'));

export default function Logs() {
  return (
    <Switch>
      <Route path="/logs" component={LogList} />
      <Route path="/logs/:message" component={Message} />
      <Route component={Missing} />
    </Switch>
  );
}
