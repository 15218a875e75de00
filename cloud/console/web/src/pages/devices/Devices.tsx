import { lazy } from 'react';
import { Route, Switch } from 'wouter';
import { Missing } from '../../kit/Page';
import { DeviceList } from './DeviceList';

const AddDevices = lazy(() => import('./AddDevices'));
const Device = lazy(() => import('./Device'));

export default function Devices() {
  return (
    <Switch>
      <Route path="/devices" component={DeviceList} />
      <Route path="/devices/add" component={AddDevices} />
      <Route path="/devices/:product/:device/:tab?" component={Device} />
      <Route component={Missing} />
    </Switch>
  );
}
