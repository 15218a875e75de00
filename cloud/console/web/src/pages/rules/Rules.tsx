import { lazy } from 'react';
import { Route, Switch } from 'wouter';
import { Missing } from '../../kit/Page';
import { RuleList } from './RuleList';

const Rule = lazy(() => import('./Rule'));
const Letter = lazy(() => import('./Letter'));

export default function Rules() {
  return (
    <Switch>
      <Route path="/rules" component={RuleList} />
      <Route path="/rules/dead-letters" component={RuleList} />
      <Route path="/rules/dead-letters/:letter" component={Letter} />
      <Route path="/rules/:rule/:tab?" component={Rule} />
      <Route component={Missing} />
    </Switch>
  );
}
