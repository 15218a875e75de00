import { Button } from '@mantine/core';
import { lazy, Suspense, useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { campaignName } from './CampaignList';
import { words as changeWords } from './changeText';
import { countsOf, ended } from './states';
import { words } from './text';

const ChangeCampaign = lazy(() => import('./ChangeCampaign').then((m) => ({ default: m.ChangeCampaign })));

type Item = Schemas['Campaign'];
type Verb = 'approve' | 'pause' | 'resume' | 'abort' | 'retry' | 'rollback';

const base = '/v1/products/{productSN}/campaigns/{campaignID}';

function act(verb: Verb, product: string, id: string): Promise<Item | Schemas['CampaignList']> {
  const params = { path: { productSN: product, campaignID: id } };
  switch (verb) {
    case 'approve':
      return take(api.POST(`${base}/approve`, { params }));
    case 'pause':
      return take(api.POST(`${base}/pause`, { params }));
    case 'resume':
      return take(api.POST(`${base}/resume`, { params }));
    case 'abort':
      return take(api.POST(`${base}/abort`, { params }));
    case 'retry':
      return take(api.POST(`${base}/retry`, { params, body: {} }));
    case 'rollback':
      return take(api.POST(`${base}/rollback`, { params, body: {} }));
  }
}

/** offered are the actions that a campaign takes of a caller as it is. Who has made it does not approve it. */
export function offered(c: Item, caller = ''): Verb[] {
  const n = countsOf(c);
  const verbs: Verb[] = [];
  if (c.status === 'awaiting_approval' && c.owner !== caller) verbs.push('approve');
  if (c.status === 'running') verbs.push('pause');
  if (c.status === 'paused') verbs.push('resume');
  if (n.bad > 0 && c.status !== 'aborted') verbs.push('retry');
  if (n.succeeded > 0) verbs.push('rollback');
  if (!ended(c.status)) verbs.push('abort');
  return verbs;
}

const asks: Verb[] = ['abort', 'rollback'];

export function CampaignActions({ campaign: c, product }: { campaign: Item; product: string }) {
  const t = words.use();
  const { may, me } = useSession();
  const [, go] = useLocation();
  const [asked, setAsked] = useState<Verb | null>(null);
  const [changing, setChanging] = useState<Item | null>(null);
  const change = changeWords.use();
  const run = useAct((verb: Verb) => act(verb, product, c.campaignID), { keys: [['campaign', product, c.campaignID], ['campaign-devices', product], ['campaigns', product]] });
  if (!may('firmware.write', product)) return null;
  const title: Record<Verb, string> = { approve: t.approve, pause: t.pause, resume: t.resume, abort: t.abort, retry: t.retry, rollback: t.rollback };
  const dangerous = asked && asks.includes(asked);
  return (
    <>
      {offered(c, `${me.kind}:${me.id}`).map((verb) => (
        <Button
          key={verb}
          variant={verb === 'approve' || verb === 'resume' ? 'filled' : 'default'}
          c={asks.includes(verb) ? 'red' : undefined}
          leftSection={verb === 'pause' ? <Icon name="pause" /> : verb === 'resume' ? <Icon name="play" /> : verb === 'retry' ? <Icon name="refresh" /> : undefined}
          loading={run.isPending && run.variables === verb}
          onClick={() => (asks.includes(verb) ? setAsked(verb) : run.mutate(verb))}
        >
          {title[verb]}
        </Button>
      ))}
      {!ended(c.status) && c.status !== 'preparing' && (
        <Button variant="default" onClick={() => setChanging(c)}>
          {change.change}
        </Button>
      )}
      {changing && (
        <Suspense>
          <ChangeCampaign campaign={changing} product={product} onClose={() => setChanging(null)} />
        </Suspense>
      )}
      <ConfirmDialog
        opened={asked !== null}
        onClose={() => setAsked(null)}
        title={asked ? title[asked] : ''}
        action={asked ? title[asked] : ''}
        name={dangerous ? campaignName(c) : undefined}
        busy={run.isPending}
        onConfirm={() =>
          asked &&
          run.mutate(asked, {
            onSettled: () => setAsked(null),
            onSuccess: () => asked === 'rollback' && go(`/ota?product=${product}`),
          })
        }
      >
        {asked === 'rollback' ? t.rollbackSure : t.abortSure}
      </ConfirmDialog>
    </>
  );
}
