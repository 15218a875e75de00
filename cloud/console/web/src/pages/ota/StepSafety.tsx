import { Checkbox, Fieldset, NumberInput, Select, SimpleGrid, Stack, TextInput } from '@mantine/core';
import type { StepProps } from './NewCampaign';
import type { Draft } from './spec';
import { gateActions } from './WavesForm';
import { words } from './wizardText';

type Numeric = 'limit' | 'minimum' | 'reverted' | 'perMinute' | 'growth' | 'maxPerMinute' | 'concurrent' | 'kibPerSecond' | 'attempts' | 'minutes' | 'budgetKiB' | 'days';

/** Safety is what stops a campaign, how fast it goes, and when. */
export function Safety({ draft: d, change }: StepProps) {
  const t = words.use();
  const number = (name: Numeric, label: string, more: { description?: string; max?: number } = {}) => (
    <NumberInput label={label} min={0} inputWrapperOrder={['label', 'input', 'description']} value={d[name]} onChange={(v) => change({ [name]: String(v) } as Partial<Draft>)} {...more} />
  );
  const text = (name: 'cron' | 'tz', label: string, description: string) => (
    <TextInput label={label} description={description} inputWrapperOrder={['label', 'input', 'description']} value={d[name]} onChange={(e) => change({ [name]: e.currentTarget.value } as Partial<Draft>)} spellCheck={false} />
  );
  return (
    <Stack>
      <Fieldset legend={t.gate}>
        <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }}>
          {number('limit', t.limit, { description: t.limitHint, max: 100 })}
          {number('minimum', t.minimum)}
          {number('reverted', t.reverted)}
          <Select label={t.action} allowDeselect={false} value={d.action} onChange={(v) => change({ action: v as Draft['action'] })} data={gateActions.map((a) => ({ value: a, label: t[a as 'pause'] }))} />
        </SimpleGrid>
      </Fieldset>
      <Fieldset legend={t.rate}>
        <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
          {number('perMinute', t.perMinute)}
          {number('growth', t.growth, { description: t.growthHint, max: 10 })}
          {number('maxPerMinute', t.maxPerMinute)}
          {number('concurrent', t.concurrent)}
          {number('kibPerSecond', t.kibPerSecond)}
          {number('attempts', t.attempts, { max: 10 })}
        </SimpleGrid>
      </Fieldset>
      <Fieldset legend={t.window}>
        <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
          {text('cron', t.cron, t.cronHint)}
          {number('minutes', t.minutes)}
          {text('tz', t.tz, t.tzHint)}
        </SimpleGrid>
      </Fieldset>
      <Fieldset legend={t.device}>
        <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
          {number('days', t.days)}
          {number('budgetKiB', t.budget)}
          <Checkbox label={t.consent} checked={d.consent} onChange={(e) => change({ consent: e.currentTarget.checked })} mt={28} />
        </SimpleGrid>
      </Fieldset>
    </Stack>
  );
}
