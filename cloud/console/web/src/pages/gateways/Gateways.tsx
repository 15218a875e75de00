import { Route, Switch } from 'wouter';
import { Missing } from '../../kit/Page';
import { Gateway } from './Gateway';
import { GatewayList } from './GatewayList';

export default function Gateways() {
  return (
    <Switch>
      <Route path="/gateways" component={GatewayList} />
      <Route path="/gateways/:product/:device/:tab?" component={Gateway} />
      <Route component={Missing} />
    </Switch>
  );
}
