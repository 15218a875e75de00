import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { useState } from 'react';
import { useLocation, useParams } from 'wouter';
import { api, take, type Schemas } from '../../api/client';
import { useSession } from '../../app/session';
import { ConfirmDialog } from '../../kit/ConfirmDialog';
import { useAct, useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { Icon } from '../../kit/icons';
import { Fault, Page, Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { ChannelForm } from './ChannelForm';
import { Health, useKindName } from './ChannelList';
import { words } from './text';

type Channel = Schemas['AlarmChannel'];

export default function OneChannel() {
  const t = words.use();
  const { id = '' } = useParams<{ id: string }>();
  const trail: [string, string][] = [
    [t.title, '/alarms'],
    [t.channels, '/alarms/channels'],
  ];
  if (id === 'new') {
    return (
      <Page title={t.createChannel} trail={trail}>
        <ChannelForm />
      </Page>
    );
  }
  return <Stored id={id} trail={trail} />;
}

function Stored({ id, trail }: { id: string; trail: [string, string][] }) {
  const t = words.use();
  const kindName = useKindName();
  const { may } = useSession();
  const read = useRead(['alarm-channel', id], (signal) => take(api.GET('/v1/alarm-channels/{channelID}', { params: { path: { channelID: id } }, signal })));
  const c = read.data;
  return (
    <Page title={c?.name ?? id} trail={trail} badge={c && <Health of={c} />} actions={c && may('alarm.write') && <Remove channel={c} />}>
      <Ready of={read}>
        {(channel) => (
          <Stack gap="lg">
            <Facts
              of={[
                [t.kind, kindName(channel.kind)],
                [t.sent, <Time key="s" at={channel.sentAt} />],
                [t.lastErrorAt, channel.lastErrorAt && <Time key="e" at={channel.lastErrorAt} />],
                [t.lastError, channel.lastError && <span className="wrap">{channel.lastError}</span>],
              ]}
            />
            {may('alarm.write') && <Test id={channel.id} />}
            {may('alarm.write') && <ChannelForm key={channel.revision} channel={channel} />}
          </Stack>
        )}
      </Ready>
    </Page>
  );
}

/** Test sends a message as the channel is stored, and shows what became of it. */
function Test({ id }: { id: string }) {
  const t = words.use();
  const run = useAct(() => take(api.POST('/v1/alarm-channels/{channelID}/test', { params: { path: { channelID: id } } })), { keys: [['alarm-channels']], quiet: true });
  return (
    <Stack gap="xs">
      <Group>
        <Button variant="default" loading={run.isPending} onClick={() => run.mutate(undefined)}>
          {t.test}
        </Button>
        <Text size="sm" c="dimmed">
          {t.testHint}
        </Text>
      </Group>
      <div aria-live="polite">
        {run.error && <Fault error={run.error} />}
        {run.data && !run.isPending && !run.error && (
          <Alert color={run.data.ok ? 'green' : 'red'} title={run.data.ok ? t.taken : t.takenNot} data-test={run.data.ok ? 'ok' : 'failed'}>
            <Text size="sm" className="wrap">
              {run.data.error || t.took(numeral(run.data.tookMillis))}
            </Text>
          </Alert>
        )}
      </div>
    </Stack>
  );
}

function Remove({ channel }: { channel: Channel }) {
  const t = words.use();
  const [, go] = useLocation();
  const [asked, setAsked] = useState(false);
  const remove = useAct(() => take(api.DELETE('/v1/alarm-channels/{channelID}', { params: { path: { channelID: channel.id } } })), { keys: [['alarm-channels']], done: t.removed });
  return (
    <>
      <Button variant="default" c="red" leftSection={<Icon name="trash" />} onClick={() => setAsked(true)}>
        {t.remove}
      </Button>
      <ConfirmDialog
        opened={asked}
        onClose={() => setAsked(false)}
        title={t.removeChannels(1)}
        action={t.remove}
        name={channel.name}
        busy={remove.isPending}
        onConfirm={() => remove.mutate(undefined, { onSuccess: () => go('/alarms/channels'), onError: () => setAsked(false) })}
      >
        {t.removeChannelSure(channel.name)}
      </ConfirmDialog>
    </>
  );
}
