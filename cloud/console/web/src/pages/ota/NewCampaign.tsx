import { Alert, Button, Group, Paper, Stack, Stepper } from '@mantine/core';
import { useState } from 'react';
import { useLocation } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { useAct, useRead } from '../../kit/data';
import { Icon } from '../../kit/icons';
import { Page } from '../../kit/Page';
import { useParam } from '../../kit/params';
import { ProductPick } from '../../kit/Pick';
import { campaignPath } from './CampaignList';
import { Preview, Review } from './Plan';
import { bodyOf, emptyDraft, type Draft } from './spec';
import { words as pageWords } from './text';
import { Safety } from './StepSafety';
import { Targets } from './StepTargets';
import { Waves } from './StepWaves';
import { words } from './wizardText';

export interface StepProps {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
}

const last = 3;

/** NewCampaign asks for a campaign in four steps; the last is what the hub would do with it. */
export default function NewCampaign() {
  const t = words.use();
  const page = pageWords.use();
  const [, go] = useLocation();
  const [product, setProduct] = useParam('product');
  const [firmware] = useParam('firmware');
  const [at, setAt] = useParam('step', '0');
  const step = Math.min(last, Math.max(0, Number(at) || 0));
  const [draft, setDraft] = useState<Draft>({ ...emptyDraft, firmware });
  const change = (part: Partial<Draft>) => setDraft((d) => ({ ...d, ...part }));
  const body = bodyOf(draft);
  const create = useAct(() => take(api.POST('/v1/products/{productSN}/campaigns', { params: { path: { productSN: product } }, body: body as Schemas['NewCampaign'] })), { keys: [['campaigns', product]], done: t.started });
  const to = (n: number) => setAt(String(n));
  const approval = useApproval();
  const [named] = useState(product !== '');
  const pick = (sn: string) => {
    setProduct(sn, 'replace');
    change({ firmware: '' });
  };
  return (
    <Page title={t.title} trail={[[page.title, `/ota?product=${product}`]]}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          if (step < last) to(step + 1);
          else create.mutate(undefined, { onSuccess: (c) => go(campaignPath(product, c.campaignID)) });
        }}
      >
        <Stack>
          {approval && (
            <Alert color="yellow" icon={<Icon name="eye" />} role="note">
              {t.approval}
            </Alert>
          )}
          <Stepper active={step} onStepClick={to} size="sm">
            <Stepper.Step label={t.stepTargets} />
            <Stepper.Step label={t.stepWaves} />
            <Stepper.Step label={t.stepSafety} />
            <Stepper.Step label={t.stepReview} />
          </Stepper>
          <Paper withBorder p="md">
            {step === 0 && (
              <Stack>
                {(product === '' || !named) && <ProductPick required value={product} onChange={pick} />}
                <Targets draft={draft} change={change} product={product} />
                <Preview product={product} body={body} />
              </Stack>
            )}
            {step === 1 && <Waves draft={draft} change={change} />}
            {step === 2 && <Safety draft={draft} change={change} />}
            {step === last && <Review product={product} body={body} />}
          </Paper>
          <Group justify="flex-end">
            {step > 0 && (
              <Button variant="default" onClick={() => to(step - 1)}>
                {t.back}
              </Button>
            )}
            <Button type="submit" loading={create.isPending} disabled={step === last && !body}>
              {step < last ? t.next : approval ? t.submit : t.start}
            </Button>
          </Group>
        </Stack>
      </form>
    </Page>
  );
}

/** useApproval tells whether the project's campaigns start only when somebody else has approved them. */
function useApproval(): boolean {
  const { project } = useSession();
  const read = useRead(['projects'], (signal) => take(api.GET('/v1/projects', { signal })));
  return read.data?.items.find((p) => p.id === project)?.campaignApproval ?? false;
}
