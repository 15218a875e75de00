import { Badge, Group, Paper, Progress, Text, UnstyledButton } from '@mantine/core';
import type { Schemas } from '../../api/client';
import { numeral } from '../../kit/i18n';
import { useParam } from '../../kit/params';
import { colourOf, countsOf, deviceStates, deviceWords, stageColours, stageOf, stages, statusColours, statusWords, type DeviceState, type Status } from './states';
import { words } from './text';

export function StatusBadge({ status }: { status: Status }) {
  const t = statusWords.use();
  return (
    <Badge variant="light" color={statusColours[status]} className="badge" data-status={status}>
      {t[status]}
    </Badge>
  );
}

export function DeviceStateBadge({ state, percent }: { state: DeviceState; percent?: number }) {
  const t = deviceWords.use();
  return (
    <Badge variant="light" color={colourOf(state)} className="badge" data-state={state}>
      {t[state]}
      {stageOf[state] === 'busy' && percent !== undefined && percent > 0 && percent < 100 && ` ${percent} %`}
    </Badge>
  );
}

/** Bar is a campaign at a glance. What its colours say stands beside it in numbers. */
export function Bar({ campaign, size = 'lg' }: { campaign: Schemas['Campaign']; size?: string }) {
  const counts = countsOf(campaign);
  const all = Math.max(1, campaign.targets);
  return (
    <Progress.Root size={size} aria-hidden="true" className="grow">
      {stages.map((s) => counts[s] > 0 && <Progress.Section key={s} value={(100 * counts[s]) / all} color={stageColours[s]} withAria={false} />)}
    </Progress.Root>
  );
}

/** Board is how many devices are where; each number chooses the devices of its state for the list below. */
export function Board({ campaign }: { campaign: Schemas['Campaign'] }) {
  const t = words.use();
  const names = deviceWords.use();
  const [chosen, choose] = useParam('state');
  const counts = countsOf(campaign);
  const done = counts.succeeded + counts.bad + counts.dropped;
  return (
    <Paper withBorder p="md" role="region" aria-label={t.board}>
      <Group justify="space-between" mb="xs">
        <Text fw={600} aria-live="polite">
          {t.through(numeral(done), numeral(campaign.targets))}
        </Text>
        <Text size="sm" c="dimmed">
          {t.wave(campaign.wave, campaign.waves.length)}
        </Text>
      </Group>
      <Bar campaign={campaign} />
      <Group gap="xs" mt="md">
        {deviceStates.map((s) => {
          const n = campaign.devices[s] ?? 0;
          if (n === 0 && chosen !== s) return null;
          return (
            <UnstyledButton key={s} aria-pressed={chosen === s} onClick={() => choose(chosen === s ? '' : s)} data-count={s}>
              <Paper withBorder px="sm" py={6} bg={chosen === s ? 'var(--mantine-primary-color-light)' : undefined}>
                <Text size="xl" fw={600} lh={1.1}>
                  {numeral(n)}
                </Text>
                <Group gap={6} wrap="nowrap">
                  <span aria-hidden="true" style={{ width: 8, height: 8, borderRadius: 4, background: `var(--mantine-color-${colourOf(s)}-6)` }} />
                  <Text size="sm">{names[s]}</Text>
                </Group>
              </Paper>
            </UnstyledButton>
          );
        })}
        {counts.later > 0 && (
          <Paper withBorder px="sm" py={6}>
            <Text size="xl" fw={600} lh={1.1}>
              {numeral(counts.later)}
            </Text>
            <Text size="sm">{t.later}</Text>
          </Paper>
        )}
      </Group>
    </Paper>
  );
}
