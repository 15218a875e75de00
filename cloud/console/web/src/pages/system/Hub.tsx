import { Anchor, Stack, Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { api, take, type Schemas } from '../../api/client';
import { CopyText } from '../../kit/CopyText';
import { useRead } from '../../kit/data';
import { Facts } from '../../kit/Facts';
import { numeral } from '../../kit/i18n';
import { Ready } from '../../kit/Page';
import { Time } from '../../kit/Time';
import { words } from './text';

type Info = Schemas['Info'];

/** Hub is what this node of the hub is, where its doors are, and where its API is to be read. */
export function Hub() {
  const t = words.use();
  const read = useRead(['info'], (signal) => take(api.GET('/v1/info', { signal })));
  return (
    <Ready of={read}>
      {(info) => (
        <Stack gap="lg">
          <Facts
            of={[
              [t.version, <CopyText key="v" value={info.version} />],
              [t.commit, info.commit && <CopyText key="c" value={info.commit} shown={info.commit.slice(0, 12)} />],
              [t.started, <Time key="s" at={info.startedAt} />],
              [t.store, info.store],
              [t.connections, numeral(info.connections)],
            ]}
          />
          <Doors info={info} />
          <section>
            <Title order={2} size="h4" mb="xs">
              {t.api}
            </Title>
            <Stack gap={4} align="flex-start">
              <Anchor href="/docs/api" target="_blank" rel="noreferrer" size="sm">
                {t.apiPage}
              </Anchor>
              <Anchor href="/openapi.yaml" target="_blank" rel="noreferrer" size="sm">
                {t.apiDocument}
              </Anchor>
            </Stack>
          </section>
        </Stack>
      )}
    </Ready>
  );
}

/** Doors are the addresses that this node listens on; one that is shut says so. */
function Doors({ info }: { info: Info }) {
  const t = words.use();
  const doors: [string, string | undefined][] = [
    [t.mqtt, info.addresses.mqtt],
    [t.mqtts, info.addresses.mqtts],
    [t.http, info.addresses.http],
    [t.https, info.addresses.https],
  ];
  return (
    <section>
      <Title order={2} size="h4" mb="xs">
        {t.doors}
      </Title>
      <Facts of={[...doors.map(([name, at]): [string, ReactNode] => [name, at ? <CopyText key={name} value={at} /> : <span className="dim">{t.shut}</span>]), [t.base, info.deviceBaseURL && <CopyText key="b" value={info.deviceBaseURL} />]]} />
    </section>
  );
}
