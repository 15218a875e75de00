import { Button, Fieldset, Group, Modal, NumberInput, SimpleGrid, Stack, Text, TextInput } from '@mantine/core';
import { useState } from 'react';
import { api, tagged, take, type Schemas } from '../../api/client';
import { hasCode } from '../../api/problem';
import { useAct } from '../../kit/data';
import { words as kitWords } from '../../kit/text';
import { words } from './changeText';
import { campaignName } from './CampaignList';
import { patchOf, typedOf, type Change } from './change';
import { WavesForm } from './WavesForm';
import { words as wizardWords } from './wizardText';

type Item = Schemas['Campaign'];

/** ChangeCampaign changes a campaign while it runs: its pace, its window, how long it waits, and the waves that are still to come. */
export function ChangeCampaign({ campaign: c, product, onClose }: { campaign: Item; product: string; onClose: () => void }) {
  const t = words.use();
  const kit = kitWords.use();
  const w = wizardWords.use();
  const [typed, setTyped] = useState<Change>(() => typedOf(c));
  const change = (part: Partial<Change>) => setTyped((old) => ({ ...old, ...part }));
  const patch = patchOf(c, typed);
  const save = useAct(() => send(c, product, patch), { keys: [['campaign', product, c.campaignID], ['campaigns', product]], done: t.saved });
  const number = (name: 'perMinute' | 'growth' | 'maxPerMinute' | 'concurrent' | 'kibPerSecond' | 'minutes', label: string) => (
    <NumberInput label={label} min={0} value={typed[name]} onChange={(v) => change({ [name]: String(v) } as Partial<Change>)} />
  );
  return (
    <Modal opened onClose={onClose} title={t.title(campaignName(c))} size="xl" closeButtonProps={{ 'aria-label': kit.close }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          save.mutate(undefined, { onSuccess: onClose });
        }}
      >
        <Stack>
          {c.approver && <Text size="sm">{t.approved(c.approver)}</Text>}
          <Fieldset legend={w.rate}>
            <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
              {number('perMinute', w.perMinute)}
              {number('growth', w.growth)}
              {number('maxPerMinute', w.maxPerMinute)}
              {number('concurrent', w.concurrent)}
              {number('kibPerSecond', w.kibPerSecond)}
            </SimpleGrid>
          </Fieldset>
          <WavesForm waves={typed.waves} begun={c.wave} onChange={(waves) => change({ waves })} />
          <Fieldset legend={w.window}>
            <SimpleGrid cols={{ base: 1, xs: 2, md: 3 }}>
              <TextInput label={w.cron} value={typed.cron} onChange={(e) => change({ cron: e.currentTarget.value })} spellCheck={false} />
              {number('minutes', w.minutes)}
              <TextInput label={w.tz} value={typed.tz} onChange={(e) => change({ tz: e.currentTarget.value })} spellCheck={false} />
            </SimpleGrid>
          </Fieldset>
          <TextInput type="datetime-local" label={t.expires} value={typed.expires} onChange={(e) => change({ expires: e.currentTarget.value })} w={240} required />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {kit.cancel}
            </Button>
            <Button type="submit" disabled={Object.keys(patch).length === 0} loading={save.isPending}>
              {kit.save}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

const path = '/v1/products/{productSN}/campaigns/{campaignID}';

/**
 * send changes the campaign if nobody else has changed what can be changed here. Its revision rises with each device that is let go too, so the
 * newest one is asked for first, and once more when devices were faster.
 */
async function send(seen: Item, product: string, patch: Schemas['CampaignPatch']): Promise<Item> {
  const params = { path: { productSN: product, campaignID: seen.campaignID } };
  for (let tries = 0; ; tries++) {
    const { body, etag } = await tagged(api.GET(path, { params }));
    const same = JSON.stringify(typedOf(body)) === JSON.stringify(typedOf(seen)) && body.wave === seen.wave;
    try {
      return await take(api.PATCH(path, { params, headers: { 'If-Match': same ? etag : `"${seen.revision}"` }, body: patch }));
    } catch (err) {
      if (!same || tries >= 5 || !hasCode(err, 'revision_mismatch')) throw err;
    }
  }
}
