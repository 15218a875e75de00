import { Alert, Stack, Text } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { api, take, type Schemas } from '../../api/client';
import { useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { bytes, numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Fault, Loading, Ready } from '../../kit/Page';
import { excludedWord, words as pageWords } from './text';
import { words } from './wizardText';

type Body = Schemas['NewCampaign'] | undefined;

/** usePlan is what the hub would do with a campaign; it is asked again when the typing rests. */
function usePlan(product: string, body: Body) {
  const [settled] = useDebouncedValue(JSON.stringify(body ?? null), 400);
  const asked = JSON.parse(settled) as Schemas['NewCampaign'] | null;
  return useRead(
    ['campaign-plan', product, settled],
    (signal) => take(api.POST('/v1/products/{productSN}/campaigns:plan', { params: { path: { productSN: product } }, body: asked!, signal })),
    asked !== null && product !== '',
  );
}

const sum = (of: Record<string, number> | undefined) => Object.values(of ?? {}).reduce((a, b) => a + b, 0);

/** Preview is how many devices the targets are. */
export function Preview({ product, body }: { product: string; body: Body }) {
  const t = words.use();
  const plan = usePlan(product, body);
  if (!body) return <Text c="dimmed">{t.incomplete}</Text>;
  if (plan.error) return <Fault error={plan.error} />;
  if (!plan.data) return <Loading />;
  const p = plan.data;
  const parts = [t.preview(numeral(p.targets))];
  if (p.already > 0) parts.push(t.previewAlready(numeral(p.already)));
  if (sum(p.excluded) > 0) parts.push(t.previewExcluded(numeral(sum(p.excluded))));
  return (
    <Text fw={600} role="status" data-preview>
      {parts.join(' · ')}
    </Text>
  );
}

/** Review is the dry run: who comes when, how many bytes, how long. */
export function Review({ product, body }: { product: string; body: Body }) {
  const t = words.use();
  const page = pageWords.use();
  const plan = usePlan(product, body);
  if (!body) return <Text c="dimmed">{t.incomplete}</Text>;
  return (
    <Ready of={plan}>
      {(p) => (
        <Stack>
          {(p.noWay?.length ?? 0) > 0 && (
            <Alert color="red" icon={<Icon name="warning" />} title={t.noWay} className="wrap">
              {p.noWay!.join(', ')}
            </Alert>
          )}
          <Text fw={600} role="status" data-preview>
            {t.preview(numeral(p.targets))}
          </Text>
          <Facts
            of={[
              [page.already, p.already > 0 && numeral(p.already)],
              ...Object.entries(p.excluded).map(([why, n]): [string, string] => [excludedWord(page, why), numeral(n)]),
              ...p.waves.map((n, i): [string, string] => [t.wave(i + 1), t.waveReach(numeral(n))]),
              ...Object.entries(p.stones ?? {}).map(([v, n]): [string, string] => [v, t.stones(numeral(n), v)]),
              [t.bytes, bytes(p.bytes)],
              [t.eta, p.minutes > 0 ? t.minutesText(numeral(p.minutes, 1)) : t.atOnce],
              [t.some, p.first?.join(', ')],
            ]}
          />
        </Stack>
      )}
    </Ready>
  );
}
