import { Stack, Tabs, Text } from '@mantine/core';
import { lazy, Suspense, type ReactNode } from 'react';
import { Route, Switch, useLocation, useSearch } from 'wouter';
import { Loading, Missing, Page } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { ProductPick } from '../../kit/Pick';
import { useProducts } from '../../kit/products';
import { CampaignList, CampaignButtons } from './CampaignList';
import { words } from './text';

const Campaign = lazy(() => import('./Campaign').then((m) => ({ default: m.Campaign })));
const CampaignDevice = lazy(() => import('./CampaignDevice').then((m) => ({ default: m.CampaignDevice })));
const FirmwareList = lazy(() => import('./FirmwareList').then((m) => ({ default: m.FirmwareList })));
const FirmwareButtons = lazy(() => import('./FirmwareList').then((m) => ({ default: m.FirmwareButtons })));
const Releases = lazy(() => import('./Releases').then((m) => ({ default: m.Releases })));
const Versions = lazy(() => import('./Versions'));
const NewCampaign = lazy(() => import('./NewCampaign'));

export default function Ota() {
  return (
    <Suspense fallback={<Loading />}>
      <Switch>
        <Route path="/ota">{() => <Room tab="campaigns" />}</Route>
        <Route path="/ota/firmware">{() => <Room tab="firmware" />}</Route>
        <Route path="/ota/releases">{() => <Room tab="releases" />}</Route>
        <Route path="/ota/versions">{() => <Room tab="versions" />}</Route>
        <Route path="/ota/new" component={NewCampaign} />
        <Route path="/ota/campaigns/:product/:campaign" component={Campaign} />
        <Route path="/ota/campaigns/:product/:campaign/:device" component={CampaignDevice} />
        <Route component={Missing} />
      </Switch>
    </Suspense>
  );
}

const paths = { campaigns: '/ota', firmware: '/ota/firmware', releases: '/ota/releases', versions: '/ota/versions' };
type Tab = keyof typeof paths;

/** Room is the campaigns, the firmware, the releases or the versions of one product, which is in the address; without it the first one's. */
function Room({ tab }: { tab: Tab }) {
  const t = words.use();
  const [, go] = useLocation();
  const search = new URLSearchParams(useSearch());
  const [named, setProduct] = useParam('product');
  const products = useProducts();
  const product = named || products[0]?.productSN || '';
  const parts: Record<Tab, [title: string, content: ReactNode, actions: ReactNode]> = {
    campaigns: [t.campaigns, <CampaignList product={product} />, <CampaignButtons product={product} />],
    firmware: [t.firmware, <FirmwareList product={product} />, <FirmwareButtons product={product} />],
    releases: [t.releases, <Releases product={product} />, <FirmwareButtons product={product} kind="release" />],
    versions: [t.versions, <Versions product={product} />, null],
  };
  const about = search.get('product') ? `?product=${search.get('product')}` : '';
  return (
    <Page title={t.title} actions={product && <Suspense>{parts[tab][2]}</Suspense>}>
      <Tabs value={tab} onChange={(to) => go(paths[to as Tab] + about)} keepMounted={false}>
        <Tabs.List>
          {(Object.keys(parts) as Tab[]).map((id) => (
            <Tabs.Tab key={id} value={id}>
              {parts[id][0]}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {(Object.keys(parts) as Tab[]).map((id) => (
          <Tabs.Panel key={id} value={id} pt="md">
            {product ? (
              <Stack>
                <ProductPick required value={product} onChange={setProduct} />
                <Suspense fallback={<Loading />}>{parts[id][1]}</Suspense>
              </Stack>
            ) : (
              <Text c="dimmed">{t.noProducts}</Text>
            )}
          </Tabs.Panel>
        ))}
      </Tabs>
    </Page>
  );
}
